/*
 * dlq_index - which events of a range of the log have a dead letter of a sink
 * on disk.
 */
#ifndef LIBSINK_DLQ_INDEX_H
#define LIBSINK_DLQ_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"

struct dlq_index {
	uint64_t *offsets; /* owned; sorted */
	size_t count, cap;
	size_t at;    /* index of the last one that dlq_index_next returned */
	uint64_t top; /* the highest in any range of the stream, or 0 */
};

/*
 * Find the offsets in from..to of `stream` in the file at path, which may be
 * missing.  Returns 0, or -errno with an empty index.
 */
MUST_USE int dlq_index_find(struct dlq_index *k, const char *path,
                            const char *stream, uint64_t from, uint64_t to);

/*
 * Return the lowest offset not below `offset`, or UINT64_MAX.  `offset` must
 * not decrease from call to call.
 */
uint64_t dlq_index_next(struct dlq_index *k, uint64_t offset);

/*
 * Empty the index, but keep `top`: batches past it need no look at the file.
 */
void dlq_index_clear(struct dlq_index *k);
void dlq_index_fini(struct dlq_index *k);

#endif
