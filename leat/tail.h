/* tail - `leat tail`: show events of the log, and follow it as it grows. */
#ifndef LEAT_TAIL_H
#define LEAT_TAIL_H

#include <stdbool.h>

#include "libbase/base.h"
#include "libbase/conf.h"

/* What the operator asks for.  All texts are borrowed. */
struct tail_request {
	const char *socket;  /* of batchd */
	const char *log_dir; /* read only to find the offset of a time */
	const char *from, *to, *limit; /* as given, or NULL */
	const char *bytes_per_s;       /* the same */
	struct conf_values types;      /* show only these; none: all */
	const char *user;              /* show only this one; NULL: all */
	bool until_end;                /* end where the log ends at the start */
	bool json;                     /* JSON on a terminal as well */
};

/*
 * Print the events: as columns on a terminal, otherwise as one line of JSON
 * each.  Events that are skipped, and a lost connection, are reported on
 * standard error.  SIGINT ends the process with EXIT_SUCCESS.  Returns the exit
 * status: EXIT_SUCCESS at the end that was asked for, or when nothing reads the
 * output any more; EXIT_CONFIG if an option has a wrong value; EXIT_FAILURE,
 * after logging why, if batchd is unreachable or the output cannot be written.
 */
MUST_USE int tail_print(const struct tail_request *request);

#endif
