/* taken - see taken.h. */
#include "libsink/taken.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "libsink/letter.h"

#define READ_BYTES (64 * KIB)

/* Enough of a line for letter_peek: a stream's name and an offset. */
#define HEAD_BYTES 160

struct count {
	struct taken *t;
	const char *stream;
	char head[HEAD_BYTES]; /* of the line being read */
	size_t head_bytes;
};

static void
end_line(struct count *c)
{
	struct slice stream;
	uint64_t offset;

	c->t->letters++;
	if (letter_peek(c->head, c->head_bytes, &stream, &offset) == 0 &&
	    stream.bytes == strlen(c->stream) &&
	    memcmp(stream.data, c->stream, stream.bytes) == 0)
		c->t->own++;
	c->head_bytes = 0;
}

static void
add_bytes(struct count *c, const char *at, size_t n)
{
	while (n > 0) {
		const char *newline = memchr(at, '\n', n);
		size_t line = newline ? (size_t)(newline - at) : n;
		size_t room = sizeof c->head - c->head_bytes;
		size_t take = line < room ? line : room;

		memcpy(c->head + c->head_bytes, at, take);
		c->head_bytes += take;
		if (!newline)
			return;
		end_line(c);
		at += line + 1;
		n -= line + 1;
	}
}

static int
count_file(struct count *c, int fd)
{
	char *bytes = malloc(READ_BYTES);
	int rc = bytes ? 0 : -ENOMEM;

	c->head_bytes = 0;
	while (rc == 0) {
		ssize_t n = read(fd, bytes, READ_BYTES);

		if (n > 0)
			add_bytes(c, bytes, (size_t)n);
		else if (n == 0)
			break;
		else if (errno != EINTR)
			rc = -errno;
	}
	free(bytes);
	return rc;
}

/* Whether `name` is one of the sink's files. */
static bool
is_taken(const char *name, const char *sink)
{
	static const char mark[] = ".retry-";
	size_t n = strlen(sink);

	return strncmp(name, sink, n) == 0 &&
	       strncmp(name + n, mark, strlen(mark)) == 0;
}

/* Add one file to the hash, or, with count, its letters. */
static int
visit(int dir, const char *name, uint64_t *seen, struct count *count)
{
	struct stat st;
	int rc = 0, fd;

	fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno; /* settled just now */
	if (fstat(fd, &st) < 0)
		rc = -errno;
	if (rc == 0 && count)
		rc = count_file(count, fd);
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
          struct count *count)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	int rc = 0;

	*seen = 0;
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while (rc == 0 && (e = readdir(dir))) {
		if (is_taken(e->d_name, sink))
			rc = visit(dirfd(dir), e->d_name, seen, count);
	}
	(void)closedir(dir); /* read only */
	return rc;
}

int
taken_refresh(struct taken *t, const char *dir, const char *sink,
              const char *stream)
{
	struct taken now = {0};
	struct count count = {.t = &now, .stream = stream};
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
