/* back_off - see back_off.h. */
#include "libsink/back_off.h"

#include <inttypes.h>

#include "libbase/clock.h"
#include "libbase/file.h"
#include "libbase/retry_delay.h"

uint64_t
back_off_delay_ms(const struct sink_common *common, unsigned n)
{
	return retry_delay_ms((uint64_t)common->retry_min_ms,
	                      (uint64_t)common->retry_max_ms, n);
}

void
back_off_end(struct deliver *d)
{
	unsigned suppressed;

	if (d->failures > 0 && log_allow(&d->available_limit, &suppressed))
		log_info("store available again after_ms=%" PRIu64
		         " suppressed=%u",
		         clock_mono_ms() - d->unavailable_since_ms, suppressed);
	d->failures = 0;
	stats_well(d->stats, STATS_WRITING);
}

int
back_off_wait(struct deliver *d, enum sink_result result,
              const struct sink_error *error)
{
	bool misconfigured =
	    result == SINK_MISCONFIGURED || result == SINK_REJECT;
	unsigned suppressed;
	uint64_t ms;

	if (d->failures++ == 0)
		d->unavailable_since_ms = clock_mono_ms();
	ms = back_off_delay_ms(d->common, d->failures);
	d->stats->retries++;
	stats_error(d->stats,
	            misconfigured ? STATS_MISCONFIGURED : STATS_RETRYING,
	            error->text, ms);
	if (log_allow(&d->unavailable_limit, &suppressed))
		log_warn("%s attempt=%u retry_in_ms=%" PRIu64
		         " code=%s err=%s suppressed=%u",
		         misconfigured ? "configuration needs attention"
		                       : "store unreachable",
		         d->failures, ms, log_quote(error->code),
		         log_quote(error->text), suppressed);
	return d->calls.wait(d->calls.arg, ms);
}

int
back_off_wait_for_file(struct deliver *d, const char *what, const char *path,
                       int rc)
{
	struct sink_error error = {0};

	(void)sink_fail(&error, SINK_MISCONFIGURED, "%s %s: %s", what, path,
	                file_error(rc));
	return back_off_wait(d, SINK_MISCONFIGURED, &error);
}
