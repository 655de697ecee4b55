/*
 * metrics_table - which metrics GET /metrics shows, and where each comes from.
 *
 * docs/operations.md lists them for people.
 */
#ifndef INGESTD_METRICS_TABLE_H
#define INGESTD_METRICS_TABLE_H

#include <stdbool.h>

#include "libproto/report.h"

/* A metric of the log or of each sink, from batchd's status map. */
struct metric {
	const char *name, *type, *help;
	const char
	    *map; /* key of a map within that of the log or sink, or NULL */
	const char *key;
	bool ms; /* the value is in ms, the metric in seconds */
};

/* A metric of all ingestd processes together, and of each of them. */
struct ingest_metric {
	const char *name, *type, *help; /* name without its prefix */
	enum ingest_figure figure;
	const char *label; /* or NULL; rows of one name follow each other */
};

#define METRICS_LOG 11
#define METRICS_SINK 22
#define METRICS_INGEST 17

extern const struct metric log_metrics[METRICS_LOG];
extern const struct metric sink_metrics[METRICS_SINK];
extern const struct ingest_metric ingest_metrics[METRICS_INGEST];

#endif
