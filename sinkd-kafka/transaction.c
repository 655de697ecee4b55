/* transaction - see transaction.h. */
#include "sinkd-kafka/transaction.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "libproto/event_json.h"
#include "libsink/bisection.h"
#include "sinkd-kafka/client.h"
#include "sinkd-kafka/error_class.h"
#include "sinkd-kafka/message.h"
#include "sinkd-kafka/position.h"
#include "sinkd-kafka/producer.h"

/* Process delivery reports after this many messages. */
#define POLL_EVERY 1024

static struct slice
message_key(const struct kafka *k, const struct event *event)
{
	switch ((enum kafka_key)k->conf->key) {
	case KEY_USER_ID:
		return event->user_id;
	case KEY_ID:
		return event->id;
	case KEY_NONE:
		break;
	}
	return (struct slice){0};
}

/* Build the value in k->value.  Fails only without memory. */
static int
make_value(struct kafka *k, const struct event *event)
{
	buf_clear(&k->value);
	if (k->conf->format == FORMAT_MSGPACK)
		return message_msgpack(&k->value, event);
	return event_json_add(&k->value, event, false);
}

/* Give one message to librdkafka, which copies it. */
static rd_kafka_resp_err_t
produce_event(struct kafka *k, const struct batch *batch, size_t i)
{
	const struct event *event = &batch->events[i];
	struct slice key = message_key(k, event);
	struct origin from = batch_origin(batch, i);
	char offset[24];
	int n = snprintf(offset, sizeof offset, "%" PRIu64, from.offset);
	rd_kafka_resp_err_t err;
	rd_kafka_error_t *e;
	rd_kafka_vu_t v[] = {
	    {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = k->topic},
	    {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
	    {.vtype = RD_KAFKA_VTYPE_VALUE,
	     .u.mem = {k->value.data, k->value.len}},
	    {.vtype = RD_KAFKA_VTYPE_KEY,
	     .u.mem = {(void *)(uintptr_t)key.data, key.bytes}},
	    {.vtype = RD_KAFKA_VTYPE_TIMESTAMP,
	     .u.i64 = event->created_at_us / 1000},
	    {.vtype = RD_KAFKA_VTYPE_HEADER,
	     .u.header = {HEADER_STREAM, from.stream.data,
	                  (ssize_t)from.stream.bytes}},
	    {.vtype = RD_KAFKA_VTYPE_HEADER,
	     .u.header = {HEADER_OFFSET, offset, n}},
	    {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = (void *)(i + 1)},
	};

	k->keyless |= key.data == NULL;
	e = rd_kafka_produceva(k->rk, v, ARRAY_LEN(v));
	if (!e)
		return RD_KAFKA_RESP_ERR_NO_ERROR;
	err = rd_kafka_error_code(e);
	rd_kafka_error_destroy(e);
	return err;
}

/*
 * Give all messages to librdkafka.  Stop at the first one that it refuses, or
 * when an earlier one is reported as failed; k->failed then has that message.
 * Returns NO_ERROR, or the reason for stopping.  _STATE means that the
 * transaction failed in the meantime; the call that commits it returns the
 * reason.
 */
static rd_kafka_resp_err_t
produce_batch(struct kafka *k, const struct batch *batch, uint64_t deadline_ms)
{
	k->keyless = false;
	for (size_t i = 0; i < batch->count; i++) {
		rd_kafka_resp_err_t err;

		if (make_value(k, &batch->events[i]) < 0)
			return RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE;
		while ((err = produce_event(k, batch, i)) ==
		       RD_KAFKA_RESP_ERR__QUEUE_FULL) {
			/* Wait for deliveries to make room. */
			(void)rd_kafka_poll(k->rk, 100);
			if (client_left_ms(deadline_ms) == 0)
				return RD_KAFKA_RESP_ERR__TIMED_OUT;
		}
		if (err && kafka_error_class(err) == SINK_REJECT) {
			k->failed.err = err;
			k->failed.event = i + 1;
			k->failed.unsent = true;
			(void)snprintf(k->failed.text, sizeof k->failed.text,
			               "%s", rd_kafka_err2str(err));
		}
		if (i % POLL_EVERY == POLL_EVERY - 1)
			(void)rd_kafka_poll(k->rk, 0);
		if (k->failed.err)
			return k->failed.err;
		if (err)
			return err;
	}
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* A call that concerns the transaction.  A handle allows one at a time. */
enum call { SEND_OFFSETS, COMMIT, ABORT };

static rd_kafka_error_t *
call_once(struct kafka *k, enum call call, int timeout_ms)
{
	switch (call) {
	case SEND_OFFSETS:
		return rd_kafka_send_offsets_to_transaction(
		    k->rk, k->offsets, k->stream->group, timeout_ms);
	case COMMIT:
		return rd_kafka_commit_transaction(k->rk, timeout_ms);
	case ABORT:
		return rd_kafka_abort_transaction(k->rk, timeout_ms);
	}
	return NULL;
}

/*
 * Repeat a call until it succeeds, fails for good, or the time is up.
 * librdkafka documents that a call is to be repeated after a retriable error.
 * Returns NULL, or the error, which the caller destroys.
 */
static rd_kafka_error_t *
call_until(struct kafka *k, enum call call, uint64_t deadline_ms)
{
	for (;;) {
		int left = client_left_ms(deadline_ms);
		rd_kafka_error_t *e = call_once(k, call, left);

		if (!e || rd_kafka_error_is_fatal(e) ||
		    rd_kafka_error_txn_requires_abort(e) ||
		    !rd_kafka_error_is_retriable(e) || left == 0)
			return e;
		rd_kafka_error_destroy(e);
		(void)rd_kafka_poll(k->rk, left < 100 ? left : 100);
	}
}

/*
 * End a transaction, within timeout_ms of its own, since the batch may have
 * used up its time.
 *
 * librdkafka recommends no time limit here, because a call that timed out
 * continues in the background.  But then it waits for ever for a coordinator
 * that does not respond.  This sink instead closes a producer whose call timed
 * out, and the next one finds out whether the transaction was committed.
 */
static rd_kafka_error_t *
end_transaction(struct kafka *k, enum call call)
{
	return call_until(k, call, client_deadline_ms(k));
}

/* Returns true if nothing is left of the transaction. */
static bool
abort_transaction(struct kafka *k)
{
	rd_kafka_error_t *e = end_transaction(k, ABORT);
	bool aborted = e == NULL;

	if (e)
		rd_kafka_error_destroy(e);
	return aborted;
}

/*
 * Handle a failed transaction and fill in error.
 *
 * The next producer ends what is left of this one.  Therefore only a refused
 * event needs an abort.  After the abort nothing of the batch can be committed,
 * and the event may be rejected.  If the abort fails, the result is
 * SINK_UNREACHABLE, and the event is refused again at the next attempt.
 *
 * `e` is NULL if producing failed with err.  It is destroyed here.
 */
static enum sink_result
transaction_failed(struct kafka *k, const char *what, rd_kafka_error_t *e,
                   rd_kafka_resp_err_t err, struct sink_error *error)
{
	const char *words = e ? rd_kafka_error_string(e) : NULL;
	/* Only these errors guarantee that nothing was committed. */
	bool abortable = !e || rd_kafka_error_txn_requires_abort(e);
	enum sink_result result;
	char origin[SINK_ERROR_TEXT];

	if (e && rd_kafka_error_is_fatal(e)) {
		err = rd_kafka_fatal_error(k->rk, origin, sizeof origin);
		words = origin;
	} else if (e) {
		err = rd_kafka_error_code(e);
	}
	result = client_error(k, what, err, words, error);
	rd_kafka_error_destroy(e);
	if (result == SINK_REJECT && (!abortable || !abort_transaction(k)))
		result = SINK_UNREACHABLE;
	/*
	 * After a broker refused messages, librdkafka (2.0.2) fails the next
	 * transaction as well, because of "skipped sequence numbers".  So the
	 * producer is kept only if librdkafka itself refused the event.
	 */
	if (result != SINK_REJECT || !k->failed.unsent)
		producer_close(k);
	return result;
}

enum sink_result
transaction_write(struct kafka *k, const struct batch *batch,
                  uint64_t deadline_ms, struct sink_error *error)
{
	rd_kafka_resp_err_t err;
	rd_kafka_error_t *e;

	client_clear_errors(k);
	e = rd_kafka_begin_transaction(k->rk);
	if (e)
		return transaction_failed(k, "begin", e, 0, error);
	err = produce_batch(k, batch, deadline_ms);
	/*
	 * _STATE means that the transaction failed.  The commit returns the
	 * reason.
	 */
	if (err && err != RD_KAFKA_RESP_ERR__STATE)
		return transaction_failed(k, "produce", NULL, err, error);
	k->offsets->elems[0].offset = (int64_t)batch->next_offset;
	if (!err)
		e = call_until(k, SEND_OFFSETS, deadline_ms);
	/*
	 * The transaction failed while the position was on its way.  When the
	 * call is repeated, librdkafka returns the reason.
	 */
	if (e && rd_kafka_error_code(e) == RD_KAFKA_RESP_ERR__STATE) {
		rd_kafka_error_destroy(e);
		e = call_until(k, SEND_OFFSETS, deadline_ms);
	}
	if (e)
		return transaction_failed(k, "send position", e, 0, error);
	e = end_transaction(k, COMMIT);
	if (e)
		return transaction_failed(k, "commit", e, 0, error);
	assert(!err); /* a failed transaction does not commit */
	k->stream->found = true;
	k->stream->position = batch->next_offset;
	return SINK_DONE;
}

/*
 * Produce the batch and wait until all of it is delivered, without a
 * transaction.
 */
static enum sink_result
produce_and_flush(struct kafka *k, const struct batch *batch,
                  uint64_t deadline_ms, struct sink_error *error)
{
	rd_kafka_resp_err_t err = produce_batch(k, batch, deadline_ms);
	char origin[SINK_ERROR_TEXT];

	if (!err)
		err = rd_kafka_flush(k->rk, client_left_ms(deadline_ms));
	if (!err && !k->failed.err)
		return SINK_DONE;
	if (err != RD_KAFKA_RESP_ERR__FATAL)
		return client_error(k, "produce", err, NULL, error);
	err = rd_kafka_fatal_error(k->rk, origin, sizeof origin);
	return client_error(k, "produce", err, origin, error);
}

enum sink_result
transaction_write_without(struct kafka *k, const struct batch *batch,
                          uint64_t deadline_ms, struct sink_error *error)
{
	enum sink_result result;

	client_clear_errors(k);
	result = produce_and_flush(k, batch, deadline_ms, error);
	if (result == SINK_DONE)
		result =
		    position_store(k, batch->next_offset, deadline_ms, error);
	/* Messages in flight may still arrive; at_least_once allows that. */
	if (result != SINK_DONE)
		producer_close(k);
	return result;
}
