/* client - see client.h. */
#include "bench/client.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADER_MAX 512
#define LENGTH_DIGITS 10 /* Content-Length, padded with spaces */

static size_t
put_header(char *out, const char *host)
{
	int n = snprintf(out, HEADER_MAX,
	                 "POST /v1/events HTTP/1.1\r\n"
	                 "Host: %s\r\n"
	                 "Content-Type: application/json\r\n"
	                 "Content-Length: %*s\r\n\r\n",
	                 host, LENGTH_DIGITS, "0");

	return n > 0 && n < HEADER_MAX ? (size_t)n : 0;
}

int
client_init(struct client *c, unsigned index, const struct gen *g,
            const char *host, uint32_t count)
{
	size_t header;
	char *at;

	*c = (struct client){.fd = -1, .index = index};
	c->out = malloc(HEADER_MAX + (size_t)count * (GEN_TEXT_MAX + 1) + 2);
	c->events = calloc((size_t)count + 1, sizeof *c->events);
	if (!c->out || !c->events)
		return -ENOMEM;
	header = put_header(c->out, host);
	if (header == 0)
		return -EINVAL;
	at = c->out + header;
	*at++ = '[';
	for (uint32_t i = 0; i < count; i++) {
		c->events[i] = at;
		/* Requests of one event must not all have the same shape. */
		at = gen_place(g, index + i, at) + 1; /* room for ',' or ']' */
	}
	c->events[count] = at;
	return 0;
}

void
client_fini(struct client *c)
{
	client_disconnect(c);
	free(c->out);
	free(c->events);
	c->out = NULL;
	c->events = NULL;
}

int
client_connect(struct client *c, const struct addrinfo *to)
{
	int fd, one = 1, rc;

	assert(c->state == CLIENT_DISCONNECTED);
	fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	            0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0 ||
	    (connect(fd, to->ai_addr, to->ai_addrlen) < 0 &&
	     errno != EINPROGRESS)) {
		rc = -errno;
		(void)close(fd);
		return rc;
	}
	c->fd = fd;
	c->state = CLIENT_CONNECTING;
	c->want_write = true;
	return 0;
}

int
client_connected(struct client *c)
{
	int error = 0;
	socklen_t len = sizeof error;

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
	if (error != 0)
		return -error;
	c->state = CLIENT_IDLE;
	return 0;
}

void
client_disconnect(struct client *c)
{
	if (c->fd >= 0)
		(void)close(c->fd); /* this removes it from epoll */
	c->fd = -1;
	c->state = CLIENT_DISCONNECTED;
	c->want_write = false;
	c->in_len = 0;
}

void
client_prepare(struct client *c, const struct gen *g, int64_t wall_us)
{
	char *length = c->events[0] - 1 - 4; /* before "\r\n\r\n[" */
	uint32_t count = c->request.count;
	char *end = c->events[count];
	struct gen_time t;
	size_t body;

	gen_time_set(&t, wall_us);
	for (uint32_t i = 0; i < count; i++) {
		gen_patch(g, c->index + i, c->events[i], c->request.first + i,
		          &t);
		c->events[i + 1][-1] = ',';
	}
	end[-1] = ']';
	body = (size_t)(end - (c->events[0] - 1));
	for (int i = 1; i <= LENGTH_DIGITS; i++) {
		length[-i] = body > 0 ? (char)('0' + body % 10) : ' ';
		body /= 10;
	}
	c->out_len = (size_t)(end - c->out);
	c->out_sent = 0;
}

int
client_send(struct client *c)
{
	while (c->out_sent < c->out_len) {
		ssize_t n = send(c->fd, c->out + c->out_sent,
		                 c->out_len - c->out_sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		c->out_sent += (size_t)n;
	}
	return 0;
}

int
client_recv(struct client *c, struct answer *answer)
{
	ssize_t n;
	int rc;

	do
		n = recv(c->fd, c->in + c->in_len, sizeof c->in - c->in_len, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n == 0)
		return -EPIPE;
	c->in_len += (size_t)n;
	for (;;) {
		rc = answer_read(c->in, c->in_len, answer);
		if (rc == -EAGAIN && c->in_len == sizeof c->in)
			return -EBADMSG; /* longer than any expected response */
		if (rc < 0)
			return rc;
		c->in_len -= answer->bytes;
		memmove(c->in, c->in + answer->bytes, c->in_len);
		if (answer->status >= 200)
			return c->in_len == 0 ? 0 : -EBADMSG;
		/* A 1xx status: the final response follows. */
	}
}
