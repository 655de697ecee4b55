/* ack_queue - see ack_queue.h. */
#include "batchd/ack_queue.h"

#include <assert.h>
#include <string.h>

#include "libproto/wire.h"

/* Bytes of one entry of offsets: a msgpack uint 64. */
#define OFFSET_BYTES 9

void
ack_queue_init(struct ack_queue *q)
{
	*q = (struct ack_queue){0};
	buf_init(&q->offsets, 1 * MIB);
}

void
ack_queue_fini(struct ack_queue *q)
{
	buf_fini(&q->offsets);
}

uint32_t
ack_queue_count(const struct ack_queue *q)
{
	return q->filling + q->writing + q->durable;
}

uint64_t
ack_queue_next_seq(const struct ack_queue *q)
{
	return q->acknowledged + ack_queue_count(q) + 1;
}

int
ack_queue_reserve(struct ack_queue *q)
{
	return buf_reserve(&q->offsets, OFFSET_BYTES);
}

void
ack_queue_add(struct ack_queue *q, uint64_t first_offset)
{
	struct buf *b = &q->offsets;

	assert(b->cap - b->len >= OFFSET_BYTES);
	(void)wire_put_u64(b->data + b->len, first_offset);
	b->len += OFFSET_BYTES;
	q->filling++;
}

void
ack_queue_write_begins(struct ack_queue *q)
{
	assert(q->writing == 0); /* the log writes one group at a time */
	q->writing = q->filling;
	q->filling = 0;
}

void
ack_queue_write_ends(struct ack_queue *q)
{
	q->durable += q->writing;
	q->writing = 0;
}

uint32_t
ack_queue_peek(const struct ack_queue *q, struct frame *appended)
{
	uint32_t count =
	    q->durable < FRAME_APPENDED_MAX ? q->durable : FRAME_APPENDED_MAX;

	assert(q->offsets.len == (size_t)ack_queue_count(q) * OFFSET_BYTES);
	*appended = (struct frame){.type = FRAME_APPENDED};
	appended->appended.seq = q->acknowledged + count;
	appended->appended.count = count;
	appended->body = q->offsets.data;
	appended->body_bytes = (size_t)count * OFFSET_BYTES;
	return count;
}

void
ack_queue_remove(struct ack_queue *q, uint32_t count)
{
	size_t bytes = (size_t)count * OFFSET_BYTES;

	assert(count <= q->durable);
	q->acknowledged += count;
	q->durable -= count;
	q->offsets.len -= bytes;
	memmove(q->offsets.data, q->offsets.data + bytes, q->offsets.len);
}
