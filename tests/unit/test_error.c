/* test_error - one text for leat's own error codes and for errno. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/error.h"
#include "tests/support/test.h"

TEST(errno_has_its_usual_text)
{
	ck_assert_str_eq(error_text(-ENOENT), strerror(ENOENT));
	ck_assert_str_eq(error_text(-EBADMSG), strerror(EBADMSG));
}

TEST(our_codes_have_texts_of_their_own)
{
	ck_assert_str_eq(error_text(ERR_OTHER_LOG), "belongs to another log");
	ck_assert_str_eq(error_text(ERR_CHILD_FAILED),
	                 "a child process failed");
}

/* An errno of any kernel is below 4096: MAX_ERRNO of linux/err.h. */
TEST(our_codes_are_outside_of_errno)
{
	ck_assert_int_lt(ERR_NOT_REGULAR_FILE, -4096);
}
