/* tail_rows - see tail_rows.h. */
#include "leat/tail_rows.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "leat/cell.h"
#include "libbase/clock.h"
#include "libbase/json_text.h"
#include "libproto/event_json.h"

#define US_PER_DAY (INT64_C(24) * 60 * 60 * 1000000)
#define NO_DAY INT64_MIN

/* "07:02:11.123", and the two spaces between columns. */
#define TIME_COLUMNS 12
#define GAP_COLUMNS 2

/* --- the table --- */

/* The widths of the columns that are not always equally wide. */
struct widths {
	unsigned type, user, payload;
};

static unsigned
clamp_width(unsigned min, unsigned n, unsigned max)
{
	return n < min ? min : n > max ? max : n;
}

static struct widths
widths_of(unsigned width)
{
	struct widths w = {.type = clamp_width(4, width / 6, 24),
	                   .user = clamp_width(4, width / 8, 20)};
	unsigned others = TIME_COLUMNS + w.type + w.user + 3 * GAP_COLUMNS;

	w.payload = width > others ? width - others : 0;
	return w;
}

void
tail_table_start(struct tail_table *t, unsigned width)
{
	cell_set_locale();
	*t = (struct tail_table){.width = width, .day = NO_DAY};
}

/* Append one line of the table.  `time` has TIME_COLUMNS bytes. */
static void
add_line(const struct tail_table *t, struct buf *out, const char *time,
         struct slice type, struct slice user, struct slice payload)
{
	struct widths w = widths_of(t->width);
	struct slice at = {time, TIME_COLUMNS};

	cell_add_column(out, at, TIME_COLUMNS, GAP_COLUMNS);
	cell_add_column(out, type, w.type, GAP_COLUMNS);
	cell_add_column(out, user, w.user, GAP_COLUMNS);
	(void)cell_add_payload(out, payload, w.payload);
	buf_add_text(out, "\n");
}

void
tail_table_header(const struct tail_table *t, struct buf *out)
{
	add_line(t, out, "TIME (UTC)  ", slice_of("TYPE"), slice_of("USER"),
	         slice_of("PAYLOAD"));
}

void
tail_table_row(struct tail_table *t, struct buf *out, const struct event *event)
{
	/* "2026-11-26T14:00:00.123456Z" */
	static const size_t date_bytes = sizeof "2026-11-26" - 1;
	char time[CLOCK_TEXT_BYTES + 1];
	int64_t day = event->received_at_us / US_PER_DAY;

	clock_format_us(event->received_at_us, time);
	if (day != t->day) {
		(void)buf_addf(out, "%.*s", (int)date_bytes, time);
		buf_add_text(out, "\n");
	}
	t->day = day;
	add_line(t, out, time + date_bytes + 1, event->type, event->user_id,
	         event->payload);
}

/* --- JSON --- */

/* Escape the unsafe characters of the line that begins at out->data[from]. */
static int
escape_line(struct buf *out, size_t from)
{
	size_t bytes = out->len - from;
	char *line = malloc(bytes);
	int rc;

	if (!line)
		return -ENOMEM;
	memcpy(line, out->data + from, bytes);
	out->len = from;
	rc = json_text_add_escaped(out, line, bytes);
	free(line);
	return rc;
}

int
tail_json_line(struct buf *out, uint64_t offset, const struct event *event,
               bool for_terminal)
{
	size_t from = out->len, object;
	int rc = buf_addf(out, "{\"offset\":%" PRIu64, offset);

	object = out->len;
	if (rc == 0)
		rc = event_json_add(out, event, false);
	if (rc == 0) {
		/* Its bracket becomes the comma after the offset. */
		out->data[object] = ',';
		/* Only the payload's text can have such characters here. */
		for (size_t i = object; i < out->len; i++) {
			if (out->data[i] < ' ')
				out->data[i] = ' ';
		}
	}
	if (rc == 0 && for_terminal)
		rc = escape_line(out, from);
	if (rc == 0)
		rc = buf_add(out, "\n", 1);
	if (rc < 0)
		out->len = from;
	return rc;
}
