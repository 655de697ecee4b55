/*
 * tail - `leat tail`: show events of the log, and follow it as it grows.
 *
 * Prints columns on a terminal, otherwise one line of JSON for each event.
 * Events that are skipped, and a lost connection, are reported on standard
 * error.  SIGINT ends the process with EXIT_SUCCESS.  So does the end that was
 * asked for, and an output that nothing reads any more.  The exit status is
 * EXIT_CONFIG if an option has a wrong value, and EXIT_FAILURE, after logging
 * why, if batchd is unreachable or the output cannot be written.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "leat/cell.h"
#include "leat/log_time.h"
#include "leat/options.h"
#include "leat/tail_link.h"
#include "leat/tail_rows.h"
#include "leat/verb.h"
#include "libbase/clock.h"
#include "libbase/error.h"
#include "libbase/log.h"

/* Between two tries to reach a batchd that was lost. */
#define RECONNECT_MS 250

/* Rows are written when there are so many bytes of them, or nothing follows. */
#define WRITE_BYTES (64 * KIB)

/* A live tail on a busy machine may skip events many times in a second. */
#define SKIPPED_REPORT_MS 1000

/*
 * Unless asked for more, a tail that follows the log gets so many bytes of
 * events a second.  That is more than anyone can read, and so little that no
 * number of tails takes CPU time from the pipeline on the same machine.
 */
#define LIVE_BYTES_PER_S (1 * MIB)

#define NO_END UINT64_MAX
#define NOT_GIVEN UINT64_MAX

/* What the operator asks for. */
static struct tail_options {
	struct when from, to;
	uint64_t limit, bytes_per_s;
	struct conf_values types; /* show only these; none: all */
	const char *user;         /* show only this one; NULL: all */
	bool until_end;           /* end where the log ends at the start */
	bool json;                /* JSON on a terminal as well */
} options = {.limit = UINT64_MAX, .bytes_per_s = NOT_GIVEN};

struct tail {
	const char *socket; /* of batchd */
	struct tail_link link;
	bool was_connected; /* at least once */

	uint64_t next; /* offset of the next event wanted */
	uint64_t end;  /* offset at which to end, or NO_END */
	uint64_t left; /* how many events may still be shown */
	bool live;     /* skip events rather than lag */
	char stream[FRAME_STREAM_NAME_MAX + 1]; /* that the offsets are of */

	/* Events that were skipped and are not reported yet: */
	uint64_t skipped, skipped_from, skipped_to;
	uint64_t skipped_reported_ms; /* the last report; 0: none */

	bool is_terminal, is_table;
	struct tail_table table;
	struct buf out;
	bool finished; /* nothing more is to be shown */
	int status;    /* the exit status then */
};

/* SIGINT: the flag ends loops and writes, the descriptor ends a poll. */
static volatile sig_atomic_t interrupted;
static int interrupt_fd = -1;

static void
tail_finish(struct tail *t, int status)
{
	t->finished = true;
	t->status = status;
}

/* --- output --- */

/*
 * Write out what is buffered, as long as something reads it.  After SIGINT
 * nothing more is written, because the reader may have stopped reading.
 */
static void
tail_write(struct tail *t)
{
	struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};
	size_t at = 0;

	while (at < t->out.len && !interrupted) {
		ssize_t n =
		    write(STDOUT_FILENO, t->out.data + at, t->out.len - at);

		if (n >= 0) {
			at += (size_t)n;
		} else if (errno == EAGAIN) {
			/* Another process has made the terminal so. */
			(void)poll(&p, 1, -1);
		} else if (errno == EPIPE) {
			tail_finish(t, EXIT_SUCCESS);
			break;
		} else if (errno != EINTR) {
			log_error("cannot write to standard output err=%s",
			          log_quote(strerror(errno)));
			tail_finish(t, EXIT_FAILURE);
			break;
		}
	}
	if (interrupted)
		tail_finish(t, EXIT_SUCCESS);
	buf_clear(&t->out);
}

/*
 * Wait until `fd` (-1: none) can be read.  Ends the tail after SIGINT, and if
 * nothing reads its output any more, which a write would only notice at the
 * next event.
 */
static void
tail_wait(struct tail *t, int fd, int timeout_ms)
{
	struct pollfd p[3] = {{.fd = fd, .events = POLLIN},
	                      {.fd = STDOUT_FILENO},
	                      {.fd = interrupt_fd, .events = POLLIN}};

	/* After an error the caller tries again, as after a time-out. */
	if ((poll(p, 3, timeout_ms) > 0 &&
	     p[1].revents & (POLLERR | POLLHUP)) ||
	    interrupted)
		tail_finish(t, EXIT_SUCCESS);
}

static void
tail_on_interrupt(int signo)
{
	static const uint64_t one = 1;
	int saved = errno;

	(void)signo;
	/* A write may have begun to wait before it could see the flag. */
	if (interrupted || write(interrupt_fd, &one, sizeof one) < 0)
		_exit(EXIT_SUCCESS);
	interrupted = 1;
	errno = saved;
}

/*
 * Let SIGINT end the tail quietly, and a closed pipe fail the write.  Returns 0
 * or -errno.
 */
static int
tail_catch_signals(void)
{
	/* Without SA_RESTART, so that it interrupts a write. */
	struct sigaction interrupt = {.sa_handler = tail_on_interrupt};
	struct sigaction ignore = {.sa_handler = SIG_IGN}, before;

	interrupt_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (interrupt_fd < 0)
		return -errno;
	/* These fail only for an invalid signal number. */
	(void)sigaction(SIGPIPE, &ignore, NULL);
	(void)sigaction(SIGINT, NULL, &before);
	if (before.sa_handler != SIG_IGN)
		(void)sigaction(SIGINT, &interrupt, NULL);
	return 0;
}

/* --- options --- */

static int
tail_read_limit(const char *option, const char *text, void *into)
{
	uint64_t *limit = into;

	if (options_number(text, limit) && *limit > 0)
		return 0;
	log_error("%s must be a number of events, at least 1 value=%s", option,
	          log_quote(text));
	return -EINVAL;
}

static int
tail_read_rate(const char *option, const char *text, void *into)
{
	if (options_number(text, into))
		return 0;
	log_error("%s must be a number of bytes, or 0 for no limit value=%s",
	          option, log_quote(text));
	return -EINVAL;
}

/* Replace a time by its offset, which the log on disk tells. */
static int
tail_resolve_time(struct when *when, const char *log_dir)
{
	if (when->kind != WHEN_TIME)
		return 0;
	return log_time_find_in(log_dir, when->us, &when->offset);
}

/* --- events --- */

static bool
is_wanted(const struct event *e)
{
	const struct conf_values *types = &options.types;
	bool type = types->count == 0;

	for (size_t i = 0; !type && i < types->count; i++)
		type = slice_is(e->type, types->at[i]);
	return type && (!options.user || (e->user_id.data &&
	                                  slice_is(e->user_id, options.user)));
}

/* Returns 0 or a negative error. */
static int
tail_show(struct tail *t, uint64_t offset, const struct event *e)
{
	int rc = 0;

	if (t->is_table)
		tail_table_row(&t->table, &t->out, e);
	else
		rc = tail_json_line(&t->out, offset, e, t->is_terminal);
	if (rc == 0)
		rc = t->out.error;
	if (t->out.len >= WRITE_BYTES)
		tail_write(t);
	if (--t->left == 0)
		tail_finish(t, EXIT_SUCCESS);
	return rc;
}

static int
tail_on_batch(struct tail *t, const struct frame *f)
{
	struct wire_reader r = {f->body, f->body + f->body_bytes};
	uint64_t offset = f->batch.offset;
	struct event e;

	if (t->is_table)
		t->table.width = cell_terminal_width(STDOUT_FILENO);
	for (uint32_t i = 0; i < f->batch.count; i++, offset++) {
		int rc = event_read(&r, &e);

		if (rc == 0 && !t->finished && offset >= t->next &&
		    offset < t->end && is_wanted(&e))
			rc = tail_show(t, offset, &e);
		if (rc < 0)
			return rc;
	}
	if (f->batch.last && f->batch.next > offset)
		offset = f->batch.next;
	if (offset > t->next)
		t->next = offset;
	return r.at == r.end ? 0 : -EBADMSG;
}

/*
 * Report the events that were skipped since the last report; with `now`, even
 * if that was a moment ago.
 */
static void
tail_report_skipped(struct tail *t, bool now, const char *why)
{
	uint64_t now_ms = clock_mono_ms();

	if (t->skipped == 0 ||
	    (!now && t->skipped_reported_ms > 0 &&
	     now_ms - t->skipped_reported_ms < SKIPPED_REPORT_MS))
		return;
	tail_write(t); /* keep the order on a terminal */
	log_warn("events skipped count=%" PRIu64 " from=%" PRIu64 " to=%" PRIu64
	         ": %s",
	         t->skipped, t->skipped_from, t->skipped_to, why);
	t->skipped = 0;
	t->skipped_reported_ms = now_ms;
}

#define WHY_SKIPPED                                                            \
	"deleted or damaged, or more than --bytes-per-s, this tail or batchd " \
	"allow"

/* The events up to `to` will not be shown although they may be wanted. */
static void
tail_skip(struct tail *t, uint64_t to)
{
	if (to > t->end)
		to = t->end;
	if (to <= t->next)
		return;
	if (t->skipped == 0)
		t->skipped_from = t->next;
	t->skipped += to - t->next;
	t->skipped_to = to;
	t->next = to;
}

/* --- the connection --- */

/* Return true if it has an offset, of its own or of its time. */
static bool
is_offset(const struct when *when)
{
	return when->kind == WHEN_OFFSET || when->kind == WHEN_TIME;
}

static uint64_t
offset_of(const struct when *when, const struct tail_link *l)
{
	switch (when->kind) {
	case WHEN_NONE:
		return NO_END;
	case WHEN_OLDEST:
		return l->first_offset;
	case WHEN_NEWEST:
		return l->next_offset;
	case WHEN_OFFSET:
	case WHEN_TIME:
		break;
	}
	return when->offset;
}

/* Set where to begin and where to end, at the first connection. */
static int
tail_start(struct tail *t)
{
	const struct tail_link *l = &t->link;

	memcpy(t->stream, l->stream, sizeof t->stream);
	t->next = offset_of(&options.from, l);
	t->end = offset_of(&options.to, l);
	if (t->end < t->next && is_offset(&options.from) &&
	    is_offset(&options.to)) {
		log_error("--to is before --from to=%" PRIu64 " from=%" PRIu64,
		          t->end, t->next);
		tail_finish(t, EXIT_CONFIG);
		return -EINVAL;
	}
	if (options.until_end && l->next_offset < t->end)
		t->end = l->next_offset;
	t->live = options.from.kind == WHEN_NEWEST && t->end == NO_END;
	if (options.bytes_per_s == NOT_GIVEN)
		options.bytes_per_s = t->live ? LIVE_BYTES_PER_S : 0;
	if (t->is_table)
		tail_table_header(&t->table, &t->out);
	return 0;
}

/*
 * Check that the log still is the one that the offsets are of, and reaches
 * them.  The offset of a time may be on disk and not durable yet.
 */
static int
tail_check_log(struct tail *t)
{
	const struct tail_link *l = &t->link;

	if (strcmp(t->stream, l->stream) != 0) {
		log_error("batchd has another log than before, with other "
		          "offsets: run this again");
		tail_finish(t, EXIT_FAILURE);
		return -EINVAL;
	}
	if (t->next > l->next_offset && t->next < t->end &&
	    options.from.kind != WHEN_TIME) {
		log_error(
		    "the log ends before the offset wanted offset=%" PRIu64
		    " log_end=%" PRIu64,
		    t->next, l->next_offset);
		tail_finish(t, EXIT_FAILURE);
		return -EINVAL;
	}
	tail_skip(t, l->first_offset);
	tail_report_skipped(t, true, "the log has deleted them");
	return 0;
}

/* Connect, and ask for the events.  Returns 0 or a negative error. */
static int
tail_connect(struct tail *t)
{
	uint64_t events = 0;
	int rc = tail_link_open(&t->link, t->socket);

	if (rc == 0 && !t->was_connected)
		rc = tail_start(t);
	if (rc == 0) {
		t->was_connected = true;
		rc = tail_check_log(t);
	}
	if (rc < 0)
		return rc;
	if (t->next >= t->end) {
		tail_finish(t, EXIT_SUCCESS);
		return 0;
	}
	if (t->end != NO_END)
		events = t->end - t->next;
	return tail_link_watch(&t->link, t->next, events, t->live,
	                       options.bytes_per_s);
}

/*
 * Show events until all are shown.  Returns 0 then, or the negative error that
 * has ended the connection.
 */
static int
tail_receive(struct tail *t)
{
	struct frame f;
	int rc = 0;

	while (rc == 0 && !t->finished) {
		rc = tail_link_next(&t->link, &f);
		if (rc == -EAGAIN) {
			tail_write(t);
			if (!t->finished)
				tail_wait(t, t->link.chan.fd,
				          t->skipped > 0 ? SKIPPED_REPORT_MS
				                         : -1);
			tail_report_skipped(t, false, WHY_SKIPPED);
			rc = 0;
			continue;
		}
		if (rc == 0 && f.type == FRAME_SKIPPED) {
			tail_skip(t, f.skipped.to);
			tail_report_skipped(t, !t->live, WHY_SKIPPED);
		} else if (rc == 0) {
			rc = tail_on_batch(t, &f);
		}
		if (rc == 0 && (t->next >= t->end || interrupted))
			tail_finish(t, EXIT_SUCCESS);
	}
	tail_report_skipped(t, true, WHY_SKIPPED);
	tail_write(t);
	return rc;
}

/*
 * Return true if the tail should wait for batchd after this error: if it has
 * been connected, and has no end, for which a script may be waiting.
 */
static bool
tail_should_retry(const struct tail *t, int rc)
{
	if (!t->was_connected || t->end != NO_END)
		return false;
	switch (rc) {
	case -ENOENT:
	case -ECONNREFUSED:
	case -EPIPE:
	case -EBUSY:
	case -ETIMEDOUT:
		return true;
	case ERR_BATCHD_REFUSED:
		return t->link.error_code == ERROR_STOPPING ||
		       t->link.error_code == ERROR_FULL;
	default:
		return false;
	}
}

/* Run until the end, through any number of connections. */
static void
tail_show_all(struct tail *t)
{
	bool reported = false;

	while (!t->finished) {
		int rc = tail_connect(t);
		const char *why;

		if (rc == 0) {
			reported = false;
			rc = tail_receive(t);
		}
		tail_link_close(&t->link);
		if (t->finished)
			return;
		why = tail_link_error(&t->link, t->socket, rc);
		if (!tail_should_retry(t, rc)) {
			log_error("batchd does not answer socket=%s err=%s",
			          log_quote(t->socket), log_quote(why));
			tail_finish(t, EXIT_FAILURE);
			return;
		}
		if (!reported)
			log_warn("connection to batchd lost; connecting again, "
			         "to continue at offset=%" PRIu64 " err=%s",
			         t->next, log_quote(why));
		reported = true;
		tail_wait(t, -1, RECONNECT_MS);
	}
}

static int
tail_run(const struct verb_call *call)
{
	static struct tail t;

	/* Follow the log from its newest event on, unless there is an end. */
	if (options.from.kind == WHEN_NONE)
		options.from.kind =
		    options.to.kind != WHEN_NONE || options.until_end
			? WHEN_OLDEST
			: WHEN_NEWEST;
	if (tail_catch_signals() < 0) {
		log_error("out of file descriptors");
		return EXIT_FAILURE;
	}
	if (tail_resolve_time(&options.from, call->log_dir) < 0 ||
	    tail_resolve_time(&options.to, call->log_dir) < 0)
		return EXIT_FAILURE;
	t.socket = call->socket;
	t.left = options.limit;
	t.end = NO_END;
	t.link.chan.fd = -1;
	t.is_terminal = isatty(STDOUT_FILENO);
	t.is_table = t.is_terminal && !options.json;
	buf_init(&t.out, WRITE_BYTES + TAIL_ROW_MAX);
	tail_table_start(&t.table, cell_terminal_width(STDOUT_FILENO));
	tail_show_all(&t);
	tail_write(&t);
	buf_fini(&t.out);
	return t.status;
}

const struct verb tail_verb = {
    .name = "tail",
    .summary = "Shows events as they become durable, or those of the log.",
    .details = "Prints columns on a terminal, otherwise a JSON object a line.  "
	       "Times are when events were received, in UTC.",
    .flags = VERB_FLAGS(
	VERB_VALUE("--from", "WHEN", options_when, &options.from,
                   "begin at an offset, a time (2026-11-26T14:00Z), -10m (s, "
                   "m, h, d), oldest or newest (the default; with --to or "
                   "--until-end: oldest)"),
	VERB_VALUE(
	    "--to", "WHEN", options_when, &options.to,
	    "end before this offset, or this time, which must have passed"),
	{.name = "--type",
         .argument = "TYPE",
         .help = "show only this type; may be given again",
         .values = &options.types},
	VERB_TEXT("--user", "USER", &options.user, "show only this user"),
	VERB_VALUE("--limit", "N", tail_read_limit, &options.limit,
                   "end after N events were shown"),
	VERB_VALUE(
	    "--bytes-per-s", "N", tail_read_rate, &options.bytes_per_s,
	    "take at most N bytes of events a second; 0: no limit (default 0, "
	    "or 1048576 for a tail from newest without an end)"),
	VERB_SWITCH("--until-end", &options.until_end,
                    "end where the log ends when the command starts"),
	VERB_SWITCH("--json", &options.json, "print JSON on a terminal, too")),
    .examples = VERB_EXAMPLES(
	{"leat tail", "the events as they become durable, until ^C"},
	{"leat tail --from -10m --type order", "from ten minutes ago on"},
	{"leat tail --from 2026-11-26T14:00Z --to 2026-11-26T15:00Z "
         ">hour.ndjson",
         "one hour, as JSON"}),
    .run = tail_run,
};
