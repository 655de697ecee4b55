/*
 * control_args - the arguments of a control verb: one msgpack map of texts and
 * integers.
 *
 * The writing functions return nothing.  Like those of buf.h they keep the
 * first failure, which control_request returns.
 */
#ifndef LIBPROTO_CONTROL_ARGS_H
#define LIBPROTO_CONTROL_ARGS_H

#include "libbase/buf.h"
#include "libproto/wire.h"

/* Most arguments of one verb: the size of a map whose header is one byte. */
#define CONTROL_ARGS_MAX 15

struct control_args {
	struct buf map; /* owned: the map as it is sent */
};

/* Start an empty map.  control_args_fini must follow. */
void control_args_init(struct control_args *a);
void control_args_fini(struct control_args *a);

/* Add an argument; at most CONTROL_ARGS_MAX, each key once. */
void control_args_add_text(struct control_args *a, const char *key,
                           struct slice text);
void control_args_add_uint(struct control_args *a, const char *key,
                           uint64_t value);

/*
 * Find an argument in a map that came from another process.  Returns 0;
 * -ENOENT if the map does not have the key, with the value set to 0 or an
 * empty text; or -EBADMSG if the bytes are no map of this kind, or the value is
 * of another type.
 */
MUST_USE int control_args_find_text(const uint8_t *map, size_t bytes,
                                    const char *key, struct slice *text);
MUST_USE int control_args_find_uint(const uint8_t *map, size_t bytes,
                                    const char *key, uint64_t *value);

#endif
