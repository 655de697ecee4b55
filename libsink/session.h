/*
 * session - a sink at work: linked to batchd, from the store's position on,
 * batch after batch, until something ends it.
 */
#ifndef LIBSINK_SESSION_H
#define LIBSINK_SESSION_H

#include "libsink/deliver.h"
#include "libsink/dlq_retry_files.h"
#include "libsink/sink_conf.h"
#include "libsink/subscription.h"

struct session {
	struct sink_conf *settings;
	struct subscription subscription;
	struct deliver deliver;
	struct dlq_file dlq;
	struct dlq_retry_files retry_files;
	bool retry_files_known; /* it was read without an error */
	struct stats stats;
	enum stats_state told; /* to batchd, last, as the next two */
	uint64_t told_dead;
	uint64_t told_ms;
	struct report sent;      /* the last that a batchd has had */
	bool based;              /* this connection has had its base */
	uint64_t drain_until_ms; /* 0: not draining */
	uint64_t ready_ms;       /* 0: not yet in this session */
	uint64_t parted;         /* of the batch, dealt with below it */
	unsigned failures;       /* sessions in a row that came to nothing */
	struct log_limit away_limit, dlq_limit;
};

/* Returns 0 or -errno; session_fini either way. */
MUST_USE int session_init(struct session *s, struct sink_conf *settings);
void session_fini(struct session *s);

/*
 * Work until a stop is asked, or batchd has no sink of this name; every other
 * error is logged and worked around.
 */
void session_run(struct session *s);

/*
 * After --retry-dead: tell batchd what dead letters are left.  A sink that is
 * at work does that itself.
 */
void session_report_dead_letters(struct session *s);

#endif
