/*
 * json_structure - find the positions of the parts of a JSON text with
 * simdjson's first stage, which is all of simdjson that leat uses.
 *
 * It finds each bracket, comma and colon, and the first byte of each string,
 * number and literal, many bytes at a time.  It also checks that the text is
 * UTF-8 and that strings contain no control characters.  It checks nothing
 * else of the text; json_walk does that, from position to position.
 */
#ifndef LIBJSON_JSON_STRUCTURE_H
#define LIBJSON_JSON_STRUCTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define JSON_STRUCTURE_PADDING 64 /* bytes after a text that may be read */

/* Memory for positions, which is kept from one text to the next. */
struct json_structure;

/* Returns NULL when out of memory. */
struct json_structure *json_structure_new(void);
void json_structure_free(struct json_structure *s);

/*
 * Find the positions in a text of len bytes, with JSON_STRUCTURE_PADDING more
 * bytes after it.  Returns 0 with *positions, which are in ascending order,
 * end with len itself, and are valid until s is used again; -EBADMSG with the
 * reason in *why; or -ENOMEM.
 */
MUST_USE int json_structure_find(struct json_structure *s, const char *text,
                                 size_t len, const uint32_t **positions,
                                 const char **why);

/* Free the memory that a long text needed.  Returns 0 or -ENOMEM. */
MUST_USE int json_structure_trim(struct json_structure *s);

/* Return true if n bytes are valid UTF-8. */
bool json_structure_utf8(const char *bytes, size_t n);

#ifdef __cplusplus
}
#endif

#endif
