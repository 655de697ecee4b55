/* reporting - see reporting.h. */
#include "libsink/reporting.h"

#include "libbase/clock.h"
#include "libbase/error.h"
#include "libbase/file.h"
#include "libbase/log.h"

/* A report is sent at least this often. */
#define REPORT_MS 1000

void
reporting_begin(struct reporting *r)
{
	r->has_base = false;
}

bool
reporting_is_due(const struct reporting *r)
{
	return !r->has_base || clock_mono_ms() - r->sent_ms >= REPORT_MS;
}

bool
reporting_refresh(struct reporting *r)
{
	int rc, locked = dlq_file_lock(r->dlq);

	dlq_file_follow(r->dlq, r->subscription->stream);
	rc = dlq_file_refresh(r->dlq);
	if (locked == ERR_DEAD_LETTERS_LOCKED && log_allow(&r->limit, NULL))
		log_warn("dead letters cannot be written path=%s err=%s",
		         log_quote(r->dlq->lock_path),
		         log_quote(error_text(locked)));
	stats_check_dead_letters(r->stats, r->dead_dir, r->sink,
	                         dlq_file_check(r->dlq));
	if (rc < 0 && log_allow(&r->limit, NULL))
		log_warn(
		    "cannot count the dead letters, which user leat must be "
		    "able to read and write dir=%s err=%s",
		    log_quote(r->dead_dir), log_quote(file_error(rc)));
	return locked == 0 && rc == 0;
}

const struct frame_refused *
reporting_refused(struct reporting *r)
{
	if (r->dlq->counted)
		r->refused.dead_letters = dlq_file_below(r->dlq);
	if (r->dlq->dropped.is_known)
		r->refused.dropped = dlq_file_dropped(r->dlq);
	return &r->refused;
}

int
reporting_send_refused(struct reporting *r)
{
	const struct frame_refused before = r->refused;
	const struct frame_refused *now = reporting_refused(r);

	if (!r->subscription->subscribed ||
	    (now->dead_letters == before.dead_letters &&
	     now->dropped == before.dropped))
		return 0;
	return subscription_report(r->subscription, r->dlq->position, now);
}

int
reporting_send_changes(struct reporting *r, bool due)
{
	uint64_t dead;
	int rc = due ? reporting_send_refused(r) : 0;

	if (rc < 0)
		return rc;
	dead = r->dlq->records + dlq_file_dropped(r->dlq);
	if (!due && r->state == r->stats->state && r->dead == dead)
		return 0;
	r->state = r->stats->state;
	r->dead = dead;
	r->sent_ms = clock_mono_ms();
	return reporting_send(r);
}

/* Add what was last read of the dead letters. */
static void
report_dead_letters(struct report *report, const struct dlq_file *dlq)
{
	if (!dlq->counted)
		return;
	report_set(report, SINK_DEAD_LETTERS, dlq->records);
	report_set(report, SINK_PENDING_DEAD_LETTERS, dlq->own);
	report_set(report, SINK_DEAD_WITHOUT_PAYLOAD, dlq->without_payload);
	report_set(report, SINK_DEAD_DROPPED, dlq_file_dropped(dlq));
	report_set(report, SINK_DEAD_BYTES, dlq->bytes);
	report_set(report, SINK_DEAD_MAX_BYTES, dlq->max_bytes);
}

int
reporting_send(struct reporting *r)
{
	struct report now = stats_report(r->stats), base;
	uint8_t map[REPORT_PACKED_MAX];
	int rc = 1;

	report_dead_letters(&now, r->dlq);
	base = report_base(ROLE_SINK, &now, &r->last);

	if (!r->has_base)
		rc = subscription_stats(r->subscription, map,
		                        report_pack(ROLE_SINK, &base, map));
	if (rc <= 0)
		return rc;
	r->has_base = true;
	rc = subscription_stats(r->subscription, map,
	                        report_pack(ROLE_SINK, &now, map));
	if (rc > 0)
		r->last = now;
	return rc < 0 ? rc : 0;
}
