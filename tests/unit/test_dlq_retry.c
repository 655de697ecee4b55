/*
 * test_dlq_retry - dead letters that an operator selects are stored or dropped:
 * once each, whatever happens in between, and the others stay as they are.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libbase/error.h"
#include "libbase/log.h"
#include "libsink/dlq_retry.h"
#include "tests/support/test.h"

#define STREAM "11111111-2222-3333-4444-555555555555"
#define OTHER "99999999-2222-3333-4444-555555555555"
#define RECORDS 24
#define CRASHED 99

enum store_kind {
	HAS_POSITIONS,
	FORGETS,    /* its positions, so that the recorded progress counts */
	HAS_TOKENS, /* no positions, and knows a write by its offsets */
	STORE_KINDS,
};

/* A store that outlives a crash.  Events are numbered by created_at. */
struct store {
	enum store_kind kind;
	char streams[8][64];
	uint64_t positions[8];
	size_t stream_count;
	unsigned stored[RECORDS];
	bool bad[RECORDS];
	unsigned writes;
	uint64_t seen[RECORDS + 1]; /* next_offset of a write from here */
	size_t limit;         /* more events at once are too much; 0: none */
	unsigned fails;       /* writes to come that fail before they store */
	unsigned fails_after; /* and that fail after they have stored */
	bool named;           /* the log's stream was asked for first */
};
static struct store *store;

static struct deliver d;
static struct dlq_file dlq;
static struct dlq_retry retry;
static struct stats stats;
static struct sink_common common;
static char dir[64];
static unsigned crash_at; /* the call at which the process ends; 0: none */
static unsigned calls;
static int fail_with; /* instead, that call fails with this errno */
static unsigned waits;
static int write_rc; /* what on_write returns */

/* --- crashes and failures --- */

/* Called around whatever changes the disk or the store. */
static bool
is_to_fail(void)
{
	if (crash_at == 0 || ++calls != crash_at)
		return false;
	if (fail_with == 0)
		_exit(CRASHED);
	errno = fail_with;
	return true;
}

/* In place of libc's: a crash is possible before and after each of them. */
int
fsync(int fd)
{
	int rc = is_to_fail() ? -1 : (int)syscall(SYS_fsync, fd);

	return rc < 0 || is_to_fail() ? -1 : rc;
}

int
fdatasync(int fd)
{
	return is_to_fail() ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int
rename(const char *from, const char *to)
{
	int rc = is_to_fail() ? -1
	                      : (int)syscall(SYS_renameat2, AT_FDCWD, from,
	                                     AT_FDCWD, to, 0);

	return rc < 0 || is_to_fail() ? -1 : rc;
}

int
unlink(const char *path)
{
	int rc =
	    is_to_fail() ? -1 : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);

	return rc < 0 || is_to_fail() ? -1 : rc;
}

int
unlinkat(int at, const char *path, int flags)
{
	return is_to_fail() ? -1 : (int)syscall(SYS_unlinkat, at, path, flags);
}

/* --- the store --- */

static size_t
stream_index(const char *stream)
{
	size_t i = 0;

	while (i < store->stream_count &&
	       strcmp(store->streams[i], stream) != 0)
		i++;
	return i;
}

static void
set_position(const char *stream, uint64_t position)
{
	size_t i = stream_index(stream);

	ck_assert_uint_lt(i, ARRAY_LEN(store->streams));
	if (i == store->stream_count)
		(void)snprintf(store->streams[store->stream_count++],
		               sizeof store->streams[0], "%s", stream);
	store->positions[i] = position;
}

static enum sink_result
on_open(void *state, const struct sink_common *c, const void *conf,
        struct sink_error *error)
{
	(void)state;
	(void)c;
	(void)conf;
	(void)error;
	store->named = false;
	return SINK_DONE;
}

static enum sink_result
on_position(void *state, const char *stream, bool *found, uint64_t *next,
            struct sink_error *error)
{
	size_t i = stream_index(stream);

	(void)state;
	(void)error;
	store->named |= strcmp(stream, STREAM) == 0;
	ck_assert(store->named);
	*found = i < store->stream_count && store->kind == HAS_POSITIONS;
	if (*found)
		*next = store->positions[i];
	return SINK_DONE;
}

/* Whether the store has taken it before, and knows. */
static bool
is_repeated(const struct batch *b)
{
	bool repeated = store->kind == HAS_TOKENS &&
	                store->seen[b->offset] == b->next_offset;

	if (b->count > 0)
		store->seen[b->offset] = b->next_offset;
	return repeated;
}

static enum sink_result
on_write(void *state, const struct batch *b, struct sink_error *error)
{
	uint64_t position = 0;
	bool found;

	store->writes++;
	(void)on_position(state, b->stream, &found, &position, error);
	if (found && position != b->position)
		return SINK_FENCED;
	if (store->fails > 0) {
		store->fails--;
		return SINK_UNREACHABLE;
	}
	if (store->limit > 0 && b->count > store->limit) {
		error->too_much = true;
		return SINK_UNREACHABLE;
	}
	(void)is_to_fail();
	for (size_t i = 0; i < b->count; i++) {
		int64_t n = b->events[i].created_at_us;

		ck_assert_uint_eq(b->origins[i].offset, (uint64_t)n * 7);
		if (store->bad[n]) {
			error->bad_event = n % 2 ? i + 1 : 0;
			(void)snprintf(error->code, sizeof error->code, "new");
			(void)snprintf(error->text, sizeof error->text,
			               "still bad");
			return SINK_REJECT;
		}
	}
	if (!is_repeated(b))
		for (size_t i = 0; i < b->count; i++)
			store->stored[b->events[i].created_at_us]++;
	set_position(b->stream, b->next_offset);
	(void)is_to_fail();
	if (store->fails_after > 0) {
		store->fails_after--;
		return SINK_UNREACHABLE;
	}
	return SINK_DONE;
}

static enum sink_result
on_probe(void *state, const struct batch *b, const struct sink_refused *refused,
         size_t *looked, struct sink_error *error)
{
	struct sink_error why = {.code = "new", .text = "still bad"};

	(void)state;
	(void)error;
	for (size_t i = 0; i < b->count; i++)
		if (store->bad[b->events[i].created_at_us])
			refused->on_event(refused->arg, i, &why);
	*looked = b->count;
	return SINK_DONE;
}

static void
on_close(void *state)
{
	(void)state;
}

static struct sink fake_sink = {
    .name = "fake",
    .open = on_open,
    .position = on_position,
    .write = on_write,
    .close = on_close,
};

/* --- a sink at work --- */

static int
on_wait(void *arg, uint64_t ms)
{
	(void)arg;
	(void)ms;
	return waits++ < 100 ? 0 : ERR_STOPPED;
}

static int
on_step(void *arg, uint64_t next, uint64_t position)
{
	(void)arg;
	(void)next;
	(void)position;
	ck_abort_msg("the step of a batch of the log");
	return 0;
}

static int
on_retry_write(void *arg)
{
	(void)arg;
	return write_rc;
}

/* Begin as a process does, and go on with what was interrupted. */
static void
begin(void)
{
	bool found;
	uint64_t position;

	ck_assert_int_eq(dlq_file_init(&dlq, dir, "fake", 1 << 20), 0);
	d = (struct deliver){.sink = &fake_sink,
	                     .common = &common,
	                     .dlq = &dlq,
	                     .stats = &stats,
	                     .calls = {.wait = on_wait, .step = on_step}};
	ck_assert_int_eq(dlq_retry_init(&retry, &d), 0);
	retry.on_write = on_retry_write;
	dlq_file_follow(&dlq, STREAM);
	ck_assert_int_eq(dlq_file_lock(&dlq), 0);
	ck_assert_int_eq(dlq_file_refresh(&dlq), 0);
	dlq_retry_resume(&retry, STREAM);
	ck_assert_int_eq(deliver_start(&d, STREAM, &found, &position), 0);
}

static void
end(void)
{
	dlq_retry_fini(&retry);
	deliver_fini(&d);
	dlq_file_fini(&dlq);
}

/* Take steps until nothing is left to do. */
static void
work(void)
{
	for (unsigned n = 0; dlq_retry_is_active(&retry); n++) {
		ck_assert_uint_lt(n, 1000);
		ck_assert_int_eq(dlq_retry_step(&retry), 0);
	}
	ck_assert(retry.has_result);
}

static struct dlq_retry_order
make_order(enum dlq_action action)
{
	return (struct dlq_retry_order){.action = action, .below = UINT64_MAX};
}

static void
give_order(const struct dlq_retry_order *order)
{
	ck_assert_msg(dlq_retry_accept(&retry, order), "%s", retry.result.text);
	ck_assert(dlq_retry_is_due(&retry, 0));
}

static void
carry_out(enum dlq_action action)
{
	struct dlq_retry_order order = make_order(action);

	give_order(&order);
	work();
}

/* --- the dead letters --- */

static void
add_record(int i)
{
	const char *stream = i % 6 == 5 ? OTHER : STREAM;
	struct dlq_record l = {.stream = slice_of(stream),
	                       .offset = (uint64_t)i * 7,
	                       .sink = slice_of("fake"),
	                       .at_us = i,
	                       .code = slice_of(i % 2 ? "odd" : "even"),
	                       .reason = slice_of("bad"),
	                       .event = {.id = slice_of("id"),
	                                 .type = slice_of(i < 12 ? "a" : "b"),
	                                 .payload = slice_of("{\n}"),
	                                 .created_at_us = i}};

	ck_assert_int_eq(dlq_file_append(&dlq, &l), 0);
}

/* Where the dead letters are: how often each is in the file. */
struct found {
	unsigned count[RECORDS], total;
	unsigned again; /* with the new reason */
};

static struct found
find_all(void)
{
	struct found all = {0};
	char path[100], line[2000];
	FILE *f;

	(void)snprintf(path, sizeof path, "%s/fake.ndjson", dir);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof line, f)) {
		struct dlq_record record;
		const char *why = "";
		size_t at = 0;

		ck_assert_int_eq(
		    dlq_record_read(line, strlen(line) - 1, &record, &why, &at),
		    0);
		all.total++;
		all.count[record.offset / 7]++;
		all.again += slice_is(record.reason, "still bad");
		ck_assert(slice_is(record.event.payload, "{\n}"));
	}
	if (f)
		ck_assert_int_eq(fclose(f), 0);
	return all;
}

/* Each dead letter is stored, or in the file, once. */
static void
assert_each_once(void)
{
	struct found all = find_all();

	for (int i = 0; i < RECORDS; i++) {
		ck_assert_msg(store->stored[i] + all.count[i] == 1,
		              "%d: stored %u, in the file %u", i,
		              store->stored[i], all.count[i]);
		ck_assert_msg(store->stored[i] == 0 || !store->bad[i] ||
		                  store->kind == STORE_KINDS,
		              "%d", i);
	}
}

/* Only the lock, the dead letters and the count of dropped ones are there. */
static void
assert_no_rest(void)
{
	DIR *open_dir = opendir(dir);
	struct dirent *e;

	ck_assert_ptr_nonnull(open_dir);
	while ((e = readdir(open_dir)))
		ck_assert_msg(e->d_name[0] == '.' ||
		                  strcmp(e->d_name, "fake.lock") == 0 ||
		                  strcmp(e->d_name, "fake.ndjson") == 0 ||
		                  strstr(e->d_name, ".dropped"),
		              "%s", e->d_name);
	(void)closedir(open_dir);
}

static void
empty_dir(void)
{
	DIR *open_dir = opendir(dir);
	struct dirent *e;

	ck_assert_ptr_nonnull(open_dir);
	while ((e = readdir(open_dir)))
		(void)unlinkat(dirfd(open_dir), e->d_name, 0);
	(void)closedir(open_dir);
}

static void
make_store(enum store_kind kind)
{
	*store = (struct store){.kind = kind};
	set_position(STREAM, 1000);
	fake_sink.stable = kind == HAS_TOKENS;
	fake_sink.probe = NULL;
	common = (struct sink_common){.batch_events = 5,
	                              .batch_bytes = 128 * KIB,
	                              .retry_min_ms = 1,
	                              .retry_max_ms = 1,
	                              .timeout_ms = 5};
	waits = 0;
	crash_at = 0;
	fail_with = 0;
	write_rc = 0;
}

/* Begin with all dead letters. */
static void
begin_with_all(enum store_kind kind)
{
	make_store(kind);
	empty_dir();
	begin();
	for (int i = 0; i < RECORDS; i++)
		add_record(i);
	dlq_file_follow(&dlq, STREAM);
	ck_assert_int_eq(dlq_file_refresh(&dlq), 0);
}

static void
setup(void)
{
	log_set_level(LOG_ERROR + 1);
	store = mmap(NULL, sizeof *store, PROT_READ | PROT_WRITE,
	             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(store, MAP_FAILED);
	(void)snprintf(dir, sizeof dir, "/dev/shm/leat-retry-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	begin_with_all(HAS_POSITIONS);
}

static void
teardown(void)
{
	crash_at = 0;
	end();
	empty_dir();
	ck_assert_int_eq(rmdir(dir), 0);
	ck_assert_int_eq(munmap(store, sizeof *store), 0);
}

TEST_CASE(retry, .setup = setup, .teardown = teardown);

TEST_LOOP(stores_each_dead_letter_and_removes_it, STORE_KINDS)
{
	end();
	begin_with_all((enum store_kind)_i);
	carry_out(DLQ_RETRY);
	assert_each_once();
	ck_assert_uint_eq(find_all().total, 0);
	ck_assert_int_ne(access(dlq.path, F_OK), 0);
	ck_assert_uint_eq(retry.result.selected, RECORDS);
	ck_assert_uint_eq(retry.result.stored, RECORDS);
	ck_assert_str_eq(retry.result.text, "");
	assert_no_rest();
	/* There is nothing left. */
	carry_out(DLQ_RETRY);
	ck_assert_uint_eq(retry.result.selected, 0);
	assert_each_once();
	assert_no_rest();
}

TEST_LOOP(keeps_what_is_refused_again_with_the_new_reason, 2)
{
	if (_i == 1)
		fake_sink.probe = on_probe;
	for (int i = 0; i < RECORDS; i++)
		store->bad[i] = i % 3 == 1;
	carry_out(DLQ_RETRY);
	assert_each_once();
	ck_assert_uint_eq(find_all().total, RECORDS / 3);
	ck_assert_uint_eq(find_all().again, RECORDS / 3);
	ck_assert_uint_eq(retry.result.stored, RECORDS - RECORDS / 3);
	ck_assert_uint_eq(retry.result.kept, RECORDS / 3);
	ck_assert_uint_eq(dlq.records, RECORDS / 3);
	assert_no_rest();
	/* Those were already dead letters. */
	ck_assert_uint_eq(stats.dead_lettered, 0);
	memset(store->bad, 0, sizeof store->bad);
	carry_out(DLQ_RETRY);
	assert_each_once();
	ck_assert_uint_eq(find_all().total, 0);
}

/* A script may have computed the limit. */
TEST(a_limit_of_none_is_refused_and_not_taken_for_no_limit)
{
	struct dlq_filter filter;
	struct control_args args;

	for (uint64_t limit = 0; limit < 2; limit++) {
		control_args_init(&args);
		control_args_add_uint(&args, "limit", limit);
		ck_assert_int_eq(
		    dlq_filter_read(&filter, args.map.data, args.map.len),
		    limit == 0 ? -EBADMSG : 0);
		control_args_fini(&args);
	}
	ck_assert_uint_eq(filter.limit, 1);
}

TEST(selects_what_matches)
{
	struct dlq_retry_order o = make_order(DLQ_RETRY);
	struct dlq_record none = {
	    .stream = slice_of(STREAM),
	    .offset = 999,
	    .sink = slice_of("fake"),
	    .code = slice_of("even"),
	    .reason = slice_of(""),
	    .without_payload = true,
	    .event = {.id = slice_of("id"), .type = slice_of("a")}};

	ck_assert_int_eq(dlq_file_append(&dlq, &none), 0);
	o.filter.has_code = o.filter.has_type = true;
	(void)snprintf(o.filter.code, sizeof o.filter.code, "even");
	(void)snprintf(o.filter.type, sizeof o.filter.type, "a");
	give_order(&o);
	work();
	ck_assert_uint_eq(retry.result.stored, 6);
	ck_assert_uint_eq(retry.result.without_payload, 1);
	for (int i = 0; i < RECORDS; i++)
		ck_assert_uint_eq(store->stored[i], i % 2 == 0 && i < 12);
	/* Only below an offset of the log; those of another log in any case. */
	o = make_order(DLQ_RETRY);
	o.below = 7 * 14;
	o.filter.since_us = 9;
	o.filter.limit = 4;
	give_order(&o);
	work();
	ck_assert_uint_eq(retry.result.stored, 4); /* 9, 11, 12, 13 */
	ck_assert_uint_eq(retry.result.more, 2);   /* 17, 23 */
	ck_assert_uint_eq(retry.result.waiting, 8);
	for (int i = 0; i < RECORDS; i++)
		ck_assert_uint_eq(store->stored[i], (i % 2 == 0 && i < 12) ||
		                                        i == 9 || i == 11 ||
		                                        i == 12 || i == 13);
	o = make_order(DLQ_RETRY);
	o.filter.has_offset = true;
	o.filter.offset = 7 * 20;
	give_order(&o);
	work();
	ck_assert_uint_eq(retry.result.stored, 1);
	ck_assert_uint_eq(store->stored[20], 1);
}

TEST(retries_an_event_that_was_corrected)
{
	struct dlq_retry_order o = make_order(DLQ_RETRY);
	char payload[] = "{\"fixed\":1}";
	struct event e = {.id = slice_of("other"),
	                  .type = slice_of("a"),
	                  .payload = {payload, sizeof payload - 1},
	                  .created_at_us = 3};

	o.event = &e;
	o.filter.has_offset = true;
	o.filter.offset = 7 * 3;
	/* It is still bad: the dead letter stays as it was. */
	store->bad[3] = true;
	give_order(&o);
	memset(payload, 'x', sizeof payload - 1); /* it was copied */
	work();
	ck_assert_uint_eq(retry.result.kept, 1);
	ck_assert_uint_eq(find_all().again, 0);
	assert_each_once();
	store->bad[3] = false;
	memcpy(payload, "{\"fixed\":1}", sizeof payload - 1);
	give_order(&o);
	work();
	ck_assert_uint_eq(retry.result.stored, 1);
	assert_each_once();
	/* An event is for one dead letter. */
	o.filter.has_offset = false;
	give_order(&o);
	work();
	ck_assert_ptr_nonnull(strstr(retry.result.text, "several"));
	assert_each_once();
	assert_no_rest();
}

TEST(refuses_an_order_while_another_is_not_finished)
{
	struct dlq_retry_order o = make_order(DLQ_RETRY);

	give_order(&o);
	ck_assert_int_eq(dlq_retry_step(&retry), 0);
	ck_assert(!dlq_retry_accept(&retry, &o));
	ck_assert_ptr_nonnull(strstr(retry.result.text, "in progress"));
	work();
	assert_each_once();
}

/* The log goes on between two steps, and may add dead letters. */
TEST(dead_letters_that_come_meanwhile_stay)
{
	struct dlq_retry_order o = make_order(DLQ_RETRY);
	unsigned added = 0;

	store->bad[7] = true;
	give_order(&o);
	while (dlq_retry_is_active(&retry)) {
		ck_assert_int_eq(dlq_retry_step(&retry), 0);
		if (dlq_retry_is_active(&retry) &&
		    retry.phase != DLQ_RETRY_SELECTING) {
			struct dlq_record l = {
			    .stream = slice_of(STREAM),
			    .offset = 10000 + added,
			    .sink = slice_of("fake"),
			    .code = slice_of("x"),
			    .reason = slice_of("x"),
			    .event = {.id = slice_of("id"),
			              .type = slice_of("t"),
			              .payload = slice_of("{}")}};

			ck_assert_int_eq(dlq_file_append(&dlq, &l), 0);
			added++;
		}
	}
	ck_assert_uint_gt(added, 3);
	ck_assert_int_eq(dlq_file_refresh(&dlq), 0);
	ck_assert_uint_eq(dlq.records, added + 1);
	ck_assert_uint_eq(retry.result.stored, RECORDS - 1);
}

/* After the position was moved back, the log passes the events first. */
TEST(waits_while_the_position_is_before_the_selected_events)
{
	struct dlq_retry_order o = make_order(DLQ_RETRY);

	o.below = 7 * 20;
	give_order(&o);
	ck_assert_int_eq(dlq_retry_step(&retry), 0);
	ck_assert_int_eq(retry.phase, DLQ_RETRY_DELIVERING);
	ck_assert(!dlq_retry_is_due(&retry, 7 * 19));
	ck_assert(dlq_retry_is_due(&retry, 7 * 19 + 1));
	/* So it is after a restart. */
	end();
	begin();
	ck_assert(dlq_retry_is_active(&retry));
	ck_assert(!dlq_retry_is_due(&retry, 7 * 19));
	work();
	ck_assert_uint_eq(retry.result.stored, 21);
}

TEST(lets_the_log_go_on_when_the_store_takes_no_batch)
{
	struct dlq_retry_order o = make_order(DLQ_RETRY);

	give_order(&o);
	store->fails = 60;
	common.timeout_ms = 0;
	work();
	ck_assert_uint_eq(store->fails, 0);
	/* More than one step gave up. */
	ck_assert_uint_gt(waits, 1);
	assert_each_once();
}

TEST(a_batch_that_is_too_large_is_halved)
{
	store->limit = 2;
	common.batch_events = RECORDS;
	carry_out(DLQ_RETRY);
	assert_each_once();
	ck_assert_uint_eq(retry.result.stored, RECORDS);
}

TEST(a_stop_ends_the_step_after_a_write)
{
	struct dlq_retry_order o = make_order(DLQ_RETRY);
	unsigned writes;

	store->bad[3] = store->bad[9] = true;
	give_order(&o);
	ck_assert_int_eq(dlq_retry_step(&retry), 0);
	writes = store->writes;
	write_rc = ERR_RETRY_SUSPENDED;
	ck_assert_int_eq(dlq_retry_step(&retry), 0);
	ck_assert_uint_eq(store->writes, writes + 1);
	ck_assert(dlq_retry_is_active(&retry));
	write_rc = 0;
	work();
	assert_each_once();
	ck_assert_uint_eq(retry.result.kept, 2);
}

/* A line that is no dead letter, and one that is there twice. */
TEST(leaves_what_it_cannot_read)
{
	char line[1000];
	FILE *f = fopen(dlq.path, "r+");

	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_nonnull(fgets(line, sizeof line, f));
	ck_assert_int_eq(fseek(f, 0, SEEK_END), 0);
	ck_assert_int_gt(fputs("{\"stream\":\"x\"}\n", f), 0);
	ck_assert_int_gt(fputs(line, f), 0);
	ck_assert_int_eq(fclose(f), 0);
	carry_out(DLQ_RETRY);
	ck_assert_uint_eq(retry.result.damaged, 1);
	ck_assert_uint_eq(retry.result.stored, RECORDS);
	for (int i = 0; i < RECORDS; i++)
		ck_assert_uint_eq(store->stored[i], 1);
	ck_assert_int_eq(dlq_file_refresh(&dlq), 0);
	ck_assert_uint_eq(dlq.records, 1);
}

TEST(works_when_the_dead_letters_are_full)
{
	dlq.max_bytes = dlq.bytes;
	memset(store->bad, true, sizeof store->bad);
	store->bad[1] = false;
	carry_out(DLQ_RETRY);
	assert_each_once();
	ck_assert_uint_eq(retry.result.kept, RECORDS - 1);
}

TEST(another_process_of_the_sink_changes_nothing)
{
	struct dlq_retry_order o = make_order(DLQ_RETRY);
	int fd;

	dlq_file_unlock(&dlq);
	fd = open(dlq.lock_path, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq((int)syscall(SYS_flock, fd, 2 | 4), 0);
	ck_assert(!dlq_retry_accept(&retry, &o));
	ck_assert_ptr_nonnull(strstr(retry.result.text, "another process"));
	ck_assert_int_eq(close(fd), 0);
	carry_out(DLQ_RETRY);
	assert_each_once();
}

/* The size of its batches is recorded, as a stable sink needs it. */
TEST(batches_end_as_before_when_the_settings_have_changed)
{
	for (unsigned n = 1; n < 6; n++) {
		struct dlq_retry_order o = make_order(DLQ_RETRY);

		end();
		begin_with_all(HAS_TOKENS);
		common.batch_events = 7;
		give_order(&o);
		store->bad[n] = true;
		ck_assert_int_eq(dlq_retry_step(&retry), 0);
		/* What was stored was not answered. */
		store->fails_after = 1;
		waits = 1000;
		(void)!dlq_retry_step(&retry);
		end();
		common.batch_events = n % 2 ? 3 : 20;
		store->bad[n] = false;
		waits = 0;
		begin();
		work();
		assert_each_once();
	}
}

/* --- crashes --- */

static void
child_works(enum dlq_action action, unsigned at)
{
	struct dlq_retry_order o = make_order(action);

	crash_at = at;
	calls = 0;
	begin();
	if (at > 0 && !dlq_retry_is_active(&retry))
		give_order(&o);
	if (dlq_retry_is_active(&retry))
		work();
	end();
}

/*
 * A fork copies the tables of all memory that AddressSanitizer keeps from being
 * used again, up to 256 MiB, which took most of the program's time.
 */
const char *__asan_default_options(void);
const char *
__asan_default_options(void)
{
	return "quarantine_size_mb=4";
}

/*
 * Run it in a process of its own, which crashes at the call `at` (0: never).
 * Returns true if it has.
 */
static bool
run_child(enum dlq_action action, unsigned at)
{
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		child_works(action, at);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_msg(WEXITSTATUS(status) == 0 ||
	                  (at > 0 && WEXITSTATUS(status) == CRASHED),
	              "at %u: status %d", at, status);
	return WEXITSTATUS(status) == CRASHED;
}

/*
 * At every call that changes the disk, and before and after every write that
 * the store takes: the next process goes on, and the store may have been
 * repaired meanwhile.
 */
TEST_LOOP(a_crash_at_any_step_stores_each_once, STORE_KINDS * 4)
{
	enum store_kind kind = (enum store_kind)(_i / 4);
	bool is_repaired = _i % 2, has_probe = _i % 4 >= 2;
	bool crashed = true;
	unsigned at;

	for (at = 1; crashed; at += test_stride()) {
		ck_assert_uint_lt(at, 2000);
		end();
		begin_with_all(kind);
		end();
		for (int i = 0; i < RECORDS; i++)
			store->bad[i] = i % 5 == 2 || (i > 10 && i < 16);
		if (has_probe)
			fake_sink.probe = on_probe;
		crashed = run_child(DLQ_RETRY, at);
		if (is_repaired)
			memset(store->bad, 0, sizeof store->bad);
		(void)run_child(DLQ_RETRY, 0);
		begin();
		/* A position that is lost may double the batch in flight. */
		if (kind != FORGETS)
			assert_each_once();
		else
			for (int i = 0; i < RECORDS; i++)
				ck_assert_uint_ge(
				    store->stored[i] + find_all().count[i], 1);
		ck_assert(!dlq_retry_is_active(&retry));
		assert_no_rest();
	}
	ck_assert_uint_gt(at, 30);
}

/* The same with a second crash, at every call of the process after it. */
TEST_LOOP(a_second_crash_at_any_step_stores_each_once, 2)
{
	enum store_kind kind = _i == 0 ? HAS_POSITIONS : HAS_TOKENS;

	for (unsigned first = 2; first < 60; first += 11) {
		for (unsigned second = 1; second < 200;
		     second += 13 * test_stride()) {
			end();
			begin_with_all(kind);
			end();
			for (int i = 0; i < RECORDS; i++)
				store->bad[i] = i % 5 == 2;
			(void)run_child(DLQ_RETRY, first);
			(void)run_child(DLQ_RETRY, second);
			memset(store->bad, 0, sizeof store->bad);
			(void)run_child(DLQ_RETRY, 0);
			begin();
			assert_each_once();
			assert_no_rest();
		}
	}
}

TEST(a_crash_at_any_step_drops_each_once)
{
	bool crashed = true;
	unsigned at, total;

	for (at = 1; crashed; at++) {
		ck_assert_uint_lt(at, 200);
		end();
		begin_with_all(HAS_POSITIONS);
		end();
		crashed = run_child(DLQ_DROP, at);
		(void)run_child(DLQ_DROP, 0);
		begin();
		/* Nothing, or all of it. */
		total = find_all().total;
		ck_assert(total == 0 || total == RECORDS);
		ck_assert_uint_eq(dlq.records, total);
		/* Those of another log are not this one's. */
		ck_assert_uint_eq(dlq_file_dropped(&dlq) + dlq.own,
		                  RECORDS - RECORDS / 6);
		ck_assert_uint_eq(store->writes, 0);
		assert_no_rest();
	}
	ck_assert_uint_gt(at, 10);
}

/* Any call fails once, for lack of space. */
TEST_LOOP(a_failed_call_loses_nothing, 2)
{
	enum dlq_action action = _i == 0 ? DLQ_RETRY : DLQ_DROP;

	for (unsigned at = 1; at < 80; at++) {
		struct dlq_retry_order o = make_order(action);

		end();
		begin_with_all(HAS_POSITIONS);
		store->bad[2] = store->bad[15] = true;
		give_order(&o);
		crash_at = at;
		calls = 0;
		fail_with = ENOSPC;
		work();
		crash_at = 0;
		if (action == DLQ_RETRY) {
			assert_each_once();
		} else {
			ck_assert_int_eq(dlq_file_refresh(&dlq), 0);
			ck_assert_uint_eq(dlq_file_dropped(&dlq) + dlq.own,
			                  RECORDS - RECORDS / 6);
		}
		/* If it was given up, nothing has changed. */
		if (retry.result.text[0])
			ck_assert_uint_eq(find_all().total, RECORDS);
		end();
		begin();
		assert_no_rest();
	}
}
