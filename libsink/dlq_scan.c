/* dlq_scan - see dlq_scan.h. */
#include "libsink/dlq_scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libproto/dlq_record.h"

#define READ_BYTES (64 * KIB)

/* Enough of a line for dlq_record_peek: a stream's name and an offset. */
#define HEAD_BYTES 160

struct dlq_scan {
	dlq_on_key f;
	void *arg;
	char head[HEAD_BYTES]; /* of the line being read */
	size_t bytes;
};

static int
dlq_scan_end_line(struct dlq_scan *h)
{
	struct slice stream;
	uint64_t offset = 0;
	int rc = dlq_record_peek(h->head, h->bytes, &stream, &offset);

	h->bytes = 0;
	return h->f(h->arg, rc == 0 ? &stream : NULL, offset);
}

static int
dlq_scan_add_bytes(struct dlq_scan *h, const char *at, size_t n)
{
	while (n > 0) {
		const char *newline = memchr(at, '\n', n);
		size_t line = newline ? (size_t)(newline - at) : n;
		size_t room = sizeof h->head - h->bytes;
		size_t take = line < room ? line : room;
		int rc;

		memcpy(h->head + h->bytes, at, take);
		h->bytes += take;
		if (!newline)
			return 0;
		rc = dlq_scan_end_line(h);
		if (rc < 0)
			return rc;
		at += line + 1;
		n -= line + 1;
	}
	return 0;
}

int
dlq_scan(int fd, dlq_on_key f, void *arg)
{
	struct dlq_scan h = {.f = f, .arg = arg};
	char *bytes = malloc(READ_BYTES);
	int rc = bytes ? 0 : -ENOMEM;

	while (rc == 0) {
		ssize_t n = read(fd, bytes, READ_BYTES);

		if (n > 0)
			rc = dlq_scan_add_bytes(&h, bytes, (size_t)n);
		else if (n == 0)
			break;
		else if (errno != EINTR)
			rc = -errno;
	}
	free(bytes);
	return rc;
}
