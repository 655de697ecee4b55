/* answer - see answer.h. */
#include "bench/answer.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define STATUS_LINE_MIN 13 /* "HTTP/1.1 202\r" */
#define NUMBER_MAX INT64_C(1000000000)

/*
 * Read a decimal number at `text`.  Returns -1 if there is none or it is huge.
 */
static int64_t
number_at(const char *text, const char *end)
{
	int64_t value = 0;

	while (text < end && *text == ' ')
		text++;
	if (text == end || *text < '0' || *text > '9')
		return -1;
	for (; text < end && *text >= '0' && *text <= '9'; text++) {
		value = value * 10 + (*text - '0');
		if (value > NUMBER_MAX)
			return -1;
	}
	return value;
}

/* Return the value of a header line, or NULL if the line is another header. */
static const char *
value_of(const char *line, const char *end, const char *name)
{
	size_t n = strlen(name);

	if ((size_t)(end - line) <= n || line[n] != ':' ||
	    strncasecmp(line, name, n) != 0)
		return NULL;
	return line + n + 1;
}

static int
answer_read_header(const char *line, const char *end, struct answer *a,
                   int64_t *body_bytes)
{
	const char *v;

	if ((v = value_of(line, end, "Content-Length"))) {
		*body_bytes = number_at(v, end);
		return *body_bytes < 0 ? -EBADMSG : 0;
	}
	if (value_of(line, end, "Transfer-Encoding"))
		return -EBADMSG;
	if ((v = value_of(line, end, "Retry-After")))
		a->retry_after_s = number_at(v, end);
	else if ((v = value_of(line, end, "Connection")))
		a->close = end - v >= 5 &&
		           strncasecmp(v + (*v == ' '), "close", 5) == 0;
	return 0;
}

int
answer_read(const char *text, size_t len, struct answer *answer)
{
	struct answer a = {.retry_after_s = -1, .accepted = -1};
	const char *head_end = memmem(text, len, "\r\n\r\n", 4), *line, *found;
	int64_t status, body_bytes = 0;
	int rc;

	if (!head_end)
		return -EAGAIN;
	if (head_end - text < STATUS_LINE_MIN - 1 ||
	    memcmp(text, "HTTP/1.", 7) != 0)
		return -EBADMSG;
	status = number_at(text + 8, text + 12);
	if (status < 100 || status > 599)
		return -EBADMSG;
	a.status = (int)status;
	line = memchr(text, '\n', len);
	while (line < head_end) {
		const char *next =
		    memchr(line + 1, '\n', (size_t)(head_end + 3 - line));

		rc = answer_read_header(line + 1, next - 1, &a, &body_bytes);
		if (rc < 0)
			return rc;
		line = next;
	}
	head_end += 4;
	a.bytes = (size_t)(head_end - text) + (size_t)body_bytes;
	if (a.bytes > len)
		return -EAGAIN;
	found = memmem(head_end, (size_t)body_bytes, "\"accepted\":", 11);
	if (found)
		a.accepted = number_at(found + 11, text + a.bytes);
	*answer = a;
	return 0;
}
