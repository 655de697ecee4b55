/*
 * wire - read msgpack values of the few kinds that frames and events use,
 * from bytes nobody has checked.
 *
 * Each function reads one value at the reader's place and moves past it.
 * All return 0, or -EBADMSG when the value is of another kind, out of range,
 * or cut short; the reader is then of no further use.  Nothing is allocated
 * and nothing is copied: strings point into the bytes read.
 *
 * Any width of integer and string header that msgpack knows is accepted.
 * msgpack: https://github.com/msgpack/msgpack/blob/master/spec.md
 */
#ifndef LIBPROTO_WIRE_H
#define LIBPROTO_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libbase/slice.h"

struct wire_reader {
	const uint8_t *at, *end;
};

MUST_USE int wire_array(struct wire_reader *r, uint32_t *items);
MUST_USE int wire_map(struct wire_reader *r, uint32_t *pairs);
MUST_USE int wire_uint(struct wire_reader *r, uint64_t *value);
MUST_USE int wire_int(struct wire_reader *r, int64_t *value);
MUST_USE int wire_bool(struct wire_reader *r, bool *value);
MUST_USE int wire_str(struct wire_reader *r, struct slice *text);

/* Move past a nil and say true; or say false and stay. */
bool wire_nil(struct wire_reader *r);

/*
 * Move past one value of any kind and all that it holds, nested no deeper
 * than WIRE_DEPTH_MAX.  Every value in it takes at least a byte that is there,
 * so that a decoder that allocates for each value is bounded by the bytes.
 */
#define WIRE_DEPTH_MAX 16
MUST_USE int wire_skip(struct wire_reader *r);

/*
 * Write helpers of a fixed width, so that a header has one length whatever
 * its values.  Return the place after what was written.
 */
uint8_t *wire_put_u64(uint8_t *out, uint64_t value); /* 9 bytes */
uint8_t *wire_put_u32(uint8_t *out, uint32_t value); /* 5 bytes */

#endif
