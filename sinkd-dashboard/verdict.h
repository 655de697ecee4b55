/*
 * verdict - one statement for the whole system: whether something is wrong,
 * what, since when, and why.  If nothing is wrong but a sink is paused, it is
 * about the pause, because one that has been forgotten fills the log.
 */
#ifndef SINKD_DASHBOARD_VERDICT_H
#define SINKD_DASHBOARD_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

#include "sinkd-dashboard/pipeline.h"

/* The connection to batchd. */
struct verdict_batchd {
	bool answers;
	int64_t since_us;  /* when it ceased to */
	const char *error; /* why it does not; may be "" */
};

struct verdict {
	enum level level; /* of the whole */
	char text[PIPELINE_VERDICT_BYTES];
};

/* Judge the whole, and set the level of each sink. */
void verdict_make(struct verdict *v, struct pipeline *p,
                  const struct verdict_batchd *batchd, int64_t now_us);

/* Return the name of a level: "ok", "paused", "warn" or "bad". */
const char *level_name(enum level level);

/*
 * Write a duration as a person reads it: "12 s", "4 min", "3 h 10 min",
 * "2 days".  Returns out.
 */
#define DURATION_BYTES 48
const char *duration_text(uint64_t seconds, char out[DURATION_BYTES]);

#endif
