/* settings - what batchd reads from [leat] and [batchd]. */
#ifndef BATCHD_SETTINGS_H
#define BATCHD_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "batchd/socket_access.h"
#include "batchd/store.h"
#include "libbase/conf.h"
#include "libproto/frame.h"

#define SINKS_MAX 16

enum settings_start { START_OLDEST, START_NEWEST };

struct settings {
	char *socket;
	char *socket_owner; /* empty: our own */
	char *socket_group; /* empty: our own */
	char *dir;
	char *sinks; /* names with spaces between */
	int start;   /* enum settings_start */
	int fsync;   /* enum store_fsync */
	int64_t fsync_interval_ms;
	int64_t max_bytes;
	int64_t segment_bytes;
	int64_t min_free_bytes;
	int64_t retain_seconds;
	int64_t group_max_bytes;
	int64_t max_connections;
	int64_t drain_ms;

	bool accept_gap; /* --accept-gap */

	struct socket_access access; /* made from socket_owner, socket_group */

	/* Made from sinks. */
	char sink_names[SINKS_MAX][FRAME_NAME_MAX + 1];
	size_t sink_count;
};

/* As conf_start. */
MUST_USE int settings_load(struct settings *settings, int argc, char **argv);
void settings_free(struct settings *settings);

/* The part that the log needs. */
struct store_conf settings_store(const struct settings *settings);

#endif
