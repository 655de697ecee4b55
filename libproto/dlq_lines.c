/* dlq_lines - see dlq_lines.h. */
#include "libproto/dlq_lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libbase/file.h"
#include "libproto/dlq_record.h"

/* Most dead letters are short, so the buffer grows only when one is not. */
#define LINES_BYTES_MIN (64 * KIB)
#define LINES_BYTES_MAX (2 * (size_t)DLQ_RECORD_MAX)

/* Lines are written when they are this many bytes together. */
#define WRITE_BYTES (256 * KIB)

int
dlq_lines_init(struct dlq_lines *l, int fd, uint64_t from)
{
	*l = (struct dlq_lines){.fd = fd,
	                        .at = from,
	                        .bytes = malloc(LINES_BYTES_MIN),
	                        .cap = LINES_BYTES_MIN};
	return l->bytes ? 0 : -ENOMEM;
}

void
dlq_lines_fini(struct dlq_lines *l)
{
	free(l->bytes);
	l->bytes = NULL;
}

/* Double the buffer, which is full.  Returns 0 or a negative errno. */
static int
dlq_lines_grow(struct dlq_lines *l)
{
	size_t cap = 2 * l->cap;
	char *bytes;

	if (l->cap == LINES_BYTES_MAX)
		return -EFBIG;
	if (cap > LINES_BYTES_MAX)
		cap = LINES_BYTES_MAX;
	bytes = realloc(l->bytes, cap);
	if (!bytes)
		return -ENOMEM;
	l->bytes = bytes;
	l->cap = cap;
	return 0;
}

/* Read more bytes.  Returns 1, 0 at the end of the file, or -errno. */
static int
dlq_lines_fill(struct dlq_lines *l)
{
	ssize_t n;
	int rc;

	if (l->start > 0) {
		l->used -= l->start;
		memmove(l->bytes, l->bytes + l->start, l->used);
		l->start = 0;
	}
	if (l->used == l->cap && (rc = dlq_lines_grow(l)) < 0)
		return rc;
	do
		n = pread(l->fd, l->bytes + l->used, l->cap - l->used,
		          (off_t)(l->at + l->used));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	l->used += (size_t)n;
	return n > 0;
}

int
dlq_lines_next(struct dlq_lines *l, char **line, size_t *bytes)
{
	size_t looked = 0; /* there is no newline in so many bytes */
	char *newline;
	int rc;

	while (!(newline = memchr(l->bytes + l->start + looked, '\n',
	                          l->used - l->start - looked))) {
		looked = l->used - l->start;
		rc = dlq_lines_fill(l);
		if (rc <= 0)
			return rc;
	}
	*line = l->bytes + l->start;
	*bytes = (size_t)(newline - *line);
	l->start += *bytes + 1;
	l->at += *bytes + 1;
	return 1;
}

void
dlq_lines_writer_init(struct dlq_lines_writer *w)
{
	*w = (struct dlq_lines_writer){.fd = -1};
	buf_init(&w->buf, WRITE_BYTES + DLQ_RECORD_MAX + 1);
}

int
dlq_lines_writer_begin(struct dlq_lines_writer *w, int fd)
{
	w->fd = fd;
	w->bytes = 0;
	buf_clear(&w->buf);
	return ftruncate(fd, 0) < 0 ? -errno : 0;
}

static int
write_lines(struct dlq_lines_writer *w)
{
	int rc = file_write(w->fd, w->buf.data, w->buf.len, w->bytes);

	if (rc == 0)
		w->bytes += w->buf.len;
	buf_clear(&w->buf);
	return rc;
}

int
dlq_lines_writer_add(struct dlq_lines_writer *w, const void *line, size_t bytes)
{
	int rc = buf_add(&w->buf, line, bytes);

	if (rc == 0)
		rc = buf_add(&w->buf, "\n", 1);
	if (rc == 0 && w->buf.len >= WRITE_BYTES)
		rc = write_lines(w);
	return rc;
}

int
dlq_lines_writer_sync(struct dlq_lines_writer *w)
{
	int rc = write_lines(w);

	return rc == 0 && fsync(w->fd) < 0 ? -errno : rc;
}
