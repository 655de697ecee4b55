/* sent_file - see sent_file.h. */
#include "leat/sent_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libbase/directory.h"
#include "libbase/error.h"
#include "libbase/file.h"
#include "libbase/log.h"

/* One sector, which a disk writes as a whole or not at all. */
#define RECORD_BYTES 512

/* Bytes at the beginning, and before the place, that identify a file. */
#define SAMPLE_BYTES 4096

/* The namespace of our identifiers: a random UUID. */
static const uint8_t namespace[UUID_BYTES] = {
    0x5c, 0x1e, 0x0b, 0x7a, 0x3d, 0x94, 0x4f, 0x26,
    0x9b, 0x68, 0xe2, 0x47, 0xd0, 0x8f, 0x31, 0xc5};

/* Hash n bytes of the file from `at` on.  Returns 0, -ENODATA or -errno. */
static int
hash_sample(int input, uint64_t at, uint64_t n, uint8_t out[UUID_BYTES])
{
	uint8_t bytes[SAMPLE_BYTES];
	size_t got = 0;

	while (got < n) {
		ssize_t r =
		    pread(input, bytes + got, n - got, (off_t)(at + got));

		if (r == 0)
			return -ENODATA; /* the file has become shorter */
		if (r < 0 && errno != EINTR)
			return -errno;
		got += r > 0 ? (size_t)r : 0;
	}
	uuid5_make(namespace, "", 0, bytes, got, out);
	return 0;
}

/* Hash what is before the place. */
static int
hash_before(int input, uint64_t place, uint8_t out[UUID_BYTES])
{
	uint64_t n = place < SAMPLE_BYTES ? place : SAMPLE_BYTES;

	return hash_sample(input, place - n, n, out);
}

static uint64_t
head_bytes_of(const struct stat *st)
{
	return st->st_size < SAMPLE_BYTES ? (uint64_t)st->st_size
	                                  : SAMPLE_BYTES;
}

int
sent_file_key(int input, uint8_t key[UUID_BYTES])
{
	uint8_t head[UUID_BYTES];
	char name[80];
	struct stat st;
	int rc, n;

	if (fstat(input, &st) < 0)
		return -errno;
	rc = hash_sample(input, 0, head_bytes_of(&st), head);
	if (rc < 0)
		return rc;
	n = snprintf(name, sizeof name, "%jd %jd.%09ld", (intmax_t)st.st_size,
	             (intmax_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	uuid5_make(namespace, name, (size_t)n, head, sizeof head, key);
	return 0;
}

/* --- the record --- */

/*
 * Write the record of f.  `before` is the hash of what is before the place.
 * The last line is a hash of all others.
 */
static void
put_record(const struct sent_file *f, const uint8_t before[UUID_BYTES],
           char record[RECORD_BYTES + 1])
{
	char key[UUID_TEXT_BYTES + 1], head[UUID_TEXT_BYTES + 1];
	char text[UUID_TEXT_BYTES + 1];
	const struct sent_state *s = &f->state;
	uint8_t sum[UUID_BYTES];
	int n;

	n = snprintf(record, RECORD_BYTES + 1,
	             "leat send, version 1\nbytes %" PRIu64 "\nline %" PRIu64
	             "\nin_array %d\naccepted %" PRIu64 "\nrejected %" PRIu64
	             "\nids %s\ninode %" PRIu64 "\nhead_bytes %" PRIu64
	             "\nhead %s\nbefore %s\n",
	             s->position.bytes, s->position.line, s->position.in_array,
	             s->accepted, s->rejected, uuid5_text(s->key, key),
	             f->inode, f->head_bytes, uuid5_text(f->head, head),
	             uuid5_text(before, text));
	uuid5_make(namespace, "", 0, record, (size_t)n, sum);
	n += snprintf(record + n, (size_t)(RECORD_BYTES + 1 - n), "sum %s",
	              uuid5_text(sum, text));
	memset(record + n, ' ', (size_t)(RECORD_BYTES - n));
	record[RECORD_BYTES - 1] = '\n';
	record[RECORD_BYTES] = '\0';
}

/* Return what follows `name` in the record, or "". */
static const char *
sent_file_value(const char *record, const char *name)
{
	const char *at = strstr(record, name);

	return at ? at + strlen(name) : "";
}

static uint64_t
sent_file_number(const char *record, const char *name)
{
	return strtoull(sent_file_value(record, name), NULL, 10);
}

static void
uuid_of(const char *record, const char *name, uint8_t out[UUID_BYTES])
{
	const char *p = sent_file_value(record, name);

	memset(out, 0, UUID_BYTES);
	for (size_t i = 0; i < UUID_BYTES && *p; i++) {
		char digits[3] = {0};

		if (*p == '-')
			p++;
		digits[0] = *p ? *p++ : '\0';
		digits[1] = *p ? *p++ : '\0';
		out[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
}

/*
 * Read a record into f.  Returns true if f would be written as exactly this
 * record, so that nothing in it can be damaged or from another version.
 */
static bool
get_record(struct sent_file *f, const char *record, uint8_t before[UUID_BYTES])
{
	char again[RECORD_BYTES + 1];

	f->state = (struct sent_state){
	    .position = {.bytes = sent_file_number(record, "\nbytes "),
	                 .line = sent_file_number(record, "\nline "),
	                 .in_array =
	                     sent_file_number(record, "\nin_array ") == 1},
	    .accepted = sent_file_number(record, "\naccepted "),
	    .rejected = sent_file_number(record, "\nrejected "),
	};
	uuid_of(record, "\nids ", f->state.key);
	f->inode = sent_file_number(record, "\ninode ");
	f->head_bytes = sent_file_number(record, "\nhead_bytes ");
	uuid_of(record, "\nhead ", f->head);
	uuid_of(record, "\nbefore ", before);
	put_record(f, before, again);
	return f->head_bytes <= SAMPLE_BYTES && strcmp(record, again) == 0;
}

int
sent_file_save(struct sent_file *f)
{
	char record[RECORD_BYTES + 1];
	uint8_t before[UUID_BYTES];
	int rc = hash_before(f->input, f->state.position.bytes, before);

	if (rc < 0)
		return rc;
	put_record(f, before, record);
	return file_put(f->fd, record, RECORD_BYTES, 0);
}

/* --- opening --- */

/* Begin at the first byte of the file. */
static int
begin(struct sent_file *f, bool same_file)
{
	struct stat st;
	int rc = 0;

	if (fstat(f->input, &st) < 0)
		return -errno;
	f->inode = st.st_ino;
	f->head_bytes = head_bytes_of(&st);
	f->state.position = (struct splitter_position){.line = 1};
	f->state.accepted = f->state.rejected = 0;
	rc = hash_sample(f->input, 0, f->head_bytes, f->head);
	if (rc == 0 && !same_file)
		rc = sent_file_key(f->input, f->state.key);
	if (rc == 0)
		rc = sent_file_save(f);
	return rc;
}

/*
 * Return NULL if the record is that of the file, or how the file differs from
 * it.
 */
static const char *
find_difference(const struct sent_file *f, const uint8_t before[UUID_BYTES])
{
	uint8_t found[UUID_BYTES];
	struct stat st;

	if (fstat(f->input, &st) < 0)
		return strerror(errno);
	if ((uint64_t)st.st_size < f->state.position.bytes)
		return "it is shorter than what was sent";
	if (hash_sample(f->input, 0, f->head_bytes, found) < 0 ||
	    memcmp(found, f->head, UUID_BYTES) != 0)
		return "it begins with other bytes";
	if (hash_before(f->input, f->state.position.bytes, found) < 0 ||
	    memcmp(found, before, UUID_BYTES) != 0)
		return "the bytes that were sent last have changed";
	if (st.st_ino != f->inode)
		return "it has another inode, as a copy or a rotated file has";
	return NULL;
}

/* Read what is there, and compare it with the file.  See sent_file_open. */
static int
resume(struct sent_file *f, const char *sent_path, const char *path,
       bool restart)
{
	char record[RECORD_BYTES + 1] = {0};
	uint8_t before[UUID_BYTES];
	const char *why = NULL;
	ssize_t n = pread(f->fd, record, RECORD_BYTES, 0);

	if (n < 0)
		return -errno;
	if (n == 0)
		return begin(f, false);
	if (!get_record(f, record, before))
		why = "leat send has not written it so";
	else
		why = find_difference(f, before);
	/* The same events keep their ids, so that stores know them again. */
	if (restart)
		return begin(f, !why);
	f->resumed = !why;
	if (!why)
		return 0;
	log_error("%s does not describe %s: %s; to send the file from its "
	          "first byte, add --restart",
	          sent_path, path, why);
	return -EINVAL;
}

/* Make the name of the file durable, which has just been created. */
static int
sync_name(const char *sent_path)
{
	char *directory = strdup(sent_path);
	int rc = directory ? 0 : -ENOMEM;

	if (rc == 0 && directory_parent(directory))
		rc = directory_sync(directory);
	free(directory);
	return rc;
}

static int
open_locked(const char *sent_path)
{
	int fd = file_open(AT_FDCWD, sent_path, O_RDWR | O_CREAT, FILE_LOCK);
	int rc = 0;

	if (fd < 0)
		return fd;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		rc = -errno;
	else
		rc = sync_name(sent_path);
	if (rc == 0)
		return fd;
	(void)close(fd); /* nothing was written */
	return rc;
}

int
sent_file_open(struct sent_file *f, const char *path, int input, bool restart)
{
	char *sent_path;
	int rc = 0;

	*f = (struct sent_file){.fd = -1, .input = input};
	if (asprintf(&sent_path, "%s.sent", path) < 0)
		return -ENOMEM;
	f->fd = open_locked(sent_path);
	if (f->fd == -EWOULDBLOCK) {
		log_error("another leat send is sending this file file=%s",
		          log_quote(path));
		rc = f->fd;
	} else if (f->fd < 0) {
		log_error("cannot open file=%s err=%s; `leat send <FILE` "
		          "needs no such file, but cannot be resumed",
		          log_quote(sent_path), log_quote(file_error(f->fd)));
		rc = f->fd;
	} else {
		rc = resume(f, sent_path, path, restart);
		if (rc < 0 && rc != -EINVAL)
			log_error("cannot use file=%s err=%s",
			          log_quote(sent_path),
			          log_quote(error_text(rc)));
	}
	free(sent_path);
	if (rc < 0)
		sent_file_close(f);
	return rc;
}

void
sent_file_close(struct sent_file *f)
{
	if (f->fd >= 0)
		(void)close(f->fd); /* what matters was synced */
	f->fd = -1;
}
