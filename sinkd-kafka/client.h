/*
 * client - librdkafka's handles: how they are set up, and what they tell by
 * their callbacks.
 */
#ifndef SINKD_KAFKA_CLIENT_H
#define SINKD_KAFKA_CLIENT_H

#include "sinkd-kafka/kafka.h"

/*
 * Make the producer of k->name, or a consumer of that group; the settings,
 * the options and the password decide the rest.
 */
enum sink_result client_new(struct kafka *k, rd_kafka_type_t type,
                            rd_kafka_t **out, struct sink_error *error);

/* Start anew with what librdkafka's callbacks have told. */
void client_clear_errors(struct kafka *k);

/* Keep what librdkafka says of brokers, for client_error. */
void client_note_error(struct kafka *k, rd_kafka_resp_err_t err,
                       const char *reason);

/*
 * The reason behind err for people: where librdkafka only says that time ran
 * out or that a transaction failed, what a broker or a message said before.
 */
enum sink_result client_error(struct kafka *k, const char *what,
                              rd_kafka_resp_err_t err, const char *text,
                              struct sink_error *error);

/* Milliseconds from now to deadline_ms, at least 0. */
int client_left_ms(uint64_t deadline_ms);

#endif
