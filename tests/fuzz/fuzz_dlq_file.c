/*
 * fuzz_dlq_file - the file of dead letters, which an operator may have edited:
 * read, appended to, and each line taken apart.  A letter that reads can be
 * written, and reads the same again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "libbase/log.h"
#include "libsink/dlq_file.h"
#include "tests/fuzz/fuzz.h"

static char dir[64], path[96], lock_path[96];

static void
remove_dir(void)
{
	(void)unlink(path);
	(void)unlink(lock_path);
	(void)rmdir(dir);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_set_level((enum log_level)(LOG_ERROR + 1));
	/* In memory: a letter is synced. */
	(void)snprintf(dir, sizeof dir, "/dev/shm/leat-fuzz-XXXXXX");
	if (!mkdtemp(dir)) {
		(void)snprintf(dir, sizeof dir, "/tmp/leat-fuzz-XXXXXX");
		HOLDS(mkdtemp(dir));
	}
	(void)snprintf(path, sizeof path, "%s/fuzz.ndjson", dir);
	(void)snprintf(lock_path, sizeof lock_path, "%s/fuzz.lock", dir);
	HOLDS(atexit(remove_dir) == 0);
	return 0;
}

static bool
same(struct slice a, struct slice b)
{
	if (!a.data || !b.data)
		return a.data == b.data && a.bytes == b.bytes;
	return a.bytes == b.bytes && memcmp(a.data, b.data, a.bytes) == 0;
}

static void
check_line(const uint8_t *bytes, size_t n)
{
	char *line = fuzz_copy(bytes, n);
	struct dlq_record a, b;
	struct slice stream, type = {0};
	const char *why = NULL;
	bool without = false;
	uint64_t offset;
	struct buf out;
	size_t at = 0;
	int peeked = dlq_record_peek_type(line, n, &type, &without);

	if (peeked == 0)
		HOLDS(type.data >= line && type.data + type.bytes <= line + n);
	if (dlq_record_peek(line, n, &stream, &offset) == 0)
		HOLDS(stream.data >= line &&
		      stream.data + stream.bytes <= line + n);
	if (dlq_record_read(line, n, &a, &why, &at) < 0) {
		HOLDS(why && at <= n);
		free(line);
		return;
	}
	HOLDS(peeked == 0 && without == a.without_payload);
	HOLDS(type.bytes >= a.event.type.bytes);
	buf_init(&out, DLQ_RECORD_MAX);
	HOLDS(dlq_record_add(&out, &a) == 0);
	HOLDS(dlq_record_read((char *)out.data, out.len - 1, &b, &why, &at) ==
	      0);
	HOLDS(a.offset == b.offset && a.at_us == b.at_us);
	HOLDS(a.without_payload == b.without_payload &&
	      a.payload_bytes == b.payload_bytes);
	HOLDS(same(a.stream, b.stream) && same(a.sink, b.sink) &&
	      same(a.code, b.code) && same(a.reason, b.reason));
	HOLDS(same(a.event.id, b.event.id) &&
	      same(a.event.type, b.event.type) &&
	      same(a.event.user_id, b.event.user_id) &&
	      same(a.event.payload, b.event.payload) &&
	      a.event.created_at_us == b.event.created_at_us &&
	      a.event.received_at_us == b.event.received_at_us);
	buf_fini(&out);
	free(line);
}

static void
write_file(const char *name, const uint8_t *data, size_t size)
{
	int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	HOLDS(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	(void)close(fd); /* in memory */
}

/* Whether a line is of this stream; an empty one becomes the line's. */
static bool
is_of(const char *line, size_t n, char own[64])
{
	struct slice stream;
	uint64_t offset;

	if (dlq_record_peek(line, n, &stream, &offset) < 0)
		return false;
	if (!own[0] && stream.bytes < 64 &&
	    !memchr(stream.data, '\0', stream.bytes))
		memcpy(own, stream.data, stream.bytes);
	return slice_is(stream, own);
}

/* Those of one stream are counted and found. */
static void
check_own(const uint8_t *data, size_t size)
{
	const char *at = (const char *)data, *end = at + size, *newline;
	struct dlq_file d;
	uint64_t count = 0;
	size_t found;
	char own[64] = "";

	for (; at < end && (newline = memchr(at, '\n', (size_t)(end - at)));
	     at = newline + 1)
		count += is_of(at, (size_t)(newline - at), own);
	write_file(path, data, size);
	HOLDS(dlq_file_init(&d, dir, "fuzz", MIB) == 0);
	dlq_file_follow(&d, own);
	HOLDS(dlq_file_refresh(&d) == 0);
	HOLDS(d.own == count);
	(void)dlq_file_find(&d, 0, UINT64_MAX, &found);
	HOLDS(found == count);
	dlq_file_advance(&d, UINT64_MAX);
	HOLDS(dlq_file_below(&d) == count);
	dlq_file_fini(&d);
}

static void
check_file(const uint8_t *data, size_t size)
{
	struct dlq_record record = {
	    .stream = {"s", 1},
	    .offset = size,
	    .sink = {"fuzz", 4},
	    .code = {"c", 1},
	    .reason = {"r", 1},
	    .event = {.id = {"i", 1}, .type = {"t", 1}, .payload = {"{}", 2}}};
	uint64_t before;
	struct dlq_file d;

	write_file(path, data, size);
	HOLDS(dlq_file_init(&d, dir, "fuzz", MIB) == 0);
	HOLDS(dlq_file_refresh(&d) == 0);
	HOLDS(d.bytes <= size);
	HOLDS(dlq_file_append(&d, &record) == 0);
	before = d.records;
	HOLDS(dlq_file_append(&d, &record) == 0);
	HOLDS(d.records == before); /* it is in the file once */
	dlq_file_fini(&d);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *at = data, *end = data + size, *newline;

	while (at < end) {
		newline = memchr(at, '\n', (size_t)(end - at));
		if (!newline)
			newline = end;
		check_line(at, (size_t)(newline - at));
		at = newline < end ? newline + 1 : end;
	}
	if (size < 16 * KIB) {
		check_own(data, size);
		check_file(data, size);
	}
	return 0;
}
