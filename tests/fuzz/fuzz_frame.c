/*
 * fuzz_frame - a frame of unknown origin, and the events in its body.  What
 * is read can be written, and reads back the same.
 */
#include "libproto/frame.h"
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
