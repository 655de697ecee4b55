/* send - see send.h. */
#include "leat/send.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "leat/send_answer.h"
#include "leat/send_batch.h"
#include "leat/send_event.h"
#include "leat/send_http.h"
#include "leat/send_input.h"
#include "leat/send_progress.h"
#include "leat/splitter.h"
#include "leat/units.h"
#include "libbase/clock.h"
#include "libbase/error.h"
#include "libbase/log.h"
#include "libbase/printable.h"
#include "libbase/retry_delay.h"
#include "libbase/secret.h"

#define DEFAULT_URL "http://127.0.0.1:8080"
#define TOKEN_ENV "LEAT_TOKEN"

#define RETRY_MIN_MS 200
#define RETRY_MAX_MS 15000
#define RETRY_AFTER_MAX_S 300

/* How long the loop waits at most before it looks at time and signals. */
#define TURN_MS 200

/* An answer names so many errors; with more, the next request is smaller. */
#define NAMED_ERRORS 10

/* What the user asks for: the values of the options. */
struct send_request {
	const char *url, *token_file, *ca_file;
	const char *limit_rate, *name, *timeout;
	bool restart;
};

struct send {
	struct send_input input;
	struct splitter splitter;
	struct send_event events;
	struct json_structure *answers; /* owned; for reading answers */
	struct send_http http;
	struct send_progress progress;
	char *label; /* owned: the input's name in messages, printable */

	/*
	 * While the events of one batch are sent, the other one is filled.
	 * They change places when all events of the first were dealt with.
	 */
	struct send_batch batches[2];
	struct send_batch *sending, *filling;
	struct send_place read;   /* the input was split up to here */
	struct send_place done;   /* and dealt with up to here */
	bool input_ended;         /* nothing more is read */
	enum splitter_result end; /* how it has ended */

	/* Limits of a request, which a 413 or many errors make smaller. */
	size_t max_events, max_bytes;
	size_t max_window;    /* events of the next request */
	size_t request_bytes; /* of the request that was started last */
	uint64_t rate;        /* bytes a second; 0: no limit */

	uint64_t due_ms;   /* no request begins before */
	unsigned failures; /* in a row */
	uint64_t failing_since_ms;
	uint64_t give_up_ms; /* after so long without success; 0: never */
	char waiting[SEND_HTTP_ERROR_TEXT + 64]; /* for what */
	struct log_limit failure_limit;

	uint64_t start_ms, start_bytes;
	uint64_t start_rejected; /* by earlier runs that have ended early */
	uint64_t accepted;       /* events, by this run */
	uint64_t refused;        /* by ingestd, of those before `done` */
	uint64_t ignored_fields;
	bool restarted; /* --restart was given */
	bool noted_signal;
	bool finished;
	int status; /* the exit status then */
};

static volatile sig_atomic_t interrupted;

static void
on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

static void
send_finish(struct send *s, int status)
{
	s->finished = true;
	s->status = status;
}

/* --- what is rejected --- */

/* Write text, of n bytes, without what could act on a terminal. */
static void
put_printable(const char *text, size_t n)
{
	char safe[PRINTABLE_GROWTH * SEND_ANSWER_TEXT + 1];

	if (n > SEND_ANSWER_TEXT)
		n = SEND_ANSWER_TEXT;
	(void)printable_put(safe, text, n, "");
	(void)fputs(safe, stderr);
}

/* List an event that was rejected, as compilers list errors. */
static void
list_rejected(struct send *s, uint64_t line, const char *field,
              size_t field_bytes, const char *reason)
{
	send_progress_erase(&s->progress);
	(void)fprintf(stderr, "%s:%" PRIu64 ": ", s->label, line);
	if (field_bytes > 0) {
		put_printable(field, field_bytes);
		(void)fputs(": ", stderr);
	}
	put_printable(reason, strlen(reason));
	(void)fputc('\n', stderr);
}

static uint64_t
count_rejected(const struct send *s)
{
	return s->done.rejected + s->refused;
}

/* --- reading --- */

static void
take_piece(struct send *s, const struct splitter_piece *piece)
{
	struct send_event_fault fault = {0};
	const struct send_place after = {s->splitter.position,
	                                 s->read.rejected};
	int rc = send_batch_add(s->filling, &s->events, piece, &after, &fault);

	s->read = after;
	if (rc == -EINVAL) {
		s->read.rejected++;
		list_rejected(s, piece->start.line, fault.field.at,
		              json_span_bytes(&fault.field), fault.reason);
	} else if (rc < 0) {
		log_error("cannot read an event err=%s",
		          log_quote(error_text(rc)));
		send_finish(s, EXIT_FAILURE);
	}
}

static void
take_too_long(struct send *s, const struct splitter_piece *piece)
{
	s->read =
	    (struct send_place){s->splitter.position, s->read.rejected + 1};
	list_rejected(s, piece->start.line, NULL, 0,
	              "longer than 128 KiB, which is the longest event");
}

static void
take_end(struct send *s, enum splitter_result result,
         const struct splitter_piece *piece)
{
	s->input_ended = true;
	s->end = result;
	if (result == SPLITTER_END)
		s->read.position = s->splitter.position;
	else
		list_rejected(s, piece->start.line, NULL, 0, piece->why);
}

static bool
filling_is_full(const struct send *s)
{
	return send_batch_is_full(s->filling) ||
	       s->filling->count >= s->max_events ||
	       s->filling->text.len >= s->max_bytes;
}

/* Read once, if something is there.  Returns true if it was. */
static bool
read_more(struct send *s)
{
	int rc = send_input_read(&s->input, &s->splitter);

	if (rc < 0) {
		log_error("cannot read %s err=%s", s->label,
		          log_quote(error_text(rc)));
		send_finish(s, EXIT_FAILURE);
	}
	return rc > 0;
}

/*
 * Fill the batch with what was read, and read once.  Returns false if nothing
 * more can be done before the input has more, or a request ends.
 */
static bool
fill(struct send *s)
{
	struct splitter_piece piece;
	enum splitter_result result;

	while (!s->finished && !s->input_ended && !filling_is_full(s)) {
		result = splitter_next(&s->splitter, &piece);
		switch (result) {
		case SPLITTER_PIECE:
			take_piece(s, &piece);
			break;
		case SPLITTER_TOO_LONG:
			take_too_long(s, &piece);
			break;
		case SPLITTER_MORE:
			s->filling->end = s->read;
			return !interrupted && read_more(s);
		case SPLITTER_END:
		case SPLITTER_UNFINISHED:
		case SPLITTER_BROKEN:
			take_end(s, result, &piece);
			break;
		}
	}
	s->filling->end = s->read;
	return false;
}

/* --- FILE.sent --- */

/* Keep the place up to which the input was dealt with. */
static void
save(struct send *s)
{
	struct sent_file *f = &s->input.sent;
	int rc;

	s->progress.bytes = s->done.position.bytes;
	s->progress.events = s->accepted;
	if (!s->input.has_sent_file)
		return;
	f->state.position = s->done.position;
	f->state.rejected = count_rejected(s);
	rc = sent_file_save(f);
	if (rc == 0)
		return;
	send_progress_erase(&s->progress);
	log_error("cannot write file=%s.sent err=%s; the events up to line "
	          "%" PRIu64 " were accepted",
	          s->label, log_quote(error_text(rc)), s->done.position.line);
	send_finish(s, EXIT_FAILURE);
}

/* --- requests --- */

static uint64_t
pause_ms(const struct send *s)
{
	if (s->http.retry_after_s > RETRY_AFTER_MAX_S)
		return RETRY_AFTER_MAX_S * UINT64_C(1000);
	if (s->http.retry_after_s > 0)
		return s->http.retry_after_s * 1000;
	return retry_delay_ms(RETRY_MIN_MS, RETRY_MAX_MS, s->failures);
}

/* A request has failed, and may succeed later. */
static void
try_again(struct send *s, const char *what, const char *why)
{
	const uint64_t now = clock_mono_ms();
	unsigned suppressed;
	uint64_t ms;

	if (s->failures++ == 0)
		s->failing_since_ms = now;
	ms = pause_ms(s);
	s->due_ms = now + ms;
	(void)snprintf(s->waiting, sizeof s->waiting, "%s", what);
	s->progress.waiting = s->waiting;
	if (s->give_up_ms > 0 &&
	    s->due_ms > s->failing_since_ms + s->give_up_ms) {
		send_progress_erase(&s->progress);
		log_error("giving up after_s=%" PRIu64
		          " url=%s what=%s err=%s; --timeout 0 waits for ever",
		          (now - s->failing_since_ms) / 1000,
		          log_quote(s->http.url), log_quote(what),
		          log_quote(why));
		send_finish(s, EXIT_FAILURE);
	} else if (log_allow(&s->failure_limit, &suppressed)) {
		send_progress_erase(&s->progress);
		log_warn("%s url=%s err=%s retry_in_ms=%" PRIu64
		         " suppressed=%u",
		         what, log_quote(s->http.url), log_quote(why), ms,
		         suppressed);
	}
}

/* Something is wrong that a retry does not change. */
static void
give_up(struct send *s, int status, const char *what, const char *why,
        const char *advice)
{
	send_progress_erase(&s->progress);
	log_error("%s url=%s err=%s; %s", what, log_quote(s->http.url),
	          log_quote(why), advice);
	send_finish(s, status);
}

/* The events of the request are on disk. */
static void
on_accepted(struct send *s, size_t n, const struct send_answer *a)
{
	if (!a->has_accepted || a->accepted != n) {
		give_up(s, EXIT_CONFIG, "this is not the answer of ingestd",
		        "the number of accepted events is missing or wrong",
		        "check --url");
		return;
	}
	if (s->failures > 0 && s->failure_limit.used > 0) {
		send_progress_erase(&s->progress);
		log_info("ingestd accepts events again after_ms=%" PRIu64,
		         clock_mono_ms() - s->failing_since_ms);
		s->failure_limit = (struct log_limit){
		    .interval_ms = s->failure_limit.interval_ms,
		    .burst = s->failure_limit.burst};
	}
	s->failures = 0;
	s->progress.waiting = NULL;
	s->accepted += n;
	s->input.sent.state.accepted += n;
	s->ignored_fields += a->ignored_fields;
	s->max_window *= 2;
	if (s->max_window > s->max_events)
		s->max_window = s->max_events;
	s->done = send_batch_remove(s->sending, n);
	save(s);
}

/*
 * ingestd has refused the request because of some events, and kept none.
 * Those that it names are taken out.  If there are more, so few are sent next
 * that it can name all.
 */
static void
on_refused(struct send *s, size_t n, const struct send_answer *a)
{
	size_t named = 0;

	for (size_t i = 0; i < a->error_count; i++) {
		const struct send_answer_error *e = &a->errors[i];

		if (e->index >= n || (i > 0 && e->index <= e[-1].index))
			break;
		list_rejected(
		    s, s->sending->items[s->sending->first + e->index].line,
		    e->field, strlen(e->field), e->reason);
		named++;
	}
	if (named == 0) {
		give_up(s, EXIT_FAILURE, "ingestd refused the request",
		        a->reason[0] ? a->reason : a->error,
		        "check --url, and ingestd's log");
		return;
	}
	s->refused += named;
	for (size_t i = named; i > 0; i--)
		send_batch_take_out(s->sending, a->errors[i - 1].index);
	if (a->rejected > named) {
		s->max_window = n * NAMED_ERRORS / a->rejected;
		if (s->max_window < NAMED_ERRORS)
			s->max_window = NAMED_ERRORS;
	}
	if (send_batch_left(s->sending) == 0) {
		s->done = send_batch_remove(s->sending, 0);
		save(s);
	}
}

/* The request has more bytes or events than ingestd's settings allow. */
static void
on_too_large(struct send *s, size_t n)
{
	struct send_item *item = &s->sending->items[s->sending->first];

	if (n > 1) {
		s->max_window = n / 2;
		s->max_events = s->max_window;
		if (s->max_bytes > s->request_bytes / 2)
			s->max_bytes = s->request_bytes / 2;
		return;
	}
	list_rejected(s, item->line, NULL, 0, "larger than max_body_bytes");
	s->refused++;
	s->done = send_batch_remove(s->sending, 1);
	save(s);
}

static void
on_answer(struct send *s, size_t n)
{
	const struct send_http *h = &s->http;
	char what[64];
	struct send_answer a;
	const char *why;

	(void)send_answer_read(s->answers, (const char *)h->body.data,
	                       h->body.len, &a);
	(void)snprintf(what, sizeof what, "ingestd answers %ld", h->status);
	why = a.reason[0] ? a.reason : a.error;
	switch (h->status) {
	case 200:
	case 202:
		on_accepted(s, n, &a);
		break;
	case 400:
		on_refused(s, n, &a);
		break;
	case 401:
		give_up(s, EXIT_CONFIG, what, why,
		        "give the token of a sender with --token-file, or in "
		        "the environment variable " TOKEN_ENV
		        " (`leat token NAME` makes one)");
		break;
	case 403:
		give_up(s, EXIT_CONFIG, what, why,
		        "this token is not one of a sender");
		break;
	case 413:
		on_too_large(s, n);
		break;
	case 408:
	case 429:
	case 500:
	case 502:
	case 503:
	case 504:
		try_again(s, what, why);
		break;
	default:
		give_up(s, EXIT_CONFIG, what, why,
		        "check that --url is that of ingestd");
		break;
	}
}

/* Return true if a request is to be started now. */
static bool
may_start(struct send *s, bool may_read_more)
{
	if (s->finished || s->http.busy || interrupted ||
	    clock_mono_ms() < s->due_ms)
		return false;
	if (send_batch_left(s->sending) > 0)
		return true;
	if (s->filling->count == 0 ||
	    (may_read_more && !filling_is_full(s) && !s->input_ended))
		return false;
	return true;
}

static void
start_request(struct send *s)
{
	struct send_batch *swap = s->sending;
	size_t n, bytes;
	const void *body;

	if (send_batch_left(s->sending) == 0) {
		s->sending = s->filling;
		s->filling = swap;
		s->filling->end = s->read;
	}
	n = send_batch_left(s->sending);
	if (n > s->max_window)
		n = s->max_window;
	body = send_batch_request(s->sending, n, &bytes);
	s->request_bytes = bytes;
	if (s->rate > 0)
		s->due_ms = clock_mono_ms() + bytes * 1000 / s->rate;
	if (send_http_start(&s->http, body, bytes) < 0) {
		send_batch_end(s->sending);
		log_error("cannot start a request err=%s",
		          log_quote(error_text(-ENOMEM)));
		send_finish(s, EXIT_FAILURE);
	}
}

static void
step_request(struct send *s)
{
	const size_t n = s->sending->requested;
	const enum send_http_result result = send_http_step(&s->http);

	if (result == SEND_HTTP_BUSY)
		return;
	send_batch_end(s->sending);
	switch (result) {
	case SEND_HTTP_ANSWER:
		on_answer(s, n);
		break;
	case SEND_HTTP_UNREACHABLE:
		try_again(s, "ingestd unreachable", s->http.error);
		break;
	case SEND_HTTP_MISCONFIGURED:
		give_up(s, EXIT_CONFIG, "ingestd cannot be used", s->http.error,
		        "check --url and --ca-file");
		break;
	case SEND_HTTP_BUSY:
		break;
	}
}

/* --- the run --- */

/* All of the input was dealt with. */
static void
complete(struct send *s)
{
	uint64_t rejected;

	s->done = s->read;
	rejected = count_rejected(s);
	if (s->end == SPLITTER_END) {
		/* A later run, when the file has grown, counts from 0. */
		s->done.rejected = s->refused = 0;
		save(s);
		s->done.rejected = rejected;
	} else {
		save(s);
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
	const bool reads = !s->input_ended && !filling_is_full(s);
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
		bool more = fill(s);

		if (may_start(s, more))
			start_request(s);
		if (s->http.busy)
			step_request(s);
		if (s->finished)
			break;
		if (!s->http.busy && interrupted) {
			send_finish(s, EXIT_FAILURE);
		} else if (!s->http.busy && s->input_ended &&
		           send_batch_left(s->sending) == 0 &&
		           s->filling->count == 0) {
			complete(s);
		} else if (!more && !may_start(s, more)) {
			if (interrupted)
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
	       s->accepted, count_rejected(s) - s->start_rejected,
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

/* Read a whole number.  Returns false if it is not one. */
static bool
send_read_number(const char *text, uint64_t *out, const char **end)
{
	char *after;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*out = strtoull(text, &after, 10);
	*end = after;
	return errno == 0;
}

static int
read_numbers(struct send *s, const struct send_request *q)
{
	static const char units[] = "KMG";
	const char *end = "", *unit;
	uint64_t seconds = 0;

	if (q->timeout && (!send_read_number(q->timeout, &seconds, &end) ||
	                   *end || seconds > UINT64_MAX / 2000)) {
		log_error("--timeout must be a number of seconds value=%s",
		          log_quote(q->timeout));
		return -EINVAL;
	}
	if (q->timeout)
		s->give_up_ms = seconds * 1000;
	if (!q->limit_rate)
		return 0;
	if (send_read_number(q->limit_rate, &s->rate, &end) && s->rate > 0 &&
	    s->rate < UINT64_C(1) << 30) {
		unit = *end ? strchr(units, *end) : NULL;
		if (unit && !end[1])
			s->rate <<= 10 * (unit - units + 1);
		if (!*end || (unit && !end[1])) {
			/* A request takes a second or less. */
			if (s->rate < s->max_bytes)
				s->max_bytes = s->rate;
			return 0;
		}
	}
	log_error("--limit-rate must be a number of bytes a second, as 500K or "
	          "10M value=%s",
	          log_quote(q->limit_rate));
	return -EINVAL;
}

static int
open_http(struct send *s, const struct send_request *q)
{
	char token[SEND_HTTP_TOKEN_MAX + 1];
	struct send_http_options o = {.url = q->url ? q->url : DEFAULT_URL,
	                              .token = token,
	                              .ca_file = q->ca_file};
	int rc = secret_read(q->token_file ? q->token_file : "", TOKEN_ENV,
	                     token, sizeof token);

	if (rc < 0) {
		log_error("cannot read the token file=%s err=%s",
		          log_quote(q->token_file ? q->token_file : TOKEN_ENV),
		          log_quote(error_text(rc)));
		return -EINVAL;
	}
	if (rc == 0 && q->token_file) {
		log_error("the first line must be the token file=%s",
		          log_quote(q->token_file));
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

static int
make_label(struct send *s, const char *path)
{
	const char *text = path ? path : "(standard input)";
	size_t n = strlen(text);

	s->label = malloc(PRINTABLE_GROWTH * n + 1);
	if (!s->label)
		return -ENOMEM;
	(void)printable_put(s->label, text, n, "");
	return 0;
}

/* The command line is checked before the input, which is opened last. */
static int
send_open(struct send *s, const struct send_request *q, const char *path)
{
	int rc;

	s->input.fd = s->input.sent.fd = -1;
	s->sending = &s->batches[0];
	s->filling = &s->batches[1];
	s->max_events = s->max_window = SEND_BATCH_EVENTS;
	s->max_bytes = SEND_BATCH_BYTES;
	s->give_up_ms = UINT64_C(300) * 1000;
	s->failure_limit = (struct log_limit){.interval_ms = 10000, .burst = 1};
	send_batch_init(s->sending);
	send_batch_init(s->filling);
	s->restarted = q->restart;
	rc = read_numbers(s, q);
	if (rc == 0)
		rc = open_http(s, q);
	if (rc == 0)
		rc = send_event_init(&s->events);
	if (rc == 0)
		rc = make_label(s, path);
	s->answers = json_structure_new();
	if (rc == 0 && !s->answers)
		rc = -ENOMEM;
	if (rc == 0)
		rc = send_input_open(&s->input, path, q->name, q->restart);
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
	free(s->label);
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
send_input_to(const struct send_request *q, const char *path)
{
	struct send *s = calloc(1, sizeof *s);
	int rc, status = EXIT_FAILURE;

	if (!s) {
		log_error("out of memory");
		return EXIT_FAILURE;
	}
	rc = send_open(s, q, path);
	if (rc == 0) {
		catch_signals();
		s->start_ms = clock_mono_ms();
		send_progress_start(&s->progress, s->start_bytes, s->start_ms);
		run(s);
		report(s);
		status = s->status;
	} else if (rc == -EINVAL) {
		status = EXIT_CONFIG;
	}
	send_close(s);
	free(s);
	return status;
}

static struct send_request request;

static int
send_run(const struct verb_call *call)
{
	const char *path = call->arg_count > 0 ? call->args[0] : NULL;

	if (path && strcmp(path, "-") == 0)
		path = NULL;
	return send_input_to(&request, path);
}

static const struct conf_flag flags[] = {
    {.name = "--url",
     .argument = "URL",
     .help =
         "of ingestd, as https://events.example.com (default " DEFAULT_URL ")",
     .value = &request.url},
    {.name = "--token-file",
     .argument = "FILE",
     .help = "file whose first line is the token of a sender; without it the "
             "environment variable " TOKEN_ENV " may have the token",
     .value = &request.token_file},
    {.name = "--ca-file",
     .argument = "FILE",
     .help = "trust only the certificates in this PEM file (default: those of "
             "the system)",
     .value = &request.ca_file},
    {.name = "--limit-rate",
     .argument = "N",
     .help = "send at most so many bytes a second, as 500K or 10M",
     .value = &request.limit_rate},
    {.name = "--timeout",
     .argument = "S",
     .help = "give up when ingestd has accepted nothing for so many seconds "
             "(default 300); 0: never",
     .value = &request.timeout},
    {.name = "--name",
     .argument = "NAME",
     .help = "of a stream, from which the ids of its events are made: the same "
             "input with the same name has the same ids",
     .value = &request.name},
    {.name = "--restart",
     .help = "send a file from its first byte, whatever FILE.sent contains",
     .set = &request.restart},
    {0},
};

static const struct verb_example examples[] = {
    {"leat send events.ndjson", "send a file; the same command resumes it"},
    {"zcat events.ndjson.gz | leat send --name events",
     "send a stream; sent again, its events have the same ids"},
    {"leat send --url https://events.example.com --token-file token "
     "export.json",
     "send to another machine"},
    {0},
};

const struct verb send_verb = {
    .name = "send",
    .arguments = "[FILE]",
    .summary = "Sends the events of a file, or of standard input, to ingestd.",
    .details =
	"The input has one event on each line, or arrays of events.  Events "
	"without an id get one that is the same in each run, so that a sink "
	"with dedup_by_id stores each only once.  FILE.sent has the place up "
	"to which ingestd has accepted the events; a run that has ended early "
	"is continued from there.  Events that are rejected are listed on "
	"standard error with their line and the reason.",
    .settings = VERB_NO_SETTINGS,
    .flags = flags,
    .examples = examples,
    .run = send_run,
};
