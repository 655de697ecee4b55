/* send_request - see send_request.h. */
#include "leat/send_request.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leat/send_answer.h"
#include "libbase/clock.h"
#include "libbase/error.h"
#include "libbase/retry_delay.h"

#define RETRY_MIN_MS 200
#define RETRY_MAX_MS 15000
#define RETRY_AFTER_MAX_S 300

/* An answer names so many errors; with more, the next request is smaller. */
#define NAMED_ERRORS 10

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
	send_save(s);
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
		send_list_rejected(
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
		send_save(s);
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
	send_list_rejected(s, item->line, NULL, 0,
	                   "larger than max_body_bytes");
	s->refused++;
	s->done = send_batch_remove(s->sending, 1);
	send_save(s);
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
		        "the environment variable " SEND_TOKEN_ENV
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

bool
send_may_start(const struct send *s, bool may_read_more)
{
	if (s->finished || s->http.busy || s->stopping ||
	    clock_mono_ms() < s->due_ms)
		return false;
	if (send_batch_left(s->sending) > 0)
		return true;
	if (s->filling->count == 0 ||
	    (may_read_more && !send_filling_is_full(s) && !s->input_ended))
		return false;
	return true;
}

void
send_start_request(struct send *s)
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

void
send_step_request(struct send *s)
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
