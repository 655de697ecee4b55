/*
 * account - `leat account`: whether the stores have what batchd reports as
 * stored.
 *
 * Each store is asked how many events it has; batchd knows how many of those it
 * accepted were stored, became dead letters, were dropped or skipped, or wait.
 * Events may come meanwhile: the status is read before and after, and the store
 * must have a number in between.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "leat/ask.h"
#include "leat/dead_file.h"
#include "leat/json.h"
#include "leat/mark.h"
#include "leat/options.h"
#include "leat/sinks.h"
#include "leat/verb.h"
#include "libbase/conf.h"
#include "libbase/error.h"
#include "libbase/installed.h"
#include "libbase/log.h"
#include "libproto/frame.h"
#include "libproto/sink_status.h"
#include "libproto/status_map.h"

#define TIMEOUT_MAX_MS 86400000 /* as a sink's --count allows */

/* Longer than between two reports of a sink. */
#define REPORT_S 3

static const char *sink_name;
static uint64_t timeout_ms = 600000;

/* What batchd reports about one sink at one time. */
struct account_side {
	uint64_t accepted; /* events in the log, from its beginning */
	uint64_t stored, dead_letters, dropped, skipped, waiting;
	uint64_t committed, in_flight, replayed, duplicates;
	bool retrying;       /* dead letters are being stored */
	bool all_duplicates; /* duplicates are those of the whole log */
	char stream[FRAME_STREAM_MAX + 1];
};

/* What the store has; see struct sink_count in libsink/sink.h. */
struct account_count {
	bool done, has_distinct, has_below, has_position, unique_ids;
	uint64_t rows, distinct, below, from, position, others;
	char text[2048]; /* what it cannot tell, or why there is no count */
};

/* --- batchd --- */

static void
take_side(struct account_side *side, const msgpack_object *status,
          const msgpack_object *sink)
{
	const msgpack_object *log = status_map_get(status, "log");
	const msgpack_object *totals = status_map_get(sink, "totals");

	*side = (struct account_side){
	    .accepted = status_map_uint(log, "durable_offset"),
	    .stored = status_map_uint(sink, "stored_events"),
	    .dead_letters = status_map_uint(sink, "pending_dead_letters"),
	    .dropped = status_map_uint(sink, "dropped_events"),
	    .skipped = status_map_uint(sink, "skipped_events"),
	    .waiting = status_map_uint(sink, "lag_events"),
	    .committed = status_map_uint(sink, "committed"),
	    .in_flight = status_map_uint(sink, "in_flight_events"),
	    .replayed = status_map_uint(sink, "replayed_events"),
	    .duplicates = status_map_uint(totals, "duplicates"),
	    .retrying = json_get_text(sink, "order")[0] != '\0',
	    .all_duplicates = status_map_uint(log, "appended_events") ==
	                      status_map_uint(log, "next_offset"),
	};
	(void)snprintf(side->stream, sizeof side->stream, "%s",
	               json_get_text(log, "stream"));
}

/* Returns 0, ERR_UNKNOWN_SINK, or another error after logging it. */
static int
ask_batchd(const char *socket, const char *sink, struct account_side *side)
{
	const msgpack_object *status, *found;

	if (ask_status(socket, &status) != 0)
		return -EIO;
	found = sink_status_find(status, sink);
	if (!found)
		return ERR_UNKNOWN_SINK;
	take_side(side, status, found);
	return 0;
}

/*
 * Return true if the sink has a selection of dead letters that it has not
 * finished (libsink/dlq_selection.h).  Some of them may be in the store and
 * still be counted as dead letters.  After a restart of the sink or of batchd
 * it goes on without an order in the status.
 */
static bool
has_unfinished_retry(const char *settings, const char *sink)
{
	char dir[PATH_MAX], path[PATH_MAX + 256];

	if (dead_file_directory(settings, sink, dir) < 0)
		return false;
	(void)snprintf(path, sizeof path, "%s/%s.retry.ndjson", dir, sink);
	return access(path, F_OK) == 0;
}

/* As ask_batchd, and look for a retry that goes on without an order. */
static int
ask_side(const struct sinks *sinks, const char *sink, struct account_side *side)
{
	int rc = ask_batchd(sinks->socket, sink, side);

	if (rc == 0 && has_unfinished_retry(sinks->path, sink))
		side->retrying = true;
	return rc;
}

/* --- the store --- */

/* Returns false if there is no such figure. */
static bool
take_number(struct account_count *c, const char *key, uint64_t value)
{
	const struct {
		const char *key;
		uint64_t *into;
		bool *has;
	} all[] = {
	    {"rows", &c->rows, &c->done},
	    {"distinct", &c->distinct, &c->has_distinct},
	    {"below", &c->below, &c->has_below},
	    {"from", &c->from, NULL},
	    {"position", &c->position, &c->has_position},
	    {"others", &c->others, NULL},
	    {"unique_ids", NULL, &c->unique_ids},
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		if (strcmp(key, all[i].key) != 0)
			continue;
		if (all[i].into)
			*all[i].into = value;
		if (all[i].has)
			*all[i].has = true;
		return true;
	}
	return false;
}

/*
 * Read a line of `sinkd-NAME --count` (libsink/inspect.h).  Of what it logs
 * besides, an error is kept.
 */
static void
account_on_line(void *arg, char *line)
{
	struct account_count *c = arg;
	enum mark mark;
	const char *text = mark_parse(line, &mark);
	char key[16];
	size_t n = strcspn(line, " ");

	(void)snprintf(key, sizeof key, "%.*s", (int)n, line);
	if (text)
		(void)snprintf(c->text, sizeof c->text, "%s", text);
	else if (!take_number(c, key, strtoull(line + n, NULL, 10)))
		mark_pass_on(line);
}

static int
ask_store(const struct sinks *sinks, const char *sink,
          const struct account_side *before, struct account_count *count)
{
	char program[256], what[128];
	const struct program_run run = {
	    .directory = sinks->directory,
	    .args = {program, "--count", what, "--config", sinks->path},
	    .out = true,
	    .err = true,
	    .user = &sinks->user,
	    .on_line = account_on_line,
	    .arg = count};
	int rc;

	*count = (struct account_count){.done = false};
	(void)snprintf(program, sizeof program, "sinkd-%s", sink);
	(void)snprintf(what, sizeof what, "%s:%" PRIu64 ":%" PRIu64,
	               before->stream, before->committed, timeout_ms / 1000);
	if (!installed_has(program)) {
		(void)snprintf(count->text, sizeof count->text,
		               "%s is not installed in %.1000s", program,
		               sinks->directory);
		return -ENOENT;
	}
	rc = program_run(&run);
	if (rc == EXIT_SUCCESS && count->done)
		return 0;
	if (!count->text[0])
		(void)snprintf(count->text, sizeof count->text,
		               "%s --count failed: %s", program,
		               error_text(rc < 0 ? rc : ERR_CHILD_FAILED));
	return ERR_CHILD_FAILED;
}

/* --- the comparison --- */

/* How far the numbers of events in the store may be apart. */
struct span {
	uint64_t low, high;
};

static uint64_t
subtract(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* The events that are not in the store for good. */
static uint64_t
not_stored(const struct account_side *s)
{
	return s->dead_letters + s->dropped + s->skipped;
}

/*
 * What the store may have below batchd's position, where the store knows the
 * offsets: then events that come meanwhile make no difference.  A dead letter
 * may be stored meanwhile.  Where the store has removed old events, it is not
 * known how many of those that are not stored were among them.
 */
static struct span
span_below(const struct account_side *before, const struct account_side *after,
           const struct account_count *c)
{
	uint64_t all = before->committed - c->from;
	bool retried = before->retrying || after->retrying ||
	               after->dead_letters < before->dead_letters;
	uint64_t least = before->dropped + before->skipped;

	if (!retried)
		least += before->dead_letters;
	if (c->from > 0)
		least = 0;
	return (struct span){.low = subtract(all, not_stored(before)),
	                     .high = subtract(all, least)};
}

/*
 * What the store may have in all.  It had what was stored before, and cannot
 * have more than what is stored, or being stored, after.  After the position
 * it may have events from before a replay.
 */
static struct span
span_of_rows(const struct account_side *before,
             const struct account_side *after, const struct account_count *c)
{
	struct span span = {.low = before->stored,
	                    .high = after->stored + after->in_flight};

	if (after->stored < span.low)
		span.low = after->stored; /* a replay began meanwhile */
	if (c->has_position)
		span.high += subtract(c->position, after->committed);
	if (before->retrying || after->retrying)
		span.high += before->dead_letters;
	span.high += after->replayed;
	if (c->unique_ids) {
		span.low = subtract(span.low, after->duplicates);
		if (!after->all_duplicates)
			span.low = 0;
	}
	span.high += c->others;
	return span;
}

static void
print_equation(const char *sink, enum mark mark, const struct account_side *s,
               const char *rest)
{
	mark_print(mark, sink,
	           "%" PRIu64 " accepted = %" PRIu64 " stored + %" PRIu64
	           " dead letters + %" PRIu64 " dropped + %" PRIu64
	           " skipped + %" PRIu64 " waiting; %s",
	           s->accepted, s->stored, s->dead_letters, s->dropped,
	           s->skipped, s->waiting, rest);
}

/*
 * Describe how the number of the store compares with the span.  `allowed` is
 * the span as text.
 */
static enum mark
compare_span(uint64_t has, const struct span *span, const char *allowed,
             char *out, size_t size)
{
	if (has < span->low)
		(void)snprintf(
		    out, size,
		    "the store has %" PRIu64 " instead of %s: "
		    "%" PRIu64 " MISSING, which leat had stored; if "
		    "the log still has them, leat replay stores them "
		    "again",
		    has, allowed, span->low - has);
	else if (has > span->high)
		(void)snprintf(
		    out, size,
		    "the store has %" PRIu64 " instead of %s: "
		    "%" PRIu64 " that this log has not stored there; "
		    "another program, or an earlier log, writes into "
		    "it",
		    has, allowed, has - span->high);
	else
		(void)snprintf(
		    out, size, "the store has %" PRIu64 ", %s%s", has,
		    span->high > span->low ? "within " : "as expected",
		    span->high > span->low ? allowed : "");
	return has < span->low || has > span->high ? MARK_ERROR : MARK_OK;
}

static enum mark
compare(const struct account_side *after, const struct account_count *c,
        const struct span *span, char *out, size_t size)
{
	uint64_t has = c->has_below      ? c->below
	               : c->has_distinct ? c->distinct
	                                 : c->rows;
	uint64_t doubled = c->has_distinct ? c->rows - c->distinct : 0;
	char allowed[96], text[320];
	enum mark mark;

	(void)snprintf(allowed, sizeof allowed, "%" PRIu64, span->low);
	if (span->high > span->low)
		(void)snprintf(allowed, sizeof allowed,
		               "%" PRIu64 " to %" PRIu64, span->low,
		               span->high);
	mark = compare_span(has, span, allowed, text, sizeof text);
	if (doubled == 0)
		(void)snprintf(out, size, "%s", text);
	else if (doubled > after->replayed) {
		(void)snprintf(out, size,
		               "%s; %" PRIu64 " are there TWICE: remove one of "
		               "each two with the same %s",
		               text, doubled,
		               c->has_below ? "leat-offset, or have readers do "
		                              "so"
		                            : "id and received_at");
		mark = MARK_ERROR;
	} else {
		(void)snprintf(out, size,
		               "%s; %" PRIu64 " are there twice, and %" PRIu64
		               " events were replayed",
		               text, doubled, after->replayed);
		mark = mark > MARK_WARNING ? mark : MARK_WARNING;
	}
	return mark;
}

/* Print what the store cannot tell. */
static void
print_notes(const char *sink, const struct account_side *after,
            const struct account_count *c)
{
	if (c->text[0])
		mark_print(MARK_WARNING, sink, "%s", c->text);
	if (c->others > 0)
		mark_print(MARK_WARNING, sink,
		           "up to %" PRIu64 " rows may be of other logs that "
		           "wrote into the table: the store cannot tell them "
		           "apart",
		           c->others);
	if (c->unique_ids && !after->all_duplicates)
		mark_print(MARK_WARNING, sink,
		           "dedup_by_id stores an id once, and how many were "
		           "left out before the last start of batchd is not "
		           "known: missing rows cannot be found");
}

/*
 * How many events were left out for their id is a figure that the sink reports
 * a moment later.
 */
static int
wait_for_duplicates(const struct sinks *sinks, const char *sink,
                    struct account_side *after)
{
	const struct timespec pause = {.tv_sec = REPORT_S};
	struct account_side later;
	int rc;

	(void)nanosleep(&pause, NULL);
	rc = ask_batchd(sinks->socket, sink, &later);
	if (rc == 0)
		after->duplicates = later.duplicates;
	return rc;
}

/* Returns 0 after printing what was found; or an error, after logging it. */
static int
account_sink(const struct sinks *sinks, const char *sink)
{
	struct account_side before, after;
	struct account_count count;
	struct span span;
	char text[512];
	enum mark mark;
	int rc = ask_side(sinks, sink, &before);

	if (rc == 0 && ask_store(sinks, sink, &before, &count) < 0) {
		mark_print(MARK_ERROR, sink, "%s", count.text);
		return 0;
	}
	if (rc == 0)
		rc = ask_side(sinks, sink, &after);
	if (rc == 0 && count.unique_ids)
		rc = wait_for_duplicates(sinks, sink, &after);
	if (rc == ERR_UNKNOWN_SINK) {
		mark_print(MARK_ERROR, sink,
		           "batchd has no such sink; restart it with the "
		           "present settings");
		return 0;
	}
	if (rc < 0)
		return rc;
	span = count.has_below ? span_below(&before, &after, &count)
	                       : span_of_rows(&before, &after, &count);
	mark = compare(&after, &count, &span, text, sizeof text);
	print_equation(sink, mark, &after, text);
	print_notes(sink, &after, &count);
	return 0;
}

static int
read_timeout(const char *option, const char *text, void *into)
{
	int rc = options_timeout(option, text, into);

	if (rc == 0 && timeout_ms > TIMEOUT_MAX_MS) {
		log_error("%s must be at most 24h value=%s", option,
		          log_quote(text));
		rc = -EINVAL;
	}
	return rc;
}

static int
account_run(const struct verb_call *call)
{
	static struct sinks sinks;
	int rc = sinks_read(&sinks, call->path);

	if (rc != EXIT_SUCCESS)
		return rc;
	if (sink_name && !sinks_has(&sinks, sink_name))
		return EXIT_CONFIG;
	for (size_t i = 0; rc == 0 && i < sinks.count; i++) {
		if (!sink_name || strcmp(sinks.names[i], sink_name) == 0)
			rc = account_sink(&sinks, sinks.names[i]);
	}
	return conf_finish_output(rc < 0                       ? EXIT_FAILURE
	                          : mark_worst() == MARK_ERROR ? EXIT_NOT_WELL
	                                                       : EXIT_SUCCESS);
}

const struct verb account_verb = {
    .name = "account",
    .summary = "Counts the events in the stores, and compares with batchd's "
	       "counts.",
    .details =
	"By batchd's counts, accepted = stored + dead letters + dropped + "
	"skipped + waiting for each sink.  The command reads each store "
	"completely, which can take long.  Events may arrive meanwhile.  "
	"The exit status is 0 if the numbers agree, as far as the store can "
	"tell, and 3 if they do not.",
    .flags = VERB_FLAGS(
	VERB_TEXT("--sink", "SINK", &sink_name,
                  "count only in the store of this sink"),
	VERB_VALUE("--timeout", "DURATION", read_timeout, &timeout_ms,
                   "longest time for one query to a store (default 10m)")),
    .settings = VERB_PATH,
    .examples = VERB_EXAMPLES(
	{"leat account", "is everything in the stores that batchd reports?"},
	{"leat account --sink kafka --timeout 1h", "in a large topic"}),
    .run = account_run,
};
