/*
 * client - librdkafka's handles: how they are configured, and what their
 * callbacks report.
 */
#ifndef SINKD_KAFKA_CLIENT_H
#define SINKD_KAFKA_CLIENT_H

#include "sinkd-kafka/kafka.h"

/* Prepare k, before any other function; kafka_close is the opposite. */
void client_init(struct kafka *k, const struct sink_common *common,
                 const struct kafka_conf *conf);

/*
 * Create the producer with the transactional id k->name, or a consumer of the
 * group k->stream->name.  Its properties come from the settings, the section of
 * librdkafka's own properties, and the password.  Returns SINK_DONE, with a
 * handle that the caller owns, or SINK_MISCONFIGURED.
 */
enum sink_result client_new(struct kafka *k, rd_kafka_type_t type,
                            rd_kafka_t **out, struct sink_error *error);

/* Forget the errors that librdkafka's callbacks have reported so far. */
void client_clear_errors(struct kafka *k);

/* Keep an error that librdkafka reported about a broker, for client_error. */
void client_note_error(struct kafka *k, rd_kafka_resp_err_t err,
                       const char *reason);

/*
 * Report the reason for err to an operator.  librdkafka often returns only that
 * a call timed out or that a transaction failed.  If a broker or a message
 * reported an error before, that one is the reason.
 */
enum sink_result client_error(struct kafka *k, const char *what,
                              rd_kafka_resp_err_t err, const char *text,
                              struct sink_error *error);

/* The time, by clock_mono_ms, at which an operation that begins now must end.
 */
uint64_t client_deadline_ms(const struct kafka *k);

/* Milliseconds until deadline_ms, or 0 if it has passed. */
int client_left_ms(uint64_t deadline_ms);

#endif
