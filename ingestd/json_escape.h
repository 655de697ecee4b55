/*
 * json_escape - the escapes in JSON's strings: \n, \u00e9, \ud83d\ude00.
 */
#ifndef INGESTD_JSON_ESCAPE_H
#define INGESTD_JSON_ESCAPE_H

#include <stddef.h>

#include "libbase/base.h"

/* Bytes that json_escape_remove may write behind its cap. */
#define JSON_ESCAPE_SPARE 4

/*
 * Check a string from its first backslash to its closing quote.  Returns 0;
 * -EBADMSG when an escape is not JSON; or else -EINVAL when one says what no
 * store could hold: U+0000 or a lone surrogate.  *why then tells.
 */
MUST_USE int json_escape_check(const char *backslash, const char *end,
                               const char **why);

/*
 * Write a string, whose escapes were found good, without them.  Returns its
 * length; or cap + 1, when it is longer than cap.
 */
size_t json_escape_remove(const char *at, const char *end, char *out,
                          size_t cap);

#endif
