/* known - see known.h. */
#include "libsink/known.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libbase/file.h"
#include "libsink/heads.h"
#include "libsink/taken.h"

#define FIRST_OFFSETS 256

struct sought {
	struct known k; /* the caller's, meanwhile */
	const char *stream;
	uint64_t from, to;
};

static int
grow(struct known *k)
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
add(struct known *k, uint64_t offset)
{
	int rc = k->count < k->cap ? 0 : grow(k);

	if (rc == 0)
		k->offsets[k->count++] = offset;
	return rc;
}

static int
on_letter(void *arg, const struct slice *stream, uint64_t offset)
{
	struct sought *s = arg;

	if (!stream || stream->bytes != strlen(s->stream) ||
	    memcmp(stream->data, s->stream, stream->bytes) != 0)
		return 0;
	if (offset > s->k.top)
		s->k.top = offset;
	return offset < s->from || offset >= s->to ? 0 : add(&s->k, offset);
}

/* A file that is not there holds none. */
static int
read_file(struct sought *s, const char *path, const char *skip)
{
	int fd, rc;

	if (skip && strcmp(path, skip) == 0)
		return 0;
	fd = file_open(AT_FDCWD, path, O_RDONLY, FILE_OWN);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	rc = heads_read(fd, on_letter, s);
	(void)close(fd); /* read only */
	return rc;
}

static int
read_taken(struct sought *s, const char *dir, const char *sink,
           const char *skip)
{
	DIR *open_dir = opendir(dir);
	struct dirent *e;
	int rc = 0;

	if (!open_dir)
		return errno == ENOENT ? 0 : -errno;
	while (rc == 0 && (e = readdir(open_dir))) {
		char path[PATH_MAX];

		if (!taken_is(e->d_name, sink))
			continue;
		if ((size_t)snprintf(path, sizeof path, "%s/%s", dir,
		                     e->d_name) >= sizeof path)
			rc = -ENAMETOOLONG;
		else
			rc = read_file(s, path, skip);
	}
	(void)closedir(open_dir); /* read only */
	return rc;
}

static int
compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int
known_find(struct known *k, const char *dir, const char *sink, const char *skip,
           const char *stream, uint64_t from, uint64_t to)
{
	struct sought s = {.stream = stream, .from = from, .to = to};
	char path[PATH_MAX];
	int rc;

	known_clear(k);
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
	rc = read_file(&s, path, skip);
	if (rc == 0)
		rc = read_taken(&s, dir, sink, skip);
	if (rc == 0)
		rc = read_file(&s, path, skip);
	*k = s.k;
	if (rc < 0)
		known_clear(k);
	else if (k->count > 0)
		qsort(k->offsets, k->count, sizeof *k->offsets, compare);
	return rc;
}

uint64_t
known_next(struct known *k, uint64_t offset)
{
	while (k->at < k->count && k->offsets[k->at] < offset)
		k->at++;
	return k->at < k->count ? k->offsets[k->at] : UINT64_MAX;
}

bool
known_has(const struct known *k, uint64_t offset)
{
	return k->count > 0 && bsearch(&offset, k->offsets, k->count,
	                               sizeof offset, compare) != NULL;
}

void
known_clear(struct known *k)
{
	k->count = k->at = 0;
}

void
known_fini(struct known *k)
{
	free(k->offsets);
	*k = (struct known){0};
}
