/*
 * test_retry_dead - dead letters go to the store again: once each, whatever
 * happens in between.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "libbase/log.h"
#include "libproto/frame.h"
#include "libsink/retry_dead.h"

#define STREAM "11111111-2222-3333-4444-555555555555"
#define LETTERS 20

/* A store with positions by stream; events are numbered by created_at. */
static struct {
	char streams[4][64];
	uint64_t positions[4];
	size_t stream_count;
	unsigned stored[LETTERS];
	bool bad[LETTERS];
	unsigned writes_left; /* then it is away, after it has stored */
} store;

static struct deliver d;
static struct dead dead;
static struct stats stats;
static struct sink_common common;
static char dir[64];
static int stdout_fd;

static size_t
stream_index(const char *stream)
{
	size_t i = 0;

	while (i < store.stream_count && strcmp(store.streams[i], stream) != 0)
		i++;
	return i;
}

static void
set_position(const char *stream, uint64_t position)
{
	size_t i = stream_index(stream);

	ck_assert_uint_lt(i, ARRAY_LEN(store.streams));
	if (i == store.stream_count)
		(void)snprintf(store.streams[store.stream_count++],
		               sizeof store.streams[0], "%s", stream);
	store.positions[i] = position;
}

static enum sink_result
on_open(void *state, const struct sink_common *c, const void *conf,
        struct sink_error *error)
{
	(void)state;
	(void)c;
	(void)conf;
	(void)error;
	return store.writes_left > 0 ? SINK_DONE : SINK_AWAY;
}

static enum sink_result
on_position(void *state, const char *stream, bool *found, uint64_t *next,
            struct sink_error *error)
{
	size_t i = stream_index(stream);

	(void)state;
	(void)error;
	*found = i < store.stream_count;
	if (*found)
		*next = store.positions[i];
	return SINK_DONE;
}

static enum sink_result
on_write(void *state, const struct batch *b, struct sink_error *error)
{
	uint64_t position = 0;
	bool found;

	(void)on_position(state, b->stream, &found, &position, error);
	if (found && position != b->position)
		return SINK_FENCED;
	for (size_t i = 0; i < b->count; i++) {
		const struct origin *o = &b->origins[i];

		ck_assert_uint_eq(o->offset, b->events[i].created_at_us * 7);
		ck_assert_uint_eq(o->stream.bytes, strlen(STREAM));
		ck_assert_mem_eq(o->stream.data, STREAM, o->stream.bytes);
		if (store.bad[b->events[i].created_at_us]) {
			error->bad_event = i + 1;
			return SINK_REJECT;
		}
	}
	for (size_t i = 0; i < b->count; i++)
		store.stored[b->events[i].created_at_us]++;
	set_position(b->stream, b->next_offset);
	return --store.writes_left > 0 ? SINK_DONE : SINK_AWAY;
}

static void
on_close(void *state)
{
	(void)state;
}

static const struct sink fake_sink = {
    .name = "fake",
    .open = on_open,
    .position = on_position,
    .write = on_write,
    .close = on_close,
};

/* What it prints is not the test's. */
static void
print_to_nothing(void)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	ck_assert_int_ge(null, 0);
	ck_assert_int_eq(fflush(stdout), 0);
	stdout_fd = dup(STDOUT_FILENO);
	ck_assert_int_ge(dup2(null, STDOUT_FILENO), 0);
	ck_assert_int_eq(close(null), 0);
}

static void
print_again(void)
{
	ck_assert_int_eq(fflush(stdout), 0);
	ck_assert_int_ge(dup2(stdout_fd, STDOUT_FILENO), 0);
	ck_assert_int_eq(close(stdout_fd), 0);
}

static void
setup(void)
{
	log_set_level(LOG_ERROR + 1);
	print_to_nothing();
	memset(&store, 0, sizeof store);
	store.writes_left = 1000;
	set_position(STREAM, 1000);
	common = (struct sink_common){.batch_events = 3,
	                              .batch_bytes = 128 * KIB,
	                              .retry_min_ms = 1,
	                              .retry_max_ms = 1,
	                              .timeout_ms = 5};
	(void)snprintf(dir, sizeof dir, "/tmp/leat-retry-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(dead_init(&dead, dir, "fake", 1 << 20), 0);
	stats = (struct stats){0};
	d = (struct deliver){.sink = &fake_sink,
	                     .common = &common,
	                     .dead = &dead,
	                     .stats = &stats};
	for (int i = 0; i < LETTERS; i++) {
		struct letter l = {.stream = slice_of(STREAM),
		                   .offset = (uint64_t)i * 7,
		                   .sink = slice_of("fake"),
		                   .code = slice_of(""),
		                   .reason = slice_of(""),
		                   .event = {.id = slice_of("id"),
		                             .type = slice_of("t"),
		                             .payload = slice_of("{\n}"),
		                             .created_at_us = i}};

		ck_assert_int_eq(dead_append(&dead, &l), 0);
	}
}

/* Files in dir; the last one's path goes to out when it is not NULL. */
static int
files(char out[400])
{
	DIR *open_dir = opendir(dir);
	struct dirent *e;
	int n = 0;

	ck_assert_ptr_nonnull(open_dir);
	while ((e = readdir(open_dir))) {
		if (e->d_name[0] == '.')
			continue;
		n++;
		if (out)
			(void)snprintf(out, 400, "%s/%s", dir, e->d_name);
	}
	(void)closedir(open_dir);
	return n;
}

static void
teardown(void)
{
	char path[400];

	print_again();
	while (files(path) > 0)
		ck_assert_int_eq(unlink(path), 0);
	dead_fini(&dead);
	ck_assert_int_eq(rmdir(dir), 0);
}

static void
assert_stored_once(void)
{
	for (int i = 0; i < LETTERS; i++)
		ck_assert_uint_eq(store.stored[i], !store.bad[i]);
}

START_TEST(stores_each_letter_and_forgets_it)
{
	ck_assert_int_eq(retry_dead(&d), EXIT_SUCCESS);
	assert_stored_once();
	ck_assert_int_eq(files(NULL), 0);
	ck_assert_int_eq(retry_dead(&d), EXIT_SUCCESS);
	assert_stored_once();
}
END_TEST

START_TEST(keeps_what_is_rejected_again_as_it_was)
{
	char path[400], line[1000];
	FILE *f;

	store.bad[4] = store.bad[19] = true;
	ck_assert_int_eq(retry_dead(&d), EXIT_FAILURE);
	assert_stored_once();
	ck_assert_int_eq(dead_refresh(&dead), 0);
	ck_assert_uint_eq(dead.letters, 2);
	ck_assert_int_eq(files(path), 1);
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_nonnull(fgets(line, sizeof line, f));
	ck_assert_ptr_nonnull(
	    strstr(line, "{\"stream\":\"" STREAM "\",\"offset\":28,"));
	ck_assert_ptr_nonnull(strstr(line, "\"payload_text\":\"{\\n}\""));
	(void)fclose(f);
	store.bad[4] = store.bad[19] = false;
	ck_assert_int_eq(retry_dead(&d), EXIT_SUCCESS);
	assert_stored_once();
}
END_TEST

START_TEST(goes_on_where_it_was_when_the_store_was_lost)
{
	store.bad[4] = true;
	/* The store takes n writes and is away; what it took counts. */
	for (unsigned n = 1; store.stored[19] == 0; n++) {
		ck_assert_uint_lt(n, 100);
		store.writes_left = n;
		if (retry_dead(&d) == EXIT_SUCCESS)
			break;
		/* Let the next run, another process, find its way. */
		ck_assert_int_ge(files(NULL), 1);
	}
	store.writes_left = 1000;
	ck_assert_int_eq(retry_dead(&d), EXIT_FAILURE);
	assert_stored_once();
	ck_assert_int_eq(dead_refresh(&dead), 0);
	ck_assert_uint_eq(dead.letters, 1);
	ck_assert_int_eq(files(NULL), 1);
}
END_TEST

START_TEST(leaves_letters_that_the_sink_has_not_moved_past)
{
	set_position(STREAM, 50); /* 8 letters are below */
	ck_assert_int_eq(retry_dead(&d), EXIT_FAILURE);
	for (int i = 0; i < LETTERS; i++)
		ck_assert_uint_eq(store.stored[i], i * 7 < 50);
	ck_assert_int_eq(dead_refresh(&dead), 0);
	ck_assert_uint_eq(dead.letters, 12);
	set_position(STREAM, 1000);
	ck_assert_int_eq(retry_dead(&d), EXIT_SUCCESS);
	assert_stored_once();
}
END_TEST

START_TEST(writes_nothing_when_a_line_is_damaged)
{
	FILE *f = fopen(dead.path, "a");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_gt(fputs("{\"stream\":\"x\"}\n", f), 0);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(retry_dead(&d), EXIT_FAILURE);
	for (int i = 0; i < LETTERS; i++)
		ck_assert_uint_eq(store.stored[i], 0);
	ck_assert_int_eq(files(NULL), 1);
}
END_TEST

START_TEST(refuses_to_work_beside_another_retry)
{
	char path[400];
	int fd;

	store.writes_left = 1;
	ck_assert_int_eq(retry_dead(&d), EXIT_FAILURE);
	store.writes_left = 1000;
	ck_assert_int_eq(files(path), 1);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
	ck_assert_int_eq(retry_dead(&d), EXIT_FAILURE);
	ck_assert_uint_eq(store.stored[19], 0);
	ck_assert_int_eq(close(fd), 0);
	ck_assert_int_eq(retry_dead(&d), EXIT_SUCCESS);
	assert_stored_once();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("retry_dead");
	TCase *tc = tcase_create("letters");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, stores_each_letter_and_forgets_it);
	tcase_add_test(tc, keeps_what_is_rejected_again_as_it_was);
	tcase_add_test(tc, goes_on_where_it_was_when_the_store_was_lost);
	tcase_add_test(tc, leaves_letters_that_the_sink_has_not_moved_past);
	tcase_add_test(tc, writes_nothing_when_a_line_is_damaged);
	tcase_add_test(tc, refuses_to_work_beside_another_retry);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
