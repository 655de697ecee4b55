/*
 * dlq_index - which events of a stretch of the log have a dead letter of a sink
 * on disk, in its file or among those that a --retry-dead has taken.
 */
#ifndef LIBSINK_DLQ_INDEX_H
#define LIBSINK_DLQ_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"

struct dlq_index {
	uint64_t *offsets; /* owned; in order when found */
	size_t count, cap;
	size_t at;    /* of the last one asked for */
	uint64_t top; /* the highest in any stretch of the stream, or 0 */
};

/*
 * Find the offsets in from..to of `stream`; the file at `skip` (or NULL) is
 * left out.  Returns 0, or -errno with nothing known.
 */
MUST_USE int dlq_index_find(struct dlq_index *k, const char *dir,
                            const char *sink, const char *skip,
                            const char *stream, uint64_t from, uint64_t to);

/* The lowest one not below offset, which does not go back; or UINT64_MAX. */
uint64_t dlq_index_next(struct dlq_index *k, uint64_t offset);

/* Whether the offset is among them. */
bool dlq_index_has(const struct dlq_index *k, uint64_t offset);

/* Know none; top stays. */
void dlq_index_clear(struct dlq_index *k);
void dlq_index_fini(struct dlq_index *k);

#endif
