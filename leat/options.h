/*
 * options - values of options that several verbs have.  Each function logs what
 * is wrong with a value, and returns 0 or -EINVAL.
 */
#ifndef LEAT_OPTIONS_H
#define LEAT_OPTIONS_H

#include <stdint.h>

#include "leat/when.h"
#include "libbase/base.h"

/* --timeout, of which options_timeout reads the text. */
#define OPTIONS_TIMEOUT_FLAG(text)                                             \
	{                                                                      \
		.name = "--timeout", .argument = "DURATION", .value = &(text), \
		.help =                                                        \
		    "wait until it is done, but at most this time, such as "   \
		    "90s or 5m (default 60s); the order goes on after that"    \
	}
#define OPTIONS_TIMEOUT_MS 60000 /* its default */

/* Read --timeout.  Without one, which is NULL, *ms stays as it is. */
MUST_USE int options_timeout(const char *text, uint64_t *ms);

/* Read a duration such as 30m, which is not 0. */
MUST_USE int options_duration(const char *option, const char *text,
                              uint64_t *ms);

/* Read a point of the log. */
MUST_USE int options_when(const char *option, const char *text,
                          struct when *when);

/*
 * Read a point of the log, and find the offset of a time in the log on disk in
 * log_dir.  `first` and `end` are those of the log: oldest and newest.  Returns
 * 0 or an exit status: EXIT_CONFIG, or EXIT_FAILURE when the log cannot be
 * read.
 */
MUST_USE int options_offset(const char *option, const char *text,
                            const char *log_dir, uint64_t first, uint64_t end,
                            struct when *when);

#endif
