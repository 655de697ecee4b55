/*
 * dlq_lines - read or write a file of dead letters line by line.
 */
#ifndef LIBPROTO_DLQ_LINES_H
#define LIBPROTO_DLQ_LINES_H

#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libbase/buf.h"

struct dlq_lines {
	int fd;             /* not owned */
	uint64_t at;        /* where the next line begins in the file */
	char *bytes;        /* owned, with room for cap bytes */
	size_t start, used; /* of `bytes`: not yet returned, and read */
	size_t cap;
};

/*
 * Begin to read fd at the byte `from`, where a line begins.  Returns 0 or
 * -ENOMEM.  dlq_lines_fini must follow either way.
 */
MUST_USE int dlq_lines_init(struct dlq_lines *l, int fd, uint64_t from);
void dlq_lines_fini(struct dlq_lines *l);

/*
 * Read the next line.  *line, which may be changed and is valid until the next
 * call, has *bytes bytes without the newline.
 *
 * Returns 1; 0 when no whole line follows, after which a call reads what was
 * appended meanwhile; -EFBIG when a line is longer than that of any dead
 * letter; -ENOMEM; or another -errno.
 */
MUST_USE int dlq_lines_next(struct dlq_lines *l, char **line, size_t *bytes);

struct dlq_lines_writer {
	int fd;         /* not owned */
	struct buf buf; /* what is not yet in the file */
	uint64_t bytes; /* in the file */
};

/* Allocates nothing.  buf_fini of buf frees the memory. */
void dlq_lines_writer_init(struct dlq_lines_writer *w);

/* Make the file fd empty, and begin to write it.  Returns 0 or -errno. */
MUST_USE int dlq_lines_writer_begin(struct dlq_lines_writer *w, int fd);

/* Add a line, given without its newline.  Returns 0 or -errno. */
MUST_USE int dlq_lines_writer_add(struct dlq_lines_writer *w, const void *line,
                                  size_t bytes);

/* Write and sync all that was added.  Returns 0 or -errno. */
MUST_USE int dlq_lines_writer_sync(struct dlq_lines_writer *w);

#endif
