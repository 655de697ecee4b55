/* dlq_index - see dlq_index.h. */
#include "libsink/dlq_index.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libbase/compare.h"
#include "libbase/file.h"
#include "libsink/dlq_retry_files.h"
#include "libsink/dlq_scan.h"

#define FIRST_OFFSETS 256

struct dlq_index_search {
	struct dlq_index k; /* the caller's, during the search */
	const char *skip;   /* the name of a file, or NULL */
	const char *stream;
	uint64_t from, to;
};

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

static int
dlq_index_on_key(void *arg, const struct slice *stream, uint64_t offset)
{
	struct dlq_index_search *s = arg;

	if (!stream || !slice_is(*stream, s->stream))
		return 0;
	if (offset > s->k.top)
		s->k.top = offset;
	return offset < s->from || offset >= s->to
	           ? 0
	           : dlq_index_add(&s->k, offset);
}

/* A missing file has no dead letters. */
static int
dlq_index_read_file(void *arg, int dir, const char *name)
{
	struct dlq_index_search *s = arg;
	int fd, rc;

	if (s->skip && strcmp(name, s->skip) == 0)
		return 0;
	fd = file_open(dir, name, O_RDONLY, FILE_OWN);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	rc = dlq_scan(fd, dlq_index_on_key, s);
	(void)close(fd); /* read only */
	return rc;
}

int
dlq_index_find(struct dlq_index *k, const char *dir, const char *sink,
               const char *skip, const char *stream, uint64_t from, uint64_t to)
{
	struct dlq_index_search s = {.stream = stream, .from = from, .to = to};
	const char *slash = skip ? strrchr(skip, '/') : NULL;
	char path[PATH_MAX];
	int rc;

	dlq_index_clear(k);
	k->top = 0;
	if ((size_t)snprintf(path, sizeof path, "%s/%s.ndjson", dir, sink) >=
	    sizeof path)
		return -ENAMETOOLONG;
	/*
	 * A concurrent --retry-dead moves dead letters from the sink's file to
	 * another one and back.  Read the sink's file, the others, and the
	 * sink's file again, so that no dead letter is missed while it moves.
	 */
	s.k = *k;
	s.skip = slash ? slash + 1 : skip;
	rc = dlq_index_read_file(&s, AT_FDCWD, path);
	if (rc == 0)
		rc = dlq_retry_files_each(dir, sink, dlq_index_read_file, &s);
	if (rc == 0)
		rc = dlq_index_read_file(&s, AT_FDCWD, path);
	*k = s.k;
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

bool
dlq_index_has(const struct dlq_index *k, uint64_t offset)
{
	return k->count > 0 && bsearch(&offset, k->offsets, k->count,
	                               sizeof offset, compare_u64) != NULL;
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
