/*
 * printable - make text from elsewhere safe for a terminal and for the log.
 *
 * A store, a peer or a file name may contain characters that move a terminal's
 * cursor, end a line, or show text in another order than it has.  These are
 * written as escapes; all other UTF-8 is kept as it is.
 */
#ifndef LIBBASE_PRINTABLE_H
#define LIBBASE_PRINTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libbase/slice.h"

/* The most bytes that one byte of text becomes: those of "\xNN". */
#define PRINTABLE_GROWTH 4

/*
 * Look at the first character of text, which has at least one byte.  Returns
 * its length in bytes, with its code point in *code.  *safe is false if the
 * character must be escaped: a control character (C0, DEL and C1), a line or
 * paragraph separator, a mark or override of the direction of text, an
 * invisible tag, or a byte that is not UTF-8, in which case *code is that byte,
 * above 0x7f.
 */
size_t printable_next(const char *text, size_t bytes, uint32_t *code,
                      bool *safe);

/*
 * Write text with its escapes and a NUL to out, which has room for
 * PRINTABLE_GROWTH * bytes + 1.  The escapes are \n, \xNN for control
 * characters and bytes that are not UTF-8, and \uNNNN and \UNNNNNNNN for
 * others.  The ASCII characters in `also` get a backslash.  Returns the number
 * of bytes before the NUL.
 */
size_t printable_put(char *out, const char *text, size_t bytes,
                     const char *also);

/*
 * Return the longest beginning of text, of at most `bytes`, that does not end
 * within a UTF-8 character.
 */
struct slice printable_cut(struct slice text, uint32_t bytes);

#endif
