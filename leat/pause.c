/* pause - see pause.h. */
#include "leat/pause.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leat/ask.h"
#include "leat/json.h"
#include "leat/options.h"
#include "leat/units.h"
#include "libbase/clock.h"
#include "libbase/log.h"
#include "libbase/printable.h"
#include "libproto/status_map.h"

#define WHY_BYTES_MAX 200 /* batchd's limit */

static const char *for_option, *why_option, *timeout_option;

/* batchd shows the text in many places, so it has to be one plain line. */
static bool
is_good_why(const char *why)
{
	size_t bytes = strlen(why), n;

	for (size_t i = 0; i < bytes; i += n) {
		uint32_t code;
		bool safe;

		n = printable_next(why + i, bytes - i, &code, &safe);
		if (!safe)
			return false;
	}
	return bytes <= WHY_BYTES_MAX;
}

/* Print what has become of a sink that is paused. */
static int
report_paused(const struct ask *a, const char *sink, uint64_t for_ms,
              const char *why)
{
	const msgpack_object *position = status_map_get_type(
	    a->map, "position", MSGPACK_OBJECT_POSITIVE_INTEGER);
	uint64_t until_us = (uint64_t)clock_wall_us() + for_ms * 1000;
	char until[UNITS_TEXT_BYTES];

	printf("%s is paused", sink);
	if (position)
		printf(" at offset %" PRIu64, position->via.u64);
	if (for_ms > 0)
		printf(" until %s", units_time(until_us, until));
	if (why)
		printf(" (%s)", why);
	printf("; nothing is in flight, and the log keeps its events.\n"
	       "End the pause with: leat resume %s\n",
	       sink);
	return verb_finish_output(EXIT_SUCCESS);
}

/* Give an order of one sink; `args` has its other arguments. */
static int
order_sink(struct ask *a, const struct verb_call *call, const char *verb,
           struct control_args *args, uint64_t timeout_ms)
{
	const struct slice sink = slice_of(call->args[0]);
	int rc = ask_status(a, call->socket);

	if (rc == 0 && !ask_find_sink(a, call->args[0]))
		rc = EXIT_NOT_WELL;
	control_args_add_text(args, "sink", &sink);
	return rc == 0 ? ask_order(a, call->socket, verb, args, timeout_ms)
	               : rc;
}

static int
pause_run(const struct verb_call *call)
{
	uint64_t for_ms = 0, timeout_ms;
	struct control_args args;
	struct slice why;
	struct ask a;
	int rc;

	if ((for_option &&
	     options_duration("--for", for_option, &for_ms) < 0) ||
	    options_timeout(timeout_option, &timeout_ms) < 0)
		return EXIT_CONFIG;
	if (why_option && !is_good_why(why_option)) {
		log_error("--why must be at most %d bytes, of printable "
		          "characters on one line",
		          WHY_BYTES_MAX);
		return EXIT_CONFIG;
	}
	if (ask_init(&a) < 0)
		return EXIT_FAILURE;
	control_args_init(&args);
	if (for_ms > 0)
		control_args_add_uint(&args, "for_ms", for_ms);
	why = slice_of(why_option ? why_option : "");
	if (why.bytes > 0)
		control_args_add_text(&args, "why", &why);
	rc = order_sink(&a, call, "pause", &args, timeout_ms);
	if (rc == 0)
		rc = report_paused(&a, call->args[0], for_ms, why_option);
	control_args_fini(&args);
	ask_fini(&a);
	return rc;
}

static int
resume_run(const struct verb_call *call)
{
	uint64_t timeout_ms;
	struct control_args args;
	struct ask a;
	int rc;

	if (options_timeout(timeout_option, &timeout_ms) < 0)
		return EXIT_CONFIG;
	if (ask_init(&a) < 0)
		return EXIT_FAILURE;
	control_args_init(&args);
	rc = order_sink(&a, call, "resume", &args, timeout_ms);
	if (rc == 0) {
		printf("%s is resumed: it goes on where it was; leat status "
		       "shows its lag.\n",
		       call->args[0]);
		rc = verb_finish_output(EXIT_SUCCESS);
	}
	control_args_fini(&args);
	ask_fini(&a);
	return rc;
}

static const struct conf_flag pause_flags[] = {
    {.name = "--for",
     .argument = "DURATION",
     .help = "end the pause by itself after so long, as 90s, 30m, 12h or 7d; "
             "otherwise leat resume ends it",
     .value = &for_option},
    {.name = "--why",
     .argument = "TEXT",
     .help = "the reason, for those who see the pause",
     .value = &why_option},
    {.name = "--timeout",
     .argument = "DURATION",
     .help = OPTIONS_TIMEOUT_HELP,
     .value = &timeout_option},
    {0},
};
static const struct verb_example pause_examples[] = {
    {"leat pause postgres --for 30m --why \"index on events\"",
     "stop it while the table is changed"},
    {"leat pause kafka", "stop it until leat resume kafka"},
    {0},
};

const struct verb pause_verb = {
    .name = "pause",
    .arguments = "SINK",
    .summary = "Stops one sink for a time.",
    .details =
	"Returns when nothing is in flight to its store any more.  The log "
	"keeps the sink's events, and the other sinks go on.  The pause lasts "
	"through restarts of everything, and leat status, leat top, the "
	"dashboard and the metrics show it.  A sink whose store is unreachable "
	"stops trying to reach it.",
    .flags = pause_flags,
    .examples = pause_examples,
    .run = pause_run,
};

static const struct conf_flag resume_flags[] = {
    {.name = "--timeout",
     .argument = "DURATION",
     .help = OPTIONS_TIMEOUT_HELP,
     .value = &timeout_option},
    {0},
};
static const struct verb_example resume_examples[] = {
    {"leat resume postgres", "let it go on where it was"},
    {0},
};

const struct verb resume_verb = {
    .name = "resume",
    .arguments = "SINK",
    .summary = "Ends the pause of a sink.",
    .flags = resume_flags,
    .examples = resume_examples,
    .run = resume_run,
};
