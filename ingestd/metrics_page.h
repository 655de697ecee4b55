/*
 * metrics_page - GET /metrics: the page that Prometheus reads.
 *
 * It shows the status that batchd sent last: the log, the sinks, the sums over
 * all ingestd processes, and each of these.  Several processes share one port,
 * and a scrape reaches any of them.  A series must have the same value
 * whichever process answers, so even this process's own figures are taken from
 * batchd's status.
 */
#ifndef INGESTD_METRICS_PAGE_H
#define INGESTD_METRICS_PAGE_H

#include "ingestd/metrics.h"
#include "libbase/buf.h"

/* Append the page to out.  A failure is kept in out->error. */
void metrics_page(const struct metrics *m, struct buf *out);

#endif
