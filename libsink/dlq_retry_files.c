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
	bool reads; /* else only t->seen is computed */
};

static int
dlq_retry_files_on_key(void *arg, const struct slice *stream, uint64_t offset)
{
	struct dlq_retry_files_count *c = arg;

	(void)offset;
	c->t->records++;
	c->t->own += stream && slice_is(*stream, c->stream);
	return 0;
}

static bool
dlq_retry_files_match(const char *name, const char *sink)
{
	static const char mark[] = ".retry-", end[] = ".ndjson";
	size_t n = strlen(sink), bytes = strlen(name);

	return strncmp(name, sink, n) == 0 &&
	       strncmp(name + n, mark, strlen(mark)) == 0 &&
	       bytes > strlen(end) &&
	       strcmp(name + bytes - strlen(end), end) == 0;
}

/* Add one file to the hash and, if asked to, its records to the count. */
static int
dlq_retry_files_add(void *arg, int dir, const char *name)
{
	struct dlq_retry_files_count *c = arg;
	struct stat st;
	int rc = 0, fd;

	fd = file_open(dir, name, O_RDONLY, FILE_OWN);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd; /* it was removed just now */
	if (fstat(fd, &st) < 0)
		rc = -errno;
	if (rc == 0 && c->reads)
		rc = dlq_scan(fd, dlq_retry_files_on_key, c);
	if (rc == 0) {
		uint64_t facts[] = {(uint64_t)st.st_ino, (uint64_t)st.st_size,
		                    (uint64_t)st.st_mtim.tv_sec,
		                    (uint64_t)st.st_mtim.tv_nsec};

		/* Added, so that their order does not matter. */
		c->t->seen += XXH3_64bits(facts, sizeof facts);
	}
	(void)close(fd); /* read only */
	return rc;
}

int
dlq_retry_files_each(const char *dir, const char *sink,
                     dlq_retry_files_on_file f, void *arg)
{
	DIR *open_dir = opendir(dir);
	struct dirent *e;
	int rc = 0;

	if (!open_dir)
		return errno == ENOENT ? 0 : -errno;
	while (rc == 0 && (e = readdir(open_dir))) {
		if (dlq_retry_files_match(e->d_name, sink))
			rc = f(arg, dirfd(open_dir), e->d_name);
	}
	(void)closedir(open_dir); /* read only */
	return rc;
}

int
dlq_retry_files_refresh(struct dlq_retry_files *t, const char *dir,
                        const char *sink, const char *stream)
{
	/* The stream belongs to what was counted. */
	const uint64_t hash = XXH3_64bits(stream, strlen(stream));
	struct dlq_retry_files now = {.seen = hash};
	struct dlq_retry_files_count count = {.t = &now, .stream = stream};
	int rc = dlq_retry_files_each(dir, sink, dlq_retry_files_add, &count);

	if (rc < 0 || now.seen == t->seen)
		return rc;
	now = (struct dlq_retry_files){.seen = hash};
	count.reads = true;
	rc = dlq_retry_files_each(dir, sink, dlq_retry_files_add, &count);
	if (rc == 0)
		*t = now;
	return rc;
}
