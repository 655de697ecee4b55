/*
 * test_runner - the checks that follow each test can fail.
 *
 * The case "wrong" has tests that do not release something.  It runs only in a
 * second process of this program, which the tests above it start.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/test.h"

#define WRONG "LEAT_TEST_WRONG"

static char output[16384];

/* Run one test of the case "wrong"; returns the status as of waitpid. */
static int
run_wrong(const char *test)
{
	char command[256];
	size_t n;
	FILE *f;

	(void)snprintf(command, sizeof command,
	               WRONG "=1 exec /proc/%d/exe %s 2>&1", (int)getpid(),
	               test);
	f = popen(command, "r");
	ck_assert_ptr_nonnull(f);
	n = fread(output, 1, sizeof output - 1, f);
	output[n] = '\0';
	return pclose(f);
}

static void
fails_with(const char *test, const char *text)
{
	int status = run_wrong(test);

	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) != 0,
	              "%s: status %d: %s", test, status, output);
	ck_assert_msg(strstr(output, text), "%s: no '%s' in: %s", test, text,
	              output);
	ck_assert_msg(strstr(output, "Checks: 1, Failures: 1,"), "%s", output);
}

TEST(a_test_that_is_right_passes)
{
	int status = run_wrong("is_right");

	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s",
	              output);
	ck_assert_ptr_nonnull(strstr(output, "Checks: 1, Failures: 0,"));
}

TEST(a_descriptor_left_open_fails_its_test)
{
	fails_with("leaves_a_descriptor_open", "leaves open descriptor");
}

TEST(a_descriptor_of_another_fails_the_test_that_closes_it)
{
	fails_with("closes_a_descriptor_of_another", "has closed descriptor 0");
}

TEST(leaked_memory_fails_its_test)
{
#ifdef __SANITIZE_ADDRESS__
	fails_with("leaks_memory", "leaks_memory leaks memory");
	ck_assert_ptr_nonnull(strstr(output, "LeakSanitizer"));
#endif
}

TEST(a_test_after_its_time_limit_is_named)
{
	int status = run_wrong("never_ends");

	ck_assert_msg(WIFSIGNALED(status) || WEXITSTATUS(status) != 0, "%d",
	              status);
	ck_assert_ptr_nonnull(
	    strstr(output, "never_ends has reached its time limit"));
}

TEST(an_unknown_name_is_an_error)
{
	ck_assert_int_ne(run_wrong("is_right_and_unknown"), 0);
	ck_assert_ptr_nonnull(
	    strstr(output, "has no test is_right_and_unknown"));
	/* Even beside a name that is known. */
	ck_assert_int_ne(run_wrong("is_right unknown"), 0);
	ck_assert_ptr_nonnull(strstr(output, "has no test unknown"));
}

static unsigned loops;

TEST_LOOP(a_loop_counts_from_zero, 3)
{
	ck_assert_int_eq(_i, (int)loops++);
}

TEST_CASE(wrong, .timeout_s = 1, .only_with = WRONG);

TEST(is_right)
{
	void *memory = malloc(1000);

	ck_assert_ptr_nonnull(memory);
	free(memory);
}

TEST(leaves_a_descriptor_open)
{
	ck_assert_int_ge(dup(STDERR_FILENO), 0);
}

TEST(closes_a_descriptor_of_another)
{
	ck_assert_int_eq(close(STDIN_FILENO), 0);
}

static void *volatile leaked;

TEST(leaks_memory)
{
	leaked = malloc(1000);
	ck_assert_ptr_nonnull(leaked);
	leaked = NULL;
}

TEST(never_ends)
{
	for (;;)
		(void)pause();
}
