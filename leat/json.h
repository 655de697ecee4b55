/*
 * json - a msgpack value as JSON text.
 */
#ifndef LEAT_JSON_H
#define LEAT_JSON_H

#include <msgpack.h>

#include "libbase/buf.h"

/*
 * Append value to out.  A type that JSON does not have (binary, extension) is
 * written as null.  A failure is kept in out->error, as are those of buf.h;
 * -EBADMSG means that a map has a key that is not a string.
 */
void json_put(struct buf *out, const msgpack_object *value);

/*
 * The value, or the value of a map's key, as text that is safe on a terminal:
 * at most the first 1,023 bytes of a string, "" for any other type.  Valid
 * until the eighth later call of either function.
 */
const char *json_text(const msgpack_object *value);
const char *json_get_text(const msgpack_object *map, const char *key);

#endif
