/* conn_stream - see conn.h. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libhttp/conn.h"

/* Pieces of a stream that are sent before others have a turn. */
#define PIECES_PER_TURN 4

/* A chunk's size and CRLF before its bytes, and the CRLF after them. */
#define CHUNK_HEAD_BYTES 8
#define CHUNK_TAIL_BYTES 2

void
http_stream(struct http_request *rq, const struct http_response *response,
            http_produce produce)
{
	struct conn *c = conn_of(rq);
	struct http_server *s = c->server;

	if (!conn_begin_response(c, response, true))
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

/*
 * Make a chunk of the n bytes that were produced.  They are in the scratch
 * buffer already, CHUNK_HEAD_BYTES after its beginning.
 */
static void
make_chunk(struct buf *scratch, size_t n)
{
	char head[CHUNK_HEAD_BYTES + 1];

	/* With leading zeros the head always has CHUNK_HEAD_BYTES. */
	(void)snprintf(head, sizeof head, "%06zx\r\n", n);
	memcpy(scratch->data, head, CHUNK_HEAD_BYTES);
	memcpy(scratch->data + CHUNK_HEAD_BYTES + n, "\r\n", CHUNK_TAIL_BYTES);
	scratch->len = CHUNK_HEAD_BYTES + n + CHUNK_TAIL_BYTES;
}

/*
 * Have one piece of a stream produced, and send it.  Returns 0, -EAGAIN when
 * the socket has not taken all of it, or another -errno; sets *ended if it was
 * the last piece.
 *
 * The produced bytes go straight into the scratch buffer, where room is left
 * for the chunk's head, so that they are not copied.  To HTTP/1.0 they are
 * sent as they are; the end of the connection ends the content.
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
			return; /* the program has closed it in produce */
	}
	if (ended) {
		conn_end_request(c);
		conn_after_send(c, rc);
	} else if (rc == -EAGAIN) {
		/*
		 * Enter the state again if it was blocked before: the time
		 * limit is for each piece, as the stream may have no end.
		 */
		conn_change_state(c, CONN_STREAM_BLOCKED);
	} else if (rc < 0) {
		conn_close(c);
	} else if (c->state != CONN_STREAMING) {
		conn_change_state(c, CONN_STREAMING);
	}
}

/*
 * A browser that leaves a page closes its connection, which looks like the end
 * of its sending.  Nothing else would report it while there is nothing to
 * send, so the end of the client's sending ends the stream.
 */
void
conn_stream_read(struct conn *c)
{
	ssize_t n = conn_recv(c, c->server->recv, CONN_RECV_BYTES);

	/* What it sent is dropped: the connection closes after the stream. */
	if (n <= 0 && n != -EAGAIN)
		conn_close(c);
}
