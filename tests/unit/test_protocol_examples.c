/*
 * test_protocol_examples - the examples of docs/protocol.md.
 *
 * The page has one section for each type of frame, and in it at least one
 * block of bytes with their meanings.  This test decodes each block twice: as
 * a whole with frame_read and the readers of bodies, and line by line with
 * msgpack-c.  Both results must be the meanings on the page, and the frame
 * that is encoded again must have the same bytes.  Run it in the root of the
 * source tree.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <msgpack.h>

#include "libproto/frame.h"
#include "libproto/report.h"
#include "tests/support/test.h"

#define PAGE "docs/protocol.md"
#define HEADER "libproto/frame.h"
#define TEXT_MAX 4096

/* A text that grows up to a bound; the examples are short. */
struct text {
	char at[TEXT_MAX];
	size_t used;
};

static void __attribute__((format(printf, 2, 3)))
text_add(struct text *t, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(t->at + t->used, sizeof t->at - t->used, format, args);
	va_end(args);
	ck_assert_int_ge(n, 0);
	t->used += (size_t)n;
	ck_assert_uint_lt(t->used, sizeof t->at);
}

static void
add_quoted(struct text *t, const char *data, size_t bytes)
{
	text_add(t, "\"");
	for (size_t i = 0; i < bytes; i++)
		text_add(t, "%s%c",
		         data[i] == '"' || data[i] == '\\' ? "\\" : "",
		         data[i]);
	text_add(t, "\"");
}

static char *
read_file(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text;
	long size;

	ck_assert_msg(f != NULL, "%s: run this test in the source tree", path);
	ck_assert_int_eq(fseek(f, 0, SEEK_END), 0);
	size = ftell(f);
	ck_assert_int_gt(size, 0);
	rewind(f);
	text = calloc(1, (size_t)size + 1);
	ck_assert_ptr_nonnull(text);
	ck_assert_uint_eq(fread(text, 1, (size_t)size, f), (size_t)size);
	(void)fclose(f);
	return text;
}

/* --- what libproto reads --- */

static void
add_uint(struct text *t, const char *name, uint64_t value)
{
	text_add(t, "%s: %" PRIu64 "\n", name, value);
}

static void
add_bool(struct text *t, const char *name, bool value)
{
	text_add(t, "%s: %s\n", name, value ? "true" : "false");
}

static void
add_slice(struct text *t, const char *name, struct slice value)
{
	text_add(t, "%s: ", name);
	if (value.data)
		add_quoted(t, value.data, value.bytes);
	else
		text_add(t, "nil");
	text_add(t, "\n");
}

static void
add_optional(struct text *t, const char *name, bool has, uint64_t value)
{
	if (has)
		add_uint(t, name, value);
	else
		text_add(t, "%s: nil\n", name);
}

static void
add_refused(struct text *t, const struct frame_refused *refused)
{
	add_uint(t, "dead_letters", refused->dead_letters);
	add_uint(t, "dropped", refused->dropped);
}

static void
add_subscribe(struct text *t, const struct frame *f)
{
	add_uint(t, "stream_no", f->subscribe.stream_no);
	add_optional(t, "position", f->subscribe.has_position,
	             f->subscribe.position);
	add_uint(t, "max_events", f->subscribe.max_events);
	add_uint(t, "max_bytes", f->subscribe.max_bytes);
	add_uint(t, "wait_ms", f->subscribe.wait_ms);
	add_bool(t, "stable", f->subscribe.stable);
	add_refused(t, &f->subscribe.refused);
}

static void
add_hello(struct text *t, const struct frame *f)
{
	add_uint(t, "version", f->hello.version);
	add_uint(t, "role", f->hello.role);
	add_slice(t, "name", f->hello.name);
	add_uint(t, "pid", f->hello.pid);
}

static void
add_reply(struct text *t, const struct frame *f)
{
	add_uint(t, "id", f->reply.id);
	add_bool(t, "ok", f->reply.ok);
	add_slice(t, "text", f->reply.text);
}

static void
add_welcome(struct text *t, const struct frame *f)
{
	add_uint(t, "version", f->welcome.version);
	add_uint(t, "frame_max_bytes", f->welcome.frame_max_bytes);
}

static void
add_batch(struct text *t, const struct frame *f)
{
	add_uint(t, "stream_no", f->batch.stream_no);
	add_uint(t, "offset", f->batch.offset);
	add_uint(t, "count", f->batch.count);
	add_optional(t, "next", f->batch.last, f->batch.next);
	add_uint(t, "generation", f->batch.generation);
	add_bool(t, "again", f->batch.again);
}

static void
add_stream(struct text *t, const struct frame *f)
{
	add_uint(t, "stream_no", f->stream.stream_no);
	add_slice(t, "name", f->stream.name);
	add_uint(t, "first_offset", f->stream.first_offset);
	add_uint(t, "next_offset", f->stream.next_offset);
}

static void
add_watch(struct text *t, const struct frame *f)
{
	add_optional(t, "from", f->watch.has_from, f->watch.from);
	add_uint(t, "events", f->watch.events);
	add_bool(t, "live", f->watch.live);
	add_uint(t, "bytes_per_s", f->watch.bytes_per_s);
}

static void
add_skipped(struct text *t, const struct frame *f)
{
	add_uint(t, "from", f->skipped.from);
	add_uint(t, "to", f->skipped.to);
}

static void
add_seek(struct text *t, const struct frame *f)
{
	add_uint(t, "stream_no", f->seek.stream_no);
	add_uint(t, "from", f->seek.from);
	add_uint(t, "to", f->seek.to);
}

static void
add_retry(struct text *t, const struct frame *f)
{
	add_uint(t, "id", f->retry.id);
	add_uint(t, "action", f->retry.action);
	add_uint(t, "committed", f->retry.committed);
}

static void
add_retried(struct text *t, const struct frame *f)
{
	add_uint(t, "id", f->retried.id);
	add_bool(t, "ok", f->retried.ok);
	add_slice(t, "text", f->retried.text);
}

static void
add_appended(struct text *t, const struct frame *f)
{
	add_uint(t, "seq", f->appended.seq);
	add_uint(t, "count", f->appended.count);
}

static void
add_halted(struct text *t, const struct frame *f)
{
	add_uint(t, "stream_no", f->halted.stream_no);
	add_optional(t, "position", f->halted.has_position, f->halted.position);
	add_refused(t, &f->halted.refused);
}

static void
add_committed(struct text *t, const struct frame *f)
{
	add_uint(t, "stream_no", f->committed.stream_no);
	add_uint(t, "next_offset", f->committed.next_offset);
	add_refused(t, &f->committed.refused);
}

static void
add_start(struct text *t, const struct frame *f)
{
	add_uint(t, "stream_no", f->start.stream_no);
	add_uint(t, "position", f->start.position);
}

/* Frames of which the number of the stream is the only field. */
static void
add_stream_no(struct text *t, const struct frame *f)
{
	add_uint(t, "stream_no",
	         f->type == FRAME_FLUSH ? f->flush.stream_no
	                                : f->halt.stream_no);
}

/* Returns false if the frame is not between batchd and a sink. */
static bool
add_sink_fields(struct text *t, const struct frame *f)
{
	if (f->type == FRAME_SUBSCRIBE)
		add_subscribe(t, f);
	else if (f->type == FRAME_COMMITTED)
		add_committed(t, f);
	else if (f->type == FRAME_HALTED)
		add_halted(t, f);
	else if (f->type == FRAME_SEEK)
		add_seek(t, f);
	else if (f->type == FRAME_RETRY)
		add_retry(t, f);
	else if (f->type == FRAME_RETRIED)
		add_retried(t, f);
	else if (f->type == FRAME_START)
		add_start(t, f);
	else if (f->type == FRAME_FLUSH || f->type == FRAME_HALT)
		add_stream_no(t, f);
	else
		return false;
	return true;
}

/* No default: a new type must be described. */
static void
add_fields(struct text *t, const struct frame *f)
{
	add_uint(t, "type", f->type);
	switch (f->type) {
	case FRAME_HELLO:
		add_hello(t, f);
		break;
	case FRAME_WELCOME:
		add_welcome(t, f);
		break;
	case FRAME_APPEND:
		add_uint(t, "seq", f->append.seq);
		add_uint(t, "count", f->append.count);
		break;
	case FRAME_APPENDED:
		add_appended(t, f);
		break;
	case FRAME_BATCH:
		add_batch(t, f);
		break;
	case FRAME_STATS:
	case FRAME_STATUS:
		break;
	case FRAME_ERROR:
		add_uint(t, "code", f->error.code);
		add_slice(t, "text", f->error.text);
		break;
	case FRAME_CONTROL:
		add_uint(t, "id", f->control.id);
		add_slice(t, "verb", f->control.verb);
		break;
	case FRAME_REPLY:
		add_reply(t, f);
		break;
	case FRAME_INTAKE:
		add_bool(t, "open", f->intake.open);
		add_slice(t, "reason", f->intake.reason);
		break;
	case FRAME_STREAM:
		add_stream(t, f);
		break;
	case FRAME_WATCH:
		add_watch(t, f);
		break;
	case FRAME_SKIPPED:
		add_skipped(t, f);
		break;
	case FRAME_SUBSCRIBE:
	case FRAME_COMMITTED:
	case FRAME_FLUSH:
	case FRAME_START:
	case FRAME_HALT:
	case FRAME_HALTED:
	case FRAME_SEEK:
	case FRAME_RETRY:
	case FRAME_RETRIED:
		ck_assert(add_sink_fields(t, f));
		break;
	}
}

static void
add_events(struct text *t, struct wire_reader *r, uint32_t count)
{
	struct event e;

	while (count-- > 0) {
		ck_assert_int_eq(event_read(r, &e), 0);
		add_slice(t, event_field_name(FIELD_ID), e.id);
		add_slice(t, event_field_name(FIELD_TYPE), e.type);
		add_slice(t, event_field_name(FIELD_USER_ID), e.user_id);
		add_slice(t, event_field_name(FIELD_PAYLOAD), e.payload);
		add_uint(t, event_field_name(FIELD_CREATED_AT),
		         (uint64_t)e.created_at_us);
		add_uint(t, event_field_name(FIELD_RECEIVED_AT),
		         (uint64_t)e.received_at_us);
	}
}

static void
add_offsets(struct text *t, struct wire_reader *r, uint32_t count)
{
	uint64_t offset;

	while (count-- > 0) {
		ck_assert_int_eq(wire_uint(r, &offset), 0);
		add_uint(t, "offset", offset);
	}
}

/* A map of texts and whole numbers, as the examples have them. */
static void
add_map(struct text *t, struct wire_reader *r)
{
	struct slice key, text;
	uint32_t pairs;
	uint64_t value;

	ck_assert_int_eq(wire_map(r, &pairs), 0);
	while (pairs-- > 0) {
		char name[64];
		struct wire_reader before;

		ck_assert_int_eq(wire_str(r, &key), 0);
		(void)snprintf(name, sizeof name, "%.*s", (int)key.bytes,
		               key.data);
		before = *r;
		if (wire_uint(r, &value) == 0) {
			add_uint(t, name, value);
			continue;
		}
		*r = before;
		ck_assert_int_eq(wire_str(r, &text), 0);
		add_slice(t, name, text);
	}
}

static void
add_body(struct text *t, const struct frame *f)
{
	struct wire_reader r = {f->body, f->body + f->body_bytes};

	if (f->type == FRAME_APPEND)
		add_events(t, &r, f->append.count);
	else if (f->type == FRAME_BATCH)
		add_events(t, &r, f->batch.count);
	else if (f->type == FRAME_APPENDED)
		add_offsets(t, &r, f->appended.count);
	else if (f->body_bytes > 0)
		add_map(t, &r);
	ck_assert_ptr_eq(r.at, r.end);
}

/* --- what the page contains --- */

/* A block: its bytes, and the meanings of its lines. */
struct example {
	uint8_t bytes[TEXT_MAX];
	size_t len;
	struct text meaning;
};

/* Move past pairs of digits, each after one space but the first. */
static const char *
take_bytes(const char *line, struct example *e)
{
	unsigned byte;

	while (isxdigit((unsigned char)line[0]) &&
	       isxdigit((unsigned char)line[1])) {
		ck_assert_int_eq(sscanf(line, "%2x", &byte), 1);
		ck_assert_uint_lt(e->len, sizeof e->bytes);
		e->bytes[e->len++] = (uint8_t)byte;
		line += 2;
		if (line[0] != ' ')
			break;
		line++;
	}
	return line + strspn(line, " ");
}

static void
add_object(struct text *t, const msgpack_object *o)
{
	switch (o->type) {
	case MSGPACK_OBJECT_NIL:
		text_add(t, "nil");
		break;
	case MSGPACK_OBJECT_BOOLEAN:
		text_add(t, o->via.boolean ? "true" : "false");
		break;
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		text_add(t, "%" PRIu64, o->via.u64);
		break;
	case MSGPACK_OBJECT_STR:
		add_quoted(t, o->via.str.ptr, o->via.str.size);
		break;
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
	case MSGPACK_OBJECT_ARRAY:
	case MSGPACK_OBJECT_MAP:
	case MSGPACK_OBJECT_BIN:
	case MSGPACK_OBJECT_EXT:
		ck_abort_msg("no frame has a value of type %d", (int)o->type);
	}
}

/*
 * The bytes of one line, and of those that continue it, decoded by msgpack-c:
 * a value, or in a map its key and its value.
 */
static void
check_line(const char *meaning, const uint8_t *bytes, size_t len, bool in_map)
{
	char line[TEXT_MAX];
	struct text t = {.used = 0};
	msgpack_unpacked one;
	size_t at = 0, values = 0;

	msgpack_unpacked_init(&one);
	while (at < len) {
		ck_assert_int_eq(
		    msgpack_unpack_next(&one, (const char *)bytes, len, &at),
		    MSGPACK_UNPACK_SUCCESS);
		if (in_map && values == 0)
			text_add(&t, "%.*s: ", (int)one.data.via.str.size,
			         one.data.via.str.ptr);
		else
			add_object(&t, &one.data);
		values++;
	}
	msgpack_unpacked_destroy(&one);
	ck_assert_uint_eq(values, in_map ? 2 : 1);
	(void)snprintf(line, sizeof line, "%s", meaning);
	ck_assert_str_eq(in_map ? line : strchr(line, ':') + 2, t.at);
}

static bool
starts(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* Cut a note in parentheses off the end: `2 (sink)`. */
static void
cut_note(char *meaning)
{
	char *note = strstr(meaning, " (");

	if (note && meaning[strlen(meaning) - 1] == ')')
		*note = '\0';
}

/* The bytes of one line and those that continue it, against its meaning. */
static void
check_meaning(const char *meaning, const uint8_t *bytes, size_t len,
              bool in_map)
{
	if (starts(meaning, "array of "))
		ck_assert_uint_eq(bytes[0],
		                  0x90U | (unsigned)atoi(meaning + 9));
	else if (starts(meaning, "map of "))
		ck_assert_uint_eq(bytes[0],
		                  0x80U | (unsigned)atoi(meaning + 7));
	else if (*meaning)
		check_line(meaning, bytes, len, in_map);
}

/*
 * Read the lines from *page to the end of the block, and check each.  Returns
 * the example; *page is moved past it.
 */
static struct example
take_example(const char **page)
{
	struct example e = {.len = 0};
	char line[256], meaning[256] = "";
	size_t start = 0;
	bool in_map = false;

	for (;;) {
		size_t length = strcspn(*page, "\n"), before = e.len;
		bool end = starts(*page, "```\n");
		const char *more;

		ck_assert_uint_lt(length, sizeof line);
		(void)snprintf(line, sizeof line, "%.*s", (int)length, *page);
		*page += length + 1;
		more = take_bytes(line, &e);
		ck_assert_msg(end || e.len > before, "no bytes: %s", line);
		if (!*more)
			continue; /* these bytes belong to the line before */
		check_meaning(meaning, e.bytes + start, before - start, in_map);
		if (end)
			return e;
		in_map = in_map || starts(meaning, "map of ");
		start = before;
		(void)snprintf(meaning, sizeof meaning, "%s", more);
		cut_note(meaning);
		if (!starts(meaning, "array of ") &&
		    !starts(meaning, "map of "))
			text_add(&e.meaning, "%s\n", meaning);
	}
}

/* The section's table has a row for each field of the header, in order. */
static void
check_table(const char *section, const struct frame *f)
{
	struct text t = {.used = 0};
	char *field, *rest = t.at;

	add_fields(&t, f);
	while ((field = strsep(&rest, "\n")) && *field) {
		char row[80];

		field[strcspn(field, ":")] = '\0';
		if (strcmp(field, "type") == 0)
			continue;
		(void)snprintf(row, sizeof row, "\n| `%s` | ", field);
		section = strstr(section, row);
		ck_assert_msg(section != NULL, "frame %d: no row%s",
		              (int)f->type, row);
	}
}

static void
check_example(const struct example *e, const char *section, int type)
{
	uint8_t header[FRAME_HEADER_MAX];
	struct text t = {.used = 0};
	struct frame f = {.type = FRAME_HELLO};
	int n;

	ck_assert_int_eq(frame_read(e->bytes, e->len, &f), 0);
	ck_assert_int_eq((int)f.type, type);
	add_fields(&t, &f);
	add_body(&t, &f);
	ck_assert_str_eq(t.at, e->meaning.at);
	check_table(section, &f);
	/* And back: the daemons send these very bytes. */
	n = frame_put_header(&f, header);
	ck_assert_int_eq((size_t)n + f.body_bytes, e->len);
	ck_assert_mem_eq(header, e->bytes, (size_t)n);
	ck_assert_mem_eq(f.body, e->bytes + n, f.body_bytes);
}

/* Check the examples of a section; returns how many there are. */
static int
check_section(const char *section, int type)
{
	const char *end = strstr(section, "\n## ");
	const char *at = section;
	int found = 0;

	ck_assert_ptr_nonnull(end);
	while ((at = strstr(at, "\n```frame\n")) && at < end) {
		struct example e;

		at += strlen("\n```frame\n");
		e = take_example(&at);
		check_example(&e, section, type);
		at--; /* the line end before a block that follows at once */
		found++;
	}
	return found;
}

TEST(each_type_of_frame_has_an_example_that_is_right)
{
	char *page = read_file(PAGE), *header = read_file(HEADER);
	const char *at = strstr(header, "enum frame_type {");
	const char *end = strchr(at, '}');
	int types = 0, examples = 0;

	while ((at = strstr(at, "\tFRAME_")) && at < end) {
		char name[32], title[64];
		const char *section;
		int type, found;

		ck_assert_int_eq(
		    sscanf(at, "\tFRAME_%31[A-Z_] = %d", name, &type), 2);
		for (char *c = name; *c; c++)
			*c = (char)tolower((unsigned char)*c);
		(void)snprintf(title, sizeof title, "\n## Frame %d: %s\n", type,
		               name);
		section = strstr(page, title);
		ck_assert_msg(section != NULL, "%s has no section%s", PAGE,
		              title);
		found = check_section(section + 1, type);
		ck_assert_msg(found > 0, "%s: no example of frame %d, %s", PAGE,
		              type, name);
		examples += found;
		types++;
		at++;
	}
	printf("FACT %d examples of %d types of frame\n", examples, types);
	free(page);
	free(header);
}

TEST(the_page_is_of_this_version)
{
	char *page = read_file(PAGE), claim[64];

	(void)snprintf(claim, sizeof claim, "protocol version %d",
	               FRAME_VERSION);
	ck_assert_msg(strstr(page, claim) != NULL, "%s: not of %s", PAGE,
	              claim);
	free(page);
}

/* The figures that batchd knows, and no others, are listed. */
TEST(each_figure_of_a_report_is_listed)
{
	char *page = read_file(PAGE);
	const char *list = strstr(page, "\n## Statistics\n");
	static const enum frame_role roles[] = {ROLE_INGEST, ROLE_SINK};

	ck_assert_ptr_nonnull(list);
	for (size_t r = 0; r < ARRAY_LEN(roles); r++) {
		size_t count;
		const struct figure *figures = report_figures(roles[r], &count);

		for (size_t i = 0; i < count; i++) {
			char key[64];

			(void)snprintf(key, sizeof key, "`%s`", figures[i].key);
			/* Of the buckets the first and the last are named. */
			if (figures[i].kind == FIGURE_BUCKET &&
			    strcmp(figures[i].key, "durable_0") != 0 &&
			    strcmp(figures[i].key, "durable_15") != 0 &&
			    strcmp(figures[i].key, "durable_sum_us") != 0)
				continue;
			ck_assert_msg(strstr(list, key) != NULL,
			              "%s does not list %s", PAGE, key);
		}
	}
	free(page);
}
