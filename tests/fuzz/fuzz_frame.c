/*
 * fuzz_frame - a frame of unknown origin, and the events in its body.  A frame
 * that can be read can be written, and reads back the same.
 */
#include <msgpack.h>

#include "libproto/frame.h"
#include "libproto/report.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

/* event_skip and event_read must agree on what is an event. */
static void
read_events(const uint8_t *body, size_t n, uint32_t count)
{
	struct wire_reader skipped = {body, body + n}, r = {body, body + n};
	bool good = true;
	struct event e;

	for (uint32_t i = 0; good && i < count; i++) {
		good = event_read(&r, &e) == 0;
		HOLDS(!good || (e.id.bytes >= 1 && e.id.bytes <= EVENT_ID_MAX &&
		                e.type.bytes <= EVENT_TYPE_MAX &&
		                e.user_id.bytes <= EVENT_USER_ID_MAX &&
		                e.created_at_us >= EVENT_TIME_MIN_US &&
		                e.created_at_us <= EVENT_TIME_MAX_US));
	}
	HOLDS((event_skip(&skipped, count) == 0) == good);
	HOLDS(!good || skipped.at == r.at);
}

/* A statistics map that is accepted can be written, and reads back equal. */
static void
read_report(enum frame_role role, const uint8_t *body, size_t n)
{
	uint8_t map[REPORT_PACKED_MAX];
	struct report r, again;

	if (report_read(role, body, n, &r) < 0)
		return;
	n = report_pack(role, &r, map);
	HOLDS(report_read(role, map, n, &again) == 0);
	HOLDS(r.known == again.known &&
	      memcmp(r.values, again.values, sizeof r.values) == 0);
	/* After its end a text may have the rest of one with the same key. */
	for (size_t i = 0; i < REPORT_TEXTS; i++)
		HOLDS(strcmp(r.texts[i], again.texts[i]) == 0);
}

/* A value that can be skipped can be decoded, within a bound of memory. */
static void
read_map(const uint8_t *body, size_t n)
{
	struct wire_reader r = {body, body + n};
	msgpack_unpacked map;

	if (wire_skip(&r) < 0)
		return;
	msgpack_unpacked_init(&map);
	HOLDS(msgpack_unpack_next(&map, (const char *)body,
	                          (size_t)(r.at - body),
	                          NULL) == MSGPACK_UNPACK_SUCCESS);
	msgpack_unpacked_destroy(&map);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t header[FRAME_HEADER_MAX], again[FRAME_HEADER_MAX];
	struct frame f, g;
	int n;

	if (frame_read(data, size, &f) < 0)
		return 0;
	HOLDS(f.body_bytes <= size && f.body_bytes <= FRAME_BODY_MAX);
	if (f.type == FRAME_APPEND)
		read_events(f.body, f.body_bytes, f.append.count);
	if (f.type == FRAME_BATCH)
		read_events(f.body, f.body_bytes, f.batch.count);
	if (f.type == FRAME_STATS) {
		read_report(ROLE_INGEST, f.body, f.body_bytes);
		read_report(ROLE_SINK, f.body, f.body_bytes);
	}
	if (f.type == FRAME_STATUS || f.type == FRAME_REPLY ||
	    f.type == FRAME_CONTROL)
		read_map(f.body, f.body_bytes);
	n = frame_put_header(&f, header);
	HOLDS(n > 0);
	if (f.body_bytes > 0) {
		uint8_t *whole = malloc((size_t)n + f.body_bytes);

		HOLDS(whole);
		memcpy(whole, header, (size_t)n);
		memcpy(whole + n, f.body, f.body_bytes);
		HOLDS(frame_read(whole, (size_t)n + f.body_bytes, &g) == 0);
		HOLDS(frame_put_header(&g, again) == n);
		free(whole);
	} else {
		HOLDS(frame_read(header, (size_t)n, &g) == 0);
		HOLDS(frame_put_header(&g, again) == n);
	}
	HOLDS(g.type == f.type && memcmp(header, again, (size_t)n) == 0);
	return 0;
}
