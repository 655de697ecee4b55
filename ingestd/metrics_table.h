/*
 * metrics_table - which metrics GET /metrics shows, and where each comes from.
 *
 * docs/operations.md lists them for people.
 */
#ifndef INGESTD_METRICS_TABLE_H
#define INGESTD_METRICS_TABLE_H

#include <stdbool.h>

#include "libproto/report.h"

/* One series of the log or of a sink, by the keys of batchd's status map. */
struct metric {
	const char *name, *type, *help;
	const char *map; /* within the log's or sink's map; NULL: that itself */
	const char *key;
	bool ms; /* a duration in ms; shown in seconds */
};

/* One series of the sum over all ingestd processes, and of each of them. */
struct ingest_metric {
	const char *name, *type, *help; /* name: after the prefix */
	enum ingest_figure figure;
	const char *label; /* or NULL; those of one name follow each other */
};

#define METRICS_LOG 11
#define METRICS_SINK 20
#define METRICS_INGEST 17

extern const struct metric log_metrics[METRICS_LOG];
extern const struct metric sink_metrics[METRICS_SINK];
extern const struct ingest_metric ingest_metrics[METRICS_INGEST];

#endif
