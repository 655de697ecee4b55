/*
 * replay - `leat replay` and `leat skip`: move the position of a sink back or
 * ahead.
 *
 * Both show what they would do, and do it only with --execute.  The position in
 * the store and batchd's cursor are moved as one order, which goes on after a
 * crash at any step.  The exit status is EXIT_SUCCESS when it was done, or only
 * shown and could be done; EXIT_NOT_WELL when it is refused or --timeout is
 * over; EXIT_CONFIG when an option has a wrong value; and EXIT_FAILURE when
 * batchd does not answer.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "leat/ask.h"
#include "leat/json.h"
#include "leat/options.h"
#include "leat/replay_cost.h"
#include "leat/units.h"
#include "leat/verb.h"
#include "libbase/log.h"
#include "libproto/status_map.h"

#define INDENT "    "

static struct when replay_from, skip_to;
static uint64_t timeout_ms = OPTIONS_TIMEOUT_MS;
static bool execute;

/* A move of a sink's position. */
struct move {
	const char *sink;
	bool back;               /* a replay; else a skip */
	uint64_t position, to;   /* the present one and the new one */
	uint64_t first, durable; /* the range that the log has */
	const struct when *when; /* `to`, as it was given */
	/* Of the log and of the sink, until the order is given. */
	const msgpack_object *log, *state;
};

/* A number with a comma between each three digits. */
#define NUMBER_TEXT 28
static const char *
number_text(uint64_t n, char out[NUMBER_TEXT])
{
	size_t at = NUMBER_TEXT - 1;

	out[at] = '\0';
	for (unsigned digits = 0; n > 0 || digits == 0; digits++, n /= 10) {
		if (digits > 0 && digits % 3 == 0)
			out[--at] = ',';
		out[--at] = (char)('0' + n % 10);
	}
	return out + at;
}

/*
 * Print what of the log the replay holds: exactly, or, if this process may not
 * read the log, as if all its events had one size.
 */
static void
show_log(const struct move *m, const char *dir)
{
	uint64_t next = status_map_uint(m->log, "next_offset");
	uint64_t bytes = status_map_uint(m->log, "bytes");
	uint64_t events = next > m->first ? next - m->first : 1;
	double estimate =
	    (double)bytes / (double)events * (double)(m->position - m->to);
	char number[NUMBER_TEXT], part[UNITS_TEXT_BYTES], max[UNITS_TEXT_BYTES];
	struct replay_held held;

	printf(INDENT "The log keeps events from offset %s on.\n",
	       number_text(m->first, number));
	(void)units_bytes(status_map_uint(m->log, "max_bytes"), max);
	if (replay_cost_held(dir, m->to, m->position, &held) == 0)
		printf(INDENT "The replay holds %s of %s in it meanwhile, in "
		              "%" PRIu64 " segment%s.\n",
		       units_bytes(held.bytes, part), max, held.segments,
		       held.segments == 1 ? "" : "s");
	else
		printf(INDENT "The replay holds about %s of %s in it "
		              "meanwhile.\n",
		       units_bytes((uint64_t)estimate, part), max);
}

/* Print what becomes of the dead letters from `from` up to `to`. */
static void
show_dead_letters(const struct move *m, const char *path, uint64_t from,
                  uint64_t to)
{
	const msgpack_object *stats = status_map_get(m->state, "stats");
	uint64_t all = status_map_uint(stats, "dead_letters"), dead;
	const char *stream = json_get_text(m->log, "stream");
	char n[NUMBER_TEXT];

	if (all == 0)
		return;
	if (replay_cost_dead_letters(path, m->sink, stream, from, to, &dead) <
	    0)
		printf(INDENT "The sink has %s dead letters; those in the "
		              "range remain dead letters.\n",
		       number_text(all, n));
	else if (dead > 0)
		printf(INDENT "%s of them %s dead letter%s, and %s: leat dead "
		              "retry %s stores %s.\n",
		       number_text(dead, n), dead == 1 ? "is a" : "are",
		       dead == 1 ? "" : "s",
		       dead == 1 ? "remains one" : "remain so", m->sink,
		       dead == 1 ? "it" : "them");
}

/* Print what the move would do. */
static void
show_move(const struct move *m, const struct verb_call *call)
{
	char a[NUMBER_TEXT], b[NUMBER_TEXT], time[UNITS_TEXT_BYTES];

	printf("%s: present position %s, new position %s\n", m->sink,
	       number_text(m->position, a), number_text(m->to, b));
	if (m->when->kind == WHEN_TIME)
		printf(INDENT "(the first event at or after %s by batchd's "
		              "clock)\n",
		       units_time((uint64_t)m->when->us, time));
	if (m->back) {
		printf(INDENT "%s events are sent to the store again.\n",
		       number_text(m->position - m->to, a));
		show_dead_letters(m, call->path, m->to, m->position);
		printf(INDENT "%s\n", replay_cost_doubles(call->path, m->sink));
		show_log(m, call->log_dir);
	} else {
		printf(INDENT "%s events are NEVER sent to this store; they "
		              "count as skipped.  Other sinks get them.\n",
		       number_text(m->to - m->position, a));
		show_dead_letters(m, call->path, m->position, m->to);
	}
}

/* Return why batchd would refuse the move, or NULL. */
static const char *
why_refused(const struct move *m)
{
	static char text[160];
	char number[NUMBER_TEXT];

	if (m->back && m->to > m->position)
		return "that is after the present position: leat skip moves "
		       "it ahead";
	if (!m->back && m->to < m->position)
		return "that is before the present position: leat replay "
		       "moves it back";
	if (m->to < m->first) {
		(void)snprintf(text, sizeof text,
		               "the log has deleted what was before offset %s: "
		               "give that one (oldest), or a later one",
		               number_text(m->first, number));
		return text;
	}
	if (m->to > m->durable) {
		(void)snprintf(text, sizeof text,
		               "the log ends at offset %s: give that one "
		               "(newest), or an earlier one",
		               number_text(m->durable, number));
		return text;
	}
	if (json_get_text(m->state, "order")[0] != '\0') {
		(void)snprintf(text, sizeof text,
		               "another order of this sink is in progress "
		               "(%s): wait until leat status shows none",
		               json_get_text(m->state, "order"));
		return text;
	}
	if (!status_map_bool(m->state, "connected"))
		return "the sink is not connected: start it, because it moves "
		       "the position in its store";
	return NULL;
}

/* Give the order.  Returns the exit status. */
static int
do_move(const struct move *m, const struct verb_call *call)
{
	char moved[NUMBER_TEXT], from[NUMBER_TEXT], to[NUMBER_TEXT];
	const msgpack_object *result;
	struct control_args args;
	uint64_t n = m->back ? m->position - m->to : m->to - m->position;
	int rc;

	control_args_init(&args);
	control_args_add_text(&args, "sink", slice_of(m->sink));
	control_args_add_uint(&args, "from", m->position);
	control_args_add_uint(&args, "to", m->to);
	rc = ask_order(call->socket, "seek", &args, timeout_ms, &result);
	control_args_fini(&args);
	if (rc != 0)
		return rc;
	printf("Done: %s moved from %s to %s; %s events are %s.\n", m->sink,
	       number_text(m->position, from), number_text(m->to, to),
	       number_text(n, moved), m->back ? "sent again" : "skipped");
	return conf_finish_output(EXIT_SUCCESS);
}

/* Show the move and, with --execute, do it.  Returns the exit status. */
static int
move_run(const struct move *m, const struct verb_call *call)
{
	const char *why_not;

	if (m->to == m->position) {
		printf("%s is at offset %" PRIu64 " already: nothing to do.\n",
		       m->sink, m->to);
		return conf_finish_output(EXIT_SUCCESS);
	}
	why_not = why_refused(m);
	if (why_not) {
		log_error("refused: %s", why_not);
		return EXIT_NOT_WELL;
	}
	show_move(m, call);
	if (fflush(stdout) != 0)
		return conf_finish_output(EXIT_FAILURE);
	if (execute)
		return do_move(m, call);
	printf(INDENT "Nothing was changed.  Add --execute to do it.\n");
	return conf_finish_output(EXIT_SUCCESS);
}

static int
move_prepare(const struct verb_call *call, bool back, const char *option,
             struct when *when)
{
	struct move m = {.sink = call->args[0], .back = back, .when = when};
	const msgpack_object *status;
	int rc;

	if (when->kind == WHEN_NONE) {
		log_error("%s is missing: it must be %s", option, WHEN_FORMS);
		return EXIT_CONFIG;
	}
	rc = ask_status(call->socket, &status);
	if (rc != 0)
		return rc;
	m.log = status_map_get(status, "log");
	m.state = ask_find_sink(status, m.sink);
	if (!m.state)
		return EXIT_NOT_WELL;
	m.first = status_map_uint(m.log, "first_offset");
	m.durable = status_map_uint(m.log, "durable_offset");
	if (options_find_offset(when, call->log_dir, m.first, m.durable) < 0)
		return EXIT_FAILURE;
	m.position = status_map_uint(m.state, "committed");
	m.to = when->offset;
	return move_run(&m, call);
}

static int
replay_run(const struct verb_call *call)
{
	return move_prepare(call, true, "--from", &replay_from);
}

static int
skip_run(const struct verb_call *call)
{
	return move_prepare(call, false, "--to", &skip_to);
}

const struct verb replay_verb = {
    .name = "replay",
    .arguments = "SINK",
    .summary = "Sends events of the log to one sink again.",
    .details =
	"Shows what it would do, and does it with --execute.  The positions "
	"in the store and in batchd move together, even if a daemon or the "
	"store crashes.  The order is refused if the sink is not connected, "
	"or if the log no longer has the events.",
    .flags = VERB_FLAGS(
	VERB_VALUE("--from", "WHEN", options_when, &replay_from,
                   "send again the events from here on: " WHEN_FORMS),
	OPTIONS_EXECUTE_FLAG(&execute), OPTIONS_TIMEOUT_FLAG(&timeout_ms)),
    .examples = VERB_EXAMPLES(
	{"leat replay postgres --from 2026-11-26T14:00Z",
         "show what it would send again"},
	{"leat replay postgres --from 2026-11-26T14:00Z --execute",
         "send it again"},
	{"leat replay kafka --from oldest --execute",
         "send all events that the log still has"}),
    .run = replay_run,
};

const struct verb skip_verb = {
    .name = "skip",
    .arguments = "SINK",
    .summary = "Moves one sink ahead, past events that its store never gets.",
    .details =
	"Shows what it would do, and does it with --execute.  The events "
	"count as skipped.  The other sinks still get them.",
    .flags = VERB_FLAGS(VERB_VALUE("--to", "WHEN", options_when, &skip_to,
                                   "continue from here on: " WHEN_FORMS),
                        OPTIONS_EXECUTE_FLAG(&execute),
                        OPTIONS_TIMEOUT_FLAG(&timeout_ms)),
    .examples = VERB_EXAMPLES(
	{"leat skip kafka --to newest", "show what the store would never get"},
	{"leat skip kafka --to 8812004 --execute", "continue at this offset"}),
    .run = skip_run,
};
