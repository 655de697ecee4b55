/* conn_stream - see conn_internal.h. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libhttp/conn_internal.h"

/* Pieces of a stream that are sent before others have a turn. */
#define PIECES_PER_TURN 4

/* A chunk's size and CRLF before its bytes, and the CRLF after them. */
#define CHUNK_HEAD_BYTES 8
#define CHUNK_TAIL_BYTES 2

void
http_stream(struct http_request *rq, const struct http_response *answer,
            http_produce produce)
{
	struct conn *c = conn_of(rq);
	struct http_server *s = c->server;

	if (!conn_begin_response(c, answer, true))
		return;
	if (!conn_hold(c, &c->out, s->scratch.data, s->scratch.len)) {
		conn_close(c);
		return;
	}
	rq->produce = produce;
	rq->produces = true;
	if (rq->no_body) {
		conn_end_request(c);
		conn_after_send(c, conn_flush(c));
		return;
	}
	conn_change_state(c, CONN_STREAMING);
	conn_make_ready(c);
}

void
http_stream_wake(struct http_request *rq)
{
	struct conn *c = conn_of(rq);

	rq->produces = true;
	if (c->state == CONN_STREAMING)
		conn_make_ready(c);
}

/* Put the produced bytes, which lie in scratch, into a chunk of their own. */
static void
make_chunk(struct buf *scratch, size_t n)
{
	char head[CHUNK_HEAD_BYTES + 1];

	/* Leading zeros make the head of one length: 8 bytes. */
	(void)snprintf(head, sizeof head, "%06zx\r\n", n);
	memcpy(scratch->data, head, CHUNK_HEAD_BYTES);
	memcpy(scratch->data + CHUNK_HEAD_BYTES + n, "\r\n", CHUNK_TAIL_BYTES);
	scratch->len = CHUNK_HEAD_BYTES + n + CHUNK_TAIL_BYTES;
}

/*
 * Have a piece of a stream produced, and send it.  Returns 0, -EAGAIN when
 * the socket has not taken it all, or another -errno; *ended is set when
 * there will be no more.
 */
static int
send_stream_piece(struct conn *c, bool *ended)
{
	static const char last_chunk[] = "0\r\n\r\n";
	struct buf *scratch = &c->server->scratch;
	bool chunks = c->rq.minor > 0;
	size_t before = chunks ? CHUNK_HEAD_BYTES : 0;
	ssize_t n;

	buf_clear(scratch);
	if (buf_reserve(scratch, before + HTTP_STREAM_ROOM + CHUNK_TAIL_BYTES) <
	    0)
		return -ENOMEM;
	n = c->rq.produce(&c->rq, (char *)scratch->data + before,
	                  HTTP_STREAM_ROOM);
	*ended = n < 0;
	if (n == HTTP_STREAM_WAIT) {
		c->rq.produces = false;
		return 0;
	}
	if (n > 0) {
		assert((size_t)n <= HTTP_STREAM_ROOM);
		scratch->len = (size_t)n;
		if (chunks)
			make_chunk(scratch, (size_t)n);
	} else if (chunks &&
	           buf_add(scratch, last_chunk, sizeof last_chunk - 1) < 0) {
		return -ENOMEM;
	}
	return scratch->len > 0 ? conn_send_or_hold(c, NULL, 0) : 0;
}

void
conn_stream_resume(struct conn *c)
{
	bool ended = false;
	int rc = conn_flush(c);

	for (int i = 0; rc == 0 && c->rq.produces && !ended; i++) {
		if (i == PIECES_PER_TURN) {
			conn_make_ready(c);
			break;
		}
		rc = send_stream_piece(c, &ended);
		if (c->state == CONN_CLOSED)
			return; /* by the program, while it produced */
	}
	if (ended) {
		conn_end_request(c);
		conn_after_send(c, rc);
	} else if (rc == -EAGAIN) {
		conn_change_state(c, CONN_STREAM_BLOCKED);
	} else if (rc < 0) {
		conn_close(c);
	} else if (c->state != CONN_STREAMING) {
		conn_change_state(c, CONN_STREAMING);
	}
}

/*
 * The client of a stream has sent something.  The end of its sending ends the
 * stream as well: it is how browsers leave, and nothing else would tell.
 */
void
conn_stream_read(struct conn *c)
{
	ssize_t n = conn_recv(c, c->server->recv, CONN_RECV_BYTES);

	/* Bytes are dropped: the connection closes after the stream. */
	if (n <= 0 && n != -EAGAIN)
		conn_close(c);
}
