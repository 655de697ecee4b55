/* send - `leat send`: send the events of a file or of standard input. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leat/options.h"
#include "leat/send_read.h"
#include "leat/send_request.h"
#include "leat/send_state.h"
#include "leat/units.h"
#include "leat/verb.h"
#include "libbase/clock.h"
#include "libbase/error.h"
#include "libbase/secret.h"

#define DEFAULT_URL "http://127.0.0.1:8080"

/* Without success for so long, the command ends. */
#define GIVE_UP_MS 300000

/* How long the loop waits at most before it looks at time and signals. */
#define TURN_MS 200

/* What the user asks for. */
static struct send_options {
	const char *url, *token_file, *ca_file, *name;
	uint64_t rate; /* bytes a second; 0: no limit */
	uint64_t give_up_ms;
	bool restart;
} options = {.url = DEFAULT_URL, .give_up_ms = GIVE_UP_MS};

static volatile sig_atomic_t interrupted;

static void
on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

/* --- the run --- */

/* All of the input was dealt with. */
static void
complete(struct send *s)
{
	uint64_t rejected;

	s->done = s->read;
	rejected = send_count_rejected(s);
	if (s->end == SPLITTER_END) {
		/* A later run, when the file has grown, counts from 0. */
		s->done.rejected = s->refused = 0;
		send_save(s);
		s->done.rejected = rejected;
	} else {
		send_save(s);
	}
	if (s->finished)
		return;
	send_finish(s, s->end == SPLITTER_END && rejected == 0 ? EXIT_SUCCESS
	                                                       : EXIT_NOT_WELL);
}

/* A signal has come while a request is being sent. */
static void
note_signal(struct send *s)
{
	if (s->noted_signal)
		return;
	s->noted_signal = true;
	send_progress_erase(&s->progress);
	(void)fprintf(stderr, "ending after the request that is being sent; "
	                      "the signal again ends at once\n");
}

static void
wait_turn(struct send *s)
{
	/* What send_read does not read would end each wait at once. */
	const bool reads =
	    !s->stopping && !s->input_ended && !send_filling_is_full(s);
	const uint64_t now = clock_mono_ms();
	int ms = TURN_MS;

	if (!s->http.busy && s->due_ms > now && s->due_ms - now < TURN_MS)
		ms = (int)(s->due_ms - now);
	send_http_wait(&s->http,
	               reads && !s->input.is_regular ? s->input.fd : -1, ms);
}

static void
run(struct send *s)
{
	while (!s->finished) {
		bool more;

		s->stopping = interrupted;
		more = send_read(s);

		if (send_may_start(s, more))
			send_start_request(s);
		if (s->http.busy)
			send_step_request(s);
		if (s->finished)
			break;
		if (!s->http.busy && s->stopping) {
			send_finish(s, EXIT_FAILURE);
		} else if (!s->http.busy && s->input_ended &&
		           send_batch_left(s->sending) == 0 &&
		           s->filling->count == 0) {
			complete(s);
		} else if (!more && !send_may_start(s, more)) {
			if (s->stopping)
				note_signal(s);
			s->progress.total = send_input_size(&s->input);
			send_progress_draw(&s->progress, clock_mono_ms());
			wait_turn(s);
		}
	}
	send_progress_erase(&s->progress);
}

/* Print what was sent, and how to send the rest. */
static void
report(const struct send *s)
{
	const uint64_t ms = clock_mono_ms() - s->start_ms + 1;
	const uint64_t bytes = s->done.position.bytes - s->start_bytes;
	char size[UNITS_TEXT_BYTES], rate[UNITS_TEXT_BYTES];

	printf("%" PRIu64 " events accepted, %" PRIu64
	       " rejected; %s in %.1f s (%.0f events/s, %s/s)\n",
	       s->accepted, send_count_rejected(s) - s->start_rejected,
	       units_bytes(bytes, size), (double)ms / 1000,
	       (double)s->accepted * 1000 / (double)ms,
	       units_bytes(bytes * 1000 / ms, rate));
	if (s->start_rejected > 0)
		printf("%" PRIu64 " more were rejected by earlier runs, which "
		       "have listed them\n",
		       s->start_rejected);
	if (s->ignored_fields > 0)
		printf("ingestd ignored %" PRIu64
		       " fields that it does not know\n",
		       s->ignored_fields);
	(void)fflush(stdout);
	if (s->input_ended && s->end == SPLITTER_END &&
	    s->status != EXIT_FAILURE && s->status != EXIT_CONFIG)
		return;
	if (s->input.has_sent_file)
		(void)fprintf(stderr,
		              "not sent: %s from line %" PRIu64
		              " on; the same command%s continues there\n",
		              s->label, s->done.position.line,
		              s->restarted ? " without --restart" : "");
	else if (s->input.is_random)
		(void)fprintf(stderr,
		              "not all was sent; to send the same input again "
		              "with the same ids, add --name %s\n",
		              s->input.name);
	else
		(void)fprintf(stderr, "not all was sent; the same command "
		                      "sends all again, with the same ids\n");
}

/* --- start and end --- */

static int
send_open_http(struct send *s)
{
	char token[SEND_HTTP_TOKEN_MAX + 1];
	struct send_http_options o = {
	    .url = options.url, .token = token, .ca_file = options.ca_file};
	const char *file = options.token_file;
	int rc =
	    secret_read(file ? file : "", SEND_TOKEN_ENV, token, sizeof token);

	if (rc < 0) {
		log_error("cannot read the token file=%s err=%s",
		          log_quote(file ? file : SEND_TOKEN_ENV),
		          log_quote(error_text(rc)));
		return -EINVAL;
	}
	if (rc == 0 && file) {
		log_error("the first line must be the token file=%s",
		          log_quote(file));
		return -EINVAL;
	}
	rc = send_http_open(&s->http, &o);
	if (rc == -EINVAL)
		log_error("cannot use url=%s err=%s", log_quote(o.url),
		          log_quote(s->http.error));
	if (rc == 0 && token[0] && !s->http.is_https &&
	    !secret_stays_local(s->http.host))
		log_warn("the token is sent without encryption url=%s; use "
		         "https",
		         log_quote(o.url));
	explicit_bzero(token, sizeof token);
	return rc;
}

static int
open_splitter(struct send *s)
{
	const struct sent_state *sent = &s->input.sent.state;
	int rc = splitter_init(&s->splitter);

	if (rc == 0 && s->input.has_sent_file) {
		splitter_seek(&s->splitter, &sent->position);
		s->read.rejected = sent->rejected;
	}
	s->read.position = s->splitter.position;
	s->done = s->read;
	s->start_bytes = s->read.position.bytes;
	s->start_rejected = s->read.rejected;
	memcpy(s->events.key, s->input.key, UUID_BYTES);
	return rc;
}

/* The command line is checked before the input, which is opened last. */
static int
send_open(struct send *s, const char *path)
{
	const char *label = path ? path : "(standard input)";
	int rc;

	(void)printable_put(s->label, label, strnlen(label, PATH_MAX), "");
	s->input.fd = s->input.sent.fd = -1;
	s->sending = &s->batches[0];
	s->filling = &s->batches[1];
	s->max_events = s->max_window = SEND_BATCH_EVENTS;
	s->max_bytes = SEND_BATCH_BYTES;
	s->rate = options.rate;
	s->give_up_ms = options.give_up_ms;
	/* A request takes a second or less. */
	if (s->rate > 0 && s->rate < s->max_bytes)
		s->max_bytes = s->rate;
	s->failure_limit = (struct log_limit){.interval_ms = 10000, .burst = 1};
	send_batch_init(s->sending);
	send_batch_init(s->filling);
	s->restarted = options.restart;
	rc = send_open_http(s);
	if (rc == 0)
		rc = send_event_init(&s->events);
	s->answers = json_structure_new();
	if (rc == 0 && !s->answers)
		rc = -ENOMEM;
	if (rc == 0)
		rc = send_input_open(&s->input, path, options.name,
		                     options.restart);
	if (rc == 0)
		rc = open_splitter(s);
	if (rc == -ENOMEM)
		log_error("out of memory");
	return rc;
}

static void
send_close(struct send *s)
{
	send_http_close(&s->http);
	send_batch_fini(&s->batches[0]);
	send_batch_fini(&s->batches[1]);
	send_event_fini(&s->events);
	json_structure_free(s->answers);
	splitter_fini(&s->splitter);
	send_input_close(&s->input);
}

/*
 * SIGINT and SIGTERM end the run after the request that is being sent.  The
 * same signal again ends the process at once.
 */
static void
catch_signals(void)
{
	struct sigaction on_end = {.sa_handler = on_signal,
	                           .sa_flags = (int)SA_RESETHAND};
	const struct sigaction ignore = {.sa_handler = SIG_IGN};

	(void)sigaction(SIGINT, &on_end, NULL);
	(void)sigaction(SIGTERM, &on_end, NULL);
	(void)sigaction(SIGPIPE, &ignore, NULL);
}

static int
send_run(const struct verb_call *call)
{
	static struct send s;
	const char *path = call->arg_count > 0 ? call->args[0] : NULL;
	int rc;

	if (path && strcmp(path, "-") == 0)
		path = NULL;
	rc = send_open(&s, path);
	if (rc == 0) {
		catch_signals();
		s.start_ms = clock_mono_ms();
		send_progress_start(&s.progress, s.start_bytes, s.start_ms);
		run(&s);
		report(&s);
	} else {
		s.status = rc == -EINVAL ? EXIT_CONFIG : EXIT_FAILURE;
	}
	send_close(&s);
	return s.status;
}

/* The values of --limit-rate and --timeout; see conf_flag.read. */

static int
read_rate(const char *option, const char *text, void *into)
{
	static const char units[] = "KMG";
	const char *end = text, *unit;
	uint64_t *rate = into;

	if (when_read_number(&end, rate) == 0 && *rate > 0 &&
	    *rate < UINT64_C(1) << 30) {
		unit = *end ? strchr(units, *end) : NULL;
		if (unit && !end[1])
			*rate <<= 10 * (unit - units + 1);
		if (!*end || (unit && !end[1]))
			return 0;
	}
	log_error("%s must be a number of bytes a second, as 500K or 10M "
	          "value=%s",
	          option, log_quote(text));
	return -EINVAL;
}

static int
read_timeout(const char *option, const char *text, void *into)
{
	uint64_t *ms = into;

	*ms = 0;
	return strcmp(text, "0") == 0 ? 0 : options_timeout(option, text, ms);
}

const struct verb send_verb = {
    .name = "send",
    .arguments = "[FILE]",
    .summary = "Sends the events of a file, or of standard input, to ingestd.",
    .details =
	"The input has one event on each line, or arrays of events.  Events "
	"without an id get one that is the same in each run, so that a sink "
	"with dedup_by_id stores each only once.  FILE.sent records how much "
	"of FILE ingestd has accepted; the next run continues from there.  "
	"Events that are rejected are listed on standard error with their "
	"line and the reason.",
    .settings = VERB_NO_SETTINGS,
    .flags = VERB_FLAGS(
	VERB_TEXT("--url", "URL", &options.url,
                  "URL of ingestd, such as https://events.example.com "
                  "(default " DEFAULT_URL ")"),
	VERB_TEXT(
	    "--token-file", "FILE", &options.token_file,
	    "file whose first line is the token of a sender; without this, the "
	    "token is read from the environment variable " SEND_TOKEN_ENV),
	VERB_TEXT("--ca-file", "FILE", &options.ca_file,
                  "trust only the certificates in this PEM file (default: "
                  "those of the system)"),
	VERB_VALUE("--limit-rate", "N", read_rate, &options.rate,
                   "send at most N bytes a second, such as 500K or 10M"),
	VERB_VALUE("--timeout", "DURATION", read_timeout, &options.give_up_ms,
                   "give up when ingestd has accepted nothing for this time "
                   "(default 5m); 0: never"),
	VERB_TEXT("--name", "NAME", &options.name,
                  "name of a stream, from which the ids of its events are "
                  "made: the same input with the same name has the same ids"),
	VERB_SWITCH(
	    "--restart", &options.restart,
	    "send a file from its first byte, whatever FILE.sent contains")),
    .examples = VERB_EXAMPLES(
	{"leat send events.ndjson", "send a file; the same command resumes it"},
	{"zcat events.ndjson.gz | leat send --name events",
         "send a stream; sent again, its events have the same ids"},
	{"leat send --url https://events.example.com --token-file token "
         "export.json",
         "send to another machine"}),
    .run = send_run,
};
