/*
 * fuzz_send - split a stream, in two ways, and give its events their ids.  Both
 * must find the same, and what is sent must be what ingestd accepts.  The input
 * is also read as an answer.
 */
#include <errno.h>

#include "leat/send_answer.h"
#include "leat/send_batch.h"
#include "leat/splitter.h"
#include "libjson/json.h"
#include "tests/fuzz/fuzz.h"

static struct send_event events;
static struct send_batch batch;
static struct json_structure *structure;
static struct json_reader *reader;

/* How a stream was split, by one way of reading it. */
struct found {
	struct splitter_position after; /* of the last piece */
	uint64_t pieces, too_long;
	uint64_t hash; /* of the pieces */
	enum splitter_result end;
};

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	HOLDS(send_event_init(&events) == 0);
	send_batch_init(&batch);
	structure = json_structure_new();
	reader = json_reader_new();
	HOLDS(structure && reader);
	return 0;
}

static int
on_event(void *arg, const struct event *event)
{
	(void)arg;
	HOLDS(event->id.data); /* each event that is sent has an id */
	return 0;
}

/* What a request contains is read by ingestd without a fault. */
static void
send_request(void)
{
	const struct json_rules rules = {.received_at_us = 1,
	                                 .max_events = SEND_BATCH_EVENTS,
	                                 .ignore_unknown = true};
	const size_t n = send_batch_left(&batch);
	struct json_report report;
	size_t bytes;
	const void *body;
	char *copy;

	if (n == 0)
		return;
	body = send_batch_request(&batch, n, &bytes);
	HOLDS(bytes <= SEND_BATCH_BYTES);
	copy = malloc(bytes + JSON_PADDING);
	HOLDS(copy);
	memcpy(copy, body, bytes);
	send_batch_end(&batch);
	HOLDS(json_read(reader, copy, bytes, &rules, on_event, NULL, &report) ==
	      0);
	HOLDS(report.accepted == n && report.rejected == 0);
	free(copy);
	(void)send_batch_remove(&batch, n);
}

static void
take(const struct splitter_piece *piece, const struct send_place *after)
{
	struct send_event_fault fault;
	int rc;

	if (send_batch_is_full(&batch))
		send_request();
	rc = send_batch_add(&batch, &events, piece, after, &fault);
	HOLDS(rc == 0 || (rc == -EINVAL && fault.reason));
	/* The first of two events can be refused without the other. */
	if (rc == 0 && send_batch_left(&batch) == 2 &&
	    piece->start.bytes % 3 == 0)
		send_batch_take_out(&batch, 0);
}

static void
split(const uint8_t *data, size_t size, size_t step, struct found *f)
{
	struct splitter_piece piece;
	struct splitter s;
	size_t at = 0;

	*f = (struct found){.end = SPLITTER_MORE};
	HOLDS(splitter_init(&s) == 0);
	while (f->end <= SPLITTER_MORE) {
		f->end = splitter_next(&s, &piece);
		if (f->end == SPLITTER_MORE) {
			size_t room, n = size - at < step ? size - at : step;
			void *into = splitter_room(&s, &room);

			HOLDS(room > 0);
			if (n > room)
				n = room;
			if (n > 0)
				memcpy(into, data + at, n);
			splitter_add(&s, n);
			at += n;
			continue;
		}
		HOLDS(s.position.bytes <= size);
		if (f->end == SPLITTER_PIECE) {
			const struct send_place after = {s.position, 0};

			HOLDS(piece.bytes > 0 &&
			      piece.bytes <= SPLITTER_PIECE_MAX);
			HOLDS(memcmp(data + piece.start.bytes, piece.text,
			             piece.bytes) == 0);
			f->pieces++;
			f->hash = f->hash * 31 + piece.start.bytes;
			f->hash = f->hash * 31 + piece.bytes;
			f->hash = f->hash * 31 + piece.start.line;
			take(&piece, &after);
		}
		f->too_long += f->end == SPLITTER_TOO_LONG;
		if (f->end < SPLITTER_MORE)
			f->after = s.position;
	}
	HOLDS(f->end != SPLITTER_END || s.position.bytes == size);
	HOLDS(f->end == SPLITTER_END || piece.why);
	send_request();
	splitter_fini(&s);
}

static void
read_answer(const uint8_t *data, size_t size)
{
	char *text = calloc(1, size + JSON_STRUCTURE_PADDING);
	struct send_answer a;

	HOLDS(text);
	if (size > 0)
		memcpy(text, data, size);
	(void)send_answer_read(structure, text, size, &a);
	HOLDS(a.error_count <= JSON_ERRORS_MAX);
	HOLDS(memchr(a.reason, '\0', sizeof a.reason));
	for (size_t i = 0; i < a.error_count; i++)
		HOLDS(
		    memchr(a.errors[i].field, '\0', sizeof a.errors[i].field) &&
		    memchr(a.errors[i].reason, '\0',
		           sizeof a.errors[i].reason));
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct found whole, steps;
	size_t step;

	if (size == 0)
		return 0;
	step = (size_t)*data % 64 + 1;
	data++;
	size--;
	split(data, size, SIZE_MAX, &whole);
	split(data, size, step, &steps);
	HOLDS(whole.end == steps.end && whole.pieces == steps.pieces &&
	      whole.too_long == steps.too_long && whole.hash == steps.hash &&
	      whole.after.bytes == steps.after.bytes &&
	      whole.after.line == steps.after.line &&
	      whole.after.in_array == steps.after.in_array);
	read_answer(data, size);
	return 0;
}
