/* settings - what batchd reads from [leat] and [batchd]. */
#ifndef BATCHD_SETTINGS_H
#define BATCHD_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "batchd/socket_access.h"
#include "batchd/store.h"
#include "libbase/conf.h"
#include "libproto/frame.h"

#define SINKS_MAX 32
#define TAILS_MAX 64

enum batchd_start { START_OLDEST, START_NEWEST };

struct batchd_settings {
	char *socket;
	char *socket_owner; /* empty: batchd's own user */
	char *socket_group; /* empty: batchd's own group */
	char *dir;
	char *sinks; /* names, separated by spaces */
	int start;   /* enum batchd_start */
	int fsync;   /* enum store_fsync */
	int64_t fsync_interval_ms;
	int64_t max_bytes;
	int64_t segment_bytes;
	int64_t min_free_bytes;
	int64_t retain_seconds;
	int64_t group_max_bytes;
	int64_t max_connections;
	int64_t max_tails;
	int64_t drain_ms;

	bool accept_gap; /* --accept-gap */

	struct socket_access access; /* made from socket_owner, socket_group */

	/* Made from sinks. */
	char sink_names[SINKS_MAX][FRAME_NAME_MAX + 1];
	size_t sink_count;
};

/* As conf_start. */
MUST_USE int batchd_settings_load(struct batchd_settings *settings, int argc,
                                  char **argv);
void batchd_settings_free(struct batchd_settings *settings);

/* The settings that the log needs, in its units. */
struct store_conf
batchd_settings_store_conf(const struct batchd_settings *settings);

#endif
