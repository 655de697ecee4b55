/*
 * json_structure - where the parts of a JSON text stand: simdjson's first
 * stage, which is all of simdjson that we use.
 *
 * Many bytes at a time it finds each bracket, comma and colon, and the first
 * byte of each string, number and literal; and it checks that the text is
 * UTF-8, and that in a string no control byte stands.  Nothing else of the
 * text is checked: json_walk does that, from place to place.
 */
#ifndef INGESTD_JSON_STRUCTURE_H
#define INGESTD_JSON_STRUCTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define JSON_STRUCTURE_PADDING 64 /* bytes behind a text that may be read */

/* The memory for places, kept between texts. */
struct json_structure;

/* Returns NULL when out of memory. */
struct json_structure *json_structure_new(void);
void json_structure_free(struct json_structure *s);

/*
 * Find the places of a text of len bytes, with JSON_STRUCTURE_PADDING more
 * behind it.  Returns 0 with *places, in their order and at the end len
 * itself, valid until s is used again; -EBADMSG with what is wrong with the
 * text in *why; or -ENOMEM.
 */
MUST_USE int json_structure_find(struct json_structure *s, const char *text,
                                 size_t len, const uint32_t **places,
                                 const char **why);

/* Give back the room that a long text took.  Returns 0 or -ENOMEM. */
MUST_USE int json_structure_trim(struct json_structure *s);

/* Whether n bytes are UTF-8. */
bool json_structure_utf8(const char *bytes, size_t n);

#ifdef __cplusplus
}
#endif

#endif
