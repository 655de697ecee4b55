/*
 * log - one line to standard error for each thing an operator should know.
 *
 * A line is "<time> <level> <daemon> <what happened> key=value ...".  The
 * format string carries the words and the keys:
 *
 *	log_warn("store unreachable sink=%s err=%s", name, log_quote(text));
 *
 * Whoever handles an error logs it, once.  Event bodies and passwords are
 * never logged.  Anything a client can cause goes through a log_limit.
 * A line is written with one write(2), so lines of several threads or
 * processes do not mix.  What is not printable is escaped in all of the line.
 * Lines above 2 KiB are cut.
 *
 * Where standard error is systemd's journal, a line begins with its priority,
 * "<3>" for an error to "<7>" for debug; the journal takes the prefix off.
 */
#ifndef LIBBASE_LOG_H
#define LIBBASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "libbase/base.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Call first in main; name is kept, not copied. */
void log_init(const char *name);

/* Lines below level are not written; the start is LOG_INFO. */
void log_set_level(enum log_level level);

void log_write(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)

/*
 * text as a quoted value: quotes, backslashes and what is not printable
 * (printable.h) escaped, at most 500 bytes of it.  Points into one of eight
 * per-thread buffers: valid until the eighth call after this one.
 */
const char *log_quote(const char *text);

/* At most `burst` lines in each `interval_ms`; for what a client can cause. */
struct log_limit {
	uint64_t interval_ms;
	unsigned burst;
	uint64_t window_start_ms; /* zero at first; owned by log_allow */
	unsigned used;
	unsigned suppressed;
};

/*
 * Whether to log now.  When a window opens after lines were held back, says
 * how many in *suppressed (which may be NULL).
 */
bool log_allow(struct log_limit *limit, unsigned *suppressed);

#endif
