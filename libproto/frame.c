/* frame - see frame.h. */
#include "libproto/frame.h"

#include <errno.h>
#include <string.h>

#include <msgpack.h>

/* Fields of each type, the type itself included: the array's length. */
static const uint8_t field_count[] = {
    [FRAME_HELLO] = 5,     [FRAME_WELCOME] = 6,   [FRAME_APPEND] = 3,
    [FRAME_APPENDED] = 3,  [FRAME_SUBSCRIBE] = 7, [FRAME_BATCH] = 6,
    [FRAME_COMMITTED] = 3, [FRAME_STATS] = 1,     [FRAME_ERROR] = 3,
    [FRAME_CONTROL] = 3,   [FRAME_REPLY] = 4,     [FRAME_INTAKE] = 3,
    [FRAME_FLUSH] = 2,     [FRAME_STATUS] = 1,
};

/* A header being written; full is set instead of writing past the end. */
struct header {
	uint8_t *out;
	size_t used;
	bool full;
};

static int
on_write(void *data, const char *bytes, size_t len)
{
	struct header *h = data;

	if (len > FRAME_HEADER_MAX - h->used) {
		h->full = true;
		return -1;
	}
	memcpy(h->out + h->used, bytes, len);
	h->used += len;
	return 0;
}

/* A text of min..max bytes. */
static void
pack_text(msgpack_packer *pk, struct header *h, const struct slice *s,
          size_t min, size_t max)
{
	if (s->bytes < min || s->bytes > max)
		h->full = true;
	else
		(void)msgpack_pack_str_with_body(pk, s->data, s->bytes);
}

static void
pack_bool(msgpack_packer *pk, bool value)
{
	(void)(value ? msgpack_pack_true(pk) : msgpack_pack_false(pk));
}

/* The append header, by hand: it has one length, whatever its values. */
static int
put_append(const struct frame *frame, uint8_t *out)
{
	out[0] = 0x90 | 3;
	out[1] = FRAME_APPEND;
	(void)wire_put_u32(wire_put_u64(out + 2, frame->append.seq),
	                   frame->append.count);
	return FRAME_APPEND_HEADER;
}

int
frame_put_header(const struct frame *frame, uint8_t out[FRAME_HEADER_MAX])
{
	struct header h = {.out = out};
	msgpack_packer pk;

	if (frame->type == FRAME_APPEND)
		return put_append(frame, out);

	/* on_write's failures are remembered in h, not in each return. */
	msgpack_packer_init(&pk, &h, on_write);
	(void)msgpack_pack_array(&pk, field_count[frame->type]);
	(void)msgpack_pack_uint8(&pk, (uint8_t)frame->type);
	switch (frame->type) {
	case FRAME_HELLO:
		(void)msgpack_pack_uint64(&pk, frame->hello.version);
		(void)msgpack_pack_uint8(&pk, (uint8_t)frame->hello.role);
		pack_text(&pk, &h, &frame->hello.name, 1, FRAME_NAME_MAX);
		(void)msgpack_pack_uint64(&pk, frame->hello.pid);
		break;
	case FRAME_WELCOME:
		(void)msgpack_pack_uint64(&pk, frame->welcome.version);
		pack_text(&pk, &h, &frame->welcome.stream, 1, FRAME_STREAM_MAX);
		(void)msgpack_pack_uint64(&pk, frame->welcome.first_offset);
		(void)msgpack_pack_uint64(&pk, frame->welcome.next_offset);
		(void)msgpack_pack_uint64(&pk, frame->welcome.frame_max_bytes);
		break;
	case FRAME_APPEND:
		break; /* done above */
	case FRAME_APPENDED:
		(void)msgpack_pack_uint64(&pk, frame->appended.seq);
		(void)msgpack_pack_uint32(&pk, frame->appended.count);
		break;
	case FRAME_SUBSCRIBE:
		(void)msgpack_pack_uint64(&pk, frame->subscribe.stream_no);
		if (frame->subscribe.has_position)
			(void)msgpack_pack_uint64(&pk,
			                          frame->subscribe.position);
		else
			(void)msgpack_pack_nil(&pk);
		(void)msgpack_pack_uint64(&pk, frame->subscribe.max_events);
		(void)msgpack_pack_uint64(&pk, frame->subscribe.max_bytes);
		(void)msgpack_pack_uint64(&pk, frame->subscribe.wait_ms);
		pack_bool(&pk, frame->subscribe.stable);
		break;
	case FRAME_BATCH:
		(void)msgpack_pack_uint64(&pk, frame->batch.stream_no);
		(void)msgpack_pack_uint64(&pk, frame->batch.offset);
		(void)msgpack_pack_uint32(&pk, frame->batch.count);
		pack_bool(&pk, frame->batch.last);
		pack_bool(&pk, frame->batch.again);
		break;
	case FRAME_COMMITTED:
		(void)msgpack_pack_uint64(&pk, frame->committed.stream_no);
		(void)msgpack_pack_uint64(&pk, frame->committed.next_offset);
		break;
	case FRAME_STATS:
	case FRAME_STATUS:
		break;
	case FRAME_ERROR:
		(void)msgpack_pack_uint8(&pk, (uint8_t)frame->error.code);
		pack_text(&pk, &h, &frame->error.text, 0, FRAME_TEXT_MAX);
		break;
	case FRAME_CONTROL:
		(void)msgpack_pack_uint64(&pk, frame->control.id);
		pack_text(&pk, &h, &frame->control.verb, 1, FRAME_NAME_MAX);
		break;
	case FRAME_REPLY:
		(void)msgpack_pack_uint64(&pk, frame->reply.id);
		pack_bool(&pk, frame->reply.ok);
		pack_text(&pk, &h, &frame->reply.text, 0, FRAME_TEXT_MAX);
		break;
	case FRAME_INTAKE:
		pack_bool(&pk, frame->intake.open);
		pack_text(&pk, &h, &frame->intake.reason, 0, FRAME_TEXT_MAX);
		break;
	case FRAME_FLUSH:
		(void)msgpack_pack_uint64(&pk, frame->flush.stream_no);
		break;
	}
	return h.full ? -EINVAL : (int)h.used;
}

static int
read_text(struct wire_reader *r, struct slice *s, uint32_t min, uint32_t max)
{
	int rc = wire_str(r, s);

	if (rc < 0)
		return rc;
	return s->bytes < min || s->bytes > max ? -EBADMSG : 0;
}

/* A number of min..max. */
static int
read_range(struct wire_reader *r, uint64_t min, uint64_t max, uint64_t *value)
{
	int rc = wire_uint(r, value);

	if (rc < 0)
		return rc;
	return *value < min || *value > max ? -EBADMSG : 0;
}

static int
read_u32(struct wire_reader *r, uint32_t min, uint32_t max, uint32_t *value)
{
	uint64_t v;
	int rc = read_range(r, min, max, &v);

	if (rc == 0)
		*value = (uint32_t)v;
	return rc;
}

/* A name that is safe in file names, SQL and logs. */
static int
read_name(struct wire_reader *r, struct slice *s)
{
	int rc = read_text(r, s, 1, FRAME_NAME_MAX);

	for (uint32_t i = 0; rc == 0 && i < s->bytes; i++) {
		char c = s->data[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		      c == '-'))
			rc = -EBADMSG;
	}
	return rc;
}

static int
read_hello(struct wire_reader *r, struct frame *f)
{
	uint64_t role;
	int rc = wire_uint(r, &f->hello.version);

	if (rc == 0)
		rc = read_range(r, ROLE_INGEST, ROLE_CONTROL, &role);
	if (rc == 0) {
		f->hello.role = (enum frame_role)role;
		rc = read_name(r, &f->hello.name);
	}
	if (rc == 0)
		rc = wire_uint(r, &f->hello.pid);
	return rc;
}

static int
read_welcome(struct wire_reader *r, struct frame *f)
{
	int rc = wire_uint(r, &f->welcome.version);

	if (rc == 0)
		rc = read_text(r, &f->welcome.stream, 1, FRAME_STREAM_MAX);
	if (rc == 0)
		rc = wire_uint(r, &f->welcome.first_offset);
	if (rc == 0)
		rc = wire_uint(r, &f->welcome.next_offset);
	if (rc == 0)
		rc = wire_uint(r, &f->welcome.frame_max_bytes);
	return rc;
}

static int
read_subscribe(struct wire_reader *r, struct frame *f)
{
	int rc = wire_uint(r, &f->subscribe.stream_no);

	if (rc == 0) {
		f->subscribe.has_position = !wire_nil(r);
		f->subscribe.position = 0;
		if (f->subscribe.has_position)
			rc = wire_uint(r, &f->subscribe.position);
	}
	if (rc == 0)
		rc = wire_uint(r, &f->subscribe.max_events);
	if (rc == 0)
		rc = wire_uint(r, &f->subscribe.max_bytes);
	if (rc == 0)
		rc = wire_uint(r, &f->subscribe.wait_ms);
	if (rc == 0)
		rc = wire_bool(r, &f->subscribe.stable);
	return rc;
}

static int
read_batch(struct wire_reader *r, struct frame *f)
{
	int rc = wire_uint(r, &f->batch.stream_no);

	if (rc == 0)
		rc = wire_uint(r, &f->batch.offset);
	if (rc == 0)
		rc = read_u32(r, 0, FRAME_BODY_MAX, &f->batch.count);
	if (rc == 0)
		rc = wire_bool(r, &f->batch.last);
	if (rc == 0)
		rc = wire_bool(r, &f->batch.again);
	return rc;
}

static int
read_fields(struct wire_reader *r, struct frame *f)
{
	uint64_t code;
	int rc;

	switch (f->type) {
	case FRAME_HELLO:
		return read_hello(r, f);
	case FRAME_WELCOME:
		return read_welcome(r, f);
	case FRAME_APPEND:
		rc = wire_uint(r, &f->append.seq);
		if (rc == 0)
			rc = read_u32(r, 1, FRAME_BODY_MAX, &f->append.count);
		return rc;
	case FRAME_APPENDED:
		rc = wire_uint(r, &f->appended.seq);
		if (rc == 0)
			rc = read_u32(r, 1, FRAME_APPENDED_MAX,
			              &f->appended.count);
		return rc;
	case FRAME_SUBSCRIBE:
		return read_subscribe(r, f);
	case FRAME_BATCH:
		return read_batch(r, f);
	case FRAME_COMMITTED:
		rc = wire_uint(r, &f->committed.stream_no);
		if (rc == 0)
			rc = wire_uint(r, &f->committed.next_offset);
		return rc;
	case FRAME_STATS:
	case FRAME_STATUS:
		return 0;
	case FRAME_ERROR:
		rc = read_range(r, ERROR_VERSION, ERROR_STOPPING, &code);
		if (rc == 0) {
			f->error.code = (enum frame_error)code;
			rc = read_text(r, &f->error.text, 0, FRAME_TEXT_MAX);
		}
		return rc;
	case FRAME_CONTROL:
		rc = wire_uint(r, &f->control.id);
		if (rc == 0)
			rc = read_name(r, &f->control.verb);
		return rc;
	case FRAME_REPLY:
		rc = wire_uint(r, &f->reply.id);
		if (rc == 0)
			rc = wire_bool(r, &f->reply.ok);
		if (rc == 0)
			rc = read_text(r, &f->reply.text, 0, FRAME_TEXT_MAX);
		return rc;
	case FRAME_INTAKE:
		rc = wire_bool(r, &f->intake.open);
		if (rc == 0)
			rc = read_text(r, &f->intake.reason, 0, FRAME_TEXT_MAX);
		return rc;
	case FRAME_FLUSH:
		return wire_uint(r, &f->flush.stream_no);
	}
	return -EBADMSG;
}

static bool
has_body(enum frame_type type)
{
	return type == FRAME_APPEND || type == FRAME_APPENDED ||
	       type == FRAME_BATCH || type == FRAME_STATS ||
	       type == FRAME_REPLY || type == FRAME_STATUS;
}

int
frame_read(const void *bytes, size_t len, struct frame *frame)
{
	struct wire_reader r = {.at = bytes,
	                        .end = (const uint8_t *)bytes + len};
	uint32_t fields;
	uint64_t type = 0;
	int rc;

	rc = wire_array(&r, &fields);
	if (rc == 0)
		rc = read_range(&r, FRAME_HELLO, FRAME_STATUS, &type);
	if (rc < 0 || fields != field_count[type])
		return -EBADMSG;
	frame->type = (enum frame_type)type;
	rc = read_fields(&r, frame);
	if (rc < 0)
		return rc;
	frame->body = r.at;
	frame->body_bytes = (size_t)(r.end - r.at);
	if (frame->body_bytes > 0 && !has_body(frame->type))
		return -EBADMSG;
	return 0;
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
	switch (code) {
	case ERROR_NONE:
		break;
	case ERROR_VERSION:
		return "version";
	case ERROR_PROTOCOL:
		return "protocol";
	case ERROR_UNKNOWN:
		return "unknown";
	case ERROR_BUSY:
		return "busy";
	case ERROR_BEHIND:
		return "behind";
	case ERROR_AHEAD:
		return "ahead";
	case ERROR_FULL:
		return "full";
	case ERROR_STOPPING:
		return "stopping";
	}
	return "?";
}

const char *
frame_role_name(enum frame_role role)
{
	switch (role) {
	case ROLE_INGEST:
		return "ingest";
	case ROLE_SINK:
		return "sink";
	case ROLE_CONTROL:
		return "control";
	}
	return "?";
}
