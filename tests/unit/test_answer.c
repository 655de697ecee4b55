/* test_answer - HTTP answers as they may arrive. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/answer.h"
#include "tests/support/test.h"

static const char kept[] = "HTTP/1.1 202 Accepted\r\n"
			   "Content-Type: application/json\r\n"
			   "content-length: 27\r\n\r\n"
			   "{\"accepted\":100,\"offset\":1}";

/* Read a copy of exactly n bytes, so that a sanitizer sees any beyond. */
static int
read_exactly(const char *text, size_t n, struct answer *a)
{
	char *copy = malloc(n > 0 ? n : 1);
	int rc;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text, n);
	rc = answer_read(copy, n, a);
	free(copy);
	return rc;
}

static int
read_text(const char *text, struct answer *a)
{
	return read_exactly(text, strlen(text), a);
}

TEST(asks_for_more_until_the_answer_is_whole)
{
	struct answer a;
	size_t n = sizeof kept - 1;

	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(read_exactly(kept, i, &a), -EAGAIN);
	ck_assert_int_eq(read_exactly(kept, n, &a), 0);
	ck_assert_int_eq(a.status, 202);
	ck_assert_uint_eq(a.bytes, n);
	ck_assert_int_eq(a.accepted, 100);
	ck_assert_int_eq(a.retry_after_s, -1);
	ck_assert(!a.close);
}

TEST(leaves_what_follows)
{
	char two[2 * sizeof kept];
	struct answer a;

	(void)snprintf(two, sizeof two, "%sHTTP/1.1", kept);
	ck_assert_int_eq(read_text(two, &a), 0);
	ck_assert_uint_eq(a.bytes, sizeof kept - 1);
}

TEST(knows_refusal_and_close)
{
	struct answer a;

	ck_assert_int_eq(read_text("HTTP/1.1 503 Service Unavailable\r\n"
	                           "Retry-After: 2\r\nConnection: close\r\n"
	                           "Content-Length: 0\r\n\r\n",
	                           &a),
	                 0);
	ck_assert_int_eq(a.status, 503);
	ck_assert_int_eq(a.retry_after_s, 2);
	ck_assert_int_eq(a.accepted, -1);
	ck_assert(a.close);
}

TEST(refuses_what_it_does_not_know)
{
	static const char *const bad[] = {
	    "\r\n\r\n",
	    "SSH-2.0-OpenSSH_9.2 and so on\r\n\r\n",
	    "HTTP/1.1 abc\r\n\r\n",
	    "HTTP/1.1 999 X\r\n\r\n",
	    "HTTP/1.1 200 X\r\nContent-Length: x\r\n\r\n",
	    "HTTP/1.1 200 X\r\nContent-Length: 99999999999\r\n\r\n",
	    "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n",
	};
	struct answer a;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_int_eq(read_text(bad[i], &a), -EBADMSG);
}
