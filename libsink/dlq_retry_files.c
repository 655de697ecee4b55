/* dlq_retry_files - see dlq_retry_files.h. */
#include "libsink/dlq_retry_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "libbase/file.h"
#include "libsink/dlq_scan.h"

struct dlq_retry_files_count {
	struct dlq_retry_files *t;
	const char *stream;
};

static int
dlq_retry_files_on_key(void *arg, const struct slice *stream, uint64_t offset)
{
	struct dlq_retry_files_count *c = arg;

	(void)offset;
	c->t->records++;
	if (stream && stream->bytes == strlen(c->stream) &&
	    memcmp(stream->data, c->stream, stream->bytes) == 0)
		c->t->own++;
	return 0;
}

bool
dlq_retry_files_match(const char *name, const char *sink)
{
	static const char mark[] = ".retry-", end[] = ".ndjson";
	size_t n = strlen(sink), bytes = strlen(name);

	return strncmp(name, sink, n) == 0 &&
	       strncmp(name + n, mark, strlen(mark)) == 0 &&
	       bytes > strlen(end) &&
	       strcmp(name + bytes - strlen(end), end) == 0;
}

/* Add one file to the hash, or, with count, its letters. */
static int
visit(int dir, const char *name, uint64_t *seen,
      struct dlq_retry_files_count *count)
{
	struct stat st;
	int rc = 0, fd;

	fd = file_open(dir, name, O_RDONLY, FILE_OWN);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd; /* settled just now */
	if (fstat(fd, &st) < 0)
		rc = -errno;
	if (rc == 0 && count)
		rc = dlq_scan(fd, dlq_retry_files_on_key, count);
	if (rc == 0) {
		uint64_t facts[] = {(uint64_t)st.st_ino, (uint64_t)st.st_size,
		                    (uint64_t)st.st_mtim.tv_sec,
		                    (uint64_t)st.st_mtim.tv_nsec};

		/* Added, so that their order does not matter. */
		*seen += XXH3_64bits(facts, sizeof facts);
	}
	(void)close(fd); /* read only */
	return rc;
}

static int
visit_all(const char *path, const char *sink, uint64_t *seen,
          struct dlq_retry_files_count *count)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	int rc = 0;

	*seen = 0;
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while (rc == 0 && (e = readdir(dir))) {
		if (dlq_retry_files_match(e->d_name, sink))
			rc = visit(dirfd(dir), e->d_name, seen, count);
	}
	(void)closedir(dir); /* read only */
	return rc;
}

int
dlq_retry_files_refresh(struct dlq_retry_files *t, const char *dir,
                        const char *sink, const char *stream)
{
	struct dlq_retry_files now = {0};
	struct dlq_retry_files_count count = {.t = &now, .stream = stream};
	uint64_t seen;
	int rc;

	/* The stream belongs to what was counted. */
	rc = visit_all(dir, sink, &seen, NULL);
	if (rc == 0)
		seen += XXH3_64bits(stream, strlen(stream));
	if (rc < 0 || seen == t->seen)
		return rc;
	rc = visit_all(dir, sink, &now.seen, &count);
	if (rc < 0)
		return rc;
	now.seen += XXH3_64bits(stream, strlen(stream));
	*t = now;
	return 0;
}
