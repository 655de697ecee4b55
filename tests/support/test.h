/*
 * test - tests that register themselves.
 *
 * A test program consists of functions that begin with TEST(name), and is
 * linked with test.c, which holds main.  The assertions are those of check,
 * ck_assert_*.  A failed assertion leaves its test at once; the tests after it
 * run all the same.
 *
 *     TEST(numbers_are_written_in_decimal_digits)
 *     {
 *             ck_assert_int_eq(...);
 *     }
 *
 * The tests run in one process, in the order of their lines.  After each test
 * that has passed the runner fails it if a descriptor is open that was not open
 * before its setup, or closed that was open, and, in a build with
 * AddressSanitizer, if memory has leaked.
 *
 * A program runs all its tests, or those whose names, or whose case's names,
 * are its arguments.  With --list it prints the names of all that would run.
 */
#ifndef TESTS_SUPPORT_TEST_H
#define TESTS_SUPPORT_TEST_H

#include <check.h>
#include <stddef.h>

/*
 * check's own macros write a few bytes to a file for each assertion that holds,
 * to know the last line before a crash, and read all of them after the test.  A
 * test that asserts a million times would take seconds for that.
 */
#undef ck_assert_msg
#define ck_assert_msg(expr, ...)                                               \
	do {                                                                   \
		if (!(expr))                                                   \
			ck_abort_msg(__VA_ARGS__);                             \
	} while (0)
#undef ck_assert
#define ck_assert(expr) ck_assert_msg(expr, "Assertion '%s' failed", #expr)

/* For .timeout_s of a test case whose tests may take as long as they need. */
#define TEST_NO_TIMEOUT (-1)

/* A test, or, if test.fn is NULL, the beginning of a test case. */
struct test_entry {
	TTest test;
	int loops;                /* the test runs with _i = 0 .. loops - 1 */
	void (*before_all)(void); /* runs once, before the first test */
	void (*setup)(void);      /* runs before each test of the case */
	void (*teardown)(void);   /* runs after each test of the case */
	int timeout_s;            /* for each test; 0: test.c's default */
	const char *only_with;    /* skip the case without this variable */
};

/* Run the body of a test with its time limit; only for TEST_LOOP. */
void test_run(const struct test_entry *test, void (*body)(int), int i);

/*
 * The step of a loop over many cases that are alike: 1, or the value of the
 * environment variable LEAT_TEST_STRIDE.  tests/run --unit sets it, to try a
 * change in seconds; the whole run tries every case.
 */
unsigned test_stride(void);

/* clang-format off */
#define TEST_REGISTER(name, ...)                                               \
	static const struct test_entry name##_entry = {__VA_ARGS__};           \
	static const struct test_entry *const name##_registered                \
	    __attribute__((used, section("leat_tests"))) = &name##_entry

/* Define a test. */
#define TEST(name) TEST_LOOP(name, 1)

/* Define a test that runs `count` times, with _i from 0 on. */
#define TEST_LOOP(name, count)                                                 \
	static void name(int);                                                 \
	static const struct test_entry name##_entry;                           \
	static void name##_run(int i)                                          \
	{                                                                      \
		test_run(&name##_entry, name, i);                              \
	}                                                                      \
	TEST_REGISTER(name,                                                    \
	    .test = {#name, name##_run, __FILE__, __LINE__},                   \
	    .loops = (int)(count));                                            \
	static void name(int _i __attribute__((unused)))

/*
 * Begin a test case: the tests below it, up to the next TEST_CASE, share its
 * members, which the arguments initialize, as in .setup = open_store.  A file
 * whose tests share nothing needs none.
 */
#define TEST_CASE(name, ...)                                                   \
	TEST_REGISTER(name, .test = {#name, NULL, __FILE__, __LINE__},         \
	    __VA_ARGS__)
/* clang-format on */

#endif
