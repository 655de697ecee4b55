/*
 * filter - which events a viewer wants to see.
 */
#ifndef SINKD_DASHBOARD_FILTER_H
#define SINKD_DASHBOARD_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sinkd-dashboard/event_ring.h"

#define FILTER_TYPES 16

/* All zero: every event.  Names are compared by their hashes (key.h). */
struct filter {
	size_t type_count; /* 0: any type */
	uint64_t types[FILTER_TYPES];
	bool has_user;
	uint64_t user;
};

/* Return true if every event matches. */
static inline bool
filter_is_empty(const struct filter *f)
{
	return f->type_count == 0 && !f->has_user;
}

static inline bool
filter_matches(const struct filter *f, const struct ring_event *event)
{
	bool type = f->type_count == 0;

	if (f->has_user && f->user != event->user_hash)
		return false;
	for (size_t i = 0; !type && i < f->type_count; i++)
		type = f->types[i] == event->type_hash;
	return type;
}

#endif
