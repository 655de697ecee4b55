/*
 * log - one line to standard error for each thing that an operator should know.
 *
 * A line is "<time> <level> <daemon> <what happened> key=value ...".  The
 * format string has the message and the keys:
 *
 *	log_warn("store unreachable sink=%s err=%s", name, log_quote(text));
 *
 * The function that handles an error logs it, once.  Event bodies and
 * passwords are never logged.  Everything that a client can cause goes through
 * a log_limit.
 *
 * A line is written with one write(2), so lines of several threads or
 * processes do not mix.  Characters that are not printable are escaped in the
 * whole line.  Lines above 2 KiB are cut.
 *
 * If standard error is connected to systemd's journal, a line begins with its
 * priority, from "<3>" for an error to "<7>" for debug, which the journal
 * removes.
 */
#ifndef LIBBASE_LOG_H
#define LIBBASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "libbase/base.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Call this first in main.  The name is kept, not copied. */
void log_init(const char *name);

/* Lines below this level are not written.  The default is LOG_INFO. */
void log_set_level(enum log_level level);

void log_write(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)

/*
 * Return the text as a quoted value: quotes, backslashes and what is not
 * printable (printable.h) are escaped, and a text above 1000 bytes is cut.
 * The result is in one of eight buffers of the thread, so that it is valid
 * until the eighth call after this one.
 */
const char *log_quote(const char *text);

/* A limit of `burst` lines in each `interval_ms`. */
struct log_limit {
	uint64_t interval_ms;
	unsigned burst;
	uint64_t window_start_ms; /* zero at first; used by log_allow */
	unsigned used;
	unsigned suppressed;
};

/*
 * Return true if a line may be logged now.  *suppressed, unless the pointer is
 * NULL, is then the number of lines that were suppressed since the last one
 * that was logged in an earlier interval, or 0.
 */
bool log_allow(struct log_limit *limit, unsigned *suppressed);

#endif
