/* upstream - see upstream.h. */
#include "ingestd/upstream.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libbase/buf.h"

#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 1000

/*
 * Asked of the socket: a few full frames, so that the next one can be sent
 * while batchd takes this one.  The default holds one.
 */
#define SEND_ROOM_BYTES (4 * FRAME_MAX)

#define RECV_BURST 16 /* frames, then back to the loop */

/* Kept for reuse: what a busy turn of the loop fills. */
#define SPARE_FRAMES_MAX 32

struct out_frame {
	struct out_frame *next;
	struct buf body;
	uint64_t seq;
	uint32_t count; /* of events in body */
};

/* A committed request, until its last frame is durable. */
struct ticket {
	struct ticket *next;
	void *owner; /* NULL once answered */
	uint64_t first_seq, last_seq;
	uint32_t first_index; /* of its first event in frame first_seq */
	uint64_t offset;
	size_t bytes;
	uint64_t deadline_ms;
};

static void on_ready(uv_poll_t *poll, int status, int events);
static void on_retry(uv_timer_t *timer);
static void on_expiry(uv_timer_t *timer);

/* Frames. */

static struct out_frame *
frame_start(struct upstream *u)
{
	struct out_frame *f = u->spare;

	if (f) {
		u->spare = f->next;
		u->spare_count--;
	} else {
		f = malloc(sizeof *f);
		if (!f)
			return NULL;
		buf_init(&f->body, FRAME_BODY_MAX);
	}
	f->next = NULL;
	f->count = 0;
	f->seq = u->next_seq++;
	buf_clear(&f->body);
	if (u->last)
		u->last->next = f;
	else
		u->first = f;
	u->last = f;
	return f;
}

static void
frame_release(struct upstream *u, struct out_frame *f)
{
	if (u->spare_count < SPARE_FRAMES_MAX) {
		f->next = u->spare;
		u->spare = f;
		u->spare_count++;
		return;
	}
	buf_fini(&f->body);
	free(f);
}

/* Let go of the frames behind `keep` (NULL: all). */
static void
frames_drop_after(struct upstream *u, struct out_frame *keep)
{
	struct out_frame *f = keep ? keep->next : u->first, *next;

	for (; f; f = next) {
		next = f->next;
		frame_release(u, f);
	}
	if (keep)
		keep->next = NULL;
	else
		u->first = NULL;
	u->last = keep;
}

/* One request's transaction. */

static void
adding_start(struct upstream *u)
{
	u->adding.last = u->last;
	u->adding.last_bytes = u->last ? u->last->body.len : 0;
	u->adding.last_count = u->last ? u->last->count : 0;
	u->adding.next_seq = u->next_seq;
	u->adding.events = 0;
	u->adding.bytes = 0;
}

static int
pack(struct upstream *u, const struct event *event)
{
	struct out_frame *f = u->last;
	int rc;

	if (f) {
		rc = event_pack(&f->body, event);
		if (rc != -EMSGSIZE || f->count == 0)
			return rc;
	}
	/* Full: an event never straddles frames. */
	f = frame_start(u);
	return f ? event_pack(&f->body, event) : -ENOMEM;
}

int
upstream_add(struct upstream *u, const struct event *event)
{
	struct out_frame *f;
	struct out_frame *before = u->last;
	size_t start = before ? before->body.len : 0, bytes;
	int rc;

	assert(u->state == UPSTREAM_OPEN);
	rc = pack(u, event);
	if (rc < 0)
		return rc;
	f = u->last;
	if (f != before)
		start = 0;
	bytes = f->body.len - start;
	if (bytes > u->conf.max_event_bytes || !budget_take(u->budget, bytes)) {
		f->body.len = start;
		return bytes > u->conf.max_event_bytes ? -EMSGSIZE : -ENOBUFS;
	}
	if (u->adding.events == 0) {
		u->adding.first_seq = f->seq;
		u->adding.first_index = f->count;
	}
	f->count++;
	u->adding.events++;
	u->adding.bytes += bytes;
	return 0;
}

void
upstream_cancel(struct upstream *u)
{
	frames_drop_after(u, u->adding.last);
	if (u->last) {
		u->last->body.len = u->adding.last_bytes;
		u->last->count = u->adding.last_count;
	}
	u->next_seq = u->adding.next_seq;
	budget_give(u->budget, u->adding.bytes);
	adding_start(u);
}

int
upstream_commit(struct upstream *u, void *owner)
{
	struct ticket *t = u->spare_tickets;

	assert(u->adding.events > 0);
	if (t) {
		u->spare_tickets = t->next;
	} else {
		t = malloc(sizeof *t);
		if (!t) {
			upstream_cancel(u);
			return -ENOMEM;
		}
	}
	*t = (struct ticket){
	    .owner = owner,
	    .first_seq = u->adding.first_seq,
	    .first_index = u->adding.first_index,
	    /* The last frame may have been started for an event refused. */
	    .last_seq = u->last->count > 0 ? u->last->seq : u->last->seq - 1,
	    .bytes = u->adding.bytes,
	    .deadline_ms = uv_now(u->loop) + u->conf.append_timeout_ms,
	};
	if (u->tail)
		u->tail->next = t;
	else
		u->head = t;
	u->tail = t;
	if (!u->unresolved)
		u->unresolved = t;
	u->waiting++;
	if (!uv_is_active((uv_handle_t *)&u->expiry))
		(void)uv_timer_start(&u->expiry, on_expiry,
		                     u->conf.append_timeout_ms, 0);
	adding_start(u);
	return 0;
}

/* Tickets. */

static void
ticket_answer(struct upstream *u, struct ticket *t, int rc)
{
	void *owner = t->owner;

	if (!owner)
		return;
	t->owner = NULL;
	u->waiting--;
	u->conf.on_done(owner, rc, t->offset);
}

/* A ticket that is in no list any more. */
static void
ticket_end(struct upstream *u, struct ticket *t, int rc)
{
	budget_give(u->budget, t->bytes);
	ticket_answer(u, t, rc);
	t->next = u->spare_tickets;
	u->spare_tickets = t;
}

static void
ticket_pop(struct upstream *u, int rc)
{
	struct ticket *t = u->head;

	u->head = t->next;
	if (!u->head)
		u->tail = NULL;
	if (u->unresolved == t)
		u->unresolved = t->next;
	ticket_end(u, t, rc);
}

/*
 * Drop the requests of which batchd has been sent nothing, and answer that
 * nothing of them was kept.
 */
static void
refuse_unsent(struct upstream *u)
{
	struct ticket *kept = NULL, *t = u->head, *next;
	struct out_frame *f = NULL;
	uint64_t seq = u->sent_seq;

	/* What was begun is sent to its end, with what shares its frames. */
	for (; t && t->first_seq <= seq; kept = t, t = t->next) {
		if (t->last_seq > seq)
			seq = t->last_seq;
	}
	if (!t)
		return;
	for (struct out_frame *one = u->first; one && one->seq <= seq;
	     one = one->next)
		f = one;
	frames_drop_after(u, f);
	u->next_seq = seq + 1;
	adding_start(u);
	*(kept ? &kept->next : &u->head) = NULL;
	u->tail = kept;
	if (u->unresolved && u->unresolved->first_seq > seq)
		u->unresolved = NULL;
	for (; t; t = next) {
		next = t->next;
		ticket_end(u, t, -EAGAIN);
	}
}

/* The connection. */

static void
on_poll_closed(uv_handle_t *handle)
{
	free(handle);
}

/* To UPSTREAM_DISCONNECTED; all that waited is answered. */
static void
disconnect(struct upstream *u)
{
	if (u->poll) {
		uv_close((uv_handle_t *)u->poll, on_poll_closed);
		u->poll = NULL;
	}
	chan_close(&u->chan);
	u->state = UPSTREAM_DISCONNECTED;
	u->intake_open = false;
	buf_clear(&u->status);
	refuse_unsent(u);
	while (u->head)
		ticket_pop(u, -EPIPE);
	frames_drop_after(u, NULL);
	u->next_seq = 1;
	u->sent_seq = u->acked_seq = 0;
	adding_start(u);
}

/*
 * Tickets are in the order of their deadlines.
 *
 * When all have expired and the log takes no events, the frames that batchd
 * has not read are of use to no client, and our statistics wait after them:
 * a new connection drops the ones and lets the others through.
 */
static void
on_expiry(uv_timer_t *timer)
{
	struct upstream *u = timer->data;
	uint64_t now_ms = uv_now(u->loop);

	for (struct ticket *t = u->head; t; t = t->next) {
		if (t->deadline_ms > now_ms) {
			(void)uv_timer_start(timer, on_expiry,
			                     t->deadline_ms - now_ms, 0);
			return;
		}
		/* Its bytes count until batchd has them on disk. */
		ticket_answer(u, t, -ETIMEDOUT);
	}
	if (!u->head || u->intake_open)
		return;
	log_info("connecting to batchd again: all requests that waited have "
	         "timed out, and the log takes no events");
	disconnect(u);
	(void)uv_timer_start(&u->retry, on_retry, 0, 0);
}

/* Never called between upstream_add and its commit: sends happen later. */
static void
fail(struct upstream *u, const char *what, int rc)
{
	unsigned held;

	disconnect(u);
	if (log_allow(&u->away_log, &held))
		log_warn("batchd unavailable socket=%s what=%s err=%s held=%u",
		         log_quote(u->conf.socket), log_quote(what),
		         log_quote(chan_error(u->conf.socket, rc)), held);
	(void)uv_timer_start(&u->retry, on_retry, u->backoff_ms, 0);
	u->backoff_ms *= 2;
	if (u->backoff_ms > BACKOFF_MAX_MS)
		u->backoff_ms = BACKOFF_MAX_MS;
}

static void
watch(struct upstream *u, bool want_write)
{
	int events = UV_READABLE | (want_write ? UV_WRITABLE : 0);

	u->want_write = want_write;
	/* Fails only for a handle that is closing, which u->poll never is. */
	(void)uv_poll_start(u->poll, events, on_ready);
}

static int
start(struct upstream *u)
{
	struct frame hello = {.type = FRAME_HELLO,
	                      .hello = {.version = FRAME_VERSION,
	                                .role = ROLE_INGEST,
	                                .name = slice_of("ingestd"),
	                                .pid = (uint64_t)getpid()}};
	int room = SEND_ROOM_BYTES;
	int rc = chan_connect(&u->chan, u->conf.socket, 0);

	if (rc < 0)
		return rc;
	/* The kernel cuts this down; it matters for speed alone. */
	(void)setsockopt(u->chan.fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
	u->poll = malloc(sizeof *u->poll);
	if (!u->poll)
		return -ENOMEM;
	rc = uv_poll_init(u->loop, u->poll, u->chan.fd);
	if (rc < 0) {
		free(u->poll);
		u->poll = NULL;
		return rc;
	}
	u->poll->data = u;
	u->state = UPSTREAM_HELLO;
	watch(u, false);
	return chan_send(&u->chan, &hello);
}

static void
on_retry(uv_timer_t *timer)
{
	struct upstream *u = timer->data;
	int rc = start(u);

	if (rc < 0)
		fail(u, "connect", rc);
}

void
upstream_flush(struct upstream *u)
{
	struct out_frame *f;
	int rc;

	if (u->state != UPSTREAM_OPEN)
		return;
	while ((f = u->first) && f->count > 0) {
		struct frame out = {
		    .type = FRAME_APPEND,
		    .append = {.seq = f->seq, .count = f->count},
		    .body = f->body.data,
		    .body_bytes = f->body.len};

		rc = chan_send(&u->chan, &out);
		if (rc == -EAGAIN) {
			if (!u->want_write)
				watch(u, true);
			return;
		}
		if (rc < 0) {
			fail(u, "send", rc);
			return;
		}
		u->sent_seq = f->seq;
		u->first = f->next;
		if (!u->first)
			u->last = NULL;
		frame_release(u, f);
	}
	adding_start(u);
	if (u->want_write)
		watch(u, false);
}

/* Frames from batchd. */

static int
on_welcome(struct upstream *u, const struct frame *f)
{
	if (u->state != UPSTREAM_HELLO || f->welcome.version != FRAME_VERSION)
		return -EPROTO;
	u->state = UPSTREAM_OPEN;
	u->connects++;
	u->backoff_ms = BACKOFF_MIN_MS;
	u->away_log = (struct log_limit){.interval_ms = 60000, .burst = 3};
	log_info("batchd connected socket=%s stream=%.*s next_offset=%" PRIu64,
	         log_quote(u->conf.socket), (int)f->welcome.stream.bytes,
	         f->welcome.stream.data, f->welcome.next_offset);
	return 0;
}

static int
on_appended(struct upstream *u, const struct frame *f)
{
	struct wire_reader r = {f->body, f->body + f->body_bytes};
	uint64_t offsets[FRAME_APPENDED_MAX], from = u->acked_seq + 1;
	uint32_t n = f->appended.count;
	int rc = 0;

	/* Every frame is reported once, and none that was not sent. */
	if (u->state != UPSTREAM_OPEN || f->appended.seq != u->acked_seq + n ||
	    f->appended.seq > u->sent_seq)
		return -EPROTO;
	for (uint32_t i = 0; rc == 0 && i < n; i++)
		rc = wire_uint(&r, &offsets[i]);
	if (rc < 0 || r.at != r.end)
		return -EBADMSG;
	u->acked_seq = f->appended.seq;
	for (struct ticket *t = u->unresolved;
	     t && t->first_seq <= u->acked_seq; t = t->next) {
		t->offset = offsets[t->first_seq - from] + t->first_index;
		u->unresolved = t->next;
	}
	while (u->head && u->head->last_seq <= u->acked_seq)
		ticket_pop(u, 0);
	if (!u->head)
		(void)uv_timer_stop(&u->expiry);
	return 0;
}

static int
on_intake(struct upstream *u, const struct frame *f)
{
	bool was_open = u->intake_open;

	if (u->state != UPSTREAM_OPEN)
		return -EPROTO;
	u->intake_open = f->intake.open;
	memcpy(u->intake_reason, f->intake.reason.data, f->intake.reason.bytes);
	u->intake_reason[f->intake.reason.bytes] = '\0';
	if (!f->intake.open) {
		log_warn("batchd takes no events reason=%s",
		         log_quote(u->intake_reason));
		refuse_unsent(u);
	} else if (!was_open) {
		log_info("batchd takes events");
	}
	return 0;
}

static int
on_status(struct upstream *u, const struct frame *f)
{
	struct wire_reader r = {f->body, f->body + f->body_bytes};

	if (u->state != UPSTREAM_OPEN)
		return -EPROTO;
	if (wire_skip(&r) < 0 || r.at != r.end)
		return -EBADMSG;
	/* Out of memory: the next second's will do. */
	buf_clear(&u->status);
	if (buf_add(&u->status, f->body, f->body_bytes) == 0)
		u->status_ms = uv_now(u->loop);
	return 0;
}

static int
on_error(const struct frame *f)
{
	char text[FRAME_TEXT_MAX + 1];

	memcpy(text, f->error.text.data, f->error.text.bytes);
	text[f->error.text.bytes] = '\0';
	log_warn("batchd closes the connection code=%s text=%s",
	         frame_error_name(f->error.code), log_quote(text));
	return -EPIPE;
}

static int
step(struct upstream *u, const struct frame *f)
{
	switch (f->type) {
	case FRAME_WELCOME:
		return on_welcome(u, f);
	case FRAME_APPENDED:
		return on_appended(u, f);
	case FRAME_INTAKE:
		return on_intake(u, f);
	case FRAME_STATUS:
		return on_status(u, f);
	case FRAME_ERROR:
		return on_error(f);
	case FRAME_HELLO:
	case FRAME_APPEND:
	case FRAME_SUBSCRIBE:
	case FRAME_BATCH:
	case FRAME_COMMITTED:
	case FRAME_STATS:
	case FRAME_CONTROL:
	case FRAME_REPLY:
	case FRAME_FLUSH:
		break; /* not for us */
	}
	return -EPROTO;
}

static int
read_one(struct upstream *u)
{
	struct frame f;
	int n = chan_recv(&u->chan, u->in, FRAME_MAX), rc;

	if (n < 0)
		return n;
	rc = frame_read(u->in, (size_t)n, &f);
	return rc < 0 ? rc : step(u, &f);
}

static void
on_ready(uv_poll_t *poll, int status, int events)
{
	struct upstream *u = poll->data;
	int rc = status;

	if (rc == 0 && (events & UV_WRITABLE))
		upstream_flush(u);
	if (u->poll != poll)
		return; /* the flush found batchd gone */
	for (int i = 0; rc == 0 && i < RECV_BURST; i++)
		rc = read_one(u);
	if (rc < 0 && rc != -EAGAIN)
		fail(u, "receive", rc);
}

bool
upstream_send_stats(struct upstream *u, const void *map, size_t n)
{
	struct frame f = {.type = FRAME_STATS, .body = map, .body_bytes = n};
	int rc;

	if (u->state != UPSTREAM_OPEN)
		return false;
	rc = chan_send(&u->chan, &f);
	/* The next second's will do when batchd lags. */
	if (rc < 0 && rc != -EAGAIN)
		fail(u, "send", rc);
	return rc == 0;
}

bool
upstream_takes(const struct upstream *u, const char **why)
{
	if (u->state != UPSTREAM_OPEN)
		*why = "batchd is unreachable";
	else if (!u->intake_open)
		*why = u->intake_reason[0] ? u->intake_reason : "starting";
	else
		return true;
	return false;
}

int
upstream_open(struct upstream *u, uv_loop_t *loop,
              const struct upstream_conf *conf, struct budget *budget)
{
	*u = (struct upstream){.conf = *conf,
	                       .budget = budget,
	                       .loop = loop,
	                       .chan = {.fd = -1},
	                       .backoff_ms = BACKOFF_MIN_MS,
	                       .away_log = {.interval_ms = 60000, .burst = 3},
	                       .next_seq = 1};
	/* Neither can fail. */
	(void)uv_timer_init(loop, &u->retry);
	(void)uv_timer_init(loop, &u->expiry);
	u->retry.data = u->expiry.data = u;
	buf_init(&u->status, FRAME_BODY_MAX);
	u->in = malloc(FRAME_MAX);
	if (!u->in)
		return -ENOMEM;
	adding_start(u);
	on_retry(&u->retry);
	return 0;
}

void
upstream_close(struct upstream *u)
{
	if (!u->loop || u->state == UPSTREAM_CLOSED)
		return;
	disconnect(u);
	u->state = UPSTREAM_CLOSED;
	uv_close((uv_handle_t *)&u->retry, NULL);
	uv_close((uv_handle_t *)&u->expiry, NULL);
}

void
upstream_fini(struct upstream *u)
{
	struct out_frame *f;
	struct ticket *t;

	while ((f = u->spare)) {
		u->spare = f->next;
		buf_fini(&f->body);
		free(f);
	}
	while ((t = u->spare_tickets)) {
		u->spare_tickets = t->next;
		free(t);
	}
	free(u->in);
	u->in = NULL;
	buf_fini(&u->status);
}
