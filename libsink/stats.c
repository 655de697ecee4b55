/* stats - see stats.h. */
#include "libsink/stats.h"

#include <stdio.h>

#include "libbase/clock.h"
#include "libbase/error.h"

static const char *
state_name(enum stats_state state)
{
	static const char *const names[] = {
	    [STATS_STARTING] = "starting",
	    [STATS_IDLE] = "idle",
	    [STATS_WRITING] = "writing",
	    [STATS_RETRYING] = "retrying",
	    [STATS_MISCONFIGURED] = "misconfigured",
	    [STATS_FENCED] = "fenced",
	};

	return names[state];
}

void
stats_error(struct stats *s, enum stats_state state, const char *text,
            uint64_t wait_ms)
{
	int64_t now_us = clock_wall_us();

	if (s->error[0] == '\0')
		s->error_since_us = now_us;
	s->next_retry_us = now_us + (int64_t)wait_ms * 1000;
	s->state = state;
	(void)snprintf(s->error, sizeof s->error, "%s", text);
	if (s->error[0] == '\0')
		(void)snprintf(s->error, sizeof s->error, "unknown");
}

void
stats_well(struct stats *s, enum stats_state state)
{
	s->state = state;
	s->error[0] = '\0';
	s->error_since_us = s->next_retry_us = 0;
}

void
stats_check_dead_letters(struct stats *s, const char *dir, const char *sink,
                         int rc)
{
	if (rc == 0) {
		s->dead_letters_error[0] = '\0';
		return;
	}
	if (s->dead_letters_error[0] == '\0')
		s->dead_letters_error_since_us = clock_wall_us();
	(void)snprintf(s->dead_letters_error, sizeof s->dead_letters_error,
	               "dead letters cannot be kept in %.600s/%.64s.ndjson: %s",
	               dir, sink, error_text(rc));
}

struct report
stats_report(const struct stats *s)
{
	bool no_dead_letters =
	    s->error[0] == '\0' && s->dead_letters_error[0] != '\0';
	struct report r = {0};

	report_set_text(&r, SINK_STATE, slice_of(state_name(s->state)));
	report_set_text(
	    &r, SINK_ERROR,
	    slice_of(no_dead_letters ? s->dead_letters_error : s->error));
	report_set(&r, SINK_ERROR_SINCE_US,
	           (uint64_t)(no_dead_letters ? s->dead_letters_error_since_us
	                                      : s->error_since_us));
	report_set(&r, SINK_NEXT_RETRY_US, (uint64_t)s->next_retry_us);
	report_set(&r, SINK_EVENTS, s->events);
	report_set(&r, SINK_DUPLICATES, s->duplicates);
	report_set(&r, SINK_BATCHES, s->batches);
	report_set(&r, SINK_BYTES, s->bytes);
	report_set(&r, SINK_RETRIES, s->retries);
	report_set(&r, SINK_DEAD_LETTERED_EVENTS, s->dead_lettered);
	return r;
}
