/*
 * mark - one line for each thing that a command has looked at: a mark, what it
 * is about, and what was found.
 */
#ifndef LEAT_MARK_H
#define LEAT_MARK_H

#include "libbase/base.h"

enum mark {
	MARK_OK,      /* a tick */
	MARK_WARNING, /* an exclamation mark */
	MARK_ERROR,   /* a cross */
};

/*
 * Print a line to standard output.  The marks are the words ok, warn and FAIL
 * if the locale of the environment is not UTF-8.
 */
void mark_print(enum mark mark, const char *subject, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* The worst mark that was printed so far. */
enum mark mark_worst(void);

/*
 * Parse a line that a sink has printed (libsink/finding.h), or an error that it
 * has logged.  Returns its text and sets *mark, or returns NULL if it is
 * another line.
 */
const char *mark_parse(const char *line, enum mark *mark);

/*
 * Print another line, such as one of the dynamic linker, to standard error, but
 * no warning, which was found by the check of the settings.
 */
void mark_pass_on(const char *line);

#endif
