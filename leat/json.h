/*
 * json - a msgpack value as JSON text.
 */
#ifndef LEAT_JSON_H
#define LEAT_JSON_H

#include <msgpack.h>

#include "libbase/base.h"
#include "libbase/buf.h"

/*
 * Append value to out.  What JSON has no form for (binary, extensions) is
 * written as null.  Returns 0 or as buf_reserve.
 */
MUST_USE int json_put(struct buf *out, const msgpack_object *value);

/* Return the value of a map's key if it is an unsigned integer, else 0. */
uint64_t json_get_uint(const msgpack_object *map, const char *key);

/*
 * A text for a terminal, cut to 511 bytes; "" when it is none.  Valid until
 * the eighth call after this one of this function or the next.
 */
const char *json_text(const msgpack_object *value);
const char *json_get_text(const msgpack_object *map, const char *key);

#endif
