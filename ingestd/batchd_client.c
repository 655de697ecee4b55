/* batchd_client - see batchd_client.h. */
#include "ingestd/batchd_client.h"

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
struct pending_request {
	struct pending_request *next;
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
frame_start(struct batchd_client *c)
{
	struct out_frame *f = c->spare;

	if (f) {
		c->spare = f->next;
		c->spare_count--;
	} else {
		f = malloc(sizeof *f);
		if (!f)
			return NULL;
		buf_init(&f->body, FRAME_BODY_MAX);
	}
	f->next = NULL;
	f->count = 0;
	f->seq = c->next_seq++;
	buf_clear(&f->body);
	if (c->last)
		c->last->next = f;
	else
		c->first = f;
	c->last = f;
	return f;
}

static void
frame_release(struct batchd_client *c, struct out_frame *f)
{
	if (c->spare_count < SPARE_FRAMES_MAX) {
		f->next = c->spare;
		c->spare = f;
		c->spare_count++;
		return;
	}
	buf_fini(&f->body);
	free(f);
}

/* Let go of the frames behind `keep` (NULL: all). */
static void
frames_drop_after(struct batchd_client *c, struct out_frame *keep)
{
	struct out_frame *f = keep ? keep->next : c->first, *next;

	for (; f; f = next) {
		next = f->next;
		frame_release(c, f);
	}
	if (keep)
		keep->next = NULL;
	else
		c->first = NULL;
	c->last = keep;
}

/* One request's transaction. */

static void
adding_start(struct batchd_client *c)
{
	c->adding.last = c->last;
	c->adding.last_bytes = c->last ? c->last->body.len : 0;
	c->adding.last_count = c->last ? c->last->count : 0;
	c->adding.next_seq = c->next_seq;
	c->adding.events = 0;
	c->adding.bytes = 0;
}

static int
pack(struct batchd_client *c, const struct event *event)
{
	struct out_frame *f = c->last;
	int rc;

	if (f) {
		rc = event_pack(&f->body, event);
		if (rc != -EMSGSIZE || f->count == 0)
			return rc;
	}
	/* Full: an event never straddles frames. */
	f = frame_start(c);
	return f ? event_pack(&f->body, event) : -ENOMEM;
}

int
batchd_client_add(struct batchd_client *c, const struct event *event)
{
	struct out_frame *f;
	struct out_frame *before = c->last;
	size_t start = before ? before->body.len : 0, bytes;
	int rc;

	assert(c->state == BATCHD_CLIENT_OPEN);
	rc = pack(c, event);
	if (rc < 0)
		return rc;
	f = c->last;
	if (f != before)
		start = 0;
	bytes = f->body.len - start;
	if (bytes > c->conf.max_event_bytes || !budget_take(c->budget, bytes)) {
		f->body.len = start;
		return bytes > c->conf.max_event_bytes ? -EMSGSIZE : -ENOBUFS;
	}
	if (c->adding.events == 0) {
		c->adding.first_seq = f->seq;
		c->adding.first_index = f->count;
	}
	f->count++;
	c->adding.events++;
	c->adding.bytes += bytes;
	return 0;
}

void
batchd_client_cancel(struct batchd_client *c)
{
	frames_drop_after(c, c->adding.last);
	if (c->last) {
		c->last->body.len = c->adding.last_bytes;
		c->last->count = c->adding.last_count;
	}
	c->next_seq = c->adding.next_seq;
	budget_give(c->budget, c->adding.bytes);
	adding_start(c);
}

int
batchd_client_commit(struct batchd_client *c, void *owner)
{
	struct pending_request *p = c->spare_pending;

	assert(c->adding.events > 0);
	if (p) {
		c->spare_pending = p->next;
	} else {
		p = malloc(sizeof *p);
		if (!p) {
			batchd_client_cancel(c);
			return -ENOMEM;
		}
	}
	*p = (struct pending_request){
	    .owner = owner,
	    .first_seq = c->adding.first_seq,
	    .first_index = c->adding.first_index,
	    /* The last frame may have been started for an event refused. */
	    .last_seq = c->last->count > 0 ? c->last->seq : c->last->seq - 1,
	    .bytes = c->adding.bytes,
	    .deadline_ms = uv_now(c->loop) + c->conf.append_timeout_ms,
	};
	if (c->tail)
		c->tail->next = p;
	else
		c->head = p;
	c->tail = p;
	if (!c->unresolved)
		c->unresolved = p;
	c->pending_count++;
	if (!uv_is_active((uv_handle_t *)&c->expiry))
		(void)uv_timer_start(&c->expiry, on_expiry,
		                     c->conf.append_timeout_ms, 0);
	adding_start(c);
	return 0;
}

/* Pending requests. */

static void
pending_answer(struct batchd_client *c, struct pending_request *p, int rc)
{
	void *owner = p->owner;

	if (!owner)
		return;
	p->owner = NULL;
	c->pending_count--;
	c->conf.on_done(owner, rc, p->offset);
}

/* A pending request that is in no list any more. */
static void
pending_end(struct batchd_client *c, struct pending_request *p, int rc)
{
	budget_give(c->budget, p->bytes);
	pending_answer(c, p, rc);
	p->next = c->spare_pending;
	c->spare_pending = p;
}

static void
pending_pop(struct batchd_client *c, int rc)
{
	struct pending_request *p = c->head;

	c->head = p->next;
	if (!c->head)
		c->tail = NULL;
	if (c->unresolved == p)
		c->unresolved = p->next;
	pending_end(c, p, rc);
}

/*
 * Drop the requests of which batchd has been sent nothing, and answer that
 * nothing of them was kept.
 */
static void
refuse_unsent(struct batchd_client *c)
{
	struct pending_request *kept = NULL, *p = c->head, *next;
	struct out_frame *f = NULL;
	uint64_t seq = c->sent_seq;

	/* What was begun is sent to its end, with what shares its frames. */
	for (; p && p->first_seq <= seq; kept = p, p = p->next) {
		if (p->last_seq > seq)
			seq = p->last_seq;
	}
	if (!p)
		return;
	for (struct out_frame *one = c->first; one && one->seq <= seq;
	     one = one->next)
		f = one;
	frames_drop_after(c, f);
	c->next_seq = seq + 1;
	adding_start(c);
	*(kept ? &kept->next : &c->head) = NULL;
	c->tail = kept;
	if (c->unresolved && c->unresolved->first_seq > seq)
		c->unresolved = NULL;
	for (; p; p = next) {
		next = p->next;
		pending_end(c, p, -EAGAIN);
	}
}

/* The connection. */

static void
on_poll_closed(uv_handle_t *handle)
{
	free(handle);
}

/* To BATCHD_CLIENT_DISCONNECTED; all that waited is answered. */
static void
disconnect(struct batchd_client *c)
{
	if (c->poll) {
		uv_close((uv_handle_t *)c->poll, on_poll_closed);
		c->poll = NULL;
	}
	chan_close(&c->chan);
	c->state = BATCHD_CLIENT_DISCONNECTED;
	c->intake_open = false;
	buf_clear(&c->status);
	refuse_unsent(c);
	while (c->head)
		pending_pop(c, -EPIPE);
	frames_drop_after(c, NULL);
	c->next_seq = 1;
	c->sent_seq = c->acked_seq = 0;
	adding_start(c);
}

/*
 * Pending requests are in the order of their deadlines.
 *
 * When all have expired and the log takes no events, the frames that batchd
 * has not read are of use to no client, and our statistics wait after them:
 * a new connection drops the ones and lets the others through.
 */
static void
on_expiry(uv_timer_t *timer)
{
	struct batchd_client *c = timer->data;
	uint64_t now_ms = uv_now(c->loop);

	for (struct pending_request *p = c->head; p; p = p->next) {
		if (p->deadline_ms > now_ms) {
			(void)uv_timer_start(timer, on_expiry,
			                     p->deadline_ms - now_ms, 0);
			return;
		}
		/* Its bytes count until batchd has them on disk. */
		pending_answer(c, p, -ETIMEDOUT);
	}
	if (!c->head || c->intake_open)
		return;
	log_info("connecting to batchd again: all requests that waited have "
	         "timed out, and the log takes no events");
	disconnect(c);
	(void)uv_timer_start(&c->retry, on_retry, 0, 0);
}

/* Never called between batchd_client_add and its commit: sends happen later. */
static void
fail(struct batchd_client *c, const char *what, int rc)
{
	unsigned held;

	disconnect(c);
	if (log_allow(&c->away_log, &held))
		log_warn("batchd unavailable socket=%s what=%s err=%s held=%u",
		         log_quote(c->conf.socket), log_quote(what),
		         log_quote(chan_error(c->conf.socket, rc)), held);
	(void)uv_timer_start(&c->retry, on_retry, c->backoff_ms, 0);
	c->backoff_ms *= 2;
	if (c->backoff_ms > BACKOFF_MAX_MS)
		c->backoff_ms = BACKOFF_MAX_MS;
}

static void
watch(struct batchd_client *c, bool want_write)
{
	int events = UV_READABLE | (want_write ? UV_WRITABLE : 0);

	c->want_write = want_write;
	/* Fails only for a handle that is closing, which c->poll never is. */
	(void)uv_poll_start(c->poll, events, on_ready);
}

static int
start(struct batchd_client *c)
{
	struct frame hello = {.type = FRAME_HELLO,
	                      .hello = {.version = FRAME_VERSION,
	                                .role = ROLE_INGEST,
	                                .name = slice_of("ingestd"),
	                                .pid = (uint64_t)getpid()}};
	int room = SEND_ROOM_BYTES;
	int rc = chan_connect(&c->chan, c->conf.socket, 0);

	if (rc < 0)
		return rc;
	/* The kernel cuts this down; it matters for speed alone. */
	(void)setsockopt(c->chan.fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
	c->poll = malloc(sizeof *c->poll);
	if (!c->poll)
		return -ENOMEM;
	rc = uv_poll_init(c->loop, c->poll, c->chan.fd);
	if (rc < 0) {
		free(c->poll);
		c->poll = NULL;
		return rc;
	}
	c->poll->data = c;
	c->state = BATCHD_CLIENT_HELLO;
	watch(c, false);
	return chan_send(&c->chan, &hello);
}

static void
on_retry(uv_timer_t *timer)
{
	struct batchd_client *c = timer->data;
	int rc = start(c);

	if (rc < 0)
		fail(c, "connect", rc);
}

void
batchd_client_flush(struct batchd_client *c)
{
	struct out_frame *f;
	int rc;

	if (c->state != BATCHD_CLIENT_OPEN)
		return;
	while ((f = c->first) && f->count > 0) {
		struct frame out = {
		    .type = FRAME_APPEND,
		    .append = {.seq = f->seq, .count = f->count},
		    .body = f->body.data,
		    .body_bytes = f->body.len};

		rc = chan_send(&c->chan, &out);
		if (rc == -EAGAIN) {
			if (!c->want_write)
				watch(c, true);
			return;
		}
		if (rc < 0) {
			fail(c, "send", rc);
			return;
		}
		c->sent_seq = f->seq;
		c->first = f->next;
		if (!c->first)
			c->last = NULL;
		frame_release(c, f);
	}
	adding_start(c);
	if (c->want_write)
		watch(c, false);
}

/* Frames from batchd. */

static int
on_welcome(struct batchd_client *c, const struct frame *f)
{
	if (c->state != BATCHD_CLIENT_HELLO ||
	    f->welcome.version != FRAME_VERSION)
		return -EPROTO;
	c->state = BATCHD_CLIENT_OPEN;
	c->connects++;
	c->backoff_ms = BACKOFF_MIN_MS;
	c->away_log = (struct log_limit){.interval_ms = 60000, .burst = 3};
	log_info("batchd connected socket=%s stream=%.*s next_offset=%" PRIu64,
	         log_quote(c->conf.socket), (int)f->welcome.stream.bytes,
	         f->welcome.stream.data, f->welcome.next_offset);
	return 0;
}

static int
on_appended(struct batchd_client *c, const struct frame *f)
{
	struct wire_reader r = {f->body, f->body + f->body_bytes};
	uint64_t offsets[FRAME_APPENDED_MAX], from = c->acked_seq + 1;
	uint32_t n = f->appended.count;
	int rc = 0;

	/* Every frame is reported once, and none that was not sent. */
	if (c->state != BATCHD_CLIENT_OPEN ||
	    f->appended.seq != c->acked_seq + n ||
	    f->appended.seq > c->sent_seq)
		return -EPROTO;
	for (uint32_t i = 0; rc == 0 && i < n; i++)
		rc = wire_uint(&r, &offsets[i]);
	if (rc < 0 || r.at != r.end)
		return -EBADMSG;
	c->acked_seq = f->appended.seq;
	for (struct pending_request *p = c->unresolved;
	     p && p->first_seq <= c->acked_seq; p = p->next) {
		p->offset = offsets[p->first_seq - from] + p->first_index;
		c->unresolved = p->next;
	}
	while (c->head && c->head->last_seq <= c->acked_seq)
		pending_pop(c, 0);
	if (!c->head)
		(void)uv_timer_stop(&c->expiry);
	return 0;
}

static int
on_intake(struct batchd_client *c, const struct frame *f)
{
	bool was_open = c->intake_open;

	if (c->state != BATCHD_CLIENT_OPEN)
		return -EPROTO;
	c->intake_open = f->intake.open;
	frame_copy_text(c->intake_reason, &f->intake.reason);
	if (!f->intake.open) {
		log_warn("batchd takes no events reason=%s",
		         log_quote(c->intake_reason));
		refuse_unsent(c);
	} else if (!was_open) {
		log_info("batchd takes events");
	}
	return 0;
}

static int
on_status(struct batchd_client *c, const struct frame *f)
{
	struct wire_reader r = {f->body, f->body + f->body_bytes};

	if (c->state != BATCHD_CLIENT_OPEN)
		return -EPROTO;
	if (wire_skip(&r) < 0 || r.at != r.end)
		return -EBADMSG;
	/* Out of memory: the next second's will do. */
	buf_clear(&c->status);
	if (buf_add(&c->status, f->body, f->body_bytes) == 0)
		c->status_ms = uv_now(c->loop);
	return 0;
}

static int
on_error(const struct frame *f)
{
	char text[FRAME_TEXT_MAX + 1];

	frame_copy_text(text, &f->error.text);
	log_warn("batchd closes the connection code=%s text=%s",
	         frame_error_name(f->error.code), log_quote(text));
	return -EPIPE;
}

static int
step(struct batchd_client *c, const struct frame *f)
{
	switch (f->type) {
	case FRAME_WELCOME:
		return on_welcome(c, f);
	case FRAME_APPENDED:
		return on_appended(c, f);
	case FRAME_INTAKE:
		return on_intake(c, f);
	case FRAME_STATUS:
		return on_status(c, f);
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
read_one(struct batchd_client *c)
{
	struct frame f;
	int n = chan_recv(&c->chan, c->in, FRAME_MAX), rc;

	if (n < 0)
		return n;
	rc = frame_read(c->in, (size_t)n, &f);
	return rc < 0 ? rc : step(c, &f);
}

static void
on_ready(uv_poll_t *poll, int status, int events)
{
	struct batchd_client *c = poll->data;
	int rc = status;

	if (rc == 0 && (events & UV_WRITABLE))
		batchd_client_flush(c);
	if (c->poll != poll)
		return; /* the flush found batchd gone */
	for (int i = 0; rc == 0 && i < RECV_BURST; i++)
		rc = read_one(c);
	if (rc < 0 && rc != -EAGAIN)
		fail(c, "receive", rc);
}

bool
batchd_client_send_stats(struct batchd_client *c, const void *map, size_t n)
{
	struct frame f = {.type = FRAME_STATS, .body = map, .body_bytes = n};
	int rc;

	if (c->state != BATCHD_CLIENT_OPEN)
		return false;
	rc = chan_send(&c->chan, &f);
	/* The next second's will do when batchd lags. */
	if (rc < 0 && rc != -EAGAIN)
		fail(c, "send", rc);
	return rc == 0;
}

bool
batchd_client_takes(const struct batchd_client *c, const char **why)
{
	if (c->state != BATCHD_CLIENT_OPEN)
		*why = "batchd is unreachable";
	else if (!c->intake_open)
		*why = c->intake_reason[0] ? c->intake_reason : "starting";
	else
		return true;
	return false;
}

int
batchd_client_open(struct batchd_client *c, uv_loop_t *loop,
                   const struct batchd_client_conf *conf, struct budget *budget)
{
	*c = (struct batchd_client){
	    .conf = *conf,
	    .budget = budget,
	    .loop = loop,
	    .chan = {.fd = -1},
	    .backoff_ms = BACKOFF_MIN_MS,
	    .away_log = {.interval_ms = 60000, .burst = 3},
	    .next_seq = 1};
	/* Neither can fail. */
	(void)uv_timer_init(loop, &c->retry);
	(void)uv_timer_init(loop, &c->expiry);
	c->retry.data = c->expiry.data = c;
	buf_init(&c->status, FRAME_BODY_MAX);
	c->in = malloc(FRAME_MAX);
	if (!c->in)
		return -ENOMEM;
	adding_start(c);
	on_retry(&c->retry);
	return 0;
}

void
batchd_client_close(struct batchd_client *c)
{
	if (!c->loop || c->state == BATCHD_CLIENT_CLOSED)
		return;
	disconnect(c);
	c->state = BATCHD_CLIENT_CLOSED;
	uv_close((uv_handle_t *)&c->retry, NULL);
	uv_close((uv_handle_t *)&c->expiry, NULL);
}

void
batchd_client_fini(struct batchd_client *c)
{
	struct out_frame *f;
	struct pending_request *p;

	while ((f = c->spare)) {
		c->spare = f->next;
		buf_fini(&f->body);
		free(f);
	}
	while ((p = c->spare_pending)) {
		c->spare_pending = p->next;
		free(p);
	}
	free(c->in);
	c->in = NULL;
	buf_fini(&c->status);
}
