/* send_progress - see send_progress.h. */
#include "leat/send_progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "leat/cell.h"
#include "leat/units.h"

#define DRAW_MS 200
#define RATE_MS 1000
#define RATE_WEIGHT 0.3 /* of the last second, against those before */
#define BAR_MIN 10
#define BAR_MAX 40
#define LINE_BYTES 1024
#define TIME_LEFT_MAX_S (100.0 * 24 * 3600)

void
send_progress_start(struct send_progress *p, uint64_t bytes, uint64_t now_ms)
{
	p->shown = isatty(STDERR_FILENO) == 1;
	p->bytes = p->rate_bytes = bytes;
	p->rate_ms = now_ms;
}

/* Write the remaining time as "  1m 05s left", or "" if it is unknown. */
static void
put_time_left(const struct send_progress *p, char *out, size_t size)
{
	char text[UNITS_TEXT_BYTES];
	double s;

	out[0] = '\0';
	if (p->total <= p->bytes || p->bytes_per_s < 1)
		return;
	s = (double)(p->total - p->bytes) / p->bytes_per_s;
	if (s < TIME_LEFT_MAX_S)
		(void)snprintf(out, size, "  %s left",
		               units_duration((uint64_t)(s * 1000), text));
}

static void
put_bar(double share, unsigned columns, char *out)
{
	unsigned done = (unsigned)(share * columns);

	*out++ = '[';
	for (unsigned i = 0; i < columns; i++)
		*out++ = i < done ? '=' : i == done ? '>' : ' ';
	*out++ = ']';
	*out = '\0';
}

void
send_progress_line(const struct send_progress *p, unsigned width, char *out,
                   size_t size)
{
	char numbers[LINE_BYTES], left[UNITS_TEXT_BYTES + 8];
	char bytes[UNITS_TEXT_BYTES], rate[UNITS_TEXT_BYTES];
	char bar[BAR_MAX + 3] = "";
	int n;

	put_time_left(p, left, sizeof left);
	n = snprintf(numbers, sizeof numbers,
	             "  %" PRIu64 " events  %s  %.0f/s  %s/s%s%s%s", p->events,
	             units_bytes(p->bytes, bytes), p->events_per_s,
	             units_bytes((uint64_t)p->bytes_per_s, rate),
	             p->waiting ? "" : left, p->waiting ? "  " : "",
	             p->waiting ? p->waiting : "");
	if (p->total > 0) {
		double share = (double)p->bytes / (double)p->total;
		unsigned room = width;

		if (share > 1)
			share = 1;
		room = n + 8 < (int)width ? width - (unsigned)n - 8 : 0;
		if (room >= BAR_MIN)
			put_bar(share, room < BAR_MAX ? room : BAR_MAX, bar);
		(void)snprintf(out, size, "%3.0f%% %s%s", share * 100, bar,
		               numbers);
	} else {
		(void)snprintf(out, size, "%s", numbers + 2);
	}
	if (width < size)
		out[width] = '\0'; /* all of it is ASCII */
}

/* Once a second, compute the rates. */
static void
measure_rates(struct send_progress *p, uint64_t now_ms)
{
	const bool first = p->bytes_per_s == 0 && p->events_per_s == 0;
	const double weight = first ? 1 : RATE_WEIGHT;
	double s = (double)(now_ms - p->rate_ms) / 1000;

	if (now_ms - p->rate_ms < (first ? DRAW_MS : RATE_MS))
		return;
	p->bytes_per_s +=
	    weight * ((double)(p->bytes - p->rate_bytes) / s - p->bytes_per_s);
	p->events_per_s += weight * ((double)(p->events - p->rate_events) / s -
	                             p->events_per_s);
	p->rate_ms = now_ms;
	p->rate_bytes = p->bytes;
	p->rate_events = p->events;
}

void
send_progress_draw(struct send_progress *p, uint64_t now_ms)
{
	char line[LINE_BYTES + 8];
	unsigned width;

	if (!p->shown || now_ms - p->drawn_ms < DRAW_MS)
		return;
	measure_rates(p, now_ms);
	width = cell_terminal_width(STDERR_FILENO);
	if (width > LINE_BYTES)
		width = LINE_BYTES;
	/* The last column is left free: some terminals wrap there. */
	send_progress_line(p, width - 1, line, LINE_BYTES);
	(void)dprintf(STDERR_FILENO, "\r%s\033[K", line);
	p->drawn = true;
	p->drawn_ms = now_ms;
}

void
send_progress_erase(struct send_progress *p)
{
	if (p->drawn)
		(void)dprintf(STDERR_FILENO, "\r\033[K");
	p->drawn = false;
	p->drawn_ms = 0;
}
