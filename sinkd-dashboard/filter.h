/*
 * filter - which events a viewer wants to see.
 */
#ifndef SINKD_DASHBOARD_FILTER_H
#define SINKD_DASHBOARD_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "libbase/printable.h"
#include "sinkd-dashboard/event_ring.h"
#include "sinkd-dashboard/key.h"

#define FILTER_TYPES 16

/*
 * All zero: every event.
 *
 * Names are compared by their hashes (key.h).  The page's lists show only the
 * beginning of a long name, so a filter with such a beginning, which the page
 * sends when a row of a list is clicked, matches the long name too.
 */
struct filter {
	size_t type_count; /* 0: any type */
	struct key types[FILTER_TYPES];
	bool has_user;
	struct key user;
};

/* Return true if every event matches. */
static inline bool
filter_is_empty(const struct filter *f)
{
	return f->type_count == 0 && !f->has_user;
}

/* Return true if `text` and `hash` are those of the name, or its beginning. */
static inline bool
filter_matches_name(const struct key *wanted, uint64_t hash, struct slice text)
{
	if (wanted->hash == hash)
		return true;
	if (text.bytes <= KEY_TEXT_BYTES)
		return false;
	text = printable_cut(text, KEY_TEXT_BYTES);
	return wanted->bytes == text.bytes &&
	       memcmp(wanted->text, text.data, text.bytes) == 0;
}

static inline bool
filter_matches(const struct filter *f, const struct ring_event *event)
{
	bool type = f->type_count == 0;

	if (f->has_user &&
	    !filter_matches_name(&f->user, event->user_hash, event->user))
		return false;
	for (size_t i = 0; !type && i < f->type_count; i++)
		type = filter_matches_name(&f->types[i], event->type_hash,
		                           event->type);
	return type;
}

#endif
