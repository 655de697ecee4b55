/* load - see load.h. */
#include "bench/load.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "bench/client.h"

#define US_PER_MS 1000
#define US_PER_S 1000000
#define TICK_US (100 * US_PER_MS) /* how often time-outs are checked */
#define BACKOFF_MIN_US (10 * US_PER_MS)
#define BACKOFF_MAX_US US_PER_S
#define EVENTS_A_TURN 128
#define NEVER INT64_MAX

/* epoll's data is the index of a client, or one of these. */
#define TIMER UINT64_MAX
#define SIGNAL (UINT64_MAX - 1)

struct load {
	const struct load_options *o;
	const struct gen *gen;
	struct load_totals *t;
	struct addrinfo *to;
	struct client *clients;
	int epoll, timer, signal; /* owned; -1 when not open */
	/*
	 * Clients that may be idle.  Their state is checked when they are taken
	 * out.
	 */
	unsigned *ring;
	unsigned ring_head, ring_len;
	bool *in_ring;
	uint64_t next_number;   /* of the next event */
	uint64_t next_request;  /* number of requests made so far */
	unsigned unfinished;    /* clients that have a request */
	int64_t wall_offset_us; /* wall clock minus monotonic clock */
	int64_t start_us, end_us;
	int64_t deadline_us; /* for the last responses; NEVER while sending */
	int64_t wake_us;     /* no client has to wake before this */
	int64_t tick_us;     /* next check of time-outs */
	int64_t armed_us;    /* what the timer is set to */
	int64_t first_sent_us, last_answer_us;
	bool stop;
};

static int64_t
clock_us(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts); /* cannot fail on Linux */
	return (int64_t)ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
}

static int64_t
load_now_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

static int
load_watch(struct load *l, int op, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event e = {.events = events, .data.u64 = data};

	return epoll_ctl(l->epoll, op, fd, &e) < 0 ? -errno : 0;
}

/* When request n is due.  In a closed loop every request is due at once. */
static int64_t
due_us(const struct load *l, uint64_t n)
{
	double events = (double)n * l->o->events_per_request;

	if (l->o->rate == 0)
		return l->start_us;
	return l->start_us + (int64_t)(events * 1e6 / (double)l->o->rate);
}

static bool
exhausted(const struct load *l, int64_t now)
{
	return l->stop || now >= l->end_us || l->next_number >= l->o->events ||
	       (l->o->requests > 0 && l->next_request >= l->o->requests);
}

static void
ring_put(struct load *l, struct client *c)
{
	if (l->in_ring[c->index])
		return;
	l->in_ring[c->index] = true;
	l->ring[(l->ring_head + l->ring_len++) % l->o->connections] = c->index;
}

/* Return the client that has been idle longest, or NULL. */
static struct client *
ring_take(struct load *l)
{
	while (l->ring_len > 0) {
		struct client *c = &l->clients[l->ring[l->ring_head]];

		l->ring_head = (l->ring_head + 1) % l->o->connections;
		l->ring_len--;
		l->in_ring[c->index] = false;
		if (c->state == CLIENT_IDLE)
			return c;
	}
	return NULL;
}

static void
wake_at(struct load *l, struct client *c, int64_t when_us)
{
	c->wake_us = when_us;
	if (when_us < l->wake_us)
		l->wake_us = when_us;
}

/* The request has ended, with whatever result. */
static void
load_finish_request(struct load *l, struct client *c)
{
	assert(c->request.count > 0 && l->unfinished > 0);
	c->request.count = 0;
	l->unfinished--;
}

/* Handle a lost connection. With --retry its request is kept and sent again. */
static void
lose_connection(struct load *l, struct client *c)
{
	if (c->state == CLIENT_CONNECTING) {
		l->t->connect_failures++;
		c->backoff_us *= 2;
		if (c->backoff_us > BACKOFF_MAX_US)
			c->backoff_us = BACKOFF_MAX_US;
	} else {
		l->t->lost_connections++;
	}
	if (c->request.count > 0 && !l->o->retry) {
		l->t->unknown_events += c->request.count;
		load_finish_request(l, c);
	}
	client_disconnect(c);
	if (c->backoff_us < BACKOFF_MIN_US)
		c->backoff_us = BACKOFF_MIN_US;
	wake_at(l, c, load_now_us() + c->backoff_us);
}

static void
connect_client(struct load *l, struct client *c)
{
	int rc = client_connect(c, l->to);

	if (rc == 0)
		rc = load_watch(l, EPOLL_CTL_ADD, c->fd, EPOLLOUT, c->index);
	if (rc < 0) {
		c->state = CLIENT_CONNECTING; /* counts as a failed connect */
		lose_connection(l, c);
		return;
	}
	wake_at(l, c, load_now_us() + l->o->timeout_ms * US_PER_MS);
}

static void
want_write(struct load *l, struct client *c, bool want)
{
	uint32_t events = EPOLLIN | (want ? EPOLLOUT : 0);

	if (c->want_write == want)
		return;
	if (load_watch(l, EPOLL_CTL_MOD, c->fd, events, c->index) < 0)
		lose_connection(l, c);
	else
		c->want_write = want;
}

static void
push_out(struct load *l, struct client *c)
{
	int rc = client_send(c);

	if (rc < 0 && rc != -EAGAIN)
		lose_connection(l, c);
	else
		want_write(l, c, rc == -EAGAIN);
}

static void
send_request(struct load *l, struct client *c)
{
	c->state = CLIENT_BUSY;
	c->request.sent_us = load_now_us();
	if (l->first_sent_us == 0)
		l->first_sent_us = c->request.sent_us;
	c->out_sent = 0;
	l->t->requests++;
	push_out(l, c);
}

static void
new_request(struct load *l, struct client *c, int64_t now)
{
	uint64_t left = l->o->events - l->next_number;
	struct request *r = &c->request;

	r->first = l->next_number;
	r->count = l->o->events_per_request;
	if (left < r->count)
		r->count = (uint32_t)left;
	r->due_us = l->o->rate > 0 ? due_us(l, l->next_request) : now;
	l->next_number += r->count;
	l->next_request++;
	l->unfinished++;
	client_prepare(c, l->gen, r->due_us + l->wall_offset_us);
	send_request(l, c);
}

/* Give the requests that are due to idle clients. */
static void
assign_due_requests(struct load *l)
{
	for (;;) {
		int64_t now = load_now_us();
		struct client *c;

		if (exhausted(l, now) || due_us(l, l->next_request) > now)
			return;
		c = ring_take(l);
		if (!c)
			return;
		new_request(l, c, now);
	}
}

/* The client may send: its old request again, or the next one. */
static void
client_ready(struct load *l, struct client *c)
{
	c->state = CLIENT_IDLE;
	if (c->request.count > 0)
		send_request(l, c);
	else
		ring_put(l, c);
}

static void
count_acknowledged(struct load *l, struct client *c, const struct answer *a)
{
	const struct request *r = &c->request;
	char id[GEN_ID_MAX + 1];

	if (a->accepted != r->count) {
		l->t->mismatches++;
		l->t->error_events += r->count;
		return;
	}
	l->t->acked_events += r->count;
	hist_add(&l->t->latency, (uint64_t)(l->last_answer_us - r->due_us));
	if (!l->o->acked)
		return;
	id[l->gen->id_bytes] = '\n';
	for (uint32_t i = 0; i < r->count; i++) {
		gen_id(l->gen, r->first + i, id);
		/* ferror is checked when the file is closed. */
		(void)fwrite(id, 1, l->gen->id_bytes + 1, l->o->acked);
	}
}

/* How long to pause after this response. */
static int64_t
pause_us(const struct load *l, const struct answer *a)
{
	if ((a->status != 503 && a->status != 504) ||
	    (!l->o->retry && !l->o->retry_503))
		return 0;
	return a->retry_after_s == 0 ? BACKOFF_MIN_US : US_PER_S;
}

static void
on_answer(struct load *l, struct client *c, const struct answer *a)
{
	int64_t pause = pause_us(l, a);
	bool unknown = a->status == 504;
	bool again = (a->status == 503 || unknown) && l->o->retry;

	l->last_answer_us = load_now_us();
	l->t->statuses[a->status]++;
	if (a->status == 202)
		count_acknowledged(l, c, a);
	else if (a->status != 503 && !unknown)
		l->t->error_events += c->request.count;
	else if (!again && unknown)
		l->t->unknown_events += c->request.count;
	else if (!again)
		l->t->refused_events += c->request.count;
	if (!again)
		load_finish_request(l, c);
	if (a->close || c->out_sent < c->out_len) {
		client_disconnect(c);
		wake_at(l, c, l->last_answer_us + pause);
	} else if (pause > 0) {
		c->state = CLIENT_PAUSED;
		wake_at(l, c, l->last_answer_us + pause);
	} else {
		client_ready(l, c);
	}
}

static void
on_client(struct load *l, struct client *c, uint32_t events)
{
	struct answer a;
	int rc;

	if (c->state == CLIENT_DISCONNECTED)
		return; /* it lost its connection earlier in this loop */
	if (c->state == CLIENT_CONNECTING) {
		if (client_connected(c) < 0) {
			lose_connection(l, c);
			return;
		}
		l->t->connects++;
		c->backoff_us = 0;
		want_write(l, c, false);
		if (c->state == CLIENT_IDLE)
			client_ready(l, c);
		return;
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		rc = client_recv(c, &a);
		if (rc == 0 && c->state == CLIENT_BUSY) {
			on_answer(l, c, &a);
			return;
		}
		if (rc == 0 || rc == -EBADMSG) {
			l->t->malformed++; /* or a response without a request */
			rc = -EBADMSG;
		}
		if (rc != -EAGAIN) {
			lose_connection(l, c);
			return;
		}
	}
	if (c->state == CLIENT_BUSY && (events & EPOLLOUT))
		push_out(l, c);
}

/* Wake the clients whose pause or back-off is over. */
static void
wake_clients(struct load *l, int64_t now)
{
	l->wake_us = NEVER;
	for (unsigned i = 0; i < l->o->connections; i++) {
		struct client *c = &l->clients[i];

		if (c->state == CLIENT_BUSY || c->state == CLIENT_IDLE)
			continue;
		if (c->wake_us > now)
			wake_at(l, c, c->wake_us);
		else if (c->state == CLIENT_PAUSED)
			client_ready(l, c);
		else if (c->state == CLIENT_CONNECTING)
			lose_connection(l, c);
		else if (c->request.count > 0 || !exhausted(l, now))
			connect_client(l, c);
	}
}

static void
look_for_timeouts(struct load *l, int64_t now)
{
	int64_t limit = now - l->o->timeout_ms * US_PER_MS;

	for (unsigned i = 0; i < l->o->connections; i++) {
		struct client *c = &l->clients[i];

		if (c->state == CLIENT_BUSY && c->request.sent_us < limit) {
			l->t->timeouts++;
			lose_connection(l, c);
		}
	}
	l->tick_us = now + TICK_US;
}

/* Set the timer to the next time at which there is something to do. */
static int
arm_timer(struct load *l, int64_t now)
{
	int64_t at = l->tick_us < l->wake_us ? l->tick_us : l->wake_us;
	struct itimerspec when = {0};

	if (l->o->rate > 0 && l->ring_len > 0 && !exhausted(l, now) &&
	    due_us(l, l->next_request) < at)
		at = due_us(l, l->next_request);
	if (at == l->armed_us)
		return 0;
	when.it_value.tv_sec = at / US_PER_S;
	when.it_value.tv_nsec = at % US_PER_S * 1000;
	if (timerfd_settime(l->timer, TFD_TIMER_ABSTIME, &when, NULL) < 0)
		return -errno;
	l->armed_us = at;
	return 0;
}

static void
on_timer(struct load *l)
{
	uint64_t expired;

	if (read(l->timer, &expired, sizeof expired) > 0)
		l->armed_us = 0;
}

static void
load_on_signal(struct load *l)
{
	struct signalfd_siginfo si;

	if (read(l->signal, &si, sizeof si) != sizeof si)
		return;
	if (l->stop)
		l->deadline_us = 0; /* a second signal ends the run at once */
	l->stop = true;
	l->t->interrupted = true;
}

static bool
finished(struct load *l, int64_t now)
{
	if (!exhausted(l, now))
		return false;
	if (l->deadline_us == NEVER)
		l->deadline_us = now + l->o->drain_ms * US_PER_MS;
	return l->unfinished == 0 || now >= l->deadline_us;
}

static int
loop(struct load *l)
{
	struct epoll_event events[EVENTS_A_TURN];
	int64_t now;
	int n, rc;

	for (;;) {
		assign_due_requests(l);
		now = load_now_us();
		if (finished(l, now))
			return 0;
		if (now >= l->wake_us)
			wake_clients(l, now);
		if (now >= l->tick_us)
			look_for_timeouts(l, now);
		rc = arm_timer(l, now);
		if (rc < 0)
			return rc;
		n = epoll_wait(l->epoll, events, EVENTS_A_TURN, -1);
		if (n < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < n; i++) {
			uint64_t who = events[i].data.u64;

			if (who == TIMER)
				on_timer(l);
			else if (who == SIGNAL)
				load_on_signal(l);
			else
				on_client(l, &l->clients[who],
				          events[i].events);
			/*
			 * Responses arrive in bursts, so give out new requests
			 * between them.
			 */
			if (l->o->rate == 0)
				assign_due_requests(l);
		}
	}
}

static int
open_signals(struct load *l)
{
	sigset_t set;

	if (sigemptyset(&set) < 0 || sigaddset(&set, SIGTERM) < 0 ||
	    sigaddset(&set, SIGINT) < 0 ||
	    sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	l->signal = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (l->signal < 0)
		return -errno;
	return load_watch(l, EPOLL_CTL_ADD, l->signal, EPOLLIN, SIGNAL);
}

static int
load_open(struct load *l)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	unsigned n = l->o->connections;
	int rc;

	if (getaddrinfo(l->o->host, l->o->port, &hints, &l->to) != 0)
		return -EADDRNOTAVAIL;
	l->clients = calloc(n, sizeof *l->clients);
	l->ring = calloc(n, sizeof *l->ring);
	l->in_ring = calloc(n, sizeof *l->in_ring);
	if (!l->clients || !l->ring || !l->in_ring)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++)
		l->clients[i].fd = -1; /* for load_close after a failure */
	for (unsigned i = 0; i < n; i++) {
		rc = client_init(&l->clients[i], i, l->gen, l->o->host,
		                 l->o->events_per_request);
		if (rc < 0)
			return rc;
	}
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll < 0)
		return -errno;
	l->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (l->timer < 0)
		return -errno;
	rc = load_watch(l, EPOLL_CTL_ADD, l->timer, EPOLLIN, TIMER);
	return rc < 0 ? rc : open_signals(l);
}

static void
load_close(struct load *l)
{
	for (unsigned i = 0; l->clients && i < l->o->connections; i++)
		client_fini(&l->clients[i]);
	free(l->clients);
	free(l->ring);
	free(l->in_ring);
	if (l->to)
		freeaddrinfo(l->to);
	if (l->signal >= 0)
		(void)close(l->signal);
	if (l->timer >= 0)
		(void)close(l->timer);
	if (l->epoll >= 0)
		(void)close(l->epoll);
}

/* Requests that clients still have got no response. */
static void
count_rest(struct load *l)
{
	int64_t end = l->last_answer_us ? l->last_answer_us : load_now_us();
	int64_t until = l->stop ? end : l->end_us;
	uint64_t n = l->next_request;

	for (unsigned i = 0; i < l->o->connections; i++)
		l->t->unknown_events += l->clients[i].request.count;
	if (l->first_sent_us > 0)
		l->t->seconds = (double)(end - l->first_sent_us) / US_PER_S;
	while (l->o->rate > 0 && due_us(l, n) < until &&
	       n * l->o->events_per_request < l->o->events &&
	       (l->o->requests == 0 || n < l->o->requests))
		n++;
	l->t->due_unsent = n - l->next_request;
}

int
load_run(const struct load_options *options, const struct gen *gen,
         struct load_totals *totals)
{
	struct load l = {.o = options,
	                 .gen = gen,
	                 .t = totals,
	                 .epoll = -1,
	                 .timer = -1,
	                 .signal = -1,
	                 .deadline_us = NEVER};
	int rc;

	*totals = (struct load_totals){0};
	rc = load_open(&l);
	if (rc == 0) {
		l.start_us = load_now_us();
		l.wall_offset_us = clock_us(CLOCK_REALTIME) - l.start_us;
		l.end_us = l.start_us + options->seconds * US_PER_S;
		wake_clients(&l, l.start_us); /* all clients connect */
		rc = loop(&l);
		count_rest(&l);
	}
	load_close(&l);
	return rc;
}
