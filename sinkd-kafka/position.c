/* position - see position.h. */
#include "sinkd-kafka/position.h"

#include "sinkd-kafka/client.h"
#include "sinkd-kafka/error_class.h"

/*
 * The first time limit of a blocking call.  After each of these the caller
 * checks whether a broker has refused the client.
 */
#define SLICE_MS 500

static enum sink_result
open_reader(struct kafka *k, struct sink_error *error)
{
	enum sink_result result;

	if (k->stream->reader)
		return SINK_DONE;
	result = client_new(k, RD_KAFKA_CONSUMER, &k->stream->reader, error);
	if (result == SINK_DONE)
		(void)rd_kafka_poll_set_consumer(k->stream->reader);
	return result;
}

/*
 * Take what librdkafka reports to the reader.  A group that the client may not
 * read is reported as a message and not to librdkafka_on_error.
 */
static void
take_reader_error(struct kafka *k, int timeout_ms)
{
	rd_kafka_message_t *m =
	    rd_kafka_consumer_poll(k->stream->reader, timeout_ms);

	if (m && m->err)
		client_note_error(k, m->err, rd_kafka_message_errstr(m));
	if (m)
		rd_kafka_message_destroy(m);
}

/*
 * Return true if the request should be repeated, after a short wait.  A
 * coordinator that moves, loads, or waits for a transaction to end reports that
 * for a while.
 */
static bool
retry_later(struct kafka *k, rd_kafka_resp_err_t err, uint64_t deadline_ms)
{
	int left = client_left_ms(deadline_ms);

	take_reader_error(k, left < 50 ? left : 50);
	return kafka_error_class(err) == SINK_UNREACHABLE && left > 0 &&
	       !k->all_down &&
	       kafka_error_class(k->broker.err) != SINK_MISCONFIGURED;
}

enum sink_result
position_read(struct kafka *k, uint64_t deadline_ms, struct sink_error *error)
{
	rd_kafka_topic_partition_t *p = &k->offsets->elems[0];
	enum sink_result result = open_reader(k, error);
	rd_kafka_resp_err_t err;
	int slice = SLICE_MS; /* grows each time: a broker may be slow */

	if (result != SINK_DONE)
		return result;
	do {
		int left = client_left_ms(deadline_ms);

		p->offset = RD_KAFKA_OFFSET_INVALID;
		err = rd_kafka_committed(k->stream->reader, k->offsets,
		                         left < slice ? left : slice);
		slice = left < slice ? slice : 2 * slice;
		if (!err)
			err = p->err;
	} while (err && retry_later(k, err, deadline_ms));
	if (err)
		return client_error(k, "position", err, NULL, error);
	k->stream->found = p->offset >= 0;
	k->stream->position = k->stream->found ? (uint64_t)p->offset : 0;
	return SINK_DONE;
}

enum sink_result
position_store(struct kafka *k, uint64_t position, uint64_t deadline_ms,
               struct sink_error *error)
{
	enum sink_result result = open_reader(k, error);
	rd_kafka_resp_err_t err;

	if (result != SINK_DONE)
		return result;
	k->offsets->elems[0].offset = (int64_t)position;
	/* librdkafka limits the time of a commit by socket.timeout.ms. */
	do
		err = rd_kafka_commit(k->stream->reader, k->offsets, 0);
	while (err && retry_later(k, err, deadline_ms));
	/* Process what is in the reader's queue, which would grow otherwise. */
	(void)rd_kafka_poll(k->stream->reader, 0);
	if (err)
		return client_error(k, "store position", err, NULL, error);
	k->stream->found = true;
	k->stream->position = position;
	return SINK_DONE;
}

void
position_close(struct kafka *k)
{
	if (k->stream->reader)
		rd_kafka_destroy_flags(k->stream->reader,
		                       RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	k->stream->reader = NULL;
}
