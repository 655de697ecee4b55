/*
 * json_text - write text from elsewhere as JSON that is safe to show.
 *
 * Names, payloads and error messages come from senders, stores and files.  What
 * is written is valid JSON whatever the text contains, and shows nothing wrong
 * on a terminal: the characters that printable.h calls unsafe become \uNNNN, of
 * which two make a character above U+FFFF, and a byte that is not UTF-8 becomes
 * U+FFFD.  For JSON that must keep such bytes there is buf_add_json_string.
 */
#ifndef LIBBASE_JSON_TEXT_H
#define LIBBASE_JSON_TEXT_H

#include <stddef.h>

#include "libbase/base.h"
#include "libbase/buf.h"
#include "libbase/slice.h"

/* Append the text as a JSON string, with its quotes.  Returns as buf_add. */
int json_text_add(struct buf *out, struct slice text);

/*
 * Append JSON that is valid but may have unsafe characters within its strings,
 * where an escape means the same.  Returns as buf_add.
 */
int json_text_add_escaped(struct buf *out, const char *json, size_t bytes);

#endif
