/*
 * json_escape - the escapes in JSON strings: \n, \u00e9, \ud83d\ude00.
 */
#ifndef LIBJSON_JSON_ESCAPE_H
#define LIBJSON_JSON_ESCAPE_H

#include <stddef.h>

#include "libbase/base.h"

/* Bytes that json_escape_remove may write beyond its cap. */
#define JSON_ESCAPE_SPARE 4

/*
 * Check a string from its first backslash to its closing quote.  Returns 0;
 * -EBADMSG if an escape is not valid JSON; or otherwise -EINVAL if an escape
 * means a character that stores cannot hold: U+0000 or an unpaired surrogate.
 * In both cases *why is the reason, a static text.
 */
MUST_USE int json_escape_check(const char *backslash, const char *end,
                               const char **why);

/*
 * Write a string, in which json_escape_check has accepted the escapes, with
 * each escape replaced by its character.  Returns the length of the result, or
 * cap + 1 if that is more than cap.
 */
size_t json_escape_remove(const char *at, const char *end, char *out,
                          size_t cap);

#endif
