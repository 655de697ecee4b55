/* connections - see connections.h. */
#include "batchd/connections.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "batchd/peer_input.h"
#include "libbase/clock.h"
#include "libbase/fd_limit.h"

/* Frames read from one peer before the others have their turn. */
#define READ_BURST 64

/* Reports read in a second from an ingestd whose events are not read. */
#define REPORT_BURST 4

/* Connections accepted in one turn of the loop. */
#define ACCEPT_BURST 16

/* From connecting to hello. */
#define HELLO_TIMEOUT_MS 5000

/* A peer and what the event loop needs for it. */
struct connection {
	struct peer peer; /* first: a peer on the list is a connection */
	uv_poll_t poll;   /* data: this connection */
	int poll_events;  /* what it waits for now; -1 at first */
};

/* --- one connection --- */

static struct connection *
connection_of(struct peer *p)
{
	return (struct connection *)p;
}

static void
on_peer_closed(uv_handle_t *handle)
{
	struct connection *c = handle->data;

	peer_fini(&c->peer);
	free(c);
}

void
connections_close(struct peer *p, int why)
{
	struct broker *b = p->broker;

	if (p->state == PEER_CLOSING)
		return;
	peer_close(p, why);
	for (size_t i = 0; i < b->peer_count; i++) {
		if (b->peers[i] == p) {
			memmove(&b->peers[i], &b->peers[i + 1],
			        (--b->peer_count - i) * sizeof b->peers[0]);
			break;
		}
	}
	uv_close((uv_handle_t *)&connection_of(p)->poll, on_peer_closed);
	chan_close(&p->chan); /* libuv allows this after uv_close */
}

/* Read the reports of an ingestd whose events cannot be read. */
static void
read_stats(struct peer *p)
{
	int rc = 0;

	for (int i = 0; rc == 0 && i < REPORT_BURST; i++)
		rc = peer_read_stats(p);
	if (rc < 0 && rc != -EAGAIN)
		connections_close(p, rc);
}

/*
 * Count the last reports of an ingestd that has disconnected.  They may follow
 * events in the socket's queue, which are skipped.
 */
static void
read_last(struct peer *p)
{
	socklen_t bytes = sizeof(int);
	int reset;

	/* A reset is returned once, by this call instead of the first recv. */
	(void)getsockopt(p->chan.fd, SOL_SOCKET, SO_ERROR, &reset, &bytes);
	while (peer_read_last(p) == 0)
		;
}

static void
on_peer(uv_poll_t *poll, int status, int events)
{
	struct connection *c = poll->data;
	struct peer *p = &c->peer;
	int rc = 0;

	if (events & UV_WRITABLE)
		p->blocked = false; /* the server flushes it in this turn */
	/* libuv reports POLLERR as a status: the peer has reset. */
	if (status < 0 || (events & UV_DISCONNECT)) {
		if (p->state == PEER_INGEST)
			read_last(p);
		/* Frames that were not read have not been acknowledged. */
		rc = -EPIPE;
	}
	if (rc == 0 && !(events & UV_READABLE))
		return;
	for (int i = 0; rc == 0 && i < READ_BURST && peer_may_read(p); i++)
		rc = peer_read(p);
	if (rc < 0 && rc != -EAGAIN)
		connections_close(p, rc);
}

static void
update_poll(struct connection *c)
{
	struct peer *p = &c->peer;
	int events = p->blocked ? UV_WRITABLE : 0;
	int rc;

	/* An ingestd is not read while the log has no room for its events. */
	if (peer_may_read(p) &&
	    (p->state != PEER_INGEST || store_append_buffer(&p->broker->store)))
		events |= UV_READABLE;
	if (events == c->poll_events)
		return;
	/* Even if batchd waits for nothing, a hang-up must be noticed. */
	rc = uv_poll_start(&c->poll, events ? events : UV_DISCONNECT, on_peer);
	if (rc < 0)
		connections_close(p, rc);
	else
		c->poll_events = events;
}

/* Add a peer to the list.  Returns 0 or -errno; fd is not closed then. */
static int
add_peer(struct connections *all, int fd, uid_t uid)
{
	struct broker *b = all->broker;
	struct connection *c = calloc(1, sizeof *c);
	int rc;

	if (!c)
		return -ENOMEM;
	c->poll.data = c;
	c->poll_events = -1;
	rc = uv_poll_init(all->loop, &c->poll, fd);
	if (rc < 0) {
		free(c);
		return rc;
	}
	peer_init(&c->peer, b, fd, uid);
	b->peers[b->peer_count++] = &c->peer;
	return 0;
}

/* --- who may have a connection --- */

/* Close a peer to which batchd owes nothing; send it and log the reason. */
static void
evict(struct connections *c, struct peer *p, enum frame_error code,
      const char *text)
{
	struct frame f = {.type = FRAME_ERROR};
	unsigned suppressed = 0;
	uid_t uid = 0;
	pid_t pid = 0;

	f.error.code = code;
	f.error.text = slice_of(text);
	if (chan_send(&p->chan, &f) < 0)
		log_debug("cannot send the reason to a peer that is evicted");
	(void)socket_access_allows(&c->broker->settings->access, p->chan.fd,
	                           &uid, &pid);
	if (log_allow(&c->evictions, &suppressed))
		log_warn("peer evicted state=%s uid=%u "
		         "pid=%d why=%s suppressed=%u",
		         peer_state_name(p->state), (unsigned)uid, (int)pid,
		         log_quote(text), suppressed);
	connections_close(p, -ECONNABORTED);
}

/* Daemons and tails are never evicted. */
static bool
is_evictable(const struct peer *p)
{
	return p->state == PEER_HELLO || p->state == PEER_CONTROL;
}

static size_t
count_evictable(const struct broker *b, uid_t uid)
{
	size_t n = 0;

	for (size_t i = 0; i < b->peer_count; i++)
		n += b->peers[i]->uid == uid && is_evictable(b->peers[i]);
	return n;
}

/*
 * Evict a peer, because the list is full.  It is one of the user who has the
 * most evictable peers, so that a user who connects in a loop takes no
 * connection from other users.  Of these peers it is the oldest one without a
 * hello, else the oldest.  The list is longer than max_connections and
 * max_tails together, and holds no more daemons and tails than these, so there
 * always is an evictable peer.
 */
static void
make_room(struct connections *c)
{
	struct broker *b = c->broker;
	struct peer *chosen = NULL;
	size_t most = 0;

	for (size_t i = 0; i < b->peer_count; i++) {
		struct peer *p = b->peers[i];
		size_t n = most;

		if (!is_evictable(p))
			continue;
		if (!chosen || p->uid != chosen->uid)
			n = count_evictable(b, p->uid);
		/* The list begins with the oldest. */
		if (!chosen || n > most ||
		    (n == most && p->state == PEER_HELLO &&
		     chosen->state != PEER_HELLO)) {
			chosen = p;
			most = n;
		}
	}
	assert(chosen);
	evict(c, chosen, ERROR_FULL, "all connections are in use");
}

/* A daemon or a command sends hello as soon as it has connected. */
static void
evict_silent_peers(struct connections *c)
{
	uint64_t now_ms = clock_mono_ms();

	for (size_t i = c->broker->peer_count; i-- > 0;) {
		struct peer *p = c->broker->peers[i];

		if (p->state == PEER_HELLO &&
		    now_ms - p->connected_ms >= HELLO_TIMEOUT_MS &&
		    !peer_has_sent(p))
			evict(c, p, ERROR_PROTOCOL, "no hello within 5 s");
	}
}

/* Return true if the process that connected may; *uid is its user. */
static bool
may_connect(struct connections *c, int fd, uid_t *uid)
{
	unsigned suppressed = 0;
	pid_t pid;

	if (socket_access_allows(&c->broker->settings->access, fd, uid, &pid))
		return true;
	if (log_allow(&c->broker->refusals, &suppressed))
		log_warn("peer refused: its user is neither batchd's nor the "
		         "socket's owner, nor in the socket's group uid=%u "
		         "pid=%d suppressed=%u",
		         (unsigned)*uid, (int)pid, suppressed);
	return false;
}

/* If accept(2) cannot work, stop it until the next second. */
static void
on_accept_error(struct connections *c, int err)
{
	unsigned suppressed = 0;

	if (!fd_limit_stops_accept(err))
		return;
	if (log_allow(&c->broker->refusals, &suppressed))
		log_warn("accept failed err=%s suppressed=%u; raise the limit "
		         "of descriptors if it is reached",
		         log_quote(strerror(err)), suppressed);
	(void)uv_poll_stop(&c->listen_poll); /* it is not being closed */
	c->accept_failed = true;
}

static void
connections_on_listener(uv_poll_t *poll, int status, int events)
{
	struct connections *c = poll->data;
	bool full;

	(void)status;
	(void)events;
	for (int i = 0; i < ACCEPT_BURST; i++) {
		int fd = accept4(c->listener, NULL, NULL,
		                 SOCK_NONBLOCK | SOCK_CLOEXEC);
		uid_t uid;

		if (fd < 0) {
			on_accept_error(c, errno);
			return;
		}
		if (!may_connect(c, fd, &uid)) {
			(void)close(fd); /* nothing was sent */
			continue;
		}
		full = c->broker->peer_count ==
		       broker_max_peers(c->broker->settings);
		if (full)
			make_room(c);
		if (add_peer(c, fd, uid) < 0)
			(void)close(fd); /* nothing was sent */
		/*
		 * Give the peers that have just connected a turn to send their
		 * hello before another one makes batchd evict one of them.
		 */
		if (full)
			return;
	}
}

/* --- all connections --- */

void
connections_init(struct connections *c, struct broker *b)
{
	*c = (struct connections){.broker = b, .listener = -1};
	c->evictions = (struct log_limit){.interval_ms = 10000, .burst = 5};
}

static int
watch_listener(struct connections *c)
{
	return uv_poll_start(&c->listen_poll, UV_READABLE,
	                     connections_on_listener);
}

int
connections_start(struct connections *c, uv_loop_t *loop)
{
	int rc;

	c->loop = loop;
	c->listen_poll.data = c;
	rc = uv_poll_init(loop, &c->listen_poll, c->listener);
	return rc == 0 ? watch_listener(c) : rc;
}

void
connections_stop_accepting(struct connections *c)
{
	if (c->listener < 0)
		return;
	(void)unlink(
	    c->broker->settings->socket); /* no process listens there now */
	uv_close((uv_handle_t *)&c->listen_poll, NULL);
	(void)close(c->listener); /* nothing is buffered in it */
	c->listener = -1;
}

void
connections_close_all(struct connections *c, int why)
{
	struct broker *b = c->broker;

	while (b->peer_count > 0)
		connections_close(b->peers[b->peer_count - 1], why);
}

void
connections_tick(struct connections *c)
{
	struct broker *b = c->broker;

	for (size_t i = b->peer_count; i-- > 0;) {
		struct peer *p = b->peers[i];

		if (p->state != PEER_INGEST)
			continue;
		p->status_due = true;
		if (!store_append_buffer(&b->store))
			read_stats(p);
	}
	evict_silent_peers(c);
	if (c->accept_failed && c->listener >= 0)
		c->accept_failed = watch_listener(c) < 0;
}

void
connections_update_polls(struct connections *c)
{
	for (size_t i = c->broker->peer_count; i-- > 0;)
		update_poll(connection_of(c->broker->peers[i]));
}
