/*
 * cell - text from elsewhere, fitted into a number of columns of a terminal.
 *
 * What senders, stores and peers have written must not act on the terminal of
 * the operator who looks at it.  Control characters (C0, DEL and C1),
 * characters that change the direction of text, other invisible ones
 * (printable.h) and bytes that are not UTF-8 are therefore shown as ⟨U+202E⟩ or
 * ⟨0xFF⟩.
 *
 * A failure to append is kept in out->error.
 */
#ifndef LEAT_CELL_H
#define LEAT_CELL_H

#include <stdint.h>

#include "libbase/buf.h"
#include "libbase/slice.h"

/*
 * Set the locale that knows how wide characters are, once for the program.
 * Where the system does not have that locale, all that is not ASCII is escaped.
 */
void cell_set_locale(void);

/* The width of the terminal `fd` in columns, or 80 if it is not known. */
unsigned cell_terminal_width(int fd);

/*
 * Append as much of the text as fits into `columns` columns, with "…" at the
 * end if a part of it is left out.  Returns the number of columns used.
 */
unsigned cell_add(struct buf *out, struct slice s, unsigned columns);

/* The same, with spaces up to that many columns, and `gap` more. */
void cell_add_column(struct buf *out, struct slice s, unsigned columns,
                     unsigned gap);

/*
 * The same for a payload, in which line breaks and tabs can only be between two
 * values; each becomes one space, with the white space after it.
 */
unsigned cell_add_payload(struct buf *out, struct slice s, unsigned columns);

/* The number of bytes at the beginning of the text that fit, as cell_add has
 * them. */
uint32_t cell_fit(struct slice s, unsigned columns);

void cell_add_spaces(struct buf *out, unsigned n);

#endif
