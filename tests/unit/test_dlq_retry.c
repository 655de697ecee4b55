/*
 * test_dlq_retry - dead letters go to the store again: once each, whatever
 * happens in between.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <msgpack.h>

#include "libbase/log.h"
#include "libproto/chan.h"
#include "libsink/dlq_retry.h"
#include "tests/support/test.h"

#define STREAM "11111111-2222-3333-4444-555555555555"
#define RECORDS 20

/* A store with positions by stream; events are numbered by created_at. */
static struct {
	char streams[4][64];
	uint64_t positions[4];
	size_t stream_count;
	unsigned stored[RECORDS];
	bool bad[RECORDS];
	unsigned writes_left; /* then it is unreachable, after it has stored */
	bool lost_before;     /* or before */
	bool forgets;         /* it has no positions, */
	bool no_hints;
	bool tokens;               /* and knows a write by its offsets */
	uint64_t seen[4][RECORDS]; /* next_offset of a write from here */
} store;

static struct deliver d;
static struct dlq_file dlq;
static struct stats stats;
static struct sink_common common;
static char dir[64];
static int stdout_fd;
static pid_t batchd; /* 0: not running */
static char batchd_socket[80];

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

static bool end_before_lock; /* another run removes its file */
static unsigned locks;       /* of the file that dead letters go to */

/* In place of libc's. */
int
flock(int fd, int operation)
{
	char name[64], path[400];
	ssize_t n;

	locks += operation == LOCK_EX;
	if (end_before_lock && operation == (LOCK_EX | LOCK_NB)) {
		end_before_lock = false;
		(void)snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
		n = readlink(name, path, sizeof path - 1);
		ck_assert_int_gt(n, 0);
		path[n] = '\0';
		ck_assert_int_eq(unlink(path), 0);
	}
	return (int)syscall(SYS_flock, fd, operation);
}

static enum sink_result
on_open(void *state, const struct sink_common *c, const void *conf,
        struct sink_error *error)
{
	(void)state;
	(void)c;
	(void)conf;
	(void)error;
	return store.writes_left > 0 ? SINK_DONE : SINK_UNREACHABLE;
}

static enum sink_result
on_position(void *state, const char *stream, bool *found, uint64_t *next,
            struct sink_error *error)
{
	size_t i = stream_index(stream);

	(void)state;
	(void)error;
	*found = i < store.stream_count && !store.forgets;
	if (*found)
		*next = store.positions[i];
	return SINK_DONE;
}

/* Whether the store has taken it before, and knows. */
static bool
is_repeated(const struct batch *b)
{
	size_t stream = stream_index(b->stream);
	uint64_t *seen = &store.seen[stream][b->offset % RECORDS];
	bool repeated = store.tokens && *seen == b->next_offset;

	if (b->count > 0)
		*seen = b->next_offset;
	return repeated;
}

static enum sink_result
on_write(void *state, const struct batch *b, struct sink_error *error)
{
	uint64_t position = 0;
	bool found;

	(void)on_position(state, b->stream, &found, &position, error);
	if (found && position != b->position)
		return SINK_FENCED;
	if (store.lost_before && store.writes_left == 1) {
		store.writes_left = 0;
		return SINK_UNREACHABLE;
	}
	for (size_t i = 0; i < b->count; i++) {
		const struct origin *o = &b->origins[i];

		ck_assert_uint_eq(o->offset, b->events[i].created_at_us * 7);
		ck_assert_uint_eq(o->stream.bytes, strlen(STREAM));
		ck_assert_mem_eq(o->stream.data, STREAM, o->stream.bytes);
		if (store.bad[b->events[i].created_at_us]) {
			error->bad_event = store.no_hints ? 0 : i + 1;
			return SINK_REJECT;
		}
	}
	if (!is_repeated(b))
		for (size_t i = 0; i < b->count; i++)
			store.stored[b->events[i].created_at_us]++;
	set_position(b->stream, b->next_offset);
	return --store.writes_left > 0 ? SINK_DONE : SINK_UNREACHABLE;
}

static enum sink_result
on_probe(void *state, const struct batch *b, const struct sink_refused *refused,
         size_t *looked, struct sink_error *error)
{
	struct sink_error why = {0};

	(void)state;
	(void)error;
	for (size_t i = 0; i < b->count; i++)
		if (store.bad[b->events[i].created_at_us])
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
put_text(msgpack_packer *pk, const char *text)
{
	(void)msgpack_pack_str_with_body(pk, text, strlen(text));
}

/* What batchd answers, as far as it is looked at. */
static size_t
make_status(msgpack_sbuffer *out, const char *sink, uint64_t committed)
{
	msgpack_packer pk;

	msgpack_sbuffer_init(out);
	msgpack_packer_init(&pk, out, msgpack_sbuffer_write);
	(void)msgpack_pack_map(&pk, 2);
	put_text(&pk, "log");
	(void)msgpack_pack_map(&pk, 1);
	put_text(&pk, "stream");
	put_text(&pk, STREAM);
	put_text(&pk, "sinks");
	(void)msgpack_pack_array(&pk, 2);
	for (int i = 0; i < 2; i++) {
		(void)msgpack_pack_map(&pk, 2);
		put_text(&pk, "name");
		put_text(&pk, i == 0 ? "other" : sink);
		put_text(&pk, "committed");
		(void)msgpack_pack_uint64(&pk, i == 0 ? 1 : committed);
	}
	return out->size;
}

static void
serve(int listener, const char *sink, uint64_t committed)
{
	static uint8_t bytes[FRAME_MAX];
	struct frame f, reply = {.type = FRAME_REPLY, .reply = {.ok = true}};
	msgpack_sbuffer status;

	reply.body_bytes = make_status(&status, sink, committed);
	reply.body = (uint8_t *)status.data;
	reply.reply.text = slice_of("");
	for (;;) {
		struct chan c = {accept(listener, NULL, NULL)};
		ssize_t n;

		while ((n = recv(c.fd, bytes, sizeof bytes, 0)) > 0) {
			if (frame_read(bytes, (size_t)n, &f) < 0 ||
			    f.type != FRAME_CONTROL)
				continue; /* hello; welcome is not needed */
			reply.reply.id = f.control.id;
			if (chan_send(&c, &reply) < 0)
				_exit(1);
		}
		chan_close(&c);
	}
}

static void
start_batchd(const char *sink, uint64_t committed)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)snprintf(a.sun_path, sizeof a.sun_path, "%s", batchd_socket);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	ck_assert_int_eq(listen(fd, 5), 0);
	batchd = fork();
	ck_assert_int_ge(batchd, 0);
	if (batchd == 0)
		serve(fd, sink, committed);
	ck_assert_int_eq(close(fd), 0);
}

static void
stop_batchd(void)
{
	if (batchd == 0)
		return;
	ck_assert_int_eq(kill(batchd, SIGKILL), 0);
	ck_assert_int_eq(waitpid(batchd, NULL, 0), batchd);
	ck_assert_int_eq(unlink(batchd_socket), 0);
	batchd = 0;
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
	ck_assert_int_eq(dlq_file_init(&dlq, dir, "fake", 1 << 20), 0);
	stats = (struct stats){0};
	fake_sink.position_fences = fake_sink.stable = false;
	fake_sink.probe = NULL;
	(void)snprintf(batchd_socket, sizeof batchd_socket, "%s/.batchd", dir);
	common.socket = batchd_socket;
	d = (struct deliver){.sink = &fake_sink,
	                     .common = &common,
	                     .dlq = &dlq,
	                     .stats = &stats};
	for (int i = 0; i < RECORDS; i++) {
		struct dlq_record l = {.stream = slice_of(STREAM),
		                       .offset = (uint64_t)i * 7,
		                       .sink = slice_of("fake"),
		                       .code = slice_of(""),
		                       .reason = slice_of(""),
		                       .event = {.id = slice_of("id"),
		                                 .type = slice_of("t"),
		                                 .payload = slice_of("{\n}"),
		                                 .created_at_us = i}};

		ck_assert_int_eq(dlq_file_append(&dlq, &l), 0);
	}
}

/* Files of dead letters in dir; the last one's path goes to out when it is not
 * NULL.
 */
static int
files(char out[400])
{
	DIR *open_dir = opendir(dir);
	struct dirent *e;
	int n = 0;

	ck_assert_ptr_nonnull(open_dir);
	while ((e = readdir(open_dir))) {
		if (e->d_name[0] == '.' || strstr(e->d_name, ".progress"))
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
	char path[400], place[410];

	print_again();
	stop_batchd();
	deliver_fini(&d);
	while (files(path) > 0) {
		ck_assert_int_eq(unlink(path), 0);
		(void)snprintf(place, sizeof place, "%s.progress", path);
		(void)unlink(place);
	}
	dlq_file_fini(&dlq);
	ck_assert_int_eq(rmdir(dir), 0);
}

TEST_CASE(retry, .setup = setup, .teardown = teardown);

static void
assert_stored_once(void)
{
	for (int i = 0; i < RECORDS; i++)
		ck_assert_uint_eq(store.stored[i], !store.bad[i]);
}

TEST(stores_each_dead_letter_and_forgets_it)
{
	ck_assert_int_eq(dlq_retry(&d), EXIT_SUCCESS);
	assert_stored_once();
	ck_assert_int_eq(files(NULL), 0);
	ck_assert_int_eq(dlq_retry(&d), EXIT_SUCCESS);
	assert_stored_once();
}

TEST(keeps_what_is_rejected_again_as_it_was)
{
	char path[400], line[1000];
	FILE *f;

	store.bad[4] = store.bad[19] = true;
	ck_assert_int_eq(dlq_retry(&d), EXIT_FAILURE);
	assert_stored_once();
	ck_assert_int_eq(dlq_file_refresh(&dlq), 0);
	ck_assert_uint_eq(dlq.records, 2);
	ck_assert_int_eq(files(path), 1);
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_nonnull(fgets(line, sizeof line, f));
	ck_assert_ptr_nonnull(
	    strstr(line, "{\"stream\":\"" STREAM "\",\"offset\":28,"));
	ck_assert_ptr_nonnull(strstr(line, "\"payload_text\":\"{\\n}\""));
	(void)fclose(f);
	store.bad[4] = store.bad[19] = false;
	ck_assert_int_eq(dlq_retry(&d), EXIT_SUCCESS);
	assert_stored_once();
}

TEST(goes_on_where_it_was_when_the_store_was_lost)
{
	store.bad[4] = true;
	/* The store takes n writes and is unreachable; what it took counts. */
	for (unsigned n = 1; store.stored[19] == 0; n++) {
		ck_assert_uint_lt(n, 100);
		store.writes_left = n;
		if (dlq_retry(&d) == EXIT_SUCCESS)
			break;
		/* Let the next run, another process, find its way. */
		ck_assert_int_ge(files(NULL), 1);
	}
	store.writes_left = 1000;
	ck_assert_int_eq(dlq_retry(&d), EXIT_FAILURE);
	assert_stored_once();
	ck_assert_int_eq(dlq_file_refresh(&dlq), 0);
	ck_assert_uint_eq(dlq.records, 1);
	ck_assert_int_eq(files(NULL), 1);
}

TEST(leaves_dead_letters_that_the_sink_has_not_moved_past)
{
	set_position(STREAM, 50); /* 8 dead letters are below */
	ck_assert_int_eq(dlq_retry(&d), EXIT_FAILURE);
	for (int i = 0; i < RECORDS; i++)
		ck_assert_uint_eq(store.stored[i], i * 7 < 50);
	ck_assert_int_eq(dlq_file_refresh(&dlq), 0);
	ck_assert_uint_eq(dlq.records, 12);
	set_position(STREAM, 1000);
	ck_assert_int_eq(dlq_retry(&d), EXIT_SUCCESS);
	assert_stored_once();
}

/*
 * Where the store has no position, and where asking would disturb the sink,
 * batchd knows where the sink is.
 */
TEST_LOOP(batchd_reports_how_far_a_sink_is_whose_store_does_not, 2)
{
	store.forgets = _i == 0;
	fake_sink.position_fences = _i == 1;
	/* Neither does: nothing is written, and nothing is lost. */
	ck_assert_int_eq(dlq_retry(&d), EXIT_FAILURE);
	start_batchd("elsewhere", 1000);
	ck_assert_int_eq(dlq_retry(&d), EXIT_FAILURE);
	for (int i = 0; i < RECORDS; i++)
		ck_assert_uint_eq(store.stored[i], 0);
	stop_batchd();
	start_batchd("fake", 50);
	ck_assert_int_eq(dlq_retry(&d), EXIT_FAILURE);
	for (int i = 0; i < RECORDS; i++)
		ck_assert_uint_eq(store.stored[i], i * 7 < 50);
	ck_assert_int_eq(dlq_file_refresh(&dlq), 0);
	ck_assert_uint_eq(dlq.records, 12);
	stop_batchd();
	start_batchd("fake", 1000);
	ck_assert_int_eq(dlq_retry(&d), EXIT_SUCCESS);
	assert_stored_once();
	ck_assert_int_eq(files(NULL), 0);
}

TEST_LOOP(a_store_without_positions_gets_each_dead_letter_once, 2)
{
	bool is_fixed = _i == 1;
	unsigned runs = 0;
	int status;

	store.forgets = store.lost_before = true;
	start_batchd("fake", 1000);
	store.bad[4] = store.bad[5] = store.bad[19] = true;
	do {
		ck_assert_uint_lt(runs++, 100);
		/* Each run comes a little further. */
		store.writes_left = 2 + runs % 2;
		status = dlq_retry(&d);
		/* Refused by one run, taken by the next. */
		if (is_fixed && runs == 3)
			memset(store.bad, 0, sizeof store.bad);
	} while (status != EXIT_SUCCESS && (is_fixed || store.stored[18] == 0));
	ck_assert_uint_gt(runs, 3);
	store.writes_left = 1000;
	ck_assert_int_eq(dlq_retry(&d), is_fixed ? EXIT_SUCCESS : EXIT_FAILURE);
	assert_stored_once();
	ck_assert_int_eq(dlq_file_refresh(&dlq), 0);
	ck_assert_uint_eq(dlq.records, is_fixed ? 0 : 3);
	ck_assert_int_eq(files(NULL), is_fixed ? 0 : 1);
}

/* Cut short at any write, and the next run's store takes all. */
TEST(what_was_dead_lettered_again_is_stored_once)
{
	for (unsigned n = 1; n < 30; n += 2) {
		teardown();
		setup();
		store.lost_before = n % 4 == 1;
		for (int i = 3; i < RECORDS; i++)
			store.bad[i] = i % 5;
		store.writes_left = n;
		if (dlq_retry(&d) == EXIT_SUCCESS)
			break;
		memset(store.bad, 0, sizeof store.bad);
		store.writes_left = 1000;
		ck_assert_int_eq(dlq_retry(&d), EXIT_SUCCESS);
		assert_stored_once();
		ck_assert_int_eq(files(NULL), 0);
	}
}

/* The same when the store finds at once what it refuses. */
TEST_LOOP(what_was_dead_lettered_together_is_stored_once, 2)
{
	bool ended = false;

	for (unsigned n = 1; !ended; n++) {
		ck_assert_uint_lt(n, 30);
		teardown();
		setup();
		fake_sink.probe = on_probe;
		common.batch_events = _i == 0 ? RECORDS : 16;
		store.lost_before = n % 2 == 1;
		for (int i = 3; i < RECORDS; i++)
			store.bad[i] = i % 5;
		store.writes_left = n;
		ck_assert_int_ge(dlq_retry(&d), 0);
		ended = files(NULL) == 1 && store.stored[15] == 1;
		memset(store.bad, 0, sizeof store.bad);
		store.writes_left = 1000;
		ck_assert_int_eq(dlq_retry(&d), EXIT_SUCCESS);
		assert_stored_once();
		ck_assert_int_eq(files(NULL), 0);
	}
}

/* A sync for each would be hours for a million. */
TEST(dead_letters_that_are_kept_are_synced_together)
{
	common.batch_events = RECORDS;
	set_position(STREAM, 0);
	locks = 0;
	ck_assert_int_eq(dlq_retry(&d), EXIT_FAILURE);
	ck_assert_uint_lt(locks, 5);
	set_position(STREAM, 1000);
	/* The same for those that are refused again, but the first few. */
	fake_sink.probe = on_probe;
	memset(store.bad, true, sizeof store.bad);
	locks = 0;
	ck_assert_int_eq(dlq_retry(&d), EXIT_FAILURE);
	ck_assert_uint_lt(locks, 10);
	ck_assert_int_eq(dlq_file_refresh(&dlq), 0);
	ck_assert_uint_eq(dlq.records, RECORDS);
	memset(store.bad, false, sizeof store.bad);
	ck_assert_int_eq(dlq_retry(&d), EXIT_SUCCESS);
	assert_stored_once();
}

/*
 * A store that knows a repeated write by its offsets: interrupted after any
 * write that is stored and not answered, a run that the store then takes all
 * from, or that finds the sink further on, writes the same piece first.
 */
TEST_LOOP(a_piece_in_flight_is_written_again_as_it_was, 2)
{
	for (unsigned n = 1; n < 30; n++) {
		teardown();
		setup();
		fake_sink.stable = true;
		common.batch_events = 16;
		store.forgets = store.tokens = true;
		start_batchd("fake", _i == 0 ? 1000 : 50);
		store.bad[4] = store.bad[5] = store.bad[13] = true;
		store.no_hints = true;
		store.writes_left = n;
		ck_assert_int_ge(dlq_retry(&d), 0);
		stop_batchd();
		start_batchd("fake", 1000);
		memset(store.bad, 0, sizeof store.bad);
		store.writes_left = 1000;
		while (dlq_retry(&d) != EXIT_SUCCESS)
			;
		assert_stored_once();
		ck_assert_int_eq(files(NULL), 0);
	}
}

/* A crash between the two: the record is back, the progress not saved. */
TEST(a_record_that_was_just_dead_lettered_again_is_not_delivered_twice)
{
	struct dlq_record l = {.stream = slice_of(STREAM),
	                       .sink = slice_of("fake"),
	                       .code = slice_of(""),
	                       .reason = slice_of(""),
	                       .event = {.id = slice_of("id"),
	                                 .type = slice_of("t"),
	                                 .payload = slice_of("{\n}")}};

	store.writes_left = 0;
	ck_assert_int_eq(dlq_retry(&d), EXIT_FAILURE);
	ck_assert_int_eq(dlq_file_append(&dlq, &l), 0);
	store.writes_left = 1000;
	ck_assert_int_eq(dlq_retry(&d), EXIT_SUCCESS);
	assert_stored_once();
}

TEST(writes_nothing_when_a_line_is_damaged)
{
	FILE *f = fopen(dlq.path, "a");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_gt(fputs("{\"stream\":\"x\"}\n", f), 0);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(dlq_retry(&d), EXIT_FAILURE);
	for (int i = 0; i < RECORDS; i++)
		ck_assert_uint_eq(store.stored[i], 0);
	ck_assert_int_eq(files(NULL), 1);
}

/*
 * The other run ends between our opening of its file and the lock: what it has
 * worked off is not delivered once more.
 */
TEST(a_file_that_another_retry_has_just_ended_is_skipped)
{
	store.forgets = true;
	start_batchd("fake", 1000);
	end_before_lock = true;
	ck_assert_int_eq(dlq_retry(&d), EXIT_SUCCESS);
	ck_assert(!end_before_lock);
	for (int i = 0; i < RECORDS; i++)
		ck_assert_uint_eq(store.stored[i], 0);
	ck_assert_int_eq(files(NULL), 0);
}

TEST(refuses_to_work_beside_another_retry)
{
	char path[400];
	int fd;

	store.writes_left = 1;
	ck_assert_int_eq(dlq_retry(&d), EXIT_FAILURE);
	store.writes_left = 1000;
	ck_assert_int_eq(files(path), 1);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
	ck_assert_int_eq(dlq_retry(&d), EXIT_FAILURE);
	ck_assert_uint_eq(store.stored[19], 0);
	ck_assert_int_eq(close(fd), 0);
	ck_assert_int_eq(dlq_retry(&d), EXIT_SUCCESS);
	assert_stored_once();
}
