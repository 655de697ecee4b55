/*
 * dlq_filter - which dead letters an operator means.
 */
#ifndef LIBPROTO_DLQ_FILTER_H
#define LIBPROTO_DLQ_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libproto/control_args.h"
#include "libproto/dlq_record.h"

#define DLQ_CODE_MAX 64 /* bytes of a store's code */

/* All zeros matches every dead letter. */
struct dlq_filter {
	bool has_offset;
	uint64_t offset;
	bool has_code;
	char code[DLQ_CODE_MAX + 1];
	bool has_type;
	char type[EVENT_TYPE_MAX + 1];
	int64_t since_us; /* dead-lettered then or later */
	uint64_t limit;   /* at most so many; 0: no limit.  For the caller */
};

/*
 * Put the filter into the arguments of an order, or read it from there, where
 * `map` came from another process.  dlq_filter_read returns 0 or -EBADMSG.
 */
void dlq_filter_put(const struct dlq_filter *f, struct control_args *args);
MUST_USE int dlq_filter_read(struct dlq_filter *f, const uint8_t *map,
                             size_t bytes);

bool dlq_filter_matches(const struct dlq_filter *f,
                        const struct dlq_record *record);

#endif
