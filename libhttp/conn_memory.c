/* conn_memory - see conn.h. */
#include <string.h>

#include "libhttp/conn.h"

/* The most connections that are evicted for one other. */
#define VICTIMS_MAX 64

/* Return how many bytes can be charged now. */
static size_t
room_left(const struct http_server *s)
{
	size_t ours = s->settings.max_received_bytes - s->received_bytes;
	size_t all = budget_left(s->settings.budget);

	return ours < all ? ours : all;
}

static size_t
bytes_held(const struct conn *c)
{
	return c->in.cap + c->body.cap + c->out.cap;
}

/*
 * Find slow connections to evict so that n bytes can be charged.  A connection
 * is slow if it has been sending a request, or taking a response, for a tenth
 * of that state's time limit: an honest client on a bad line is given that
 * long even under attack.  The oldest of each state come first.  Returns how
 * many were found, or 0 if all together would not be enough, since it would be
 * useless to close any then.
 */
static size_t
find_slow(const struct conn *for_whom, size_t n, struct conn *slow[VICTIMS_MAX])
{
	static const enum conn_state states[] = {CONN_BODY, CONN_HEAD,
	                                         CONN_DISCARD, CONN_SENDING,
	                                         CONN_STREAM_BLOCKED};
	const struct http_server *s = for_whom->server;
	const struct conn_limits *l = &s->limits;
	size_t found = 0, bytes = room_left(s);

	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		uint64_t limit_ms = l->timeout_ms[states[i]] / 10;
		struct conn_slot *slot = conn_limits_oldest(l, states[i]);

		for (; slot && found < VICTIMS_MAX &&
		       l->now_ms - slot->entered_ms >= limit_ms;
		     slot = conn_limits_next(l, slot)) {
			struct conn *c = CONTAINER_OF(slot, struct conn, slot);

			if (c == for_whom || c->running || bytes_held(c) == 0)
				continue;
			slow[found++] = c;
			bytes += bytes_held(c);
			if (bytes >= n)
				return found;
		}
	}
	return 0;
}

/* The bytes charged to the connection's payer; its own if it has none. */
static size_t
payer_bytes(const struct conn *c)
{
	return c->payer ? c->payer->held_bytes : bytes_held(c);
}

/*
 * Find a connection to evict for `for_whom`, which needs n bytes: among the
 * oldest bodies, the first whose payer holds more than twice as much as the
 * payer of for_whom would hold then.  Without the factor, two payers that hold
 * about the same would evict each other's bodies in turn, and neither would
 * complete one.  Returns NULL if there is none.
 */
static struct conn *
find_greedy(const struct conn *for_whom, size_t n)
{
	struct http_server *s = for_whom->server;
	struct conn_slot *slot = conn_limits_oldest(&s->limits, CONN_BODY);
	size_t fair = 2 * (payer_bytes(for_whom) + n);

	for (int i = 0; slot && i < VICTIMS_MAX; i++) {
		struct conn *c = CONTAINER_OF(slot, struct conn, slot);

		if (c != for_whom && !c->running && c->body.cap > 0 &&
		    c->payer && c->payer->held_bytes > fair)
			return c;
		slot = conn_limits_next(&s->limits, slot);
	}
	return NULL;
}

/*
 * Charge n bytes, for which connections of other clients may be evicted: those
 * of payers that hold much first, then slow ones.  Returns false if there is
 * not enough memory nevertheless.
 */
static bool
charge(struct conn *c, size_t n)
{
	struct http_server *s = c->server;
	struct conn *slow[VICTIMS_MAX], *greedy;

	for (int i = 0; i < VICTIMS_MAX && n > room_left(s); i++) {
		greedy = find_greedy(c, n);
		if (!greedy)
			break;
		conn_evict(greedy);
	}
	if (n > room_left(s)) {
		size_t found = find_slow(c, n, slow);

		for (size_t i = 0; i < found; i++)
			conn_evict(slow[i]);
	}
	if (n > room_left(s) || !budget_take(s->settings.budget, n))
		return false;
	s->received_bytes += n;
	return true;
}

static void
uncharge(struct http_server *s, size_t n)
{
	s->received_bytes -= n;
	budget_give(s->settings.budget, n);
}

/*
 * Free one of the connection's buffers, for which `charged` bytes are charged.
 * That is its capacity, except after it was grown and the growth could not be
 * charged.
 */
static void
free_buffer(struct conn *c, struct buf *b, size_t charged)
{
	if (b == &c->body && c->payer)
		c->payer->held_bytes -= charged;
	uncharge(c->server, charged);
	buf_fini(b);
}

void
conn_release(struct conn *c, struct buf *b)
{
	free_buffer(c, b, b->cap);
}

bool
conn_hold(struct conn *c, struct buf *b, const void *bytes, size_t n)
{
	size_t before = b->cap;

	if (n == 0)
		return true;
	if (buf_reserve(b, n + HTTP_BODY_PADDING) < 0) {
		conn_release(c, b);
		return false;
	}
	if (!charge(c, b->cap - before)) {
		free_buffer(c, b, before);
		return false;
	}
	if (b == &c->body && c->payer)
		c->payer->held_bytes += b->cap - before;
	if (buf_add(b, bytes, n) == 0)
		return true;
	conn_release(c, b);
	return false;
}

void
conn_trim(struct conn *c, struct buf *b, size_t spare)
{
	size_t before = b->cap;

	buf_trim(b, spare);
	uncharge(c->server, before - b->cap);
}

void
conn_uncharge(struct conn *c)
{
	uncharge(c->server, bytes_held(c));
}

void
http_set_payer(struct http_request *rq, struct http_payer *payer)
{
	struct conn *c = conn_of(rq);

	if (c->payer)
		c->payer->held_bytes -= c->body.cap;
	c->payer = payer;
	if (payer)
		payer->held_bytes += c->body.cap;
}
