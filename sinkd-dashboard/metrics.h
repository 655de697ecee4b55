/* metrics - the dashboard's own figures, for Prometheus. */
#ifndef SINKD_DASHBOARD_METRICS_H
#define SINKD_DASHBOARD_METRICS_H

#include "libbase/buf.h"
#include "sinkd-dashboard/access.h"
#include "sinkd-dashboard/model.h"
#include "sinkd-dashboard/viewers.h"

/* Append the page; a failure is kept in out->error. */
void metrics_page(struct buf *out, const struct model *m,
                  const struct access *a, const struct viewers *v,
                  uint64_t requests);

#endif
