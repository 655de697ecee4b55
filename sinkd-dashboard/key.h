/*
 * key - the name of an event's type or user as the dashboard keeps it.
 *
 * Senders choose names, of up to 256 bytes.  A key has room for the beginning
 * of a name.  Its hash is that of the whole name, with a random seed that no
 * sender knows, so that a sender cannot construct names whose hashes collide.
 * Two names count as the same if their hashes are.
 */
#ifndef SINKD_DASHBOARD_KEY_H
#define SINKD_DASHBOARD_KEY_H

#include <stdint.h>

#include "libbase/slice.h"

#define KEY_TEXT_BYTES 64

struct key {
	uint64_t hash;
	uint8_t bytes;
	char text[KEY_TEXT_BYTES]; /* without a NUL; whole UTF-8 characters */
};

/* Make the key of `name`.  `seed` is the same for all keys of a process. */
void key_make(struct key *key, struct slice name, uint64_t seed);

#endif
