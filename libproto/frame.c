/* frame - see frame.h. */
#include "libproto/frame.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum field_kind {
	KIND_UINT,       /* uint64_t, at most INT64_MAX */
	KIND_UINT_FIXED, /* the same, always written in 9 bytes */
	KIND_U32,        /* uint32_t or an enum, min to max */
	KIND_U32_FIXED,  /* the same, always written in 5 bytes */
	KIND_BOOL,
	KIND_TEXT,     /* struct slice, min to max bytes */
	KIND_NAME,     /* the same, of a-z, 0-9 and - */
	KIND_OPTIONAL, /* uint64_t, or nil if the bool at `min` is false */
};

struct field {
	uint16_t kind; /* enum field_kind */
	uint16_t at;   /* offset in struct frame */
	uint32_t min, max;
};

#define AT(member) offsetof(struct frame, member)
#define UINT(member) KIND_UINT, AT(member), 0, 0
#define UINT_FIXED(member) KIND_UINT_FIXED, AT(member), 0, 0
#define U32(member, min, max) KIND_U32, AT(member), min, max
#define U32_FIXED(member, min, max) KIND_U32_FIXED, AT(member), min, max
#define BOOL(member) KIND_BOOL, AT(member), 0, 0
#define TEXT(member, min, max) KIND_TEXT, AT(member), min, max
#define NAME(member) KIND_NAME, AT(member), 1, FRAME_NAME_MAX
#define OPTIONAL(has, member) KIND_OPTIONAL, AT(member), AT(has), 0

/*
 * The fields of each type in the order in which they are sent.  These lists
 * are the only description of them: both writing and reading follow them.
 */
static const struct field hello[] = {
    {UINT(hello.version)},
    {U32(hello.role, ROLE_INGEST, ROLE_TAIL)},
    {NAME(hello.name)},
    {UINT(hello.pid)},
};
static const struct field welcome[] = {
    {UINT(welcome.version)},
    {UINT(welcome.frame_max_bytes)},
};
/* Of fixed width: FRAME_APPEND_HEADER bytes. */
static const struct field append[] = {
    {UINT_FIXED(append.seq)},
    {U32_FIXED(append.count, 1, FRAME_BODY_MAX)},
};
static const struct field appended[] = {
    {UINT(appended.seq)},
    {U32(appended.count, 1, FRAME_APPENDED_MAX)},
};
static const struct field subscribe[] = {
    {UINT(subscribe.stream_no)},
    {OPTIONAL(subscribe.has_position, subscribe.position)},
    {UINT(subscribe.max_events)},
    {UINT(subscribe.max_bytes)},
    {UINT(subscribe.wait_ms)},
    {BOOL(subscribe.stable)},
    {UINT(subscribe.refused.dead_letters)},
    {UINT(subscribe.refused.dropped)},
};
static const struct field batch[] = {
    {UINT(batch.stream_no)},
    {UINT(batch.offset)},
    {U32(batch.count, 0, FRAME_BODY_MAX)},
    {OPTIONAL(batch.last, batch.next)},
    {UINT(batch.generation)},
    {BOOL(batch.again)},
};
static const struct field committed[] = {
    {UINT(committed.stream_no)},
    {UINT(committed.next_offset)},
    {UINT(committed.refused.dead_letters)},
    {UINT(committed.refused.dropped)},
};
static const struct field error[] = {
    {U32(error.code, ERROR_VERSION, ERROR_STOPPING)},
    {TEXT(error.text, 0, FRAME_TEXT_MAX)},
};
static const struct field control[] = {
    {UINT(control.id)},
    {NAME(control.verb)},
};
static const struct field reply[] = {
    {UINT(reply.id)},
    {BOOL(reply.ok)},
    {TEXT(reply.text, 0, FRAME_TEXT_MAX)},
};
static const struct field intake[] = {
    {BOOL(intake.open)},
    {TEXT(intake.reason, 0, FRAME_TEXT_MAX)},
};
static const struct field flush[] = {
    {UINT(flush.stream_no)},
};
static const struct field stream[] = {
    {UINT(stream.stream_no)},
    {TEXT(stream.name, 1, FRAME_STREAM_NAME_MAX)},
    {UINT(stream.first_offset)},
    {UINT(stream.next_offset)},
};
static const struct field watch[] = {
    {OPTIONAL(watch.has_from, watch.from)},
    {UINT(watch.events)},
    {BOOL(watch.live)},
    {UINT(watch.bytes_per_s)},
};
static const struct field retry[] = {
    {UINT(retry.id)},
    {U32(retry.action, RETRY_STORE, RETRY_DROP)},
    {UINT(retry.committed)},
};
static const struct field retried[] = {
    {UINT(retried.id)},
    {BOOL(retried.ok)},
    {TEXT(retried.text, 0, FRAME_TEXT_MAX)},
};
static const struct field skipped[] = {
    {UINT(skipped.from)},
    {UINT(skipped.to)},
};
static const struct field start[] = {
    {UINT(start.stream_no)},
    {UINT(start.position)},
};
static const struct field halt[] = {
    {UINT(halt.stream_no)},
};
static const struct field halted[] = {
    {UINT(halted.stream_no)},
    {OPTIONAL(halted.has_position, halted.position)},
    {UINT(halted.refused.dead_letters)},
    {UINT(halted.refused.dropped)},
};
static const struct field seek[] = {
    {UINT(seek.stream_no)},
    {UINT(seek.from)},
    {UINT(seek.to)},
};

#define FIELDS(list) list, ARRAY_LEN(list)

/*
 * A header has at most eight fields.  One of them may be a text of at most
 * FRAME_STREAM_NAME_MAX bytes, and the others have at most 9 bytes each, so
 * that any header fits FRAME_HEADER_MAX and the writer need not check for the
 * end.
 */
static const struct layout {
	const struct field *fields;
	uint32_t count;
	bool has_body;
} layouts[] = {
    [FRAME_HELLO] = {FIELDS(hello), false},
    [FRAME_WELCOME] = {FIELDS(welcome), false},
    [FRAME_APPEND] = {FIELDS(append), true},
    [FRAME_APPENDED] = {FIELDS(appended), true},
    [FRAME_SUBSCRIBE] = {FIELDS(subscribe), false},
    [FRAME_BATCH] = {FIELDS(batch), true},
    [FRAME_COMMITTED] = {FIELDS(committed), false},
    [FRAME_STATS] = {NULL, 0, true},
    [FRAME_ERROR] = {FIELDS(error), false},
    [FRAME_CONTROL] = {FIELDS(control), true},
    [FRAME_REPLY] = {FIELDS(reply), true},
    [FRAME_INTAKE] = {FIELDS(intake), false},
    [FRAME_FLUSH] = {FIELDS(flush), false},
    [FRAME_STREAM] = {FIELDS(stream), false},
    [FRAME_HALT] = {FIELDS(halt), false},
    [FRAME_HALTED] = {FIELDS(halted), false},
    [FRAME_SEEK] = {FIELDS(seek), false},
    [FRAME_WATCH] = {FIELDS(watch), false},
    [FRAME_SKIPPED] = {FIELDS(skipped), false},
    [FRAME_RETRY] = {FIELDS(retry), true},
    [FRAME_RETRIED] = {FIELDS(retried), true},
    [FRAME_STATUS] = {NULL, 0, true},
    [FRAME_START] = {FIELDS(start), false},
};

_Static_assert(sizeof(enum frame_role) == sizeof(uint32_t) &&
                   sizeof(enum frame_retry) == sizeof(uint32_t) &&
                   sizeof(enum frame_error) == sizeof(uint32_t),
               "KIND_U32 reads and writes these enums");

/* Write one field at out.  Returns the end of it, or NULL. */
static uint8_t *
put_field(uint8_t *out, const struct field *field, const struct frame *frame)
{
	const void *at = (const uint8_t *)frame + field->at;
	const struct slice *text = at;
	const uint64_t *u64 = at;
	const uint32_t *u32 = at;
	const bool *boolean = at;

	switch ((enum field_kind)field->kind) {
	case KIND_UINT:
		return wire_put_uint(out, *u64);
	case KIND_UINT_FIXED:
		return wire_put_u64(out, *u64);
	case KIND_U32:
		return wire_put_uint(out, *u32);
	case KIND_U32_FIXED:
		return wire_put_u32(out, *u32);
	case KIND_BOOL:
		return wire_put_bool(out, *boolean);
	case KIND_TEXT:
	case KIND_NAME:
		if (text->bytes < field->min || text->bytes > field->max)
			return NULL;
		return wire_put_str(out, text);
	case KIND_OPTIONAL:
		boolean = (const void *)((const uint8_t *)frame + field->min);
		return *boolean ? wire_put_uint(out, *u64) : wire_put_nil(out);
	}
	return NULL;
}

int
frame_put_header(const struct frame *frame, uint8_t out[FRAME_HEADER_MAX])
{
	const struct layout *layout = &layouts[frame->type];
	uint8_t *p = out;

	*p++ = (uint8_t)(0x90 | (layout->count + 1)); /* array */
	*p++ = (uint8_t)frame->type;
	for (uint32_t i = 0; i < layout->count; i++) {
		p = put_field(p, &layout->fields[i], frame);
		if (!p)
			return -EINVAL;
	}
	return (int)(p - out);
}

static int
read_u32(struct wire_reader *r, const struct field *field, uint32_t *value)
{
	uint64_t v;

	if (wire_uint(r, &v) < 0 || v < field->min || v > field->max)
		return -EBADMSG;
	*value = (uint32_t)v;
	return 0;
}

static int
frame_read_text(struct wire_reader *r, const struct field *field,
                struct slice *text)
{
	if (wire_str(r, text) < 0 || text->bytes < field->min ||
	    text->bytes > field->max)
		return -EBADMSG;
	/* A name is safe in file names, SQL and logs. */
	for (uint32_t i = 0; field->kind == KIND_NAME && i < text->bytes; i++) {
		char c = text->data[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		      c == '-'))
			return -EBADMSG;
	}
	return 0;
}

static int
read_field(struct wire_reader *r, const struct field *field,
           struct frame *frame)
{
	void *at = (uint8_t *)frame + field->at;
	bool *has;

	switch ((enum field_kind)field->kind) {
	case KIND_UINT:
	case KIND_UINT_FIXED:
		return wire_uint(r, at);
	case KIND_U32:
	case KIND_U32_FIXED:
		return read_u32(r, field, at);
	case KIND_BOOL:
		return wire_bool(r, at);
	case KIND_TEXT:
	case KIND_NAME:
		return frame_read_text(r, field, at);
	case KIND_OPTIONAL:
		has = (bool *)((uint8_t *)frame + field->min);
		*has = !wire_nil(r);
		*(uint64_t *)at = 0;
		return *has ? wire_uint(r, at) : 0;
	}
	return -EBADMSG;
}

int
frame_read(const void *bytes, size_t len, struct frame *frame)
{
	struct wire_reader r = {.at = bytes,
	                        .end = (const uint8_t *)bytes + len};
	const struct layout *layout;
	uint32_t items;
	uint64_t type;
	int rc = 0;

	if (wire_array(&r, &items) < 0 || wire_uint(&r, &type) < 0 ||
	    type < FRAME_HELLO || type > FRAME_START)
		return -EBADMSG;
	layout = &layouts[type];
	/* The types between those of this version have no layout. */
	if (items != layout->count + 1 ||
	    (layout->count == 0 && !layout->has_body))
		return -EBADMSG;
	frame->type = (enum frame_type)type;
	for (uint32_t i = 0; rc == 0 && i < layout->count; i++)
		rc = read_field(&r, &layout->fields[i], frame);
	if (rc < 0)
		return rc;
	frame->body = r.at;
	frame->body_bytes = (size_t)(r.end - r.at);
	return frame->body_bytes > 0 && !layout->has_body ? -EBADMSG : 0;
}

void
frame_copy_text(char out[FRAME_TEXT_MAX + 1], const struct slice *text)
{
	memcpy(out, text->data, text->bytes);
	out[text->bytes] = '\0';
}

const char *
frame_error_name(enum frame_error code)
{
	static const char *const names[] = {
	    [ERROR_NONE] = "?",
	    [ERROR_VERSION] = "version",
	    [ERROR_PROTOCOL] = "protocol",
	    [ERROR_UNKNOWN] = "unknown",
	    [ERROR_BUSY] = "busy",
	    [ERROR_TOO_OLD] = "too_old",
	    [ERROR_AHEAD] = "ahead",
	    [ERROR_FULL] = "full",
	    [ERROR_STOPPING] = "stopping",
	};

	return names[code];
}

const char *
frame_role_name(enum frame_role role)
{
	static const char *const names[] = {
	    [ROLE_INGEST] = "ingest",
	    [ROLE_SINK] = "sink",
	    [ROLE_CONTROL] = "control",
	    [ROLE_TAIL] = "tail",
	};

	return names[role];
}

struct frame
frame_hello(enum frame_role role, const char *name)
{
	struct frame f = {.type = FRAME_HELLO};

	f.hello.version = FRAME_VERSION;
	f.hello.role = role;
	f.hello.name = slice_of(name);
	f.hello.pid = (uint64_t)getpid();
	return f;
}
