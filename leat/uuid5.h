/*
 * uuid5 - identifiers that are computed from a name: RFC 9562, version 5.
 */
#ifndef LEAT_UUID5_H
#define LEAT_UUID5_H

#include <stddef.h>
#include <stdint.h>

#define UUID_BYTES 16
#define UUID_TEXT_BYTES 36 /* without a NUL */

/* A name in two parts, so that none has to be copied. */
void uuid5_make(const uint8_t namespace[UUID_BYTES], const void *name,
                size_t name_bytes, const void *more, size_t more_bytes,
                uint8_t out[UUID_BYTES]);

/* Write the identifier as text, with a NUL.  Returns out. */
const char *uuid5_text(const uint8_t uuid[UUID_BYTES],
                       char out[UUID_TEXT_BYTES + 1]);

#endif
