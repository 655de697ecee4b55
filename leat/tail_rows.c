/* tail_rows - see tail_rows.h. */
#include "leat/tail_rows.h"

#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "libbase/clock.h"
#include "libbase/json_text.h"
#include "libbase/printable.h"
#include "libproto/event_json.h"

#define US_PER_DAY (INT64_C(24) * 60 * 60 * 1000000)
#define NO_DAY INT64_MIN

/* "07:02:11.123", and the two spaces between columns. */
#define TIME_COLUMNS 12
#define GAP_COLUMNS 2

/*
 * The most characters without a width that may follow each other, as accents
 * do.  Real text has up to three.  More would make a row of any length that
 * takes no room, and that a terminal may draw over other rows.
 */
#define ZERO_WIDTH_MAX 8

/* The longest text that one character becomes: "⟨U+10FFFF⟩" in UTF-8. */
#define PIECE_BYTES 24

/* --- one character --- */

/* What is shown for one character. */
struct piece {
	const char *text; /* in the event, or in `escape` */
	size_t bytes;
	unsigned columns;
	size_t consumed; /* bytes of the event's text */
	char escape[PIECE_BYTES];
};

/* Show the number of a character, or of a byte that is in none. */
static void
piece_escape(struct piece *p, uint32_t code, bool is_byte)
{
	int n = is_byte ? snprintf(p->escape, sizeof p->escape, "⟨0x%02X⟩",
	                           (unsigned)code)
	                : snprintf(p->escape, sizeof p->escape, "⟨U+%04X⟩",
	                           (unsigned)code);

	p->text = p->escape;
	p->bytes = (size_t)n;
	/* The brackets have three bytes and one column each. */
	p->columns = (unsigned)n - 4;
}

/*
 * Look at the first character of text.  `marks` is how many characters without
 * a width may follow here; 0 at the beginning of a cell, where one would change
 * the space before it.
 */
static void
piece_take(struct piece *p, const char *text, size_t bytes, unsigned marks)
{
	uint32_t code;
	bool safe;
	size_t n = printable_next(text, bytes, &code, &safe);
	int columns = safe ? wcwidth((wchar_t)code) : -1;

	p->text = text;
	p->bytes = n;
	p->consumed = n;
	p->columns = columns > 0 ? (unsigned)columns : 0;
	if (!safe && n == 1 && code > 0x7f)
		piece_escape(p, code, true);
	else if (columns < 0 || (columns == 0 && marks == 0))
		piece_escape(p, code, false);
}

/*
 * Look at the first character of the text of a payload.  A line break or a tab
 * can only be between two values of it, so that with the white space after it,
 * it becomes one space.
 */
static void
piece_take_payload(struct piece *p, const char *text, size_t bytes,
                   unsigned marks)
{
	if (!memchr("\n\r\t", text[0], 3)) {
		piece_take(p, text, bytes, marks);
		return;
	}
	p->text = " ";
	p->bytes = 1;
	p->columns = 1;
	for (p->consumed = 1; p->consumed < bytes; p->consumed++) {
		if (!memchr("\n\r\t ", text[p->consumed], 4))
			return;
	}
}

/* --- one cell --- */

/* Append n bytes; a failure is kept in out->error. */
static void
add_bytes(struct buf *out, const char *bytes, size_t n)
{
	int rc = buf_add(out, bytes, n);

	(void)rc;
}

static void
add_spaces(struct buf *out, unsigned n)
{
	for (; n > 0; n--)
		buf_add_text(out, " ");
}

/*
 * Append as much of the text as fits into `columns` columns, with "…" at the
 * end if a part of it is left out.  Returns the number of columns used.
 */
static unsigned
add_fitted(struct buf *out, const struct slice *s, unsigned columns,
           void (*take)(struct piece *p, const char *text, size_t bytes,
                        unsigned marks))
{
	/* Where to cut if the next character does not fit. */
	size_t cut = out->len;
	unsigned used = 0, used_at_cut = 0, marks = 0;
	struct piece p;

	if (columns == 0)
		return 0;
	for (size_t at = 0; at < s->bytes; at += p.consumed) {
		take(&p, s->data + at, s->bytes - at, marks);
		if (used + p.columns > columns) {
			if (out->error == 0)
				out->len = cut;
			buf_add_text(out, "…");
			return used_at_cut + 1;
		}
		add_bytes(out, p.text, p.bytes);
		used += p.columns;
		/* A mark after an escape would change its bracket. */
		marks = p.text == p.escape ? 0
		        : p.columns > 0    ? ZERO_WIDTH_MAX
		                           : marks - 1;
		if (used < columns) {
			cut = out->len;
			used_at_cut = used;
		}
	}
	return used;
}

/* Append a cell and what separates it from the next one. */
static void
add_cell(struct buf *out, const struct slice *s, unsigned columns)
{
	unsigned used = add_fitted(out, s, columns, piece_take);

	add_spaces(out, columns - used + GAP_COLUMNS);
}

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
	(void)setlocale(LC_CTYPE, "C.UTF-8");
	*t = (struct tail_table){.width = width, .day = NO_DAY};
}

/* Append one line of the table.  `time` has TIME_COLUMNS bytes. */
static void
add_line(const struct tail_table *t, struct buf *out, const char *time,
         const struct slice *type, const struct slice *user,
         const struct slice *payload)
{
	struct widths w = widths_of(t->width);
	struct slice at = {time, TIME_COLUMNS};

	add_cell(out, &at, TIME_COLUMNS);
	add_cell(out, type, w.type);
	add_cell(out, user, w.user);
	(void)add_fitted(out, payload, w.payload, piece_take_payload);
	buf_add_text(out, "\n");
}

void
tail_table_header(const struct tail_table *t, struct buf *out)
{
	struct slice type = slice_of("TYPE"), user = slice_of("USER"),
		     payload = slice_of("PAYLOAD");

	add_line(t, out, "TIME (UTC)  ", &type, &user, &payload);
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
		add_bytes(out, time, date_bytes);
		buf_add_text(out, "\n");
	}
	t->day = day;
	add_line(t, out, time + date_bytes + 1, &event->type, &event->user_id,
	         &event->payload);
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
