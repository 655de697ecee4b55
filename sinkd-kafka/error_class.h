/*
 * error_class - what an error of librdkafka means for the sink.
 *
 * librdkafka distinguishes retriable, abortable and fatal errors of a
 * transaction, and transaction.c acts on that.  These functions decide the
 * rest: whether the broker is unreachable, misconfigured, or refuses the
 * content of an event.
 */
#ifndef SINKD_KAFKA_ERROR_CLASS_H
#define SINKD_KAFKA_ERROR_CLASS_H

#include <librdkafka/rdkafka.h>

#include "libsink/sink.h"

/*
 * Part of librdkafka's message when a broker ended a connection with a TLS
 * alert.
 */
#define KAFKA_TLS_ALERT "SSL alert number"

/*
 * Return SINK_MISCONFIGURED, SINK_REJECT or SINK_UNREACHABLE.
 *
 * An error that means "fenced" is SINK_UNREACHABLE.  The broker also fences a
 * producer whose transaction timed out, for example while the process was
 * stopped.  Only the position tells whether another writer was there, and the
 * next producer reads it.
 */
enum sink_result kafka_error_class(rd_kafka_resp_err_t err);

/*
 * Fill in error: "<what>: <text> (<name of err>)", with advice before the text
 * if there is any.  Returns kafka_error_class(err).
 */
enum sink_result kafka_error_report(struct sink_error *error, const char *what,
                                    rd_kafka_resp_err_t err, const char *text);

#endif
