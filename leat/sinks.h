/*
 * sinks - the settings in force of batchd, and the sinks that it has.
 */
#ifndef LEAT_SINKS_H
#define LEAT_SINKS_H

#include <limits.h>
#include <stdint.h>

#include "leat/program.h"

struct sinks {
	char directory[PATH_MAX]; /* in which leat's programs are */
	const char *path;         /* of the settings */
	struct program_user user; /* whom to run the programs of sinks as */
	char socket[128];         /* of batchd, as the rest */
	char log_dir[4001];
	char list[8192]; /* its sinks, separated by blanks */
	int64_t max_bytes, min_free_bytes;
};

/*
 * Read batchd's settings, which must be valid, from its own --check.  Returns
 * 0; or EXIT_CONFIG or EXIT_FAILURE after logging why not.
 */
MUST_USE int sinks_read(struct sinks *sinks, const char *path);

/*
 * Copy the next name of the list to out, which has room for the longest one.
 * *at is where to continue, and 0 at first.  If `only` is not NULL, other names
 * are skipped.  Returns false at the end.
 */
bool sinks_next(const struct sinks *sinks, const char *only, size_t *at,
                char *out, size_t out_bytes);

/* Return true if the list has the name, or log that it does not. */
bool sinks_has(const struct sinks *sinks, const char *name);

#endif
