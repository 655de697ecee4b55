/* test_dlq_file - the dead letters' lines and their file. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libbase/error.h"
#include "libbase/log.h"
#include "libproto/frame.h"
#include "libsink/dlq_file.h"
#include "tests/support/test.h"

#define STREAM "11111111-2222-3333-4444-555555555555"

static char dir[64];
static struct dlq_file dlq;

static struct dlq_record
record_of(const char *stream, uint64_t offset)
{
	return (struct dlq_record){
	    .stream = slice_of(stream),
	    .offset = offset,
	    .sink = slice_of("fake"),
	    .at_us = INT64_C(1769903999123456),
	    .code = slice_of("22P02"),
	    .reason = slice_of("invalid input syntax"),
	    .event = {.id = slice_of("id"),
	              .type = slice_of("click"),
	              .payload = slice_of("{\"a\": [1, 2]}"),
	              .created_at_us = 1,
	              .received_at_us = INT64_C(253402300799999999)}};
}

static void
reopen(void)
{
	dlq_file_fini(&dlq);
	ck_assert_int_eq(dlq_file_init(&dlq, dir, "fake", 1 << 20), 0);
}

static void
setup(void)
{
	log_set_level(LOG_ERROR + 1);
	(void)snprintf(dir, sizeof dir, "/tmp/leat-dead-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	dlq = (struct dlq_file){.fd = -1, .lock_fd = -1};
	reopen();
}

static void
teardown(void)
{
	char dropped[128];

	(void)snprintf(dropped, sizeof dropped, "%s/fake." STREAM ".dropped",
	               dir);
	(void)unlink(dropped);
	(void)unlink(dlq.path);
	(void)unlink(dlq.lock_path);
	dlq_file_fini(&dlq);
	ck_assert_int_eq(rmdir(dir), 0);
}

TEST_CASE(dead_letters, .setup = setup, .teardown = teardown);

static void
append(uint64_t offset)
{
	struct dlq_record l = record_of(STREAM, offset);

	ck_assert_int_eq(dlq_file_append(&dlq, &l), 0);
}

static off_t
file_size(void)
{
	struct stat st;

	ck_assert_int_eq(stat(dlq.path, &st), 0);
	return st.st_size;
}

static void
assert_same(const struct slice *a, const struct slice *b)
{
	ck_assert_uint_eq(a->bytes, b->bytes);
	ck_assert_int_eq(!a->data, !b->data);
	if (a->bytes > 0)
		ck_assert_mem_eq(a->data, b->data, a->bytes);
}

/* Write the record, read it back, compare. */
static void
round_trip(const struct dlq_record *l)
{
	struct dlq_record got;
	struct buf line;
	const char *why;
	size_t at;

	buf_init(&line, DLQ_RECORD_MAX);
	ck_assert_int_eq(dlq_record_add(&line, l), 0);
	ck_assert_ptr_eq(memchr(line.data, '\n', line.len),
	                 line.data + line.len - 1);
	ck_assert_int_eq(
	    dlq_record_read((char *)line.data, line.len - 1, &got, &why, &at),
	    0);
	assert_same(&got.stream, &l->stream);
	assert_same(&got.sink, &l->sink);
	assert_same(&got.code, &l->code);
	assert_same(&got.reason, &l->reason);
	assert_same(&got.event.id, &l->event.id);
	assert_same(&got.event.type, &l->event.type);
	assert_same(&got.event.user_id, &l->event.user_id);
	assert_same(&got.event.payload, &l->event.payload);
	ck_assert_uint_eq(got.offset, l->offset);
	ck_assert_int_eq(got.at_us, l->at_us);
	ck_assert_int_eq(got.without_payload, l->without_payload);
	ck_assert_uint_eq(got.payload_bytes, l->payload_bytes);
	ck_assert_int_eq(got.event.created_at_us, l->event.created_at_us);
	ck_assert_int_eq(got.event.received_at_us, l->event.received_at_us);
	buf_fini(&line);
}

TEST(a_line_gives_back_what_was_written)
{
	struct dlq_record l = record_of(STREAM, UINT64_C(1) << 60);
	static const char all[] =
	    "\x01\x02\x08\t\n\r\x1f \"quoted\" back\\slash / \x7f \xc3\xa9";

	round_trip(&l);
	l.event.user_id = slice_of("");
	round_trip(&l);
	l.event.id = l.event.type = l.event.user_id = slice_of(all);
	l.reason = slice_of(all);
	round_trip(&l);
}

TEST(a_record_without_payload_keeps_id_type_and_size)
{
	struct dlq_record l = record_of(STREAM, 7), got = l;
	static const char all[] = "\x01 \"quoted\" back\\slash";

	got.event.id = got.event.type = slice_of(all);
	got.without_payload = true;
	got.payload_bytes = 131072;
	got.event.payload = got.event.user_id = (struct slice){0};
	got.event.created_at_us = got.event.received_at_us = 0;
	round_trip(&got);
}

static struct dlq_record
record_of_type(uint64_t offset, const char *type, const struct slice *payload)
{
	struct dlq_record l = record_of(STREAM, offset);

	l.event.type = slice_of(type);
	l.event.payload = *payload;
	return l;
}

/* 1 MiB: a half for dead letters with payload, an eighth for one type. */
TEST(dead_letters_of_one_type_take_no_room_from_those_of_another)
{
	static char text[50000] = "{\"a\":\"";
	struct slice payload = {text, sizeof text};
	struct dlq_record l = record_of_type(0, "rare", &payload);
	uint64_t offset = 0;

	memset(text + 6, 'x', sizeof text - 8);
	memcpy(text + sizeof text - 2, "\"}", 2);
	for (; offset < 20; offset++) {
		l = record_of_type(offset, "flood \"1\"", &payload);
		ck_assert_int_eq(dlq_file_append(&dlq, &l), 0);
	}
	/* Two of 50 KB are an eighth, the rest are without payload. */
	ck_assert_uint_eq(dlq.records, 20);
	ck_assert_uint_eq(dlq.without_payload, 18);
	l = record_of_type(offset++, "rare", &payload);
	ck_assert_int_eq(dlq_file_append(&dlq, &l), 0);
	ck_assert_uint_eq(dlq.without_payload, 18);
	/* Who sends many types gets a half for all of them. */
	for (int i = 0; i < 40; i++) {
		char type[24];

		(void)snprintf(type, sizeof type, "type %d", i);
		l = record_of_type(offset++, type, &payload);
		ck_assert_int_eq(dlq_file_append(&dlq, &l), 0);
	}
	ck_assert_uint_le(dlq.bytes, (1 << 19) + 61 * 400);
	ck_assert_uint_ge(dlq.without_payload, 18 + 30);
	/* The same is known when the file is opened again. */
	{
		uint64_t without = dlq.without_payload, full = dlq.full_bytes;

		reopen();
		ck_assert_int_eq(dlq_file_refresh(&dlq), 0);
		ck_assert_uint_eq(dlq.records, 61);
		ck_assert_uint_eq(dlq.without_payload, without);
		ck_assert_uint_eq(dlq.full_bytes, full);
	}
}

TEST(a_payload_is_kept_byte_for_byte_also_with_line_breaks)
{
	static const char *const payloads[] = {
	    "{}",
	    "{ \"a\" : 1.50 , \"b\":\"\\u00e9\\n\" }",
	    "{\n  \"a\": 1,\r\n\t\"b\": [\"x\\\\\", {}]\n}",
	    "{\"created_at\":\"x\",\"received_at\":\"y\"}}",
	    "{\"payload_text\":\"z\"}",
	    /* No objects, which ingestd does not send. */
	    "garbage",
	    "[1",
	    "{\"a\":1},\"created_at\":\"x",
	    "\xff\xfe\x9b",
	    "{\xff}",
	};
	const struct slice nul = {"{\0}", 3};

	for (size_t i = 0; i < ARRAY_LEN(payloads); i++) {
		struct dlq_record l = record_of(STREAM, i);

		l.event.payload = slice_of(payloads[i]);
		round_trip(&l);
		l.event.payload = nul;
		round_trip(&l);
	}
}

TEST(the_largest_event_fits)
{
	struct dlq_record l = record_of(STREAM, 1);
	char *big = malloc(EVENT_PACKED_MAX);

	ck_assert_ptr_nonnull(big);
	memset(big, '\n', EVENT_PACKED_MAX);
	big[0] = '{';
	big[EVENT_PACKED_MAX - 1] = '}';
	l.event.payload = (struct slice){big, EVENT_PACKED_MAX};
	round_trip(&l);
	memset(big + 1, ' ', EVENT_PACKED_MAX - 2);
	round_trip(&l);
	free(big);
}

TEST(a_line_with_any_byte_missing_or_changed_never_crashes)
{
	struct dlq_record l = record_of(STREAM, 12345), got;
	struct buf line;
	const char *why;
	size_t at, accepted = 0;
	char *copy;

	buf_init(&line, DLQ_RECORD_MAX);
	ck_assert_int_eq(dlq_record_add(&line, &l), 0);
	copy = malloc(line.len);
	ck_assert_ptr_nonnull(copy);
	for (size_t i = 0; i + 1 < line.len; i++) {
		/* Exactly as long as it may be read, for the sanitizers. */
		char *cut = malloc(i + 1);

		ck_assert_ptr_nonnull(cut);
		memcpy(cut, line.data, i);
		ck_assert_int_eq(dlq_record_read(cut, i, &got, &why, &at),
		                 -EBADMSG);
		free(cut);
		if (line.data[i] == '"')
			continue;
		memcpy(copy, line.data, line.len);
		copy[i] = '"';
		accepted +=
		    dlq_record_read(copy, line.len - 1, &got, &why, &at) == 0;
	}
	/* Inside the payload, whose JSON was checked long before. */
	ck_assert_uint_le(accepted, l.event.payload.bytes);
	free(copy);
	buf_fini(&line);
}

TEST(dead_letters_survive_a_restart_and_are_counted)
{
	struct stat st;

	append(1);
	append(7);
	ck_assert_uint_eq(dlq.records, 2);
	ck_assert_int_eq(stat(dlq.path, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0640);
	reopen();
	ck_assert_uint_eq(dlq.records, 0);
	ck_assert_int_eq(dlq_file_refresh(&dlq), 0);
	ck_assert_uint_eq(dlq.records, 2);
}

TEST(the_same_event_is_dead_lettered_once)
{
	struct dlq_record other = record_of("another-stream", 5);
	off_t size;

	append(5);
	append(6);
	append(9);
	size = file_size();
	append(9);
	append(5);
	append(6);
	ck_assert_int_eq(file_size(), size);
	reopen();
	append(6);
	append(5);
	append(9);
	ck_assert_int_eq(file_size(), size);
	append(7); /* below the highest, but not there */
	ck_assert_int_gt(file_size(), size);
	ck_assert_int_eq(dlq_file_append(&dlq, &other), 0);
	ck_assert_uint_eq(dlq.records, 5);
	append(9);
	ck_assert_int_eq(dlq_file_append(&dlq, &other), 0);
	ck_assert_uint_eq(dlq.records, 5);
}

TEST(a_torn_last_line_is_cut_wherever_it_was_torn)
{
	off_t one, two;

	append(1);
	one = file_size();
	append(2);
	two = file_size();
	for (off_t cut = one; cut < two; cut++) {
		ck_assert_int_eq(truncate(dlq.path, cut), 0);
		reopen();
		ck_assert_int_eq(dlq_file_lock(&dlq), 0);
		ck_assert_int_eq(dlq_file_refresh(&dlq), 0);
		ck_assert_uint_eq(dlq.records, 1);
		ck_assert_int_eq(file_size(), one);
		append(2);
		ck_assert_int_eq(file_size(), two);
	}
}

TEST(another_writer_of_the_file_is_seen)
{
	struct dlq_file twin;
	struct dlq_record l = record_of(STREAM, 2);

	append(1);
	dlq_file_unlock(&dlq);
	ck_assert_int_eq(dlq_file_init(&twin, dir, "fake", 1 << 20), 0);
	ck_assert_int_eq(dlq_file_append(&twin, &l), 0);
	dlq_file_unlock(&twin);
	append(2);
	ck_assert_uint_eq(dlq.records, 2);
	dlq_file_fini(&twin);
}

/* As another process of the sink does before this one. */
TEST(what_another_process_adds_is_counted)
{
	struct dlq_record l = record_of(STREAM, 9);
	struct dlq_file other;

	append(5);
	dlq_file_unlock(&dlq);
	ck_assert_int_eq(dlq_file_init(&other, dir, "fake", 1 << 20), 0);
	ck_assert_int_eq(dlq_file_append(&other, &l), 0);
	dlq_file_fini(&other);
	ck_assert_int_eq(dlq_file_refresh(&dlq), 0);
	ck_assert_uint_eq(dlq.records, 2);
	ck_assert_uint_eq(dlq.own, 2);
}

TEST(a_full_file_takes_no_more_and_loses_nothing)
{
	struct dlq_record l = record_of(STREAM, 2);

	append(1);
	dlq.max_bytes = dlq.bytes;
	ck_assert_int_eq(dlq_file_append(&dlq, &l), ERR_DEAD_LETTERS_FULL);
	ck_assert_uint_eq(dlq.records, 1);
	dlq.max_bytes = 1 << 20;
	append(2);
	ck_assert_uint_eq(dlq.records, 2);
}

/* The count of what was dropped survives a disk that was full meanwhile. */
TEST(a_group_that_failed_is_counted_when_it_comes_again)
{
	struct dlq_record fits = record_of(STREAM, 2),
			  drops = record_of(STREAM, 3);
	struct rlimit was, full;
	int rc;

	append(1);
	dlq.max_bytes = dlq.bytes * 2 + 2;
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &was), 0);
	full = was;
	full.rlim_cur = (rlim_t)dlq.bytes + 10;
	ck_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(dlq_file_begin(&dlq), 0);
		ck_assert_int_eq(dlq_file_add(&dlq, &fits), 0);
		ck_assert_int_eq(dlq_file_add(&dlq, &drops),
		                 ERR_DEAD_LETTERS_FULL);
		ck_assert_int_eq(dlq_file_drop(&dlq, &drops), 0);
		/* No assertion within: check writes to a file, too. */
		if (i == 0)
			(void)setrlimit(RLIMIT_FSIZE, &full);
		rc = dlq_file_end(&dlq);
		(void)setrlimit(RLIMIT_FSIZE, &was);
		ck_assert_int_eq(rc, i == 0 ? -EFBIG : 0);
	}
	reopen();
	dlq_file_follow(&dlq, STREAM);
	ck_assert_int_eq(dlq_file_refresh(&dlq), 0);
	ck_assert_uint_eq(dlq.records, 2);
	ck_assert_uint_eq(dlq_file_dropped(&dlq), 1);
}

/* As an operator does it. */
TEST(moving_dead_letters_makes_room_for_new_ones)
{
	char path[200];

	append(1);
	append(2);
	(void)snprintf(path, sizeof path, "%s/moved", dir);
	ck_assert_int_eq(rename(dlq.path, path), 0);
	ck_assert_int_eq(dlq_file_refresh(&dlq), 0);
	ck_assert_uint_eq(dlq.records, 0);
	/* The next dead letter goes to a new file. */
	append(3);
	ck_assert_uint_eq(dlq.records, 1);
	ck_assert_int_eq(unlink(path), 0);
}

/* Only the process that holds the lock writes, and truncates a torn line. */
TEST(a_second_process_only_counts)
{
	struct dlq_record l = record_of(STREAM, 9);
	struct dlq_file other;
	struct stat st;
	int fd;

	append(5);
	fd = open(dlq.path, O_WRONLY | O_APPEND | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "{\"torn", 6), 6);
	ck_assert_int_eq(close(fd), 0);
	ck_assert_int_eq(dlq_file_init(&other, dir, "fake", 1 << 20), 0);
	ck_assert_int_eq(dlq_file_refresh(&other), 0);
	ck_assert_uint_eq(other.records, 1);
	ck_assert_int_eq(stat(dlq.path, &st), 0);
	ck_assert_uint_eq((uint64_t)st.st_size, other.bytes + 6);
	ck_assert_int_eq(dlq_file_append(&other, &l), ERR_DEAD_LETTERS_LOCKED);
	ck_assert_int_eq(dlq_file_lock(&other), ERR_DEAD_LETTERS_LOCKED);
	dlq_file_unlock(&dlq);
	ck_assert_int_eq(dlq_file_append(&other, &l), 0);
	ck_assert_uint_eq(other.records, 2);
	ck_assert_int_eq(dlq_file_lock(&dlq), ERR_DEAD_LETTERS_LOCKED);
	dlq_file_fini(&other);
	ck_assert_int_eq(dlq_file_refresh(&dlq), 0);
	ck_assert_uint_eq(dlq.records, 2);
	ck_assert_int_eq(dlq_file_lock(&dlq), 0);
}

TEST(a_missing_directory_is_made)
{
	ck_assert_int_eq(rmdir(dir), 0);
	append(1);
	ck_assert_uint_eq(dlq.records, 1);
}

/* A position that is set back and moves on, and a file in any order. */
TEST(dead_letters_count_below_the_position)
{
	static const uint64_t offsets[] = {7, 2, 5, 3};
	size_t n;

	for (size_t i = 0; i < ARRAY_LEN(offsets); i++)
		append(offsets[i]);
	ck_assert_int_eq(dlq_file_start(&dlq, STREAM, 5), 0);
	ck_assert_uint_eq(dlq.own, 4);
	ck_assert_uint_eq(dlq_file_below(&dlq), 2);
	ck_assert_uint_eq(dlq_file_find(&dlq, 5, 8, &n)[1], 7);
	ck_assert_uint_eq(n, 2);
	ck_assert_ptr_null(dlq_file_find(&dlq, 6, 7, &n));
	append(6);
	append(7);
	ck_assert_uint_eq(dlq_file_below(&dlq), 2);
	dlq_file_advance(&dlq, 7);
	ck_assert_uint_eq(dlq_file_below(&dlq), 4);
	dlq_file_advance(&dlq, 100);
	ck_assert_uint_eq(dlq_file_below(&dlq), 5);
	ck_assert_int_eq(dlq_file_start(&dlq, STREAM, 0), 0);
	ck_assert_uint_eq(dlq_file_below(&dlq), 0);
	ck_assert_int_eq(dlq_file_start(&dlq, "another-stream", 0), 0);
	ck_assert_uint_eq(dlq.own, 0);
	ck_assert_uint_eq(dlq.records, 5);
}
