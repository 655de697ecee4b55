/*
 * report - the statistics map that an ingestd or a sink sends to batchd: its
 * keys and their kinds, and its conversion between bytes and a struct.
 *
 * docs/protocol.md lists the keys for people.  To add a figure, add it here,
 * where its daemon counts it, and in the table of metrics
 * (ingestd/metrics_table.c).  batchd reads, sums and forwards all figures in
 * these tables without further changes.
 */
#ifndef LIBPROTO_REPORT_H
#define LIBPROTO_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libbase/histogram.h"
#include "libproto/frame.h"

enum figure_kind {
	FIGURE_TEXT,
	FIGURE_GAUGE,
	FIGURE_COUNTER, /* grows from 0 during the life of its process */
	FIGURE_BUCKET,  /* the same, as a part of a histogram */
};

struct figure {
	const char *key;
	enum figure_kind kind;
};

enum ingest_figure {
	INGEST_REQUESTS,
	INGEST_BODY_BYTES,
	INGEST_ACCEPTED_EVENTS,
	INGEST_REJECTED_EVENTS,
	INGEST_PENDING_BYTES,
	INGEST_PENDING_REQUESTS,
	INGEST_CONNECTIONS,
	INGEST_CONNECTIONS_OVERDUE,
	INGEST_CONNECTIONS_EVICTED,
	INGEST_MALFORMED,
	INGEST_UNKNOWN_EVENTS,
	INGEST_IGNORED_FIELDS,
	INGEST_UNAUTHORIZED,
	INGEST_RESPONSES_2XX,
	INGEST_RESPONSES_4XX,
	INGEST_RESPONSES_503,
	INGEST_RESPONSES_504,
	INGEST_DURABLE, /* HISTOGRAM_BUCKETS of these, then their sum */
	INGEST_DURABLE_SUM_US = INGEST_DURABLE + HISTOGRAM_BUCKETS,
	INGEST_FIGURES
};

enum sink_figure {
	SINK_STATE, /* the texts come first */
	SINK_ERROR,
	SINK_ERROR_SINCE_US,
	SINK_NEXT_RETRY_US,
	SINK_EVENTS,
	SINK_DUPLICATES,
	SINK_BATCHES,
	SINK_BYTES,
	SINK_RETRIES,
	SINK_DEAD_LETTERED_EVENTS,
	SINK_DEAD_LETTERS,
	SINK_PENDING_DEAD_LETTERS,
	SINK_DEAD_WITHOUT_PAYLOAD,
	SINK_DEAD_DROPPED,
	SINK_DEAD_BYTES,
	SINK_DEAD_MAX_BYTES,
	SINK_FIGURES
};

#define REPORT_FIGURES_MAX 48
#define REPORT_TEXTS 2
#define REPORT_TEXT_MAX                                                        \
	1000 /* bytes; enough for statements that repair a table */

/* Bytes of the largest map that is read, and that is written. */
#define REPORT_READ_MAX 4096
#define REPORT_PACKED_MAX 3072

struct report {
	uint64_t known; /* bit i: figure i has a value */
	uint64_t values[REPORT_FIGURES_MAX];
	char texts[REPORT_TEXTS][REPORT_TEXT_MAX + 1];
};

/* Return the figures of a role; *count is 0 for one that reports none. */
const struct figure *report_figures(enum frame_role role, size_t *count);

static inline bool
report_has(const struct report *r, size_t figure)
{
	return r->known >> figure & 1;
}

static inline void
report_set(struct report *r, size_t figure, uint64_t value)
{
	r->known |= UINT64_C(1) << figure;
	r->values[figure] = value;
}

/*
 * Set a text, cut to REPORT_TEXT_MAX bytes.  It will be shown in JSON and on
 * one line of a terminal.  Therefore each run of line ends, tabs and spaces
 * becomes one space, and other control characters and bytes that are not UTF-8
 * become '?'.
 */
void report_set_text(struct report *r, size_t figure, struct slice text);

/*
 * Read a map of unknown origin.  Its keys must be texts and its
 * values integers or texts; keys that are not in the tables are skipped.
 * Returns 0, or -EBADMSG for any other map, with *r undefined.
 */
MUST_USE int report_read(enum frame_role role, const void *map, size_t bytes,
                         struct report *r);

/* Sets of kinds, a bit for each. */
#define REPORT_NO_BUCKETS                                                      \
	(1U << FIGURE_TEXT | 1U << FIGURE_GAUGE | 1U << FIGURE_COUNTER)
#define REPORT_ALL_KINDS (REPORT_NO_BUCKETS | 1U << FIGURE_BUCKET)

/* Pack those figures in r whose kinds are in the set, as a map. */
struct msgpack_packer;
void report_put(struct msgpack_packer *pk, enum frame_role role,
                const struct report *r, unsigned kinds);

/* Write all figures in r to out.  Returns the length of the map. */
size_t report_pack(enum frame_role role, const struct report *r,
                   uint8_t out[REPORT_PACKED_MAX]);

/*
 * Return the first report of a connection: `now`, but with the counters of
 * `sent`, which is the last report that this process has sent to a batchd, or
 * all zeros.  batchd adds what later reports exceed it by.  So it neither
 * misses nor repeats what was counted while there was no connection.
 */
struct report report_base(enum frame_role role, const struct report *now,
                          const struct report *sent);

/* Replace the figures of r that `now` has, and keep the others. */
void report_merge(struct report *r, const struct report *now);

/* Sums of the counters of several processes, indexed by figure. */
struct report_sums {
	uint64_t values[REPORT_FIGURES_MAX];
};

/* Add what a process has counted between two of its reports. */
void report_count(enum frame_role role, struct report_sums *sums,
                  const struct report *before, const struct report *now);

#endif
