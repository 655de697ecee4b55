/* store_damage - see store_damage.h. */
#include "batchd/store_damage.h"

#include <inttypes.h>
#include <stdio.h>

#include "libbase/error.h"
#include "libbase/log.h"

/* Most bytes of one damaged range that are copied. */
#define QUARANTINE_MAX_BYTES (64 * MIB)

/*
 * Return true if the damage at `at` was already reported up to the offset `to`.
 * If it was reported up to a lower offset, raise *from to where the new part
 * begins.  Damage can grow, because a reader meets its end only once more
 * records follow.
 */
static bool
is_reported(struct store *s, uint64_t segment_first, uint64_t at,
            uint64_t *from, uint64_t to)
{
	for (size_t i = 0; i < s->reported_damage_count; i++) {
		struct reported_damage *d = &s->reported_damages[i];

		if (d->segment_first != segment_first || d->at != at)
			continue;
		if (to <= d->to)
			return true;
		if (*from < d->to)
			*from = d->to;
		d->to = to;
		return false;
	}
	if (s->reported_damage_count < REPORTED_DAMAGES_MAX)
		s->reported_damages[s->reported_damage_count++] =
		    (struct reported_damage){segment_first, at, to};
	return false;
}

/*
 * Copy the bytes at..end of the file for an operator to look at.  Returns 0 or
 * -errno, which the caller only logs.
 */
static int
quarantine(struct disk *d, const char *name, int file, uint64_t at,
           uint64_t end)
{
	uint8_t block[16 * KIB];
	uint64_t done = 0;
	int rc = 0, copy = d->open(d, name, true);

	if (copy < 0)
		return copy;
	if (end > at + QUARANTINE_MAX_BYTES)
		end = at + QUARANTINE_MAX_BYTES;
	while (rc == 0 && at < end) {
		size_t want =
		    end - at < sizeof block ? (size_t)(end - at) : sizeof block;
		ssize_t n = disk_read(d, file, block, want, at);

		if (n <= 0) {
			rc = (int)n;
			break;
		}
		rc = disk_write(d, copy, block, (size_t)n, done);
		done += (uint64_t)n;
		at += (uint64_t)n;
	}
	if (rc == 0)
		rc = d->sync(d, copy);
	d->close(d, copy);
	return rc < 0 ? rc : d->sync_dir(d, "quarantine");
}

void
store_damage_report(struct store *s, uint64_t segment_first, int file,
                    uint64_t at, uint64_t end, uint64_t from, uint64_t to,
                    const char *what)
{
	char name[SEGMENT_NAME_BYTES + 40];
	int rc;

	if (is_reported(s, segment_first, at, &from, to))
		return;
	s->lost_events += to - from;
	(void)snprintf(name, sizeof name, "quarantine/%020" PRIu64 ".%" PRIu64,
	               segment_first, at);
	rc = end > at ? quarantine(s->disk, name, file, at, end) : 0;
	log_error("%s%s segment=%020" PRIu64 ".seg bytes=%" PRIu64 "..%" PRIu64
	          " offsets=%" PRIu64 "..%" PRIu64 " events=%" PRIu64
	          " copy=%s",
	          what,
	          to > from ? ": events are lost"
	                    : ": no event that is still to be stored is lost",
	          segment_first, at, end, from, to, to - from,
	          end == at ? "none"
	          : rc == 0 ? name
	                    : log_quote(error_text(rc)));
}
