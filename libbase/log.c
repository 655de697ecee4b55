/* log - see log.h. */
#include "libbase/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libbase/clock.h"

#define LINE_MAX_BYTES 2048
#define QUOTE_BUFFERS 8
#define QUOTE_TEXT_MAX 500

static const char *daemon_name = "leat";
static enum log_level threshold = LOG_INFO;

void
log_init(const char *name)
{
	daemon_name = name;
}

void
log_set_level(enum log_level level)
{
	threshold = level;
}

static const char *
level_name(enum log_level level)
{
	switch (level) {
	case LOG_DEBUG:
		return "debug";
	case LOG_INFO:
		return "info";
	case LOG_WARN:
		return "warn";
	case LOG_ERROR:
		return "error";
	}
	return "?";
}

void
log_write(enum log_level level, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES], when[CLOCK_TEXT_BYTES + 1];
	size_t used;
	va_list ap;
	int n;

	if (level < threshold)
		return;
	clock_format_us(clock_wall_us(), when);
	n = snprintf(line, sizeof line, "%s %s %s[%d] ", when,
	             level_name(level), daemon_name, (int)getpid());
	if (n < 0)
		return;
	used = (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;

	va_start(ap, fmt);
	n = vsnprintf(line + used, sizeof line - used, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	used += (size_t)n;
	if (used > sizeof line - 1)
		used = sizeof line - 1; /* cut: the newline takes the NUL */
	line[used++] = '\n';
	/* There is nobody left to tell when standard error fails. */
	if (write(STDERR_FILENO, line, used) < 0)
		return;
}

const char *
log_quote(const char *text)
{
	/* Each byte may become four ("\xNN"). */
	static _Thread_local char buffers[QUOTE_BUFFERS]
					 [4 * QUOTE_TEXT_MAX + 3];
	static _Thread_local unsigned next;
	static const char hex[] = "0123456789abcdef";
	char *out = buffers[next++ % QUOTE_BUFFERS], *p = out;

	*p++ = '"';
	for (size_t i = 0; text && text[i] && i < QUOTE_TEXT_MAX; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '"' || c == '\\') {
			*p++ = '\\';
			*p++ = (char)c;
		} else if (c == '\n') {
			*p++ = '\\';
			*p++ = 'n';
		} else if (c < 0x20 || c == 0x7f) {
			*p++ = '\\';
			*p++ = 'x';
			*p++ = hex[c >> 4];
			*p++ = hex[c & 15];
		} else {
			*p++ = (char)c;
		}
	}
	*p++ = '"';
	*p = '\0';
	return out;
}

bool
log_allow(struct log_limit *limit, unsigned *suppressed)
{
	uint64_t now = clock_mono_ms();

	if (suppressed)
		*suppressed = 0;
	if (limit->window_start_ms == 0 ||
	    now - limit->window_start_ms >= limit->interval_ms) {
		if (suppressed)
			*suppressed = limit->suppressed;
		limit->window_start_ms = now;
		limit->used = 0;
		limit->suppressed = 0;
	}
	if (limit->used < limit->burst) {
		limit->used++;
		return true;
	}
	limit->suppressed++;
	return false;
}
