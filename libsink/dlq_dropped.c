/* dlq_dropped - see dlq_dropped.h. */
#include "libsink/dlq_dropped.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libbase/directory.h"
#include "libbase/file.h"

/*
 * The first line has the version and the last drop of an operator.  Then a line
 * follows for each range.
 */
#define HEAD "dropped 1 last=%s\n"
#define HEAD_SCAN "dropped 1 last=%21s%n"
#define RANGE "%" PRIu64 "..%" PRIu64 " %" PRIu64 "\n"
#define RANGE_SCAN "%" SCNu64 "..%" SCNu64 " %" SCNu64 "%n"
#define LINE_MAX_BYTES 64
#define FILE_MAX_BYTES ((RANGES_MAX + 1) * LINE_MAX_BYTES)

static_assert(DLQ_STREAM_BYTES == 21 + 1, "the width in HEAD_SCAN");

/* Returns -EBADMSG for a file that leat has not written. */
static int
dlq_dropped_parse(const char *text, char last_drop[DLQ_STREAM_BYTES],
                  struct ranges *ranges)
{
	uint64_t before = 0;
	int n = 0;

	if (sscanf(text, HEAD_SCAN, last_drop, &n) < 1 || text[n] != '\n')
		return -EBADMSG;
	for (text += n + 1; *text != '\0'; text += n + 1) {
		struct range r;

		if (sscanf(text, RANGE_SCAN, &r.from, &r.to, &r.count, &n) <
		        3 ||
		    text[n] != '\n' || ranges->n == RANGES_MAX ||
		    r.from < before || r.from >= r.to || r.count == 0 ||
		    r.count > r.to - r.from)
			return -EBADMSG;
		ranges->at[ranges->n++] = r;
		before = r.to;
	}
	return 0;
}

int
dlq_dropped_read(struct dlq_dropped *d, const char *path)
{
	struct dlq_dropped found = {.last_drop = "-", .is_known = true};
	char *text = NULL;
	size_t bytes = 0;
	int rc = file_read(path, FILE_MAX_BYTES, &text, &bytes);

	if (rc == 0)
		rc = dlq_dropped_parse(text, found.last_drop, &found.ranges);
	free(text);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	*d = found;
	return 0;
}

static size_t
print_dropped(const struct dlq_dropped *d, char text[FILE_MAX_BYTES])
{
	size_t used =
	    (size_t)snprintf(text, FILE_MAX_BYTES, HEAD, d->last_drop);

	for (size_t i = 0; i < d->ranges.n; i++) {
		const struct range *r = &d->ranges.at[i];

		used += (size_t)snprintf(text + used, FILE_MAX_BYTES - used,
		                         RANGE, r->from, r->to, r->count);
	}
	return used;
}

/* Write a file beside it and rename that, so that no part is lost. */
static int
replace(const char *dir, const char *path, const char *text, size_t bytes)
{
	char new_path[PATH_MAX];
	int n = snprintf(new_path, sizeof new_path, "%s.new", path), fd, rc;

	if (n < 0 || (size_t)n >= sizeof new_path)
		return -ENAMETOOLONG;
	fd = file_open(AT_FDCWD, new_path, O_RDWR | O_CREAT, FILE_OWN);
	if (fd < 0)
		return fd;
	rc = ftruncate(fd, 0) < 0 ? -errno : file_put(fd, text, bytes, 0);
	(void)close(fd); /* it is synced */
	if (rc == 0 && rename(new_path, path) < 0)
		rc = -errno;
	return rc < 0 ? rc : directory_sync(dir);
}

int
dlq_dropped_write(struct dlq_dropped *d, const char *dir, const char *path)
{
	char text[FILE_MAX_BYTES];
	int rc = replace(dir, path, text, print_dropped(d, text));

	if (rc < 0)
		d->is_known = false;
	return rc;
}

bool
dlq_dropped_add(struct dlq_dropped *d, uint64_t offset)
{
	const struct range *last = ranges_last(&d->ranges);

	if (last && offset < last->to)
		return false;
	ranges_add(&d->ranges, offset, offset + 1);
	return true;
}

bool
dlq_dropped_add_drop(struct dlq_dropped *d, const char *drop,
                     const struct dlq_key *keys, size_t n)
{
	if (n == 0 || strcmp(d->last_drop, drop) == 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (i == 0 || keys[i].offset != keys[i - 1].offset)
			ranges_insert(&d->ranges, keys[i].offset);
	(void)snprintf(d->last_drop, sizeof d->last_drop, "%s", drop);
	return true;
}

bool
dlq_dropped_cut(struct dlq_dropped *d, uint64_t position)
{
	const struct range *last = ranges_last(&d->ranges);

	if (!last || last->to <= position)
		return false;
	ranges_cut(&d->ranges, position);
	return true;
}
