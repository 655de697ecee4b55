/*
 * printable - the text of others, made fit for a terminal and for a log.
 *
 * A store, a peer or a file name may hold bytes that move a terminal's cursor,
 * end a line, or show a text in another order than it has.  These are written
 * as escapes; all other UTF-8 is kept as it is.
 */
#ifndef LIBBASE_PRINTABLE_H
#define LIBBASE_PRINTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"

/* What a byte of text can become at most: "\xNN". */
#define PRINTABLE_GROWTH 4

/*
 * Look at the first character of text, which has at least one byte.  Returns
 * its bytes, and its code point in *code.  *safe is false when it must be
 * escaped: a control character (C0, DEL and C1), a line or paragraph separator,
 * a mark or override of the direction of text, an invisible tag, or a byte that
 * is not UTF-8; then *code is that byte, and above 0x7f.
 */
size_t printable_next(const char *text, size_t bytes, uint32_t *code,
                      bool *safe);

/*
 * Write text to out, which has room for PRINTABLE_GROWTH * bytes + 1, and a
 * NUL. Escapes are \n, \xNN for control characters and bytes that are not
 * UTF-8, and \uNNNN and \UNNNNNNNN for others; the ASCII characters in `also`
 * get a backslash.  Returns the bytes before the NUL.
 */
size_t printable_put(char *out, const char *text, size_t bytes,
                     const char *also);

#endif
