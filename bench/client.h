/*
 * client - one connection of the load generator and its request in flight.
 *
 * States:
 *
 * DISCONNECTED  no socket; may connect from `wake_us` on
 * CONNECTING
 * IDLE
 * PAUSED        idle, but sends nothing before `wake_us`
 * BUSY          the request is being sent, or waits for its response
 *
 * load.c decides what happens; this file moves bytes.
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
	uint32_t count;  /* of events; 0 without a request */
	int64_t due_us;  /* monotonic: when it should be sent */
	int64_t sent_us; /* monotonic: when it was last sent */
};

struct client {
	enum client_state state;
	int fd; /* owned; -1 when DISCONNECTED */
	unsigned index;
	struct request request; /* kept after a lost connection, to retry it */
	int64_t wake_us;
	int64_t backoff_us;
	bool want_write; /* epoll waits until the socket is writable */
	char *out;       /* owned: header and body */
	char **events;   /* owned: where each event starts in `out` */
	size_t out_len, out_sent;
	size_t in_len;
	char in[CLIENT_ANSWER_MAX];
};

/*
 * Prepare a buffer for requests of up to `count` events.  Returns 0 or -ENOMEM.
 * The client starts DISCONNECTED.  Call client_fini even after a failure.
 */
MUST_USE int client_init(struct client *c, unsigned index, const struct gen *g,
                         const char *host, uint32_t count);
void client_fini(struct client *c);

/*
 * Start to connect.  The caller waits until the socket is writable and then
 * calls client_connected.  Returns 0, or -errno and stays DISCONNECTED.
 */
MUST_USE int client_connect(struct client *c, const struct addrinfo *to);

/* Finish connecting.  Returns 0 with the state IDLE, or -errno. */
MUST_USE int client_connected(struct client *c);

/* Close the socket. The request is kept, for the caller to decide about it. */
void client_disconnect(struct client *c);

/* Write the text of c->request.  Its events have the time wall_us. */
void client_prepare(struct client *c, const struct gen *g, int64_t wall_us);

/*
 * Send what is left.  Returns 0, -EAGAIN, or -errno if the connection is lost.
 */
MUST_USE int client_send(struct client *c);

/*
 * Receive.  Returns 0 and fills in *answer, -EAGAIN if the response is not
 * complete yet, -EPIPE if the server closed the connection, -EBADMSG if it sent
 * no valid response, or -errno.
 */
MUST_USE int client_recv(struct client *c, struct answer *answer);

#endif
