/*
 * fuzz_body - read the body of a request, of each type and encoding.  An event
 * that is accepted must pack, read back the same, and be accepted again.
 */
#include <errno.h>

#include "ingestd/inflate.h"
#include "libbase/error.h"
#include "libbase/log.h"
#include "libjson/json.h"
#include "tests/fuzz/fuzz.h"

#define BODY_MAX (256 * KIB)

static struct json_reader *reader, *second;
static struct inflate *unpacker;
static struct buf unpacked, packed;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	reader = json_reader_new();
	second = json_reader_new();
	unpacker = inflate_new();
	buf_init(&unpacked, BODY_MAX + JSON_PADDING);
	buf_init(&packed, EVENT_PACKED_MAX);
	HOLDS(reader && second && unpacker);
	return 0;
}

static bool
same(struct slice a, struct slice b)
{
	if (!a.data || !b.data)
		return a.data == b.data && a.bytes == b.bytes;
	return a.bytes == b.bytes && memcmp(a.data, b.data, a.bytes) == 0;
}

static int
on_same_payload(void *arg, const struct event *event)
{
	HOLDS(same(*(const struct slice *)arg, event->payload));
	return 0;
}

/* A payload that was kept is JSON that is accepted again. */
static void
read_payload_again(struct slice payload)
{
	static const char head[] = "{\"type\":\"t\",\"payload\":";
	struct json_rules rules = {.received_at_us = 1, .max_events = 1};
	struct json_report report;
	struct buf text;

	buf_init(&text, BODY_MAX);
	HOLDS(buf_add(&text, head, sizeof head - 1) == 0 &&
	      buf_add(&text, payload.data, payload.bytes) == 0 &&
	      buf_add(&text, "}", 1) == 0 &&
	      buf_reserve(&text, JSON_PADDING) == 0);
	HOLDS(json_read(second, (char *)text.data, text.len, &rules,
	                on_same_payload, &payload, &report) == 0);
	HOLDS(report.accepted == 1);
	buf_fini(&text);
}

static int
on_event(void *arg, const struct event *event)
{
	struct event e = *event, again;
	struct wire_reader r;
	int rc;

	(void)arg;
	if (!e.id.data)
		e.id = (struct slice){"made", 4};
	HOLDS(!memchr(e.payload.data, '\0', e.payload.bytes));
	buf_clear(&packed);
	rc = event_pack(&packed, &e);
	if (rc == -EMSGSIZE)
		return rc;
	HOLDS(rc == 0);
	r = (struct wire_reader){packed.data, packed.data + packed.len};
	HOLDS(event_read(&r, &again) == 0 && r.at == r.end);
	HOLDS(same(e.id, again.id) && same(e.type, again.type) &&
	      same(e.user_id, again.user_id) &&
	      same(e.payload, again.payload) &&
	      e.created_at_us == again.created_at_us);
	read_payload_again(e.payload);
	return 0;
}

static void
read_text(const void *bytes, size_t n, uint8_t how)
{
	struct json_rules rules = {.received_at_us = 1,
	                           .max_events = 100,
	                           .ndjson = how & 4,
	                           .ignore_unknown = how & 8};
	struct json_report report;
	char *text = malloc(n + JSON_PADDING);
	int rc;

	HOLDS(text);
	if (n > 0)
		memcpy(text, bytes, n);
	rc = json_read(reader, text, n, &rules, on_event, NULL, &report);
	HOLDS(rc == 0 || rc == -EBADMSG || rc == ERR_TOO_MANY_EVENTS);
	HOLDS(rc != -EBADMSG || report.error_count == 1);
	HOLDS(report.error_count <= report.rejected);
	for (uint32_t i = 0;
	     rc != ERR_TOO_MANY_EVENTS && i < report.error_count; i++)
		HOLDS(report.errors[i].reason);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t how;
	int rc;

	if (size == 0)
		return 0;
	how = *data++;
	size--;
	if (how % 4 != ENCODING_GZIP && how % 4 != ENCODING_ZSTD) {
		read_text(data, size, how);
		return 0;
	}
	rc = inflate_body(unpacker, (enum encoding)(how % 4), data, size,
	                  JSON_PADDING, &unpacked);
	HOLDS(rc == 0 || rc == -EMSGSIZE || rc == -EBADMSG);
	HOLDS(rc < 0 || unpacked.len <= BODY_MAX);
	if (rc == 0)
		read_text(unpacked.data, unpacked.len, how);
	return 0;
}
