/*
 * options - options that several verbs have, and their values.
 */
#ifndef LEAT_OPTIONS_H
#define LEAT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "leat/verb.h"
#include "leat/when.h"
#include "libbase/base.h"

/* --timeout of an order, in ms. */
#define OPTIONS_TIMEOUT_FLAG(ms)                                               \
	VERB_VALUE(                                                            \
	    "--timeout", "DURATION", options_timeout, ms,                      \
	    "wait until it is done, but at most this time, such as 90s "       \
	    "or 5m (default 60s); the order goes on after that")
#define OPTIONS_TIMEOUT_MS 60000 /* its default */

#define OPTIONS_EXECUTE_FLAG(execute)                                          \
	VERB_SWITCH("--execute", execute,                                      \
	            "do it; without this, only show what would be done")

/* --dir, for a verb that does this to the log: "list". */
#define OPTIONS_DIR_FLAG(does, dir)                                            \
	{                                                                      \
		.name = "--dir", .argument = "DIR", .value = dir,              \
		.no_file = true,                                               \
		.help = does " the log in DIR, without reading the settings"   \
	}

/*
 * These are for conf_flag.read: they log what is wrong with the text, and
 * return 0 or -EINVAL.
 */

/* A duration such as 30m, which is not 0, in ms: uint64_t. */
MUST_USE int options_duration(const char *option, const char *text, void *into);

/* The same, no longer than a poll can wait. */
MUST_USE int options_timeout(const char *option, const char *text, void *into);

/* A point of the log: struct when. */
MUST_USE int options_when(const char *option, const char *text, void *into);

/* Return true if the text is a number in decimal digits. */
bool options_number(const char *text, uint64_t *number);

/*
 * Set the offset of a point of the log, of whatever kind it is.  `first` and
 * `end` are those of the log: oldest, as well as none, and newest.  A time is
 * looked for in the log on disk in log_dir.  Returns 0, or a negative error
 * after logging it.
 */
MUST_USE int options_find_offset(struct when *when, const char *log_dir,
                                 uint64_t first, uint64_t end);

/*
 * Log why the log in the directory dir cannot be read.  `advice` ends the
 * message if there is no log in it.
 */
void options_log_unreadable(const char *dir, int rc, const char *advice);

#endif
