/* dlq_index - see dlq_index.h. */
#include "libsink/dlq_index.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libbase/file.h"
#include "libsink/dlq_retry_files.h"
#include "libsink/dlq_scan.h"

#define FIRST_OFFSETS 256

struct dlq_index_search {
	struct dlq_index k; /* the caller's, meanwhile */
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

	if (!stream || stream->bytes != strlen(s->stream) ||
	    memcmp(stream->data, s->stream, stream->bytes) != 0)
		return 0;
	if (offset > s->k.top)
		s->k.top = offset;
	return offset < s->from || offset >= s->to
	           ? 0
	           : dlq_index_add(&s->k, offset);
}

/* A file that is not there holds none. */
static int
dlq_index_read_file(struct dlq_index_search *s, const char *path,
                    const char *skip)
{
	int fd, rc;

	if (skip && strcmp(path, skip) == 0)
		return 0;
	fd = file_open(AT_FDCWD, path, O_RDONLY, FILE_OWN);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	rc = dlq_scan(fd, dlq_index_on_key, s);
	(void)close(fd); /* read only */
	return rc;
}

static int
index_retry_files(struct dlq_index_search *s, const char *dir, const char *sink,
                  const char *skip)
{
	DIR *open_dir = opendir(dir);
	struct dirent *e;
	int rc = 0;

	if (!open_dir)
		return errno == ENOENT ? 0 : -errno;
	while (rc == 0 && (e = readdir(open_dir))) {
		char path[PATH_MAX];

		if (!dlq_retry_files_match(e->d_name, sink))
			continue;
		if ((size_t)snprintf(path, sizeof path, "%s/%s", dir,
		                     e->d_name) >= sizeof path)
			rc = -ENAMETOOLONG;
		else
			rc = dlq_index_read_file(s, path, skip);
	}
	(void)closedir(open_dir); /* read only */
	return rc;
}

static int
dlq_index_compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int
dlq_index_find(struct dlq_index *k, const char *dir, const char *sink,
               const char *skip, const char *stream, uint64_t from, uint64_t to)
{
	struct dlq_index_search s = {.stream = stream, .from = from, .to = to};
	char path[PATH_MAX];
	int rc;

	dlq_index_clear(k);
	k->top = 0;
	if ((size_t)snprintf(path, sizeof path, "%s/%s.ndjson", dir, sink) >=
	    sizeof path)
		return -ENAMETOOLONG;
	/*
	 * A --retry-dead beside us moves letters from the sink's file to
	 * another and, before it removes that, back: on this way none is
	 * missed.
	 */
	s.k = *k;
	rc = dlq_index_read_file(&s, path, skip);
	if (rc == 0)
		rc = index_retry_files(&s, dir, sink, skip);
	if (rc == 0)
		rc = dlq_index_read_file(&s, path, skip);
	*k = s.k;
	if (rc < 0)
		dlq_index_clear(k);
	else if (k->count > 0)
		qsort(k->offsets, k->count, sizeof *k->offsets,
		      dlq_index_compare);
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
	return k->count > 0 &&
	       bsearch(&offset, k->offsets, k->count, sizeof offset,
	               dlq_index_compare) != NULL;
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
