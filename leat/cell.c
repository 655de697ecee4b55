/* cell - see cell.h. */
#include "leat/cell.h"

#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <wchar.h>

#include "libbase/printable.h"

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
	const char *text; /* in the cell's text, or in `escape` */
	size_t bytes;
	unsigned columns;
	size_t consumed; /* bytes of the cell's text */
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
cell_add_bytes(struct buf *out, const char *bytes, size_t n)
{
	int rc = buf_add(out, bytes, n);

	(void)rc;
}

/* How many marks may follow a piece, of which `marks` could follow before. */
static unsigned
marks_after(const struct piece *p, unsigned marks)
{
	/* A mark after an escape would change its bracket. */
	if (p->text == p->escape)
		return 0;
	return p->columns > 0 ? ZERO_WIDTH_MAX : marks - 1;
}

/* As cell_add, with a function that looks at the first character. */
static unsigned
cell_add_pieces(struct buf *out, struct slice s, unsigned columns,
                void (*take)(struct piece *p, const char *text, size_t bytes,
                             unsigned marks))
{
	/* Where to cut if the next character does not fit. */
	size_t cut = out->len;
	unsigned used = 0, used_at_cut = 0, marks = 0;
	struct piece p;

	if (columns == 0)
		return 0;
	for (size_t at = 0; at < s.bytes; at += p.consumed) {
		take(&p, s.data + at, s.bytes - at, marks);
		if (used + p.columns > columns) {
			if (out->error == 0)
				out->len = cut;
			buf_add_text(out, "…");
			return used_at_cut + 1;
		}
		cell_add_bytes(out, p.text, p.bytes);
		used += p.columns;
		marks = marks_after(&p, marks);
		if (used < columns) {
			cut = out->len;
			used_at_cut = used;
		}
	}
	return used;
}

unsigned
cell_add(struct buf *out, struct slice s, unsigned columns)
{
	return cell_add_pieces(out, s, columns, piece_take);
}

unsigned
cell_add_payload(struct buf *out, struct slice s, unsigned columns)
{
	return cell_add_pieces(out, s, columns, piece_take_payload);
}

uint32_t
cell_fit(struct slice s, unsigned columns)
{
	unsigned used = 0, marks = 0;
	struct piece p;
	size_t at;

	for (at = 0; at < s.bytes; at += p.consumed) {
		piece_take(&p, s.data + at, s.bytes - at, marks);
		used += p.columns;
		if (used > columns)
			break;
		marks = marks_after(&p, marks);
	}
	return (uint32_t)at;
}

void
cell_add_spaces(struct buf *out, unsigned n)
{
	for (; n > 0; n--)
		buf_add_text(out, " ");
}

void
cell_add_column(struct buf *out, struct slice s, unsigned columns, unsigned gap)
{
	cell_add_spaces(out, columns - cell_add(out, s, columns) + gap);
}

void
cell_set_locale(void)
{
	(void)setlocale(LC_CTYPE, "C.UTF-8");
}

unsigned
cell_terminal_width(int fd)
{
	struct winsize size = {0};

	return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0
	           ? size.ws_col
	           : 80;
}
