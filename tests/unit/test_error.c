/* test_error - one text for leat's own error codes and for errno. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/error.h"

START_TEST(errno_has_its_usual_text)
{
	ck_assert_str_eq(error_text(-ENOENT), strerror(ENOENT));
	ck_assert_str_eq(error_text(-EBADMSG), strerror(EBADMSG));
}
END_TEST

START_TEST(our_codes_have_texts_of_their_own)
{
	ck_assert_str_eq(error_text(ERR_OTHER_LOG), "belongs to another log");
	ck_assert_str_eq(error_text(ERR_CHILD_FAILED),
	                 "a child process failed");
}
END_TEST

/* An errno of any kernel is below 4096: MAX_ERRNO of linux/err.h. */
START_TEST(our_codes_are_outside_of_errno)
{
	ck_assert_int_lt(ERR_NOT_REGULAR_FILE, -4096);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("error");
	TCase *t = tcase_create("error");
	SRunner *r;
	int failed;

	tcase_add_test(t, errno_has_its_usual_text);
	tcase_add_test(t, our_codes_have_texts_of_their_own);
	tcase_add_test(t, our_codes_are_outside_of_errno);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
