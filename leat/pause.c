/*
 * pause - `leat pause` and `leat resume`: stop one sink for a time.
 *
 * A pause is durable, so it lasts through restarts of everything.  The exit
 * status is EXIT_SUCCESS when nothing is in flight any more, EXIT_NOT_WELL when
 * batchd refuses or --timeout is over, EXIT_CONFIG when an option has a wrong
 * value, and EXIT_FAILURE when batchd does not answer.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leat/ask.h"
#include "leat/json.h"
#include "leat/options.h"
#include "leat/units.h"
#include "leat/verb.h"
#include "libbase/clock.h"
#include "libbase/log.h"
#include "libbase/printable.h"
#include "libproto/sink_status.h"
#include "libproto/status_map.h"

static uint64_t for_ms, timeout_ms = OPTIONS_TIMEOUT_MS;
static const char *why;

/* batchd shows the text in many places, so it has to be one plain line. */
static bool
is_plain_line(const char *text)
{
	size_t bytes = strlen(text), n;

	for (size_t i = 0; i < bytes; i += n) {
		uint32_t code;
		bool safe;

		n = printable_next(text + i, bytes - i, &code, &safe);
		if (!safe)
			return false;
	}
	return bytes <= SINK_STATUS_WHY_MAX;
}

static int
read_why(const char *option, const char *text, void *into)
{
	(void)into;
	why = text;
	if (is_plain_line(text))
		return 0;
	log_error("%s must be at most %d bytes, of printable characters on one "
	          "line",
	          option, SINK_STATUS_WHY_MAX);
	return -EINVAL;
}

/* What is full only after this is not worth a figure: the rate will change. */
#define FULL_IN_MOST_MS (UINT64_C(30) * 86400 * 1000)

/* How long the log can keep the events of a paused sink: a line, or "". */
static char room[200];

/*
 * Estimate when the log is full if events arrive as they do now.  When space is
 * short, batchd deletes what all sinks have committed.  The log is therefore
 * full when what is left is max_bytes.
 */
static void
estimate_room(const msgpack_object *status)
{
	const msgpack_object *log = status_map_get(status, "log");
	const msgpack_object_array sinks = status_map_array(status, "sinks");
	uint64_t rate = status_map_uint(log, "bytes_per_s"), held = 0;
	uint64_t max_bytes = status_map_uint(log, "max_bytes");
	char max[UNITS_TEXT_BYTES], time[UNITS_TEXT_BYTES];
	double ms;

	for (uint32_t i = 0; i < sinks.size; i++) {
		uint64_t lag = status_map_uint(&sinks.ptr[i], "lag_bytes");

		if (lag > held)
			held = lag;
	}
	if (json_get_text(log, "reason")[0] != '\0') {
		(void)snprintf(
		    room, sizeof room,
		    "The log takes no events now: senders get 503.\n");
		return;
	}
	if (rate == 0 || held >= max_bytes)
		return;
	ms = (double)(max_bytes - held) * 1000 / (double)rate;
	if (ms <= (double)FULL_IN_MOST_MS)
		(void)snprintf(
		    room, sizeof room,
		    "The log has room for %s, and is full in about "
		    "%s at the present rate; then senders get 503.\n",
		    units_bytes(max_bytes, max),
		    units_duration((uint64_t)ms, time));
}

/* Print what has become of a sink that is paused. */
static int
report_paused(const msgpack_object *result, const char *sink)
{
	const msgpack_object *position = status_map_get_type(
	    result, "position", MSGPACK_OBJECT_POSITIVE_INTEGER);
	uint64_t until_us = (uint64_t)clock_wall_us() + for_ms * 1000;
	char until[UNITS_TEXT_BYTES];

	printf("%s is paused", sink);
	if (position)
		printf(" at offset %" PRIu64, position->via.u64);
	if (for_ms > 0)
		printf(" until %s", units_time(until_us, until));
	if (why)
		printf(" (%s)", why);
	printf("; nothing is in flight, and the log keeps its events.\n");
	printf("%sEnd the pause with: leat resume %s\n", room, sink);
	return conf_finish_output(EXIT_SUCCESS);
}

/* Give an order of one sink.  Returns as ask_order. */
static int
order_sink(const struct verb_call *call, const char *verb,
           const msgpack_object **result)
{
	const msgpack_object *status;
	struct control_args args;
	int rc = ask_status(call->socket, &status);

	if (rc != 0)
		return rc;
	if (!ask_find_sink(status, call->args[0]))
		return EXIT_NOT_WELL;
	estimate_room(status);
	control_args_init(&args);
	control_args_add_text(&args, "sink", slice_of(call->args[0]));
	if (for_ms > 0)
		control_args_add_uint(&args, "for_ms", for_ms);
	if (why && why[0])
		control_args_add_text(&args, "why", slice_of(why));
	rc = ask_order(call->socket, verb, &args, timeout_ms, result);
	control_args_fini(&args);
	return rc;
}

static int
pause_run(const struct verb_call *call)
{
	const msgpack_object *result;
	int rc = order_sink(call, "pause", &result);

	return rc == 0 ? report_paused(result, call->args[0]) : rc;
}

static int
resume_run(const struct verb_call *call)
{
	const msgpack_object *result;
	int rc = order_sink(call, "resume", &result);

	if (rc != 0)
		return rc;
	printf("%s is resumed: it goes on where it was; leat status shows its "
	       "lag.\n",
	       call->args[0]);
	return conf_finish_output(EXIT_SUCCESS);
}

const struct verb pause_verb = {
    .name = "pause",
    .arguments = "SINK",
    .summary = "Stops one sink for a time.",
    .details =
	"Returns when nothing is in flight to its store any more.  The log "
	"keeps the sink's events, and the other sinks go on.  No restart ends "
	"the pause, and leat status, leat top, the dashboard and the metrics "
	"show it.  A sink whose store is unreachable stops trying to reach "
	"it.  The command estimates when the log is full if events continue "
	"to arrive at the present rate.",
    .flags = VERB_FLAGS(
	VERB_VALUE("--for", "DURATION", options_duration, &for_ms,
                   "end the pause after this time, such as 90s, 30m, 12h or "
                   "7d; without this, it lasts until leat resume"),
	VERB_VALUE("--why", "TEXT", read_why, NULL,
                   "the reason, for those who see the pause"),
	OPTIONS_TIMEOUT_FLAG(&timeout_ms)),
    .examples = VERB_EXAMPLES(
	{"leat pause postgres --for 30m --why \"index on events\"",
         "stop it while the table is changed"},
	{"leat pause kafka", "stop it until leat resume kafka"}),
    .run = pause_run,
};

const struct verb resume_verb = {
    .name = "resume",
    .arguments = "SINK",
    .summary = "Ends the pause of a sink.",
    .flags = VERB_FLAGS(OPTIONS_TIMEOUT_FLAG(&timeout_ms)),
    .examples = VERB_EXAMPLES(
	{"leat resume postgres", "let the sink continue where it stopped"}),
    .run = resume_run,
};
