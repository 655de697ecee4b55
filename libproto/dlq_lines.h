/*
 * dlq_lines - read a file of dead letters line by line.
 */
#ifndef LIBPROTO_DLQ_LINES_H
#define LIBPROTO_DLQ_LINES_H

#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"

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

#endif
