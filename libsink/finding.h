/*
 * finding - what a check of a sink's store has found, one line for each.
 *
 * `sinkd-NAME --check-store` prints the lines for `leat check`: a word, a
 * blank, and the text.
 */
#ifndef LIBSINK_FINDING_H
#define LIBSINK_FINDING_H

#include "libbase/base.h"

enum finding {
	FINDING_OK,
	/* It works, but an operator should know what it costs or risks. */
	FINDING_WARNING,
	/* The sink does not work, or events will be lost or dead-lettered. */
	FINDING_ERROR,
};

/*
 * Print one finding to standard output.  A warning and an error end with what
 * an operator has to do.  The text may quote a store: white space becomes a
 * single blank, and what is not safe on a terminal is escaped.
 */
void finding_print(enum finding level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
