/*
 * status_map - look up values in batchd's status, a decoded msgpack map.
 *
 * docs/protocol.md lists the keys.  The maps come from another process, so
 * every function accepts a value of any type, and NULL.
 */
#ifndef LIBPROTO_STATUS_MAP_H
#define LIBPROTO_STATUS_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include <msgpack.h>

/* Return the value of `key`, or NULL if it is missing or `map` is no map. */
const msgpack_object *status_map_get(const msgpack_object *map,
                                     const char *key);

/* Return the value of `key`, or NULL if it is missing or of another type. */
const msgpack_object *status_map_get_type(const msgpack_object *map,
                                          const char *key,
                                          msgpack_object_type type);

/* Return the array of `key`, which is empty if there is none. */
msgpack_object_array status_map_array(const msgpack_object *map,
                                      const char *key);

/* Return true if the value is the string `text`. */
bool status_map_text_is(const msgpack_object *value, const char *text);

/* Return the value of `key` if it is an unsigned integer, else 0. */
uint64_t status_map_uint(const msgpack_object *map, const char *key);

/* Return true if the value of `key` is true. */
bool status_map_bool(const msgpack_object *map, const char *key);

/*
 * Copy the value, if it is a string, to out with a NUL, cut to `size` bytes at
 * the end of a character.  "" for any other value.
 */
void status_map_copy_text(const msgpack_object *value, char *out,
                          uint32_t size);

#endif
