/* batchd_client - see batchd_client.h. */
#include "ingestd/batchd_client.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 1000

/*
 * The socket's send buffer is to hold several full frames, so that the next
 * frame can be sent while batchd reads this one.  The default holds one.
 */
#define SEND_BUFFER_BYTES (4 * FRAME_MAX)

/* Frames read in one turn of the loop, so that others get their turn. */
#define RECV_BURST 16

static const struct log_limit unreachable_limit = {.interval_ms = 60000,
                                                   .burst = 3};

static void client_on_ready(uv_poll_t *poll, int status, int events);
static void client_on_retry(uv_timer_t *timer);
static void client_on_expiry(uv_timer_t *timer);

/* States. */

/* Why the state changes, for the log. */
struct cause {
	/* To BATCHD_CLIENT_DISCONNECTED: the operation that failed with rc;
	 * NULL: none, the pending requests have all timed out. */
	const char *failed;
	int rc;
};

static void
client_on_poll_closed(uv_handle_t *handle)
{
	free(handle);
}

static void
drop_connection(struct batchd_client *c)
{
	if (c->poll) {
		uv_close((uv_handle_t *)c->poll, client_on_poll_closed);
		c->poll = NULL;
	}
	chan_close(&c->chan);
	c->intake_open = false;
	buf_clear(&c->status);
	append_queue_reset(&c->queue);
}

static void
enter_disconnected(struct batchd_client *c, const struct cause *cause)
{
	unsigned suppressed;

	drop_connection(c);
	if (!cause->failed) {
		log_info("connecting to batchd again: all pending requests "
		         "have timed out, and the log takes no events");
		(void)uv_timer_start(&c->retry, client_on_retry, 0, 0);
		return;
	}
	if (log_allow(&c->unreachable_log, &suppressed))
		log_warn(
		    "batchd unreachable socket=%s what=%s err=%s suppressed=%u",
		    log_quote(c->conf.socket), log_quote(cause->failed),
		    log_quote(chan_error(c->conf.socket, cause->rc)),
		    suppressed);
	(void)uv_timer_start(&c->retry, client_on_retry, c->backoff_ms, 0);
	c->backoff_ms *= 2;
	if (c->backoff_ms > BACKOFF_MAX_MS)
		c->backoff_ms = BACKOFF_MAX_MS;
}

static void
enter_open(struct batchd_client *c)
{
	c->connects++;
	c->backoff_ms = BACKOFF_MIN_MS;
	c->unreachable_log = unreachable_limit;
	log_info("batchd connected socket=%s", log_quote(c->conf.socket));
}

/*
 * The only function that changes the state.  Never called between
 * batchd_client_add and its commit, because sending happens later.
 */
static void
client_enter(struct batchd_client *c, enum batchd_client_state state,
             struct cause cause)
{
	c->state = state;
	switch (state) {
	case BATCHD_CLIENT_DISCONNECTED:
		enter_disconnected(c, &cause);
		break;
	case BATCHD_CLIENT_HELLO:
		break;
	case BATCHD_CLIENT_OPEN:
		enter_open(c);
		break;
	case BATCHD_CLIENT_CLOSED:
		drop_connection(c);
		uv_close((uv_handle_t *)&c->retry, NULL);
		uv_close((uv_handle_t *)&c->expiry, NULL);
		break;
	}
}

static void
client_fail(struct batchd_client *c, const char *operation, int rc)
{
	client_enter(c, BATCHD_CLIENT_DISCONNECTED,
	             (struct cause){.failed = operation, .rc = rc});
}

/* Connecting and sending. */

static void
client_watch(struct batchd_client *c, bool want_write)
{
	int events = UV_READABLE | (want_write ? UV_WRITABLE : 0);

	c->want_write = want_write;
	/* Fails only for a handle that is closing, which c->poll never is. */
	(void)uv_poll_start(c->poll, events, client_on_ready);
}

static int
client_connect(struct batchd_client *c)
{
	const struct frame hello = frame_hello(ROLE_INGEST, "ingestd");
	int buffer_bytes = SEND_BUFFER_BYTES;
	int rc = chan_connect(&c->chan, c->conf.socket, 0);

	if (rc < 0)
		return rc;
	/* The kernel may grant less, which only makes sending slower. */
	(void)setsockopt(c->chan.fd, SOL_SOCKET, SO_SNDBUF, &buffer_bytes,
	                 sizeof buffer_bytes);
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
	client_watch(c, false);
	return chan_send(&c->chan, &hello);
}

static void
client_on_retry(uv_timer_t *timer)
{
	struct batchd_client *c = timer->data;
	int rc = client_connect(c);

	if (rc < 0)
		client_fail(c, "connect", rc);
	else
		client_enter(c, BATCHD_CLIENT_HELLO, (struct cause){0});
}

void
batchd_client_flush(struct batchd_client *c)
{
	struct frame f;

	if (c->state != BATCHD_CLIENT_OPEN)
		return;
	while (append_queue_next(&c->queue, &f)) {
		int rc = chan_send(&c->chan, &f);

		if (rc == -EAGAIN) {
			if (!c->want_write)
				client_watch(c, true);
			return;
		}
		if (rc < 0) {
			client_fail(c, "send", rc);
			return;
		}
		append_queue_sent(&c->queue);
	}
	if (c->want_write)
		client_watch(c, false);
}

bool
batchd_client_send_stats(struct batchd_client *c, const void *map, size_t n)
{
	struct frame f = {.type = FRAME_STATS, .body = map, .body_bytes = n};
	int rc;

	if (c->state != BATCHD_CLIENT_OPEN)
		return false;
	rc = chan_send(&c->chan, &f);
	/* If batchd lags, the statistics of the next second will do. */
	if (rc < 0 && rc != -EAGAIN)
		client_fail(c, "send", rc);
	return rc == 0;
}

/* Frames from batchd. */

static int
client_on_welcome(struct batchd_client *c, const struct frame *f)
{
	if (c->state != BATCHD_CLIENT_HELLO ||
	    f->welcome.version != FRAME_VERSION)
		return -EPROTO;
	client_enter(c, BATCHD_CLIENT_OPEN, (struct cause){0});
	return 0;
}

static int
client_on_appended(struct batchd_client *c, const struct frame *f)
{
	int rc = append_queue_acknowledge(&c->queue, f);

	if (rc == 0 && !c->queue.head)
		(void)uv_timer_stop(&c->expiry);
	return rc;
}

static int
client_on_intake(struct batchd_client *c, const struct frame *f)
{
	bool was_open = c->intake_open;

	c->intake_open = f->intake.open;
	frame_copy_text(c->intake_reason, &f->intake.reason);
	if (!f->intake.open) {
		log_warn("batchd takes no events reason=%s",
		         log_quote(c->intake_reason));
		append_queue_drop_unsent(&c->queue);
	} else if (!was_open) {
		log_info("batchd takes events");
	}
	return 0;
}

static int
client_on_status(struct batchd_client *c, const struct frame *f)
{
	if (!wire_is_one_value(f->body, f->body_bytes))
		return -EBADMSG;
	/* If there is no memory, the status of the next second will do. */
	buf_clear(&c->status);
	if (buf_add(&c->status, f->body, f->body_bytes) == 0)
		c->status_ms = uv_now(c->loop);
	return 0;
}

static int
client_on_error_frame(const struct frame *f)
{
	char text[FRAME_TEXT_MAX + 1];

	frame_copy_text(text, &f->error.text);
	log_warn("batchd closes the connection code=%s text=%s",
	         frame_error_name(f->error.code), log_quote(text));
	return -EPIPE;
}

static int
client_on_frame(struct batchd_client *c, const struct frame *f)
{
	if (f->type == FRAME_ERROR)
		return client_on_error_frame(f);
	if (f->type == FRAME_WELCOME)
		return client_on_welcome(c, f);
	if (c->state != BATCHD_CLIENT_OPEN)
		return -EPROTO;
	switch (f->type) {
	case FRAME_APPENDED:
		return client_on_appended(c, f);
	case FRAME_INTAKE:
		return client_on_intake(c, f);
	case FRAME_STATUS:
		return client_on_status(c, f);
	default:
		return -EPROTO; /* batchd does not send it to an ingestd */
	}
}

static int
client_read_frame(struct batchd_client *c)
{
	struct frame f;
	int n = chan_recv(&c->chan, c->in, FRAME_MAX), rc;

	if (n < 0)
		return n;
	rc = frame_read(c->in, (size_t)n, &f);
	return rc < 0 ? rc : client_on_frame(c, &f);
}

static void
client_on_ready(uv_poll_t *poll, int status, int events)
{
	struct batchd_client *c = poll->data;
	int rc = status;

	if (rc == 0 && (events & UV_WRITABLE))
		batchd_client_flush(c);
	if (c->poll != poll)
		return; /* the flush has found that batchd is gone */
	for (int i = 0; rc == 0 && i < RECV_BURST; i++)
		rc = client_read_frame(c);
	if (rc < 0 && rc != -EAGAIN)
		client_fail(c, "receive", rc);
}

/* Requests. */

/*
 * When all requests have timed out and the log takes no events, the frames
 * that batchd has not read are of no use to any client, but our statistics
 * wait after them in the socket.  A new connection discards those frames and
 * lets the statistics through.
 */
static void
client_on_expiry(uv_timer_t *timer)
{
	struct batchd_client *c = timer->data;
	uint64_t now_ms = uv_now(c->loop);
	uint64_t next_ms = append_queue_expire(&c->queue, now_ms);

	if (next_ms > 0)
		(void)uv_timer_start(timer, client_on_expiry, next_ms - now_ms,
		                     0);
	else if (c->queue.head && !c->intake_open)
		client_enter(c, BATCHD_CLIENT_DISCONNECTED, (struct cause){0});
}

int
batchd_client_add(struct batchd_client *c, const struct event *event)
{
	assert(c->state == BATCHD_CLIENT_OPEN);
	return append_queue_add(&c->queue, event);
}

int
batchd_client_commit(struct batchd_client *c, void *owner)
{
	uint64_t timeout_ms = c->conf.append_timeout_ms;
	int rc =
	    append_queue_commit(&c->queue, owner, uv_now(c->loop) + timeout_ms);

	if (rc == 0 && !uv_is_active((uv_handle_t *)&c->expiry))
		(void)uv_timer_start(&c->expiry, client_on_expiry, timeout_ms,
		                     0);
	return rc;
}

void
batchd_client_cancel(struct batchd_client *c)
{
	append_queue_cancel(&c->queue);
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
	*c = (struct batchd_client){.conf = *conf,
	                            .loop = loop,
	                            .chan = {.fd = -1},
	                            .backoff_ms = BACKOFF_MIN_MS,
	                            .unreachable_log = unreachable_limit};
	/* Neither can fail. */
	(void)uv_timer_init(loop, &c->retry);
	(void)uv_timer_init(loop, &c->expiry);
	c->retry.data = c->expiry.data = c;
	buf_init(&c->status, FRAME_BODY_MAX);
	append_queue_init(&c->queue, budget, conf->max_event_bytes,
	                  conf->on_done);
	c->in = malloc(FRAME_MAX);
	if (!c->in)
		return -ENOMEM;
	client_on_retry(&c->retry);
	return 0;
}

void
batchd_client_close(struct batchd_client *c)
{
	if (c->loop && c->state != BATCHD_CLIENT_CLOSED)
		client_enter(c, BATCHD_CLIENT_CLOSED, (struct cause){0});
}

void
batchd_client_fini(struct batchd_client *c)
{
	append_queue_fini(&c->queue);
	free(c->in);
	c->in = NULL;
	buf_fini(&c->status);
}
