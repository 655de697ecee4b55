/*
 * json_text - the one way in which text enters the dashboard's JSON.
 *
 * Names, payloads and error messages come from elsewhere.  Each is written as a
 * JSON string that is valid whatever the text contains: quotes, backslashes,
 * control characters and the line separators U+2028 and U+2029 are escaped,
 * and bytes that are not UTF-8 become U+FFFD.
 */
#ifndef SINKD_DASHBOARD_JSON_TEXT_H
#define SINKD_DASHBOARD_JSON_TEXT_H

#include "libbase/buf.h"
#include "libbase/slice.h"

/* The most bytes that one byte of text becomes: those of \u0000. */
#define JSON_TEXT_GROWTH 6

/* Append the text with its quotes; a failure is kept in out->error. */
void json_text_add(struct buf *out, struct slice text);

/* The longest beginning of the text, of at most `bytes`, that does not end
 * within a character. */
struct slice json_text_cut(struct slice text, uint32_t bytes);

#endif
