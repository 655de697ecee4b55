/*
 * error_class - what an error of librdkafka means for the sink.
 *
 * librdkafka tells apart retriable, abortable and fatal errors of a
 * transaction; transaction.c acts on that.  What remains is whose fault it
 * is: the broker's being away, the set-up, or an event's content.
 */
#ifndef SINKD_KAFKA_ERROR_CLASS_H
#define SINKD_KAFKA_ERROR_CLASS_H

#include <librdkafka/rdkafka.h>

#include "libsink/sink.h"

/* In librdkafka's words when a broker ended a connection by a TLS alert. */
#define KAFKA_TLS_ALERT "SSL alert number"

/*
 * SINK_MISCONFIGURED, SINK_REJECT or SINK_UNREACHABLE.  Being fenced counts as
 * away: the broker also fences a producer whose transaction has timed out, for
 * example after the process was stopped.  The next producer reads the position,
 * and only that tells whether another writer was there.
 */
enum sink_result kafka_error_class(rd_kafka_resp_err_t err);

/*
 * Fill error: "<what>: <text> (<name of err>)", with advice before the text
 * where there is some.  Returns kafka_error_class(err).
 */
enum sink_result kafka_error_report(struct sink_error *error, const char *what,
                                    rd_kafka_resp_err_t err, const char *text);

#endif
