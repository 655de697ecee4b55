/*
 * client - one connection of the load generator and its request in flight.
 *
 * States: DISCONNECTED (no socket; may connect from `wake_us` on), CONNECTING,
 * IDLE, PAUSED (idle, but not before `wake_us`), BUSY (request sent or being
 * sent, answer awaited).  load.c decides; this file moves bytes.
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>

#include "bench/answer.h"
#include "bench/gen.h"
#include "libbase/base.h"

#define CLIENT_ANSWER_MAX 16384

enum client_state {
	CLIENT_DISCONNECTED,
	CLIENT_CONNECTING,
	CLIENT_IDLE,
	CLIENT_PAUSED,
	CLIENT_BUSY,
};

struct request {
	uint64_t first;  /* number of its first event */
	uint32_t count;  /* of events; 0: no request */
	int64_t due_us;  /* monotonic: when it was meant to be sent */
	int64_t sent_us; /* monotonic: when it was sent, this time */
};

struct client {
	enum client_state state;
	int fd; /* owned; -1 when DISCONNECTED */
	unsigned index;
	struct request request; /* kept over a lost connection to retry */
	int64_t wake_us;
	int64_t backoff_us;
	bool want_write; /* epoll watches for it */
	char *out;       /* owned: header and body, laid out once */
	char **events;   /* owned: each event's place in out */
	size_t out_len, out_sent;
	size_t in_len;
	char in[CLIENT_ANSWER_MAX];
};

/*
 * Lay out requests of up to `count` events.  Returns 0 or -ENOMEM.  The
 * client starts DISCONNECTED; client_fini frees it, also after failure.
 */
MUST_USE int client_init(struct client *c, unsigned index, const struct gen *g,
                         const char *host, uint32_t count);
void client_fini(struct client *c);

/*
 * Start to connect; watch for writing, then client_connected.  Returns 0 or
 * -errno, still DISCONNECTED.
 */
MUST_USE int client_connect(struct client *c, const struct addrinfo *to);

/* Whether the connect worked: 0 (now IDLE) or -errno. */
MUST_USE int client_connected(struct client *c);

/* Close the socket; the request stays for the caller to judge. */
void client_disconnect(struct client *c);

/* Make the text of c->request, whose events are sent at wall_us. */
void client_prepare(struct client *c, const struct gen *g, int64_t wall_us);

/* Send what is left.  Returns 0, -EAGAIN, or -errno when it is lost. */
MUST_USE int client_send(struct client *c);

/*
 * Receive; *answer is filled when this returns 0.  -EAGAIN: not whole yet.
 * -EPIPE: the server closed.  -EBADMSG: no HTTP.  Else -errno.
 */
MUST_USE int client_recv(struct client *c, struct answer *answer);

#endif
