/*
 * segment - the bytes of a segment file: its header and its records
 * (docs/log-format.md).
 *
 * These functions only work on memory.  store_append writes the bytes;
 * segment_file and scan read them.
 */
#ifndef BATCHD_SEGMENT_H
#define BATCHD_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libproto/frame.h"

#define SEGMENT_HEADER 64
#define RECORD_HEADER 48
#define RECORD_ALIGN 8
#define STREAM_ID_BYTES 16
#define SEGMENT_NO_PREVIOUS UINT64_MAX

/*
 * The highest offset.  Stores keep positions in signed 64-bit integers.
 */
#define OFFSET_MAX ((uint64_t)INT64_MAX)

/* "00000000000000000000.seg" and its NUL. */
#define SEGMENT_NAME_BYTES 25

struct segment_header {
	uint64_t first_offset;
	uint64_t previous_first; /* or SEGMENT_NO_PREVIOUS */
	int64_t created_us;
	uint8_t stream[STREAM_ID_BYTES];
};

struct record {
	uint32_t body_bytes; /* 1 .. FRAME_BODY_MAX */
	uint32_t count;      /* events, at least 1 */
	uint64_t offset;     /* of the first event */
	uint64_t durable;    /* events below it were synced before */
	int64_t appended_us; /* wall clock */
};

/* Bytes that a record with this body takes on disk, padding included. */
static inline size_t
record_size(size_t body_bytes)
{
	return (RECORD_HEADER + body_bytes + RECORD_ALIGN - 1) &
	       ~(size_t)(RECORD_ALIGN - 1);
}

/* The UUID of a log as text: its digits, four hyphens and a NUL. */
#define STREAM_TEXT_BYTES 37
void segment_stream_text(const uint8_t stream[STREAM_ID_BYTES],
                         char out[STREAM_TEXT_BYTES]);

void segment_name(uint64_t first_offset, char out[SEGMENT_NAME_BYTES]);

/* Return true, and set *first_offset, if the name is a segment's. */
bool segment_name_parse(const char *name, uint64_t *first_offset);

void segment_header_put(const struct segment_header *h,
                        uint8_t out[SEGMENT_HEADER]);

/* Returns 0 or -EBADMSG. */
MUST_USE int segment_header_read(const uint8_t bytes[SEGMENT_HEADER],
                                 struct segment_header *h);

/*
 * The seed of a stream's record checksums.  With it, neither a record of
 * another stream nor the bytes of one that a sender put into an event pass as a
 * record of this stream.
 */
uint64_t record_seed(const uint8_t stream[STREAM_ID_BYTES]);

/*
 * Write the header of the record at `at`, and set its padding to zeros.  The
 * body must already follow the header, because the checksum covers it.
 */
void record_seal(uint8_t *at, const struct record *r, uint64_t seed);

/*
 * Read the record at the start of n bytes, and check all of it.  Returns 0;
 * ERR_RECORD_TRUNCATED when it may be whole but goes beyond n bytes; -EBADMSG
 * when there is no valid record here.
 */
MUST_USE int record_read(const uint8_t *bytes, size_t n, uint64_t seed,
                         struct record *r);

#endif
