/* verdict - see verdict.h. */
#include "sinkd-dashboard/verdict.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "libbase/printable.h"

/* A process that restarts is not connected for a moment. */
#define RESTART_S 10

/* A sink that lags more than this is worth a look, even if it writes. */
#define LAG_WARN_MS 60000

/* A log that is full sooner than this needs an operator. */
#define FULL_WARN_S 3600

/* Bytes of an error or a reason in the verdict; the sink's box has the rest. */
#define REASON_BYTES 160

/* What is wrong, the worst first, of which only the first is shown. */
struct findings {
	struct verdict *verdict;
	unsigned count;
};

const char *
level_name(enum level level)
{
	static const char *const names[] = {[LEVEL_OK] = "ok",
	                                    [LEVEL_PAUSED] = "paused",
	                                    [LEVEL_WARN] = "warn",
	                                    [LEVEL_BAD] = "bad"};

	return names[level];
}

const char *
duration_text(uint64_t seconds, char out[DURATION_BYTES])
{
	uint64_t minutes = seconds / 60, hours = minutes / 60;

	if (seconds < 60)
		(void)snprintf(out, DURATION_BYTES, "%" PRIu64 " s", seconds);
	else if (minutes < 60)
		(void)snprintf(out, DURATION_BYTES, "%" PRIu64 " min", minutes);
	else if (hours < 48)
		(void)snprintf(out, DURATION_BYTES,
		               "%" PRIu64 " h %" PRIu64 " min", hours,
		               minutes % 60);
	else
		(void)snprintf(out, DURATION_BYTES, "%" PRIu64 " days",
		               hours / 24);
	return out;
}

static uint64_t
seconds_since(int64_t then_us, int64_t now_us)
{
	return then_us > 0 && now_us > then_us
	           ? (uint64_t)(now_us - then_us) / 1000000
	           : 0;
}

/* " for 4 min", or "" for less than a second. */
static const char *
for_text(int64_t then_us, int64_t now_us, char out[DURATION_BYTES + 8])
{
	char text[DURATION_BYTES];
	uint64_t seconds = seconds_since(then_us, now_us);

	out[0] = '\0';
	if (seconds > 0)
		(void)snprintf(out, DURATION_BYTES + 8, " for %s",
		               duration_text(seconds, text));
	return out;
}

static void add_finding(struct findings *f, enum level level, const char *fmt,
                        ...) PRINTF_LIKE(3, 4);

/* Among findings of one level the first is shown. */
static void
add_finding(struct findings *f, enum level level, const char *fmt, ...)
{
	va_list ap;

	f->count++;
	if (level <= f->verdict->level)
		return;
	f->verdict->level = level;
	va_start(ap, fmt);
	(void)vsnprintf(f->verdict->text, sizeof f->verdict->text, fmt, ap);
	va_end(ap);
}

/* --- the parts --- */

static void
judge_batchd(struct findings *f, const struct pipeline *p,
             const struct verdict_batchd *batchd, int64_t now_us)
{
	char text[DURATION_BYTES + 8];

	if (batchd->answers)
		return;
	add_finding(f, p->known || batchd->error[0] ? LEVEL_BAD : LEVEL_WARN,
	            "batchd: unreachable%s%s%s",
	            for_text(batchd->since_us, now_us, text),
	            batchd->error[0] ? ", " : "", batchd->error);
}

static void
judge_log(struct findings *f, const struct pipeline *p, int64_t now_us)
{
	const struct pipeline_log *log = &p->log;
	char text[DURATION_BYTES + 8];

	if (!log->open)
		add_finding(f, LEVEL_BAD, "log: takes no events%s%s%s",
		            for_text(log->closed_since_us, now_us, text),
		            log->reason[0] ? ", " : "", log->reason);
	else if (log->full_in_s < FULL_WARN_S)
		add_finding(f, LEVEL_WARN, "log: full in %s at this rate",
		            duration_text(log->full_in_s, text));
	if (log->lost_events > 0)
		add_finding(f, LEVEL_WARN,
		            "log: %" PRIu64 " events lost to damage",
		            log->lost_events);
}

static void
judge_ingest(struct findings *f, const struct pipeline *p, int64_t now_us)
{
	char text[DURATION_BYTES + 8];
	int64_t since_us = p->ingest.absent_since_us;

	if (p->ingest.processes > 0)
		return;
	add_finding(f,
	            seconds_since(since_us, now_us) < RESTART_S ? LEVEL_WARN
	                                                        : LEVEL_BAD,
	            "ingestd: not connected%s, no event can arrive",
	            for_text(since_us, now_us, text));
}

/* States in which a sink stores events, or has none to store. */
static bool
is_working(const char *state)
{
	static const char *const working[] = {"idle", "writing", "waiting",
	                                      "sending", "in_flight"};

	for (size_t i = 0; i < ARRAY_LEN(working); i++) {
		if (strcmp(state, working[i]) == 0)
			return true;
	}
	return false;
}

/* Why a sink is as it is, ending with a whole character.  Returns out. */
static const char *
short_reason(const char *reason, char out[REASON_BYTES + 8])
{
	struct slice text = printable_cut(slice_of(reason), REASON_BYTES);

	(void)snprintf(out, REASON_BYTES + 8, "%.*s%s", (int)text.bytes,
	               text.data, reason[text.bytes] ? "…" : "");
	return out;
}

/* The level of one sink; *since_us is when what is wrong began. */
static enum level
sink_level(const struct pipeline_sink *sink, int64_t now_us, int64_t *since_us)
{
	*since_us = (int64_t)sink->error_since_us;
	if (sink->absent_since_us > 0) {
		*since_us = sink->absent_since_us;
		return seconds_since(*since_us, now_us) < RESTART_S ? LEVEL_WARN
		                                                    : LEVEL_BAD;
	}
	/* What a paused sink lacks is its operator's wish. */
	if (sink->pause.paused)
		return LEVEL_PAUSED;
	if (strcmp(sink->state, "misconfigured") == 0)
		return LEVEL_BAD;
	if (!is_working(sink->state) || sink->lag_ms >= LAG_WARN_MS)
		return LEVEL_WARN;
	return LEVEL_OK;
}

/*
 * A pause counts beside what is wrong with the sink, as in `leat status`: a
 * paused sink that is not connected does not go on when the pause ends.
 */
static void
add_pause(struct findings *f, const struct pipeline_sink *sink, int64_t now_us)
{
	char since[DURATION_BYTES + 8], left[DURATION_BYTES];
	char why[REASON_BYTES + 8];
	const struct sink_pause *pause = &sink->pause;
	uint64_t left_s = seconds_since(now_us, (int64_t)pause->until_us);

	/* Until it is halted, it may still be writing a batch. */
	bool is_halted = strcmp(sink->order, "pausing") != 0;

	add_finding(f, LEVEL_PAUSED, "%s: %s%s%s%s%s%s", sink->name,
	            is_halted ? "paused" : "pausing",
	            for_text((int64_t)pause->since_us, now_us, since),
	            left_s > 0 ? ", goes on in " : "",
	            left_s > 0 ? duration_text(left_s, left) : "",
	            pause->why[0] ? ": " : "", short_reason(pause->why, why));
}

static void
judge_sink(struct findings *f, struct pipeline_sink *sink, int64_t now_us)
{
	char text[DURATION_BYTES + 8], error[REASON_BYTES + 8];
	int64_t since_us;

	if (sink->pause.paused)
		add_pause(f, sink, now_us);
	sink->level = sink_level(sink, now_us, &since_us);
	if (sink->level <= LEVEL_PAUSED)
		return;
	if (sink->absent_since_us > 0)
		add_finding(f, sink->level, "%s: not connected%s", sink->name,
		            for_text(since_us, now_us, text));
	else if (is_working(sink->state))
		add_finding(f, sink->level, "%s: lags by %s", sink->name,
		            duration_text(sink->lag_ms / 1000, text));
	else
		add_finding(f, sink->level, "%s: %s%s%s%s", sink->name,
		            sink->state, for_text(since_us, now_us, text),
		            sink->error[0] ? ", " : "",
		            short_reason(sink->error, error));
}

void
verdict_make(struct verdict *v, struct pipeline *p,
             const struct verdict_batchd *batchd, int64_t now_us)
{
	struct findings f = {.verdict = v};
	size_t n;

	*v = (struct verdict){.level = LEVEL_OK, .text = "All well"};
	judge_batchd(&f, p, batchd, now_us);
	if (batchd->answers && p->known) {
		judge_log(&f, p, now_us);
		judge_ingest(&f, p, now_us);
		for (size_t i = 0; i < p->sink_count; i++)
			judge_sink(&f, &p->sinks[i], now_us);
	}
	n = strlen(v->text);
	if (f.count > 1)
		(void)snprintf(v->text + n, sizeof v->text - n,
		               " (and %u more)", f.count - 1);
}
