/*
 * fuzz_segment - recovery, and then a reader, on a log directory in a state
 * that no process left.
 *
 * A random file would fail the first checksum, so the input is a script.  The
 * script writes records with any header, sealed with a valid checksum, and then
 * changes bytes in segments and in a cursor.
 */
#include <errno.h>
#include <stdio.h>

#include "batchd/consumer.h"
#include "libbase/error.h"
#include "libbase/log.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/sim/simdisk.h"

#define SEGMENT_BYTES (192 * KIB)

static const struct store_conf conf = {.max_bytes = 2 * MIB,
                                       .segment_bytes = SEGMENT_BYTES,
                                       .group_max_bytes = 160 * KIB};
static const uint8_t stream[STREAM_ID_BYTES] = "fuzzfuzzfuzzfuzz";

struct script {
	struct simdisk sim;
	int file;        /* being written */
	uint64_t at;     /* in it */
	uint64_t offset; /* of the next record */
	uint64_t first;  /* of the segment */
};

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_set_level((enum log_level)(LOG_ERROR + 1));
	return 0;
}

static void
segment_put(struct script *s, const void *bytes, size_t n)
{
	struct disk *d = &s->sim.disk;

	if (s->at + n > SEGMENT_BYTES)
		return;
	HOLDS(disk_write(d, s->file, bytes, n, s->at) == 0);
	s->at += n;
}

static void
new_segment(struct script *s, uint64_t skip, bool linked)
{
	struct segment_header h = {.first_offset = s->offset + skip,
	                           .previous_first =
	                               linked ? s->first : SEGMENT_NO_PREVIOUS,
	                           .created_us = 1};
	struct disk *d = &s->sim.disk;
	char name[SEGMENT_NAME_BYTES];
	uint8_t bytes[SEGMENT_HEADER];

	if (s->file >= 0)
		d->close(d, s->file);
	memcpy(h.stream, stream, sizeof stream);
	segment_header_put(&h, bytes);
	segment_name(h.first_offset, name);
	s->file = d->open(d, name, true);
	HOLDS(s->file >= 0);
	s->first = s->offset = h.first_offset;
	s->at = 0;
	segment_put(s, bytes, sizeof bytes);
}

/* Add a record of small events, with a header that may be wrong. */
static void
add_record(struct script *s, struct fuzz_input *in)
{
	static uint8_t bytes[RECORD_HEADER + FRAME_BODY_MAX + RECORD_ALIGN];
	uint32_t count = 1 + fuzz_u8(in) % 8;
	int8_t offset_lie = (int8_t)fuzz_u8(in);
	uint8_t durable_lie = fuzz_u8(in);
	struct record r = {.count = count, .appended_us = 1};
	struct event e = {.id = {"i", 1},
	                  .type = {"t", 1},
	                  .payload = {"{}", 2},
	                  .created_at_us = 1,
	                  .received_at_us = 1};
	struct buf body;

	buf_init(&body, FRAME_BODY_MAX);
	for (uint32_t i = 0; i < count; i++)
		HOLDS(event_pack(&body, &e) == 0);
	r.body_bytes = (uint32_t)body.len;
	r.offset = s->offset + (uint64_t)(int64_t)offset_lie;
	r.durable =
	    durable_lie & 0x80 ? r.offset : r.offset - (durable_lie & 0x7f);
	memcpy(bytes + RECORD_HEADER, body.data, body.len);
	record_seal(bytes, &r, record_seed(stream));
	segment_put(s, bytes, record_size(body.len));
	s->offset = r.offset + count;
	buf_fini(&body);
}

static void
segment_flip(struct script *s, const char *name, uint64_t at, uint8_t mask)
{
	struct disk *d = &s->sim.disk;
	int file = d->open(d, name, false);
	uint8_t byte;

	if (file < 0)
		return;
	if (disk_read(d, file, &byte, 1, at) == 1) {
		byte ^= mask;
		HOLDS(disk_write(d, file, &byte, 1, at) == 0);
	}
	d->close(d, file);
}

static void
play(struct script *s, struct fuzz_input *in)
{
	char name[SEGMENT_NAME_BYTES];
	struct cursor c;

	while (in->at < in->end) {
		size_t n = 16;
		const uint8_t *raw;

		switch (fuzz_u8(in) % 8) {
		case 0:
			new_segment(s, fuzz_u8(in), fuzz_u8(in) % 2);
			break;
		case 1:
		case 2:
		case 3:
			add_record(s, in);
			break;
		case 4:
			segment_name(s->first, name);
			segment_flip(s, name, fuzz_u16(in), fuzz_u8(in));
			break;
		case 5:
			raw = fuzz_bytes(in, &n);
			segment_put(s, raw, n);
			break;
		case 6:
			if (cursor_create(&c, &s->sim.disk, "one", stream,
			                  fuzz_u16(in)) == 0)
				cursor_close(&c, &s->sim.disk);
			break;
		default:
			segment_flip(s, "cursors/one.cursor",
			             fuzz_u16(in) % 4096, fuzz_u8(in));
			break;
		}
	}
}

/* On any log, a reader reaches the end, and only moves forwards. */
static void
segment_read_all(struct store *store)
{
	static uint8_t body[FRAME_BODY_MAX];
	struct batch_chunk part = {.body = body};
	uint64_t expected = store_first_offset(store);
	struct reader r;
	int rc;

	reader_init(&r, store);
	rc = reader_seek(&r, expected);
	while (rc == 0 && r.next_offset < store->durable_offset) {
		rc = reader_frame(&r, store->durable_offset, MIB, &part);
		if (rc < 0 || part.count == 0)
			break;
		HOLDS(part.offset >= expected);
		expected = part.offset + part.count;
		HOLDS(expected <= store->durable_offset);
	}
	HOLDS(rc == 0);
	HOLDS(r.next_offset <= store->durable_offset);
	reader_fini(&r);
}

static void
segment_start(struct store *store, struct consumer *f)
{
	uint64_t least =
	    f->position.cursor.file >= 0 ? f->position.cursor.now.committed : 0;

	HOLDS(store_start(store, least) == 0);
	HOLDS(consumer_start(f, false) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, data + size};
	static struct script s;
	struct store store;
	struct consumer f = {0};
	int rc;

	if (size > 4096)
		return 0;
	s = (struct script){.file = -1};
	sim_init(&s.sim, 1);
	new_segment(&s, 0, false);
	play(&s, &in);
	sim_close_all(&s.sim);
	rc = store_open(&store, &s.sim.disk, &conf);
	if (rc == 0)
		rc = consumer_open(&f, &store, "one");
	if (rc == 0) {
		if (size % 4 == 0) /* rarely: it makes the next segment */
			segment_start(&store, &f);
		store.durable_offset = store.next_offset;
		segment_read_all(&store);
	}
	HOLDS(rc == 0 || rc == ERR_OPERATOR_NEEDED || rc == ERR_OTHER_LOG);
	consumer_close(&f);
	store_close(&store);
	sim_fini(&s.sim);
	return 0;
}
