/* dlq_piece - see dlq_piece.h. */
#include "libsink/dlq_piece.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
dlq_piece_init(struct dlq_piece *p, uint64_t batch_events, uint64_t batch_bytes)
{
	*p = (struct dlq_piece){.most = (size_t)batch_events,
	                        .cap = (size_t)batch_bytes + DLQ_RECORD_MAX};
	p->bytes = malloc(p->cap);
	p->events = calloc(p->most, sizeof *p->events);
	p->origins = calloc(p->most, sizeof *p->origins);
	return p->bytes && p->events && p->origins ? 0 : -ENOMEM;
}

void
dlq_piece_fini(struct dlq_piece *p)
{
	free(p->bytes);
	free(p->events);
	free(p->origins);
	*p = (struct dlq_piece){0};
}

void
dlq_piece_seek(struct dlq_piece *p, uint64_t at)
{
	p->at = at;
	p->used = p->parsed = p->count = 0;
}

/* Read on until the buffer is full or the file ends.  Returns 0 or -errno. */
static int
dlq_piece_fill(struct dlq_piece *p, int fd)
{
	p->used -= p->parsed;
	memmove(p->bytes, p->bytes + p->parsed, p->used);
	p->at += p->parsed;
	p->parsed = p->count = 0;
	while (p->used < p->cap) {
		ssize_t n = pread(fd, p->bytes + p->used, p->cap - p->used,
		                  (off_t)(p->at + p->used));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		p->used += (size_t)n;
	}
	return 0;
}

int
dlq_piece_read(struct dlq_piece *p, int fd, size_t most)
{
	int rc = dlq_piece_fill(p, fd);

	if (most > p->most)
		most = p->most;
	while (rc == 0 && p->count < most && p->parsed < p->used) {
		char *line = p->bytes + p->parsed;
		char *end = memchr(line, '\n', p->used - p->parsed);
		struct dlq_record record;
		const char *why;
		size_t at;

		if (!end && p->count > 0)
			return 0; /* it comes whole in the next batch */
		if (!end)
			return -EBADMSG;
		rc = dlq_record_read(line, (size_t)(end - line), &record, &why,
		                     &at);
		if (rc < 0)
			return rc;
		p->origins[p->count] =
		    (struct origin){record.stream, record.offset};
		p->events[p->count++] = record.event;
		p->parsed = (size_t)(end + 1 - p->bytes);
	}
	return rc;
}
