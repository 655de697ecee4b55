/* dlq_index - see dlq_index.h. */
#include "libsink/dlq_index.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "libbase/compare.h"
#include "libbase/file.h"
#include "libproto/dlq_lines.h"
#include "libproto/dlq_record.h"

#define FIRST_OFFSETS 256

static int
dlq_index_grow(struct dlq_index *k)
{
	size_t cap = k->cap ? 2 * k->cap : FIRST_OFFSETS;
	uint64_t *offsets = reallocarray(k->offsets, cap, sizeof *offsets);

	if (!offsets)
		return -ENOMEM;
	k->offsets = offsets;
	k->cap = cap;
	return 0;
}

static int
dlq_index_add(struct dlq_index *k, uint64_t offset)
{
	int rc = k->count < k->cap ? 0 : dlq_index_grow(k);

	if (rc == 0)
		k->offsets[k->count++] = offset;
	return rc;
}

/* Find the offsets in the lines of an open file. */
static int
dlq_index_read(struct dlq_index *k, int fd, const char *stream, uint64_t from,
               uint64_t to)
{
	struct dlq_lines lines;
	struct slice name;
	uint64_t offset;
	size_t bytes;
	char *line;
	int rc = dlq_lines_init(&lines, fd, 0);

	while (rc == 0 && (rc = dlq_lines_next(&lines, &line, &bytes)) > 0) {
		rc = 0;
		if (dlq_record_peek(line, bytes, &name, &offset) < 0 ||
		    !slice_is(name, stream))
			continue;
		if (offset > k->top)
			k->top = offset;
		if (offset >= from && offset < to)
			rc = dlq_index_add(k, offset);
	}
	dlq_lines_fini(&lines);
	return rc;
}

int
dlq_index_find(struct dlq_index *k, const char *path, const char *stream,
               uint64_t from, uint64_t to)
{
	int fd = file_open(AT_FDCWD, path, O_RDONLY, FILE_OWN), rc;

	dlq_index_clear(k);
	k->top = 0;
	if (fd < 0) /* a missing file has no dead letters */
		return fd == -ENOENT ? 0 : fd;
	rc = dlq_index_read(k, fd, stream, from, to);
	(void)close(fd); /* read only */
	if (rc < 0)
		dlq_index_clear(k);
	else if (k->count > 0)
		qsort(k->offsets, k->count, sizeof *k->offsets, compare_u64);
	return rc;
}

uint64_t
dlq_index_next(struct dlq_index *k, uint64_t offset)
{
	while (k->at < k->count && k->offsets[k->at] < offset)
		k->at++;
	return k->at < k->count ? k->offsets[k->at] : UINT64_MAX;
}

void
dlq_index_clear(struct dlq_index *k)
{
	k->count = k->at = 0;
}

void
dlq_index_fini(struct dlq_index *k)
{
	free(k->offsets);
	*k = (struct dlq_index){0};
}
