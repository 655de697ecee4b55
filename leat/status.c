/*
 * status - `leat status`: show the status of the log, daemons and sinks.
 *
 * The text names the files of dead letters as the settings set them.  The exit
 * status is EXIT_SUCCESS when batchd reports no problem, EXIT_NOT_WELL when it
 * does, EXIT_FAILURE when it does not answer.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "leat/ask.h"
#include "leat/dead_file.h"
#include "leat/json.h"
#include "leat/options.h"
#include "leat/units.h"
#include "leat/verb.h"
#include "libbase/clock.h"
#include "libbase/log.h"
#include "libbase/printable.h"
#include "libproto/sink_status.h"
#include "libproto/status_map.h"

#define STATE_BYTES 64 /* of a sink's state, with its NUL */

static void
print_log(const msgpack_object *status)
{
	const msgpack_object *log = status_map_get(status, "log");
	const msgpack_object *batchd = status_map_get(status, "batchd");
	const char *reason = json_get_text(log, "reason");
	char bytes[UNITS_TEXT_BYTES], max[UNITS_TEXT_BYTES];

	printf("leat %s, batchd pid %" PRIu64 " up %" PRIu64 " s\n",
	       json_get_text(status, "version"), status_map_uint(batchd, "pid"),
	       status_map_uint(batchd, "uptime_ms") / 1000);
	printf("log     %s of %s in %" PRIu64 " segments, offsets %" PRIu64
	       " .. %" PRIu64 " (durable %" PRIu64 "), fsync %s, %s\n",
	       units_bytes(status_map_uint(log, "bytes"), bytes),
	       units_bytes(status_map_uint(log, "max_bytes"), max),
	       status_map_uint(log, "segments"),
	       status_map_uint(log, "first_offset"),
	       status_map_uint(log, "next_offset"),
	       status_map_uint(log, "durable_offset"),
	       json_get_text(log, "fsync"), reason[0] ? reason : "open");
	if (status_map_uint(log, "lost_events") > 0)
		printf("        %" PRIu64
		       " EVENTS LOST TO DAMAGE: see batchd's "
		       "log, and the copies in quarantine/\n",
		       status_map_uint(log, "lost_events"));
}

static void
print_daemons(const msgpack_object *status)
{
	const msgpack_object_array all = status_map_array(status, "daemons");

	for (uint32_t i = 0; i < all.size; i++) {
		const msgpack_object *d = &all.ptr[i];
		const msgpack_object *stats = status_map_get(d, "stats");

		if (strcmp(json_get_text(d, "role"), "ingest") != 0)
			continue;
		printf("%-7s pid %" PRIu64 " connected %" PRIu64
		       " s, accepted %" PRIu64 " events, rejected %" PRIu64
		       ", pending %" PRIu64 " requests, 503 %" PRIu64 "\n",
		       json_get_text(d, "name"), status_map_uint(d, "pid"),
		       status_map_uint(d, "connected_ms") / 1000,
		       status_map_uint(stats, "accepted_events"),
		       status_map_uint(stats, "rejected_events"),
		       status_map_uint(stats, "pending_requests"),
		       status_map_uint(stats, "responses_503"));
	}
}

/* Print why the sink cannot write to its store, and when it retries. */
static void
print_error(const msgpack_object *stats, uint64_t now_us)
{
	uint64_t next_us = status_map_uint(stats, "next_retry_us");
	char since[UNITS_TEXT_BYTES], next[UNITS_TEXT_BYTES];

	if (json_get_text(stats, "error")[0] == '\0')
		return;
	printf("    since %s: %s\n",
	       units_time(status_map_uint(stats, "error_since_us"), since),
	       json_get_text(stats, "error"));
	if (next_us > now_us)
		printf("    next retry at %s, in %.1f s\n",
		       units_time(next_us, next),
		       (double)(next_us - now_us) / 1e6);
	else if (next_us > 0)
		printf("    retrying now\n");
}

/* Print where the sink's dead letters are, and how to store them. */
static void
print_dead_letters(const char *path, const char *sink)
{
	char file[PATH_MAX];

	if (dead_file_path(path, sink, file) == 0)
		printf("    dead letters in %s; to store them: leat dead retry "
		       "%s --execute\n",
		       file, sink);
}

static void
print_dead_room(const msgpack_object *stats)
{
	uint64_t max = status_map_uint(stats, "dead_max_bytes");
	uint64_t percent =
	    status_map_uint(stats, "dead_bytes") / (max / 100 + 1);

	if (percent >= 25)
		printf("    dead letters use %" PRIu64
		       "%% of dead_max_bytes, %" PRIu64 " events had no room\n",
		       percent, status_map_uint(stats, "dead_dropped"));
}

/* Print since when and until when the sink is paused, by whom, and why. */
static void
print_pause(const msgpack_object *sink)
{
	char since[UNITS_TEXT_BYTES], until[UNITS_TEXT_BYTES];
	char why[PRINTABLE_GROWTH * SINK_STATUS_WHY_MAX + 1];
	struct sink_pause pause;

	sink_status_pause(sink, &pause);
	if (!pause.paused)
		return;
	(void)printable_put(why, pause.why, strlen(pause.why), "");
	printf("    paused since %s%s%s by uid %" PRIu64 "%s%s\n",
	       units_time(pause.since_us, since),
	       pause.until_us > 0 ? " until " : "",
	       pause.until_us > 0 ? units_time(pause.until_us, until) : "",
	       pause.uid, why[0] ? ": " : "", why);
}

/* Print the order that the sink carries out now, if it has one. */
static void
print_order(const msgpack_object *sink)
{
	const char *order = json_get_text(sink, "order");
	const char *error =
	    json_get_text(status_map_get(sink, "stats"), "error");
	const msgpack_object *seek_to = status_map_get_type(
	    sink, "seek_to", MSGPACK_OBJECT_POSITIVE_INTEGER);

	if (order[0] == '\0')
		return;
	printf("    order in progress: %s", order);
	if (seek_to)
		printf(" to offset %" PRIu64, seek_to->via.u64);
	/* The sink has to move the position in its store. */
	if (seek_to && error[0])
		printf("; it is done as soon as the store works, and cannot be "
		       "cancelled");
	printf("\n");
}

static void
print_sinks(const msgpack_object *status, const char *path)
{
	const msgpack_object_array all = status_map_array(status, "sinks");

	printf("%-16s %-13s %12s %9s %12s %9s %9s %8s %6s\n", "SINK", "STATE",
	       "COMMITTED", "EVENTS/S", "LAG EVENTS", "LAG BYTES", "LAG",
	       "RETRIES", "DEAD");
	for (uint32_t i = 0; i < all.size; i++) {
		const msgpack_object *s = &all.ptr[i];
		const msgpack_object *stats = status_map_get(s, "stats");
		char lag[UNITS_TEXT_BYTES], own[STATE_BYTES];
		char state[PRINTABLE_GROWTH * STATE_BYTES];

		sink_status_state(s, own, sizeof own);
		(void)printable_put(state, own, strlen(own), "");

		printf("%-16s %-13s %12" PRIu64 " %9" PRIu64 " %12" PRIu64
		       " %9s %7.1f s %8" PRIu64 " %6" PRIu64 "\n",
		       json_get_text(s, "name"), state,
		       status_map_uint(s, "committed"),
		       status_map_uint(s, "events_per_s"),
		       status_map_uint(s, "lag_events"),
		       units_bytes(status_map_uint(s, "lag_bytes"), lag),
		       (double)status_map_uint(s, "lag_ms") / 1000,
		       status_map_uint(status_map_get(s, "totals"), "retries"),
		       status_map_uint(stats, "dead_letters"));
		if (status_map_uint(stats, "duplicates") > 0)
			printf("    not stored again, for their id: %" PRIu64
			       "\n",
			       status_map_uint(stats, "duplicates"));
		if (status_map_uint(stats, "dead_letters") > 0)
			print_dead_letters(path, json_get_text(s, "name"));
		print_dead_room(stats);
		print_pause(s);
		print_order(s);
		print_error(stats, status_map_uint(status, "now_us"));
	}
}

static void
print_problems(const msgpack_object *status)
{
	const msgpack_object_array all = status_map_array(status, "problems");

	for (uint32_t i = 0; i < all.size; i++)
		printf("PROBLEM %s\n", json_text(&all.ptr[i]));
}

static int
print_json(const msgpack_object *status)
{
	struct buf out;
	int rc;

	buf_init(&out, 1 * MIB);
	json_put(&out, status);
	rc = out.error;
	if (rc == 0)
		printf("%.*s\n", (int)out.len, (const char *)out.data);
	buf_fini(&out);
	return rc;
}

static bool json, watch;

/* Print the status once.  Returns the exit status. */
static int
status_print(const struct verb_call *call)
{
	const msgpack_object *status;
	int rc = ask_status(call->socket, &status);

	if (rc != 0)
		return rc;
	if (json) {
		if (print_json(status) < 0)
			return EXIT_FAILURE;
	} else {
		print_log(status);
		print_daemons(status);
		print_sinks(status, call->path);
		print_problems(status);
	}
	return conf_finish_output(status_map_array(status, "problems").size > 0
	                              ? EXIT_NOT_WELL
	                              : EXIT_SUCCESS);
}

/* The most seconds from one status to the next. */
#define WATCH_S_MAX 86400

/* Print the status again and again, until a signal or a write ends that. */
static int
status_watch(const struct verb_call *call, unsigned seconds)
{
	char now[UNITS_TEXT_BYTES];

	for (;;) {
		int rc;

		if (!json)
			printf("--- %s\n",
			       units_time((uint64_t)clock_wall_us(), now));
		rc = status_print(call);
		/* batchd may be started again. */
		(void)rc;
		if (fflush(stdout) != 0 || ferror(stdout))
			return EXIT_FAILURE;
		(void)sleep(seconds);
	}
}

static int
status_run(const struct verb_call *call)
{
	const char *text = call->arg_count > 0 ? call->args[0] : "1";
	uint64_t seconds;

	if (!watch && call->arg_count == 0)
		return status_print(call);
	if (!watch || !options_number(text, &seconds) || seconds < 1 ||
	    seconds > WATCH_S_MAX) {
		log_error("SECONDS must be a number from 1 to %d, with --watch",
		          WATCH_S_MAX);
		return EXIT_CONFIG;
	}
	return status_watch(call, (unsigned)seconds);
}

const struct verb status_verb = {
    .name = "status",
    .arguments = "[SECONDS]",
    .summary = "Shows the status of the log, the daemons and the sinks.",
    .details = "The exit status is 0 if all is well, 3 if batchd reports a "
	       "problem, and 1 if batchd does not answer.",
    .flags = VERB_FLAGS(
	VERB_SWITCH("--json", &json, "print the status as one JSON object"),
	VERB_SWITCH(
	    "--watch", &watch,
	    "print it again each second, or each SECONDS, until Ctrl-C")),
    .examples = VERB_EXAMPLES(
	{"leat status", "the state of all of leat, and what needs attention"},
	{"leat status --json | jq .problems", "the same, for programs"}),
    .run = status_run,
};
