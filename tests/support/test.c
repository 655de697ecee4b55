/*
 * The main function of every unit test program, and the checks after each
 * test.  See test.h.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/test.h"

#define FDS_MAX 1024
#define TEST_TIMEOUT_S 300

/* The linker makes these two: the section holds one pointer for each entry. */
extern const struct test_entry *const __start_leat_tests[];
extern const struct test_entry *const __stop_leat_tests[];

/* Defined by the sanitizers, and NULL in a build without them. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static const char *current = "";
static bool completed; /* the body of the test has returned */
static bool open_before[FDS_MAX];

/*
 * A failed test has not freed its memory, and LeakSanitizer reports a leak
 * again in every later check.  After either, the heap is not checked any more:
 * the report would blame a test that is right.
 */
static bool heap_is_unknown;
static size_t heap_bytes_before;

static void
list_open_fds(bool is_open[FDS_MAX])
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;

	ck_assert_ptr_nonnull(d);
	memset(is_open, 0, FDS_MAX * sizeof *is_open);
	while ((e = readdir(d))) {
		unsigned long fd = strtoul(e->d_name, NULL, 10);

		if (e->d_name[0] != '.' && fd != (unsigned long)dirfd(d) &&
		    fd < FDS_MAX)
			is_open[fd] = true;
	}
	(void)closedir(d); /* read only */
}

static size_t
heap_bytes(void)
{
	return __sanitizer_get_current_allocated_bytes
	           ? __sanitizer_get_current_allocated_bytes()
	           : 0;
}

/*
 * A leak makes the heap grow.  Where it has not grown, the 20 ms of a search
 * for leaks are saved.  The search at the end of the process finds what is
 * freed and leaked in equal amounts.
 */
static void
check_heap(void)
{
	if (heap_is_unknown || heap_bytes() <= heap_bytes_before ||
	    !__lsan_do_recoverable_leak_check ||
	    !__lsan_do_recoverable_leak_check())
		return;
	heap_is_unknown = true;
	ck_abort_msg("%s leaks memory; LeakSanitizer's report is above",
	             current);
}

static void
check_fds(void)
{
	bool is_open[FDS_MAX];

	list_open_fds(is_open);
	for (int fd = 0; fd < FDS_MAX; fd++) {
		char link[64], target[256] = "";

		if (is_open[fd] == open_before[fd])
			continue;
		(void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
		if (readlink(link, target, sizeof target - 1) < 0)
			target[0] = '\0';
		ck_abort_msg("%s %s descriptor %d %s", current,
		             is_open[fd] ? "leaves open" : "has closed", fd,
		             target);
	}
}

static void
before_test(void)
{
	completed = false;
	list_open_fds(open_before);
	heap_bytes_before = heap_bytes();
}

static void
after_test(void)
{
	(void)alarm(0);
	if (!completed) {
		heap_is_unknown = true;
		return;
	}
	check_fds();
	check_heap();
}

static void
on_alarm(int signal_number)
{
	static const char text[] = " has reached its time limit\n";

	(void)signal_number;
	(void)!write(STDERR_FILENO, current, strlen(current));
	(void)!write(STDERR_FILENO, text, sizeof text - 1);
	abort();
}

/* The registered tests and cases in the order of their lines. */
static const struct test_entry **entries;
static size_t n_entries;

static int
by_line(const void *a, const void *b)
{
	const struct test_entry *const *x = a, *const *y = b;

	return ((*x)->test.line > (*y)->test.line) -
	       ((*x)->test.line < (*y)->test.line);
}

/* The linker puts the entries in any order. */
static void
sort_entries(void)
{
	/* cppcheck-suppress comparePointers; both are of one section */
	n_entries = (size_t)(__stop_leat_tests - __start_leat_tests);
	entries = malloc(n_entries * sizeof *entries);
	if (!entries)
		abort();
	memcpy(entries, __start_leat_tests, n_entries * sizeof *entries);
	qsort(entries, n_entries, sizeof *entries, by_line);
}

/* The case that a test belongs to, or NULL. */
static const struct test_entry *
case_of(const struct test_entry *test)
{
	const struct test_entry *found = NULL;

	for (size_t i = 0; i < n_entries && entries[i] != test; i++)
		if (!entries[i]->test.fn)
			found = entries[i];
	return found;
}

/* The time limit is longer where everything is slower, as in tests/run. */
static unsigned
timeout_of(const struct test_entry *test)
{
	const struct test_entry *c = case_of(test);
	const char *factor = getenv("LEAT_TIME_FACTOR");
	int limit_s = c && c->timeout_s ? c->timeout_s : TEST_TIMEOUT_S;

	if (limit_s < 0)
		return 0;
	return (unsigned)(limit_s * (factor ? strtod(factor, NULL) : 1));
}

void
test_run(const struct test_entry *test, void (*body)(int), int i)
{
	current = test->test.name;
	/* In place of check's handler, which kills the process group. */
	(void)signal(SIGALRM, on_alarm);
	(void)alarm(timeout_of(test));
	body(i);
	completed = true;
}

unsigned
test_stride(void)
{
	const char *stride = getenv("LEAT_TEST_STRIDE");
	unsigned long n = stride ? strtoul(stride, NULL, 10) : 1;

	return n > 0 ? (unsigned)n : 1;
}

static bool
is_selected(const struct test_entry *test, char **names)
{
	const struct test_entry *c = case_of(test);
	bool selected = !*names;

	if (c && c->only_with && !getenv(c->only_with))
		return false;
	for (; *names; names++)
		selected = selected || strcmp(*names, test->test.name) == 0 ||
		           (c && strcmp(*names, c->test.name) == 0);
	return selected;
}

static TCase *
begin_case(Suite *suite, const struct test_entry *c)
{
	TCase *tcase = tcase_create(c ? c->test.name : "tests");

	/* Its first fixture is set up first, and torn down last. */
	tcase_add_checked_fixture(tcase, before_test, after_test);
	if (c && c->before_all)
		tcase_add_unchecked_fixture(tcase, c->before_all, NULL);
	if (c && (c->setup || c->teardown))
		tcase_add_checked_fixture(tcase, c->setup, c->teardown);
	suite_add_tcase(suite, tcase);
	return tcase;
}

/* Returns how many tests the suite has got. */
static unsigned
add_tests(Suite *suite, char **names)
{
	TCase *tcase = NULL;
	unsigned n = 0;

	for (size_t i = 0; i < n_entries; i++) {
		const struct test_entry *e = entries[i];

		if (!tcase || !e->test.fn)
			tcase = begin_case(suite, e->test.fn ? NULL : e);
		if (!e->test.fn || !is_selected(e, names))
			continue;
		tcase_add_loop_test(tcase, &e->test, 0, e->loops);
		n++;
	}
	return n;
}

/* Return the first of the names that selects no test, or NULL. */
static const char *
unknown_name(char **names)
{
	for (; *names; names++) {
		char *one[] = {*names, NULL};
		bool known = false;

		for (size_t i = 0; i < n_entries && !known; i++)
			known =
			    entries[i]->test.fn && is_selected(entries[i], one);
		if (!known)
			return *names;
	}
	return NULL;
}

static void
list_tests(void)
{
	char *none[] = {NULL};

	for (size_t i = 0; i < n_entries; i++)
		if (entries[i]->test.fn && is_selected(entries[i], none))
			puts(entries[i]->test.name);
}

/* Run the tests, or those that the arguments name; --list only names them. */
int
main(int argc, char **argv)
{
	bool list = argc == 2 && strcmp(argv[1], "--list") == 0;
	Suite *suite = suite_create(program_invocation_short_name);
	SRunner *runner = srunner_create(suite);
	const char *unknown;
	int failed = 1;

	sort_entries();
	unknown = list ? NULL : unknown_name(argv + 1);
	if (list) {
		list_tests();
		failed = 0;
	} else if (unknown) {
		(void)fprintf(stderr, "%s has no test %s\n", *argv, unknown);
	} else if (add_tests(suite, argv + 1) > 0) {
		/* A debugger follows one process; a forked child's check
		 * library leaks. */
		srunner_set_fork_status(runner, CK_NOFORK);
		srunner_run_all(runner, CK_ENV);
		failed = srunner_ntests_failed(runner);
	} else {
		(void)fprintf(stderr, "%s has no tests\n", *argv);
	}
	srunner_free(runner);
	free(entries);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
