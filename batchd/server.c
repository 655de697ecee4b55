/* server - see server.h.  Its start and its end are in batchd.c. */
#include "batchd/server.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "batchd/disk_jobs.h"
#include "libbase/clock.h"
#include "libbase/error.h"

/* Frames read from one peer before the others have their turn. */
#define READ_BURST 64

/* Reports read in a second from an ingestd whose events are not read. */
#define REPORT_BURST 4

/* Connections taken in one turn. */
#define ACCEPT_BURST 16

#define TICK_MS 1000

/* From connecting to hello. */
#define HELLO_TIMEOUT_MS 5000

/* --- peers --- */

static void
on_peer_closed(uv_handle_t *handle)
{
	struct peer *p = handle->data;

	buf_fini(&p->reply);
	ack_queue_fini(&p->acks);
	free(p);
}

static void
peer_close(struct peer *p, int why)
{
	struct server *s = p->server;
	unsigned suppressed = 0;

	if (p->state == PEER_CLOSING)
		return;
	if (p->role != ROLE_CONTROL && why != -ECONNABORTED &&
	    log_allow(&s->refusals, &suppressed))
		log_info("peer closed role=%s name=%s pid=%" PRIu64
		         " why=%s suppressed=%u",
		         p->name[0] ? frame_role_name(p->role) : "?",
		         p->name[0] ? p->name : "?", p->pid,
		         why == -EPIPE ? "gone" : log_quote(error_text(why)),
		         suppressed);
	if (p->state == PEER_SUBSCRIBED)
		consumer_unsubscribe(p->consumer);
	p->state = PEER_CLOSING;
	for (size_t i = 0; i < s->peer_count; i++) {
		if (s->peers[i] == p) {
			s->peers[i] = s->peers[--s->peer_count];
			break;
		}
	}
	uv_close((uv_handle_t *)&p->poll, on_peer_closed);
	chan_close(&p->chan); /* libuv allows this after uv_close */
}

/* What an ingestd reports while its events are not read. */
static void
read_stats(struct peer *p)
{
	int rc = 0;

	for (int i = 0; rc == 0 && i < REPORT_BURST; i++)
		rc = peer_read_stats(p);
	if (rc < 0 && rc != -EAGAIN)
		peer_close(p, rc);
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
	struct peer *p = poll->data;
	int rc = 0;

	if (events & UV_WRITABLE)
		p->blocked = false; /* this turn flushes */
	/* A status is libuv's way to tell of POLLERR: the peer has reset. */
	if (status < 0 || (events & UV_DISCONNECT)) {
		if (p->state == PEER_INGEST)
			read_last(p);
		rc = -EPIPE; /* what it sent and nobody read was not answered */
	}
	if (rc == 0 && !(events & UV_READABLE))
		return;
	for (int i = 0; rc == 0 && i < READ_BURST && peer_may_read(p); i++)
		rc = peer_read(p);
	if (rc < 0 && rc != -EAGAIN)
		peer_close(p, rc);
}

static void
peer_poll(struct peer *p)
{
	int events = p->blocked ? UV_WRITABLE : 0;
	int rc;

	/* An ingestd waits while the log cannot take what it sends. */
	if (peer_may_read(p) &&
	    (p->state != PEER_INGEST || store_append_buffer(&p->server->store)))
		events |= UV_READABLE;
	if (events == p->poll_events)
		return;
	/* With no events libuv still has to tell of a hang-up. */
	rc = uv_poll_start(&p->poll, events ? events : UV_DISCONNECT, on_peer);
	if (rc < 0)
		peer_close(p, rc);
	else
		p->poll_events = events;
}

static struct peer *
peer_new(struct server *s, int fd, uid_t uid)
{
	struct peer *p = calloc(1, sizeof *p);

	if (!p)
		return NULL;
	p->server = s;
	p->chan.fd = fd;
	p->role = ROLE_CONTROL; /* until hello says more */
	p->uid = uid;
	p->connected_ms = clock_mono_ms();
	p->poll_events = -1;
	buf_init(&p->reply, FRAME_MAX);
	ack_queue_init(&p->acks);
	p->poll.data = p;
	if (uv_poll_init(&s->loop, &p->poll, fd) < 0) {
		free(p);
		return NULL;
	}
	s->peers[s->peer_count++] = p;
	return p;
}

/* Close a peer that is owed nothing, and tell it and the operator why. */
static void
take_place(struct peer *p, enum frame_error code, const char *text)
{
	struct server *s = p->server;
	struct frame f = {.type = FRAME_ERROR};
	unsigned suppressed = 0;
	uid_t uid = 0;
	pid_t pid = 0;

	f.error.code = code;
	f.error.text = slice_of(text);
	if (chan_send(&p->chan, &f) < 0)
		log_debug("a peer could not be told why it is closed");
	(void)socket_access_allows(&s->settings->access, p->chan.fd, &uid,
	                           &pid);
	if (log_allow(&s->evictions, &suppressed))
		log_warn("peer closed to free its place state=%s uid=%u "
		         "pid=%d why=%s suppressed=%u",
		         peer_state_name(p->state), (unsigned)uid, (int)pid,
		         log_quote(text), suppressed);
	peer_close(p, -ECONNABORTED);
}

/* Daemons keep their places. */
static bool
may_lose_place(const struct peer *p)
{
	return p->state == PEER_HELLO || p->state == PEER_CONTROL;
}

/* Places of the user that others could have. */
static size_t
places_of(const struct server *s, uid_t uid)
{
	size_t n = 0;

	for (size_t i = 0; i < s->peer_count; i++)
		n += s->peers[i]->uid == uid && may_lose_place(s->peers[i]);
	return n;
}

/* Of one user: who has not said hello goes first, then the oldest. */
static bool
goes_before(const struct peer *a, const struct peer *b)
{
	if (a->state != b->state)
		return a->state == PEER_HELLO;
	return a->connected_ms < b->connected_ms;
}

/*
 * All places are taken.  The user with the most of them, daemons' aside, loses
 * one, so that a user who connects in a loop takes none from others.  There are
 * fewer daemons than places, so there always is one.
 */
static void
make_place(struct server *s)
{
	struct peer *loser = NULL;
	size_t most = 0;

	for (size_t i = 0; i < s->peer_count; i++) {
		struct peer *p = s->peers[i];
		size_t places = most;

		if (!may_lose_place(p))
			continue;
		if (!loser || p->uid != loser->uid)
			places = places_of(s, p->uid);
		if (!loser || places > most ||
		    (places == most && goes_before(p, loser))) {
			loser = p;
			most = places;
		}
	}
	assert(loser);
	take_place(loser, ERROR_FULL, "all connections are in use");
}

/* A daemon says hello as soon as it has connected. */
static void
close_silent_peers(struct server *s)
{
	uint64_t now_ms = clock_mono_ms();

	for (size_t i = s->peer_count; i-- > 0;) {
		struct peer *p = s->peers[i];

		if (p->state == PEER_HELLO &&
		    now_ms - p->connected_ms >= HELLO_TIMEOUT_MS &&
		    !peer_has_sent(p))
			take_place(p, ERROR_PROTOCOL, "no hello within 5 s");
	}
}

/* Whether the process that connected is one that may; its user. */
static bool
may_enter(struct server *s, int fd, uid_t *uid)
{
	unsigned held = 0;
	pid_t pid;

	if (socket_access_allows(&s->settings->access, fd, uid, &pid))
		return true;
	if (log_allow(&s->refusals, &held))
		log_warn("peer refused: neither our user, nor the socket's "
		         "owner, nor in its group uid=%u pid=%d suppressed=%u",
		         (unsigned)*uid, (int)pid, held);
	return false;
}

static void
server_on_listener(uv_poll_t *poll, int status, int events)
{
	struct server *s = poll->data;
	bool full;

	(void)status;
	(void)events;
	for (int i = 0; i < ACCEPT_BURST; i++) {
		int fd = accept4(s->listener, NULL, NULL,
		                 SOCK_NONBLOCK | SOCK_CLOEXEC);
		uid_t uid;

		if (fd < 0 && (errno == EMFILE || errno == ENFILE) &&
		    log_allow(&s->refusals, NULL))
			log_warn("a peer cannot be taken err=%s",
			         log_quote(strerror(errno)));
		if (fd < 0)
			return;
		if (!may_enter(s, fd, &uid)) {
			(void)close(fd); /* nothing was said */
			continue;
		}
		full = s->peer_count == server_max_peers(s->settings);
		if (full)
			make_place(s);
		if (!peer_new(s, fd, uid))
			(void)close(fd); /* nothing was said */
		if (full)
			return; /* who came before may say hello first */
	}
}

bool
server_is_full(const struct server *s)
{
	int64_t daemons = 0;

	for (size_t i = 0; i < s->peer_count; i++)
		daemons += !may_lose_place(s->peers[i]);
	return daemons >= s->settings->max_connections;
}

struct consumer *
server_consumer(struct server *s, const struct slice *name)
{
	for (size_t i = 0; i < s->consumer_count; i++) {
		const char *one = s->consumers[i].cursor.name;

		if (strlen(one) == name->bytes &&
		    memcmp(one, name->data, name->bytes) == 0)
			return &s->consumers[i];
	}
	return NULL;
}

/* --- the loop --- */

const char *
server_closed_reason(const struct server *s)
{
	if (s->stopping)
		return "batchd is stopping";
	return store_accepts_requests(&s->store) ? "" : s->store.full_reason;
}

static void
on_idle(uv_idle_t *handle)
{
	(void)handle; /* its being active keeps the loop from waiting */
}

static void
on_wake(uv_timer_t *timer)
{
	(void)timer; /* the turn that follows looks at the sinks */
}

static void
on_tick(uv_timer_t *timer)
{
	struct server *s = timer->data;
	uint64_t now_ms = clock_mono_ms();

	s->retention_wanted = true;
	s->cursors_wanted = true;
	s->status_is_recent = false;
	for (size_t i = 0; i < s->consumer_count; i++)
		rate_sample(&s->sinks[i].rate, now_ms,
		            s->consumers[i].committed_events);
	for (size_t i = s->peer_count; i-- > 0;) {
		struct peer *p = s->peers[i];

		if (p->state != PEER_INGEST)
			continue;
		if (!store_append_buffer(&s->store))
			read_stats(p);
		p->status_due = true;
	}
	close_silent_peers(s);
}

/* One piece of work for each sink.  Returns whether there is more. */
static bool
step_sinks(struct server *s, uint64_t *wake_ms)
{
	uint64_t now_ms = clock_mono_ms(), one_ms;
	bool more = false;

	*wake_ms = UINT64_MAX;
	for (size_t i = s->peer_count; i-- > 0;) {
		struct peer *p = s->peers[i];
		int rc;

		if (p->state != PEER_SUBSCRIBED || p->blocked)
			continue;
		/* No batch is begun that the stop would have to wait for. */
		if (s->stopping && p->consumer->state == CONSUMER_WAITING)
			continue;
		rc = consumer_step(p->consumer, now_ms, &one_ms);
		if (rc == -EAGAIN)
			p->blocked = true;
		else if (rc < 0)
			peer_close(p, rc);
		else if (rc > 0)
			more = true;
		else if (one_ms < *wake_ms)
			*wake_ms = one_ms;
	}
	return more;
}

static void
flush_peers(struct server *s)
{
	for (size_t i = s->peer_count; i-- > 0;) {
		struct peer *p = s->peers[i];
		int rc = p->blocked ? 0 : peer_flush(p);

		p->done_this_turn = false;
		if (rc == -EAGAIN)
			p->blocked = true;
		else if (rc < 0)
			peer_close(p, rc);
	}
}

/*
 * Whether a stop would leave nothing half done.  What an ingestd sent before it
 * heard of the stop is still taken, unless the log is full: then it could wait
 * for sinks for ever.  Nothing of it was acknowledged.
 */
static bool
is_drained(const struct server *s)
{
	bool full = store_is_full(&s->store);

	if (s->append.busy || s->store.filling->records > 0)
		return false;
	for (size_t i = 0; i < s->consumer_count; i++) {
		enum consumer_state state = s->consumers[i].state;

		if (state != CONSUMER_DISCONNECTED && state != CONSUMER_WAITING)
			return false;
	}
	for (size_t i = 0; i < s->peer_count; i++) {
		const struct peer *p = s->peers[i];

		if (p->state == PEER_INGEST &&
		    (p->acks.durable > 0 || (!full && peer_has_sent(p))))
			return false;
	}
	return true;
}

/* Appends, deletions and the disk change it: it is looked at in one place. */
static void
update_intake(struct server *s)
{
	bool takes = store_accepts_requests(&s->store);

	if (s->log_is_full && takes)
		log_info("log has room again");
	else if (!s->log_is_full && !takes)
		log_warn("log is full, senders get 503 until sinks catch up "
		         "why=%s",
		         log_quote(s->store.full_reason));
	s->log_is_full = !takes;
	s->intake_open = !s->stopping && takes;
}

static void
server_on_turn(uv_prepare_t *handle)
{
	struct server *s = handle->data;
	uint64_t wake_ms, now_ms;
	bool more;

	disk_jobs_start_append(s);
	more = step_sinks(s, &wake_ms);
	disk_jobs_start_cursors(s);
	disk_jobs_start_tidy(s);
	update_intake(s);
	flush_peers(s);
	s->status_is_new = false;
	for (size_t i = s->peer_count; i-- > 0;)
		peer_poll(s->peers[i]);
	if (s->stopping && is_drained(s)) {
		server_stop(s);
		return;
	}
	now_ms = clock_mono_ms();
	/* Each turn looks whether the interval's sync is due. */
	if (s->store.unsynced && s->store.conf.fsync == FSYNC_INTERVAL &&
	    wake_ms > now_ms + (uint64_t)s->settings->fsync_interval_ms)
		wake_ms = now_ms + (uint64_t)s->settings->fsync_interval_ms;
	/* Starting either for a handle that is being closed is an error. */
	if (more)
		(void)uv_idle_start(&s->idle, on_idle);
	else
		(void)uv_idle_stop(&s->idle);
	if (wake_ms == UINT64_MAX)
		return;
	uv_update_time(&s->loop);
	(void)uv_timer_start(&s->wake, on_wake,
	                     wake_ms > now_ms ? wake_ms - now_ms : 0, 0);
}

static void
on_drain(uv_timer_t *timer)
{
	struct server *s = timer->data;

	log_warn("stopping before all batches in flight were committed; they "
	         "are sent again drain_ms=%" PRId64,
	         s->settings->drain_ms);
	server_stop(s);
}

static void
close_listener(struct server *s)
{
	if (s->listener < 0)
		return;
	(void)unlink(s->settings->socket); /* nobody can connect any more */
	uv_close((uv_handle_t *)&s->listen_poll, NULL);
	(void)close(s->listener); /* a socket: nothing to lose */
	s->listener = -1;
}

static void
server_on_signal(uv_signal_t *signal, int number)
{
	struct server *s = signal->data;

	if (s->stopping) {
		server_stop(s);
		return;
	}
	log_info("stopping signal=%d", number);
	s->stopping = true;
	close_listener(s);
	(void)uv_timer_start(&s->drain, on_drain,
	                     (uint64_t)s->settings->drain_ms, 0);
}

/* It may be meant for an ingestd beside us. */
static void
server_on_hangup(uv_signal_t *signal, int number)
{
	(void)signal;
	(void)number;
	log_warn("SIGHUP has no effect here: to read leat.conf again, restart "
	         "batchd; no event is lost");
}

static void
stop_handle(uv_handle_t *handle, void *arg)
{
	struct server *s = arg;

	/* Peers' handles free themselves; they are closed with the peers. */
	if (!uv_is_closing(handle) && handle->data == s)
		uv_close(handle, NULL);
}

void
server_stop(struct server *s)
{
	if (s->stopped)
		return;
	s->stopping = s->stopped = true;
	close_listener(s);
	while (s->peer_count > 0)
		peer_close(s->peers[s->peer_count - 1], -ESHUTDOWN);
	uv_walk(&s->loop, stop_handle, s);
}

static int
start_handles(struct server *s)
{
	static const struct {
		int number;
		uv_signal_cb on_signal;
	} signals[] = {{SIGTERM, server_on_signal},
	               {SIGINT, server_on_signal},
	               {SIGHUP, server_on_hangup}};
	uv_loop_t *loop = &s->loop;
	int rc;

	rc = uv_loop_init(loop);
	if (rc < 0)
		return rc;
	s->turn.data = s->idle.data = s->wake.data = s->tick.data = s;
	s->drain.data = s->listen_poll.data = s;
	s->append.work.data = s->retention.work.data = s->cursors.work.data = s;
	/* These fail only when the handle is NULL or a callback is. */
	rc = uv_prepare_init(loop, &s->turn);
	rc = rc < 0 ? rc : uv_idle_init(loop, &s->idle);
	rc = rc < 0 ? rc : uv_timer_init(loop, &s->wake);
	rc = rc < 0 ? rc : uv_timer_init(loop, &s->tick);
	rc = rc < 0 ? rc : uv_timer_init(loop, &s->drain);
	rc = rc < 0 ? rc : uv_prepare_start(&s->turn, server_on_turn);
	rc = rc < 0 ? rc : uv_timer_start(&s->tick, on_tick, TICK_MS, TICK_MS);
	rc = rc < 0 ? rc : uv_poll_init(loop, &s->listen_poll, s->listener);
	rc = rc < 0 ? rc
	            : uv_poll_start(&s->listen_poll, UV_READABLE,
	                            server_on_listener);
	_Static_assert(ARRAY_LEN(signals) == ARRAY_LEN(s->signals), "one each");
	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		s->signals[i].data = s;
		rc = rc < 0 ? rc : uv_signal_init(loop, &s->signals[i]);
		rc = rc < 0
		         ? rc
		         : uv_signal_start(&s->signals[i], signals[i].on_signal,
		                           signals[i].number);
	}
	return rc;
}

int
server_run(struct server *s)
{
	int rc = start_handles(s);

	if (rc < 0) {
		log_error("cannot start the event loop err=%s",
		          log_quote(uv_strerror(rc)));
		return EXIT_FAILURE;
	}
	s->intake_open = true;
	log_info("ready socket=%s", log_quote(s->settings->socket));
	(void)uv_run(&s->loop, UV_RUN_DEFAULT); /* until all is closed */
	rc = uv_loop_close(&s->loop);
	assert(rc == 0);
	return s->rc;
}
