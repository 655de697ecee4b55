/* log - see log.h. */
#include "libbase/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libbase/clock.h"
#include "libbase/printable.h"

#define LINE_MAX_BYTES 2048
#define QUOTE_BUFFERS 8
#define QUOTE_TEXT_MAX 1000

static const char *daemon_name = "leat";
static enum log_level threshold = LOG_INFO;
static bool to_journal; /* standard error is systemd's journal */

/*
 * Return true if the descriptor is connected to systemd's journal.  systemd
 * puts the device and inode of that stream into JOURNAL_STREAM.  A process
 * whose standard error was redirected inherits the variable as well, so the
 * numbers are compared.
 */
static bool
is_journal(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t device, inode;
	struct stat st;

	return stream && sscanf(stream, "%20ju:%20ju", &device, &inode) == 2 &&
	       fstat(fd, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void
log_init(const char *name)
{
	daemon_name = name;
	to_journal = is_journal(STDERR_FILENO);
}

void
log_set_level(enum log_level level)
{
	threshold = level;
}

/* `priority` begins a line that the journal reads (sd-daemon(3)). */
static const struct {
	const char *name, *priority;
} levels[] = {
    [LOG_DEBUG] = {"debug", "<7>"},
    [LOG_INFO] = {"info", "<6>"},
    [LOG_WARN] = {"warn", "<4>"},
    [LOG_ERROR] = {"error", "<3>"},
};

/* The length of text, limited to `most` without cutting a character. */
static size_t
cut_bytes(const char *text, size_t most)
{
	size_t n = strnlen(text, most);

	if (n < most || !text[n])
		return n;
	for (size_t back = 0; back < 3 && n > 0; back++, n--) {
		if (((unsigned char)text[n] & 0xc0) != 0x80)
			return n;
	}
	return n;
}

void
log_write(enum log_level level, const char *fmt, ...)
{
	char message[LINE_MAX_BYTES], when[CLOCK_TEXT_BYTES + 1];
	char line[LINE_MAX_BYTES + PRINTABLE_GROWTH * LINE_MAX_BYTES];
	size_t used;
	va_list ap;
	int n;

	if (level < threshold)
		return;
	clock_format_us(clock_wall_us(), when);
	n = snprintf(line, LINE_MAX_BYTES, "%s%s %s %s[%d] ",
	             to_journal ? levels[level].priority : "", when,
	             levels[level].name, daemon_name, (int)getpid());
	if (n < 0)
		return;
	used = (size_t)n < LINE_MAX_BYTES ? (size_t)n : LINE_MAX_BYTES - 1;

	va_start(ap, fmt);
	n = vsnprintf(message, sizeof message, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	/* Most values are quoted already; escape a newline in any other. */
	(void)printable_put(line + used, message, strlen(message), "");
	used = cut_bytes(line, LINE_MAX_BYTES - 1);
	line[used++] = '\n';
	/* If standard error fails, the failure cannot be reported. */
	if (write(STDERR_FILENO, line, used) < 0)
		return;
}

const char *
log_quote(const char *text)
{
	static _Thread_local char
	    buffers[QUOTE_BUFFERS][PRINTABLE_GROWTH * QUOTE_TEXT_MAX + 3];
	static _Thread_local unsigned next;
	char *out = buffers[next++ % QUOTE_BUFFERS];
	size_t used;

	if (!text)
		text = "";
	out[0] = '"';
	used = 1 + printable_put(out + 1, text, cut_bytes(text, QUOTE_TEXT_MAX),
	                         "\"\\");
	out[used] = '"';
	out[used + 1] = '\0';
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
