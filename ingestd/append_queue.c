/* append_queue - see append_queue.h. */
#include "ingestd/append_queue.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "libbase/buf.h"
#include "libproto/wire.h"

/* Frames kept for reuse: as many as a busy turn of the loop fills. */
#define SPARE_FRAMES_MAX 32

struct append_frame {
	struct append_frame *next;
	struct buf body;
	uint64_t seq;
	uint32_t count; /* of events in body */
};

/* A committed request, until its last frame is durable. */
struct pending_request {
	struct pending_request *next;
	void *owner; /* NULL once answered */
	uint64_t first_seq, last_seq;
	uint32_t first_index; /* of its first event in frame first_seq */
	uint64_t offset;
	size_t bytes;
	uint64_t deadline_ms;
};

/* Frames. */

static struct append_frame *
frame_start(struct append_queue *q)
{
	struct append_frame *f = q->spare;

	if (f) {
		q->spare = f->next;
		q->spare_count--;
	} else {
		f = malloc(sizeof *f);
		if (!f)
			return NULL;
		buf_init(&f->body, FRAME_BODY_MAX);
	}
	f->next = NULL;
	f->count = 0;
	f->seq = q->next_seq++;
	buf_clear(&f->body);
	if (q->last)
		q->last->next = f;
	else
		q->first = f;
	q->last = f;
	return f;
}

static void
frame_release(struct append_queue *q, struct append_frame *f)
{
	if (q->spare_count < SPARE_FRAMES_MAX) {
		f->next = q->spare;
		q->spare = f;
		q->spare_count++;
		return;
	}
	buf_fini(&f->body);
	free(f);
}

/* Release the frames after `keep`; NULL: all. */
static void
frames_drop_after(struct append_queue *q, struct append_frame *keep)
{
	struct append_frame *f = keep ? keep->next : q->first, *next;

	for (; f; f = next) {
		next = f->next;
		frame_release(q, f);
	}
	if (keep)
		keep->next = NULL;
	else
		q->first = NULL;
	q->last = keep;
}

/* One request's transaction. */

static void
adding_start(struct append_queue *q)
{
	q->adding.last = q->last;
	q->adding.last_bytes = q->last ? q->last->body.len : 0;
	q->adding.last_count = q->last ? q->last->count : 0;
	q->adding.next_seq = q->next_seq;
	q->adding.events = 0;
	q->adding.bytes = 0;
}

static int
append_queue_pack(struct append_queue *q, const struct event *event)
{
	struct append_frame *f = q->last;
	int rc;

	if (f) {
		rc = event_pack(&f->body, event);
		if (rc != -EMSGSIZE || f->count == 0)
			return rc;
	}
	/* The frame is full.  An event is never split over two frames. */
	f = frame_start(q);
	return f ? event_pack(&f->body, event) : -ENOMEM;
}

int
append_queue_add(struct append_queue *q, const struct event *event)
{
	struct append_frame *f;
	struct append_frame *before = q->last;
	size_t start = before ? before->body.len : 0, bytes;
	int rc;

	rc = append_queue_pack(q, event);
	if (rc < 0)
		return rc;
	f = q->last;
	if (f != before)
		start = 0;
	bytes = f->body.len - start;
	if (bytes > q->max_event_bytes || !budget_take(q->budget, bytes)) {
		f->body.len = start;
		return bytes > q->max_event_bytes ? -EMSGSIZE : -ENOBUFS;
	}
	if (q->adding.events == 0) {
		q->adding.first_seq = f->seq;
		q->adding.first_index = f->count;
	}
	f->count++;
	q->adding.events++;
	q->adding.bytes += bytes;
	return 0;
}

void
append_queue_cancel(struct append_queue *q)
{
	frames_drop_after(q, q->adding.last);
	if (q->last) {
		q->last->body.len = q->adding.last_bytes;
		q->last->count = q->adding.last_count;
	}
	q->next_seq = q->adding.next_seq;
	budget_give(q->budget, q->adding.bytes);
	adding_start(q);
}

int
append_queue_commit(struct append_queue *q, void *owner, uint64_t deadline_ms)
{
	struct pending_request *p = q->spare_pending;

	assert(q->adding.events > 0);
	if (p) {
		q->spare_pending = p->next;
	} else {
		p = malloc(sizeof *p);
		if (!p) {
			append_queue_cancel(q);
			return -ENOMEM;
		}
	}
	*p = (struct pending_request){
	    .owner = owner,
	    .first_seq = q->adding.first_seq,
	    .first_index = q->adding.first_index,
	    /* The last frame is empty if it was started for an event that
	     * was then refused. */
	    .last_seq = q->last->count > 0 ? q->last->seq : q->last->seq - 1,
	    .bytes = q->adding.bytes,
	    .deadline_ms = deadline_ms,
	};
	if (q->tail)
		q->tail->next = p;
	else
		q->head = p;
	q->tail = p;
	if (!q->unresolved)
		q->unresolved = p;
	q->pending_count++;
	adding_start(q);
	return 0;
}

/* Pending requests. */

static void
pending_answer(struct append_queue *q, struct pending_request *p,
               enum append_result result)
{
	void *owner = p->owner;

	if (!owner)
		return;
	p->owner = NULL;
	q->pending_count--;
	q->on_done(owner, result, p->offset);
}

/* Answer a request that is in no list any more, and keep its memory. */
static void
pending_end(struct append_queue *q, struct pending_request *p,
            enum append_result result)
{
	budget_give(q->budget, p->bytes);
	pending_answer(q, p, result);
	p->next = q->spare_pending;
	q->spare_pending = p;
}

static void
pending_pop(struct append_queue *q, enum append_result result)
{
	struct pending_request *p = q->head;

	q->head = p->next;
	if (!q->head)
		q->tail = NULL;
	if (q->unresolved == p)
		q->unresolved = p->next;
	pending_end(q, p, result);
}

void
append_queue_drop_unsent(struct append_queue *q)
{
	struct pending_request *kept = NULL, *p = q->head, *next;
	struct append_frame *f = NULL;
	uint64_t seq = q->sent_seq;

	/*
	 * A request whose first frame was sent must be sent to its end.  So
	 * must those whose events share a frame with it: they cannot be taken
	 * out of a frame, and may extend over further frames themselves.
	 */
	for (; p && p->first_seq <= seq; kept = p, p = p->next) {
		if (p->last_seq > seq)
			seq = p->last_seq;
	}
	if (!p)
		return;
	for (struct append_frame *one = q->first; one && one->seq <= seq;
	     one = one->next)
		f = one;
	frames_drop_after(q, f);
	q->next_seq = seq + 1;
	adding_start(q);
	*(kept ? &kept->next : &q->head) = NULL;
	q->tail = kept;
	if (q->unresolved && q->unresolved->first_seq > seq)
		q->unresolved = NULL;
	for (; p; p = next) {
		next = p->next;
		pending_end(q, p, APPEND_NOT_SENT);
	}
}

bool
append_queue_next(const struct append_queue *q, struct frame *frame)
{
	const struct append_frame *f = q->first;

	if (!f || f->count == 0)
		return false;
	*frame = (struct frame){.type = FRAME_APPEND,
	                        .append = {.seq = f->seq, .count = f->count},
	                        .body = f->body.data,
	                        .body_bytes = f->body.len};
	return true;
}

void
append_queue_sent(struct append_queue *q)
{
	struct append_frame *f = q->first;

	assert(q->adding.events == 0);
	q->sent_seq = f->seq;
	q->first = f->next;
	if (!q->first)
		q->last = NULL;
	frame_release(q, f);
	adding_start(q);
}

int
append_queue_acknowledge(struct append_queue *q, const struct frame *f)
{
	struct wire_reader r = {f->body, f->body + f->body_bytes};
	uint64_t offsets[FRAME_APPENDED_MAX], from = q->acked_seq + 1;
	uint32_t n = f->appended.count;
	int rc = 0;

	/* Every frame is reported once, and none that was not sent. */
	if (f->appended.seq != q->acked_seq + n ||
	    f->appended.seq > q->sent_seq)
		return -EPROTO;
	for (uint32_t i = 0; rc == 0 && i < n; i++) {
		if (wire_nil(&r))
			offsets[i] = APPEND_NO_OFFSET;
		else
			rc = wire_uint(&r, &offsets[i]);
	}
	if (rc < 0 || r.at != r.end)
		return -EBADMSG;
	q->acked_seq = f->appended.seq;
	for (struct pending_request *p = q->unresolved;
	     p && p->first_seq <= q->acked_seq; p = p->next) {
		p->offset = offsets[p->first_seq - from];
		if (p->offset != APPEND_NO_OFFSET)
			p->offset += p->first_index;
		q->unresolved = p->next;
	}
	while (q->head && q->head->last_seq <= q->acked_seq)
		pending_pop(q, APPEND_DURABLE);
	return 0;
}

uint64_t
append_queue_expire(struct append_queue *q, uint64_t now_ms)
{
	for (struct pending_request *p = q->head; p; p = p->next) {
		if (p->deadline_ms > now_ms)
			return p->deadline_ms;
		pending_answer(q, p, APPEND_TIMED_OUT);
	}
	return 0;
}

void
append_queue_reset(struct append_queue *q)
{
	append_queue_drop_unsent(q);
	while (q->head)
		pending_pop(q, APPEND_CONNECTION_LOST);
	frames_drop_after(q, NULL);
	q->next_seq = 1;
	q->sent_seq = q->acked_seq = 0;
	adding_start(q);
}

void
append_queue_init(struct append_queue *q, struct budget *budget,
                  size_t max_event_bytes, append_on_done on_done)
{
	*q = (struct append_queue){.budget = budget,
	                           .max_event_bytes = max_event_bytes,
	                           .on_done = on_done,
	                           .next_seq = 1};
	adding_start(q);
}

void
append_queue_fini(struct append_queue *q)
{
	struct append_frame *f;
	struct pending_request *p;

	while ((f = q->spare)) {
		q->spare = f->next;
		buf_fini(&f->body);
		free(f);
	}
	while ((p = q->spare_pending)) {
		q->spare_pending = p->next;
		free(p);
	}
}
