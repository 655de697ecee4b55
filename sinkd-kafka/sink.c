/* sink - see sink.h. */
#include "sinkd-kafka/sink.h"

#include <inttypes.h>
#include <string.h>

#include "sinkd-kafka/client.h"
#include "sinkd-kafka/kafka.h"
#include "sinkd-kafka/producer.h"
#include "sinkd-kafka/transaction.h"

static enum sink_result
kafka_open(void *state, const struct sink_common *common, const void *conf,
           struct sink_error *error)
{
	(void)error;
	client_init(state, common, conf);
	return SINK_DONE;
}

static enum sink_result
kafka_position(void *state, const char *stream, bool *found,
               uint64_t *next_offset, struct sink_error *error)
{
	struct kafka *k = state;
	enum sink_result result =
	    producer_ready(k, stream, client_deadline_ms(k), error);

	if (result == SINK_DONE && k->stream->found) {
		*found = true;
		*next_offset = k->stream->position;
	}
	return result;
}

static enum sink_result
kafka_write(void *state, const struct batch *batch, struct sink_error *error)
{
	struct kafka *k = state;
	/*
	 * One deadline for both: the time that a new producer takes is part of
	 * the batch's time.
	 */
	uint64_t until = client_deadline_ms(k);
	enum sink_result result =
	    producer_ready(k, batch->stream, until, error);

	if (result != SINK_DONE)
		return result;
	/* I9: the position moves only from the value that this sink knows. */
	if (k->stream->found && k->stream->position != batch->position)
		return sink_fail(
		    error, SINK_FENCED,
		    "another process moved the position: group %s has %" PRIu64
		    " instead of %" PRIu64,
		    k->stream->name, k->stream->position, batch->position);
	if (k->conf->delivery == AT_LEAST_ONCE)
		return transaction_write_without(k, batch, until, error);
	return transaction_write(k, batch, until, error);
}

static void
kafka_close(void *state)
{
	struct kafka *k = state;

	producer_close(k); /* ends librdkafka's threads, which use log_lock */
	k->name[0] = '\0';
	memset(k->streams, 0, sizeof k->streams);
	buf_fini(&k->value);
	if (k->log_ready)
		(void)pthread_mutex_destroy(&k->log_lock);
	k->log_ready = false;
}

const struct sink kafka_sink = {
    .name = KAFKA_SINK_NAME,
    .summary = "carries events from batchd to a Kafka topic",
    .keys = kafka_keys,
    .more = kafka_sections,
    .more_count = KAFKA_SECTIONS,
    .conf_bytes = sizeof(struct kafka_conf),
    .state_bytes = sizeof(struct kafka),
    .batch_events = "50000",
    .batch_wait_ms = "10",
    .check = kafka_check,
    .open = kafka_open,
    .position = kafka_position,
    .write = kafka_write,
    .check_store = kafka_check_store,
    .count = kafka_count,
    .close = kafka_close,
};
