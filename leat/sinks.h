/*
 * sinks - the settings in force of batchd, and the sinks that it has.
 */
#ifndef LEAT_SINKS_H
#define LEAT_SINKS_H

#include <limits.h>
#include <stdint.h>

#include "batchd/settings.h"
#include "leat/program.h"

struct sinks {
	char directory[PATH_MAX]; /* in which leat's programs are */
	const char *path;         /* of the settings */
	struct program_user user; /* whom to run the programs of sinks as */
	char socket[128];         /* of batchd, as the rest */
	char log_dir[4001];
	char names[SINKS_MAX][FRAME_NAME_MAX + 1]; /* its sinks */
	size_t count;
	int64_t max_bytes, min_free_bytes;
};

/*
 * Read batchd's settings, which must be valid, from its own --check.  Returns
 * 0; or EXIT_CONFIG or EXIT_FAILURE after logging why not.
 */
MUST_USE int sinks_read(struct sinks *sinks, const char *path);

/* Return true if there is a sink with this name, or log that there is none. */
bool sinks_has(const struct sinks *sinks, const char *name);

#endif
