/* metrics - see metrics.h. */
#include "sinkd-dashboard/metrics.h"

#include <inttypes.h>

static void
add_metric(struct buf *out, const char *name, const char *type,
           const char *help, uint64_t value)
{
	buf_addf(out,
	         "# HELP leat_dashboard_%s %s\n"
	         "# TYPE leat_dashboard_%s %s\n"
	         "leat_dashboard_%s %" PRIu64 "\n",
	         name, help, name, type, name, value);
}

void
metrics_page(struct buf *out, const struct model *m, const struct access *a,
             const struct viewers *v, uint64_t requests)
{
	static const char gauge[] = "gauge", counter[] = "counter";

	add_metric(out, "viewers", gauge, "Windows that show the page now.",
	           v->count);
	add_metric(out, "viewers_max", gauge, "The setting max_viewers.",
	           v->max);
	add_metric(out, "sessions", gauge, "Logins that last.",
	           access_session_count(a));
	add_metric(out, "batchd_up", gauge, "1 if batchd answers, else 0.",
	           m->tick.batchd_answers);
	add_metric(out, "requests_total", counter, "Requests.", requests);
	add_metric(out, "logins_total", counter, "Logins.", a->logins);
	add_metric(out, "login_failures_total", counter,
	           "Wrong tokens that were tried.", a->failures);
	add_metric(out, "events_read_total", counter,
	           "Events that were read from batchd.", m->read_events);
	add_metric(out, "events_moved_ahead_total", counter,
	           "Events that batchd skipped, because the dashboard reads at "
	           "a limited rate.",
	           m->moved_ahead);
	add_metric(out, "events_slow_total", counter,
	           "Events that viewers missed, because their connections were "
	           "slow.",
	           v->slow_events);
}
