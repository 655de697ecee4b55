/* split_journal - see split_journal.h. */
#include "libsink/split_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libbase/compare.h"
#include "libbase/directory.h"
#include "libbase/file.h"

#define FORM "%020" PRIu64 "\n"
#define LINE_BYTES 21
#define UNWRITTEN "unwritten "
#define UNWRITTEN_BYTES (sizeof UNWRITTEN - 1 + LINE_BYTES)
/* In one split_journal_add: the end, and the two points around one event. */
#define ADD_MAX 3

static char *
split_journal_path(const char *dir, const char *sink, const char *stream)
{
	char *path;

	return asprintf(&path, "%s/%s.%s.splits", dir, sink, stream) < 0 ? NULL
	                                                                 : path;
}

/* Return true if the line is complete.  An incomplete one was never synced. */
static bool
split_journal_read_line(const char *line, uint64_t *value)
{
	if (strspn(line, "0123456789") != LINE_BYTES - 1 ||
	    line[LINE_BYTES - 1] != '\n')
		return false;
	*value = strtoull(line, NULL, 10);
	return true;
}

/* Read what follows the split points: one such line, or nothing that counts. */
static void
read_unwritten(struct split_journal *c, FILE *f)
{
	char text[UNWRITTEN_BYTES + 1] = "";
	const size_t at = sizeof UNWRITTEN - 1;

	if (fseek(f, (long)c->bytes, SEEK_SET) < 0 ||
	    fread(text, UNWRITTEN_BYTES, 1, f) != 1 ||
	    memcmp(text, UNWRITTEN, at) != 0 ||
	    !split_journal_read_line(text + at, &c->unwritten))
		c->unwritten = SPLIT_JOURNAL_UNKNOWN;
}

static int
split_journal_read_lines(struct split_journal *c, FILE *f, size_t room)
{
	char line[LINE_BYTES + 1] = "";
	uint64_t value;

	c->at = calloc(room + 1, sizeof *c->at);
	if (!c->at)
		return -ENOMEM;
	while (c->count < room && fread(line, LINE_BYTES, 1, f) == 1 &&
	       split_journal_read_line(line, &value)) {
		if (c->found)
			c->at[c->count++] = value;
		else
			c->end = value;
		c->found = true;
		c->bytes += LINE_BYTES;
	}
	if (c->found)
		read_unwritten(c, f);
	if (ferror(f))
		return -EIO;
	qsort(c->at, c->count, sizeof *c->at, compare_u64);
	return 0;
}

int
split_journal_read(struct split_journal *c, const char *dir, const char *sink,
                   const char *stream)
{
	struct stat st;
	FILE *f = NULL;
	int rc, fd;

	split_journal_fini(c);
	c->stream = strdup(stream);
	c->dir = dir;
	c->path = split_journal_path(dir, sink, stream);
	if (!c->stream || !c->path) {
		split_journal_fini(c);
		return -ENOMEM;
	}
	fd = file_open(AT_FDCWD, c->path, O_RDONLY, FILE_OWN);
	rc = fd < 0 && fd != -ENOENT ? fd : 0;
	if (fd >= 0) {
		f = fdopen(fd, "r");
		if (!f) {
			rc = -errno;
			(void)close(fd); /* read only */
		}
	}
	if (f && fstat(fileno(f), &st) < 0)
		rc = -errno;
	if (f && rc == 0)
		rc = split_journal_read_lines(c, f,
		                              (size_t)st.st_size / LINE_BYTES);
	if (f)
		(void)fclose(f); /* read only */
	if (rc < 0)
		split_journal_fini(c);
	return rc;
}

uint64_t
split_journal_next(const struct split_journal *c, uint64_t end, uint64_t offset)
{
	size_t next = lower_bound_u64(c->at, c->count, offset + 1);

	return c->found && c->end == end && next < c->count ? c->at[next]
	                                                    : UINT64_MAX;
}

uint64_t
split_journal_unwritten(const struct split_journal *c, uint64_t end)
{
	return c->found && c->end == end ? c->unwritten : SPLIT_JOURNAL_UNKNOWN;
}

int
split_journal_add(struct split_journal *c, uint64_t end, const uint64_t *at,
                  size_t n, uint64_t unwritten)
{
	char text[ADD_MAX * LINE_BYTES + UNWRITTEN_BYTES + 1];
	bool fresh = !c->found || c->end != end;
	size_t bytes = 0, whole;
	int fd, rc;

	if (n + fresh > ADD_MAX)
		return -EINVAL;
	if (fresh) {
		c->bytes = 0;
		c->count = 0;
		bytes += (size_t)snprintf(text, sizeof text, FORM, end);
	}
	for (size_t i = 0; i < n; i++)
		bytes += (size_t)snprintf(text + bytes, sizeof text - bytes,
		                          FORM, at[i]);
	whole = bytes;
	if (unwritten != SPLIT_JOURNAL_UNKNOWN)
		bytes += (size_t)snprintf(text + bytes, sizeof text - bytes,
		                          UNWRITTEN FORM, unwritten);
	rc = fresh ? directory_make(c->dir) : 0;
	if (rc < 0)
		return rc;
	fd = file_open(AT_FDCWD, c->path, O_WRONLY | O_CREAT, FILE_OWN);
	if (fd < 0)
		return fd;
	/* Overwrite the last `unwritten`, or what a crash left there. */
	rc = ftruncate(fd, (off_t)c->bytes) < 0
	         ? -errno
	         : file_put(fd, text, bytes, c->bytes);
	(void)close(fd); /* it is synced */
	if (rc == 0 && fresh)
		rc = directory_sync(c->dir);
	if (rc < 0)
		return rc;
	c->found = true;
	c->end = end;
	c->bytes += whole;
	c->unwritten = unwritten;
	return 0;
}

int
split_journal_remove(const char *dir, const char *sink, const char *stream)
{
	char *path = split_journal_path(dir, sink, stream);
	int rc = path ? 0 : -ENOMEM;

	if (path && unlink(path) < 0 && errno != ENOENT)
		rc = -errno;
	free(path);
	return rc;
}

void
split_journal_fini(struct split_journal *c)
{
	free(c->stream);
	free(c->path);
	free(c->at);
	memset(c, 0, sizeof *c);
}
