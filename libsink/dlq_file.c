/* dlq_file - see dlq_file.h. */
#include "libsink/dlq_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "libbase/compare.h"
#include "libbase/directory.h"
#include "libbase/error.h"
#include "libbase/file.h"
#include "libbase/log.h"
#include "libproto/dlq_lines.h"

/* Lines of a group are written when they are this many bytes together. */
#define LINES_BYTES (256 * KIB)
#define AHEAD_FIRST 64 /* first room for offsets */

int
dlq_file_init(struct dlq_file *d, const char *dir, const char *name,
              uint64_t max_bytes)
{
	*d = (struct dlq_file){.fd = -1, .lock_fd = -1, .max_bytes = max_bytes};
	buf_init(&d->lines, LINES_BYTES + DLQ_RECORD_MAX);
	d->payload_limit.interval_ms = 60000;
	d->payload_limit.burst = 1;
	d->dropped_limit = d->payload_limit;
	/* Without randomness a sender can make two types have one share. */
	if (getrandom(&d->type_seed, sizeof d->type_seed, GRND_NONBLOCK) < 0)
		d->type_seed = 0;
	d->dir = strdup(dir);
	if (asprintf(&d->path, "%s/%s.ndjson", dir, name) < 0)
		d->path = NULL;
	if (asprintf(&d->lock_path, "%s/%s.lock", dir, name) < 0)
		d->lock_path = NULL;
	if (d->dir && d->path && d->lock_path)
		return 0;
	dlq_file_fini(d);
	return -ENOMEM;
}

static void
count_none(struct dlq_file *d)
{
	d->counted = false;
	d->records = d->own = d->without_payload = 0;
	d->full_bytes = 0;
	memset(d->type_bytes, 0, sizeof d->type_bytes);
}

void
dlq_file_close(struct dlq_file *d)
{
	if (d->fd >= 0)
		(void)close(d->fd); /* all of it is synced */
	d->fd = -1;
	d->bytes = 0;
	count_none(d);
}

void
dlq_file_fini(struct dlq_file *d)
{
	dlq_file_close(d);
	dlq_file_unlock(d);
	buf_fini(&d->lines);
	free(d->path);
	free(d->dir);
	free(d->lock_path);
	free(d->ahead);
	*d = (struct dlq_file){.fd = -1, .lock_fd = -1};
}

int
dlq_file_lock(struct dlq_file *d)
{
	int fd, rc = 0;

	if (d->lock_fd >= 0)
		return 0;
	rc = directory_make(d->dir);
	if (rc < 0)
		return rc;
	fd = file_open(AT_FDCWD, d->lock_path, O_RDWR | O_CREAT, FILE_LOCK);
	if (fd < 0)
		return fd;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		rc = errno == EWOULDBLOCK ? ERR_DEAD_LETTERS_LOCKED : -errno;
	if (rc == 0)
		d->lock_fd = fd;
	else
		(void)close(fd); /* nothing was written */
	return rc;
}

void
dlq_file_unlock(struct dlq_file *d)
{
	if (d->lock_fd >= 0)
		(void)close(d->lock_fd); /* that releases it */
	d->lock_fd = -1;
}

/* Return true if this process may write to the file. */
static bool
may_write(const struct dlq_file *d)
{
	return d->is_part || d->lock_fd >= 0;
}

static bool
same_stream(const struct dlq_file *d, const struct slice *stream)
{
	return d->has_stream && slice_is(*stream, d->stream);
}

/*
 * Return the counter of the bytes of the line's type.  A line that is no dead
 * letter counts in the first one.
 */
static uint64_t *
bytes_of_type(struct dlq_file *d, const char *line, size_t bytes,
              bool *without_payload)
{
	struct slice type = {0};

	if (dlq_record_peek_type(line, bytes, &type, without_payload) < 0)
		return &d->type_bytes[0];
	return &d->type_bytes[XXH3_64bits_withSeed(type.data, type.bytes,
	                                           d->type_seed) %
	                      DLQ_TYPES];
}

/* Count the bytes of a line, its newline included, as the type's. */
static void
count_bytes(struct dlq_file *d, const char *line, size_t bytes)
{
	bool without_payload = false;
	uint64_t *of_type = bytes_of_type(d, line, bytes, &without_payload);

	if (without_payload) {
		d->without_payload++;
	} else {
		d->full_bytes += bytes;
		*of_type += bytes;
	}
}

/* Dead letters come in the order of the log, unless the file was edited. */
static void
sort_ahead(struct dlq_file *d)
{
	for (size_t i = 1; i < d->ahead_count; i++)
		if (d->ahead[i] < d->ahead[i - 1]) {
			qsort(d->ahead, d->ahead_count, sizeof *d->ahead,
			      compare_u64);
			return;
		}
}

/* Count a dead letter of the stream.  Returns 0 or -ENOMEM. */
static int
count_own(struct dlq_file *d, uint64_t offset)
{
	if (offset >= d->position && d->ahead_count == d->ahead_cap) {
		size_t cap = d->ahead_cap ? 2 * d->ahead_cap : AHEAD_FIRST;
		uint64_t *ahead = reallocarray(d->ahead, cap, sizeof *ahead);

		if (!ahead)
			return -ENOMEM;
		d->ahead = ahead;
		d->ahead_cap = cap;
	}
	if (offset >= d->position)
		d->ahead[d->ahead_count++] = offset;
	d->own++;
	return 0;
}

/* A line that is no dead letter is an operator's edit, which a retry reports.
 */
static int
count_line(struct dlq_file *d, const char *line, size_t bytes)
{
	struct slice stream;
	uint64_t offset;

	d->records++;
	count_bytes(d, line, bytes + 1);
	return dlq_record_peek(line, bytes, &stream, &offset) == 0 &&
	               same_stream(d, &stream)
	           ? count_own(d, offset)
	           : 0;
}

/* Count the whole lines. */
static int
count_lines(struct dlq_file *d)
{
	struct dlq_lines lines;
	char *line;
	size_t bytes;
	int rc = dlq_lines_init(&lines, d->fd, 0);

	d->bytes = 0;
	d->ahead_known = false;
	d->ahead_count = 0;
	while (rc == 0 && (rc = dlq_lines_next(&lines, &line, &bytes)) > 0) {
		rc = count_line(d, line, bytes);
		d->bytes = lines.at;
	}
	dlq_lines_fini(&lines);
	sort_ahead(d);
	return rc;
}

/*
 * Count what is in the file, and truncate a torn last line if this process may.
 * Otherwise another process may be writing it.
 */
static int
dlq_file_count(struct dlq_file *d)
{
	struct stat st;
	int rc;

	count_none(d);
	rc = count_lines(d);
	if (rc < 0)
		return rc;
	if (fstat(d->fd, &st) < 0)
		return -errno;
	d->counted = d->ahead_known = true;
	if ((uint64_t)st.st_size == d->bytes || !may_write(d))
		return 0;
	log_warn("torn last line of the dead letters truncated path=%s "
	         "bytes=%" PRIu64,
	         log_quote(d->path), (uint64_t)st.st_size - d->bytes);
	if (ftruncate(d->fd, (off_t)d->bytes) < 0 || fsync(d->fd) < 0)
		return -errno;
	return 0;
}

/* Open the file at the path, and create it if `create`. */
static int
dlq_file_open(struct dlq_file *d, bool create)
{
	int flags = O_RDWR | O_APPEND | (create ? O_CREAT : 0);
	int rc = directory_make(d->dir);

	dlq_file_close(d);
	if (rc == 0)
		rc = file_open(AT_FDCWD, d->path, flags, FILE_OWN);
	if (rc < 0)
		return rc;
	d->fd = rc;
	rc = directory_sync(d->dir);
	return rc < 0 ? rc : dlq_file_count(d);
}

/*
 * Have the file at the path open and counted.  An operator may have moved it
 * elsewhere, and another process may have added to it.
 */
static int
dlq_file_open_current(struct dlq_file *d, bool create)
{
	struct stat st;

	if (d->fd < 0 || !file_is_at(d->fd, d->path))
		return dlq_file_open(d, create);
	if (fstat(d->fd, &st) < 0)
		return -errno;
	return d->counted && (uint64_t)st.st_size == d->bytes
	           ? 0
	           : dlq_file_count(d);
}

/* Return false if the name is too long for a stream. */
static bool
take_stream(struct dlq_file *d, const struct slice *stream)
{
	if (stream->bytes >= sizeof d->stream)
		return false;
	memcpy(d->stream, stream->data, stream->bytes);
	d->stream[stream->bytes] = '\0';
	d->has_stream = true;
	d->dropped.is_known = false;
	return true;
}

/* What is counted belongs to one stream.  Count again if it changes. */
static int
set_stream(struct dlq_file *d, const struct slice *stream)
{
	if (same_stream(d, stream))
		return 0;
	if (!take_stream(d, stream))
		return -EINVAL;
	return dlq_file_count(d);
}

/* Write what the group has so far, without a sync. */
static int
flush_lines(struct dlq_file *d)
{
	int rc = file_write(d->fd, d->lines.data, d->lines.len, d->bytes);

	if (rc == 0)
		d->bytes += d->lines.len;
	else
		d->group_error = rc;
	buf_clear(&d->lines);
	return rc;
}

int
dlq_file_begin(struct dlq_file *d)
{
	int rc = d->is_part ? 0 : dlq_file_lock(d);

	if (rc == 0)
		rc = dlq_file_open_current(d, true);
	if (rc < 0)
		return rc;
	buf_clear(&d->lines);
	d->in_group = true;
	d->group_at = d->bytes;
	d->group_records = 0;
	d->group_error = 0;
	d->group_without = d->group_dropped = 0;
	return 0;
}

/*
 * Add the line of the record, with the payload if there is room for it in the
 * share of its type and in that of all.
 */
static int
dlq_file_add_line(struct dlq_file *d, const struct dlq_record *record)
{
	struct dlq_record without = *record;
	size_t before = d->lines.len, n;
	bool ignored = false;
	int rc = dlq_record_add(&d->lines, record);
	const char *line = (const char *)d->lines.data + before;

	n = d->lines.len - before;
	if (rc < 0 || record->without_payload || d->is_part ||
	    (d->full_bytes + n <= d->max_bytes / DLQ_FULL_SHARE &&
	     *bytes_of_type(d, line, n, &ignored) + n <=
	         d->max_bytes / DLQ_TYPE_SHARE))
		return rc;
	d->lines.len = before;
	without.without_payload = true;
	without.payload_bytes = record->event.payload.bytes;
	d->group_without++;
	return dlq_record_add(&d->lines, &without);
}

/* Return 1 if the dead letter is in the file already, else 0 or -errno. */
static int
dlq_file_look(struct dlq_file *d, const struct dlq_record *record)
{
	size_t n = 0;
	int rc = 0;

	/* The count for another stream reads the file. */
	if (d->lines.len > 0 && !same_stream(d, &record->stream))
		rc = flush_lines(d);
	if (rc == 0)
		rc = set_stream(d, &record->stream);
	if (rc == 0)
		(void)dlq_file_find(d, record->offset, record->offset + 1, &n);
	return rc < 0 ? rc : n > 0;
}

int
dlq_file_add(struct dlq_file *d, const struct dlq_record *record)
{
	size_t before;
	int rc = 0;

	if (!d->is_part)
		rc = dlq_file_look(d, record);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	before = d->lines.len;
	rc = dlq_file_add_line(d, record);
	if (rc == 0 && (d->lines.len > d->max_bytes ||
	                d->bytes > d->max_bytes - d->lines.len))
		rc = ERR_DEAD_LETTERS_FULL;
	if (rc == 0) /* dlq_file_look has set the stream */
		rc = count_own(d, record->offset);
	if (rc < 0) {
		d->lines.len = before;
		return rc;
	}
	count_bytes(d, (const char *)d->lines.data + before,
	            d->lines.len - before);
	d->records++;
	d->group_records++;
	/* The next one is looked for among them. */
	if (d->ahead_count > 1 &&
	    d->ahead[d->ahead_count - 1] < d->ahead[d->ahead_count - 2])
		sort_ahead(d);
	return d->lines.len < LINES_BYTES ? 0 : flush_lines(d);
}

/* `<dir>/<name>.<stream>.dropped` */
static int
dropped_path(const struct dlq_file *d, char out[PATH_MAX])
{
	int n = snprintf(out, PATH_MAX, "%.*s.%s.dropped",
	                 (int)(strlen(d->path) - strlen(".ndjson")), d->path,
	                 d->stream);

	return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* Read which events were dropped.  There may be no file. */
static int
read_dropped(struct dlq_file *d)
{
	char path[PATH_MAX];
	int rc;

	if (d->dropped.is_known || !d->has_stream)
		return 0;
	rc = dropped_path(d, path);
	return rc == 0 ? dlq_dropped_read(&d->dropped, path) : rc;
}

static int
save_dropped(struct dlq_file *d)
{
	char path[PATH_MAX];
	int rc = dropped_path(d, path);

	if (rc == 0)
		rc = dlq_dropped_write(&d->dropped, d->dir, path);
	if (rc == 0 && d->in_group && log_allow(&d->dropped_limit, NULL))
		log_error("the dead letters are full: refused events are only "
		          "counted, run leat dead retry, move the file away, "
		          "or raise dead_max_bytes path=%s dropped=%" PRIu64,
		          log_quote(d->path), dlq_file_dropped(d));
	return rc;
}

int
dlq_file_drop(struct dlq_file *d, const struct dlq_record *record)
{
	int rc = same_stream(d, &record->stream) ? read_dropped(d) : -EINVAL;

	if (rc == 0 && dlq_dropped_add(&d->dropped, record->offset))
		d->group_dropped++;
	return rc;
}

int
dlq_file_drop_selected(struct dlq_file *d, const char *drop,
                       const struct dlq_key *keys, size_t n)
{
	int rc = read_dropped(d);

	if (rc < 0 || !dlq_dropped_add_drop(&d->dropped, drop, keys, n))
		return rc;
	return save_dropped(d);
}

uint64_t
dlq_file_dropped(const struct dlq_file *d)
{
	return ranges_count(&d->dropped.ranges, UINT64_MAX);
}

/* Warn in time that the room for dead letters is running out. */
static void
warn_of_room(struct dlq_file *d)
{
	static const unsigned steps[] = {25, 50, 75, 90};
	uint64_t percent = d->bytes / (d->max_bytes / 100 + 1);
	unsigned step = 0;

	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		step = percent >= steps[i] ? steps[i] : step;
	if (step > d->warned_percent)
		log_warn("the dead letters use %u%% of dead_max_bytes; at "
		         "100%% new ones are not kept, or the sink waits: "
		         "run leat dead retry, move the file away, or raise it "
		         "path=%s bytes=%" PRIu64 " max_bytes=%" PRIu64
		         " without_payload=%" PRIu64,
		         step, log_quote(d->path), d->bytes, d->max_bytes,
		         d->without_payload);
	d->warned_percent = step;
	if (d->in_group && d->group_without > 0 &&
	    log_allow(&d->payload_limit, NULL))
		log_warn("dead letters are kept without their payload: those "
		         "of their type, or all, have used up their share of "
		         "dead_max_bytes path=%s dead_letters=%" PRIu64,
		         log_quote(d->path), d->without_payload);
}

/*
 * Half a line would damage the next one.  If it cannot be truncated now, that
 * happens when the file is opened again.
 */
static void
undo_group(struct dlq_file *d)
{
	if (ftruncate(d->fd, (off_t)d->group_at) < 0 || dlq_file_count(d) < 0)
		dlq_file_close(d);
}

int
dlq_file_end(struct dlq_file *d)
{
	int rc = d->group_error;

	if (!d->in_group)
		return 0;
	if (d->group_records > 0) {
		if (rc == 0)
			rc = flush_lines(d);
		if (rc == 0 && fsync(d->fd) < 0)
			rc = -errno;
		if (rc < 0)
			undo_group(d);
		else
			warn_of_room(d);
	}
	if (d->group_dropped > 0) {
		if (rc == 0)
			rc = save_dropped(d);
		else
			d->dropped.is_known = false; /* the events come again */
	}
	buf_clear(&d->lines);
	d->in_group = false;
	return rc;
}

int
dlq_file_refresh(struct dlq_file *d)
{
	int rc = read_dropped(d);

	if (rc < 0)
		return rc;
	rc = dlq_file_open_current(d, false);
	if (rc < 0)
		dlq_file_close(d);
	if (rc == -ENOENT) { /* there is no dead letter */
		d->counted = d->ahead_known = true;
		d->ahead_count = 0;
	}
	warn_of_room(d);
	return rc == -ENOENT ? 0 : rc;
}

int
dlq_file_check(const struct dlq_file *d)
{
	if (access(d->path, W_OK) == 0)
		return 0;
	if (errno != ENOENT)
		return -errno;
	return access(d->dir, W_OK | X_OK) < 0 ? -errno : 0;
}

void
dlq_file_follow(struct dlq_file *d, const char *stream)
{
	struct slice name = slice_of(stream);

	if (same_stream(d, &name) || !take_stream(d, &name))
		return;
	dlq_file_close(d); /* to be counted again */
	d->ahead_known = false;
}

int
dlq_file_start(struct dlq_file *d, const char *stream, uint64_t position)
{
	int rc;

	dlq_file_follow(d, stream);
	dlq_file_close(d); /* to be counted again */
	d->ahead_known = false;
	d->position = position;
	d->dropped.is_known = false;
	rc = dlq_file_refresh(d);
	return rc == 0 && dlq_dropped_cut(&d->dropped, position)
	           ? save_dropped(d)
	           : rc;
}

/* Return the index of the first offset that is not below this one. */
static size_t
first_ahead(const struct dlq_file *d, uint64_t offset)
{
	return lower_bound_u64(d->ahead, d->ahead_count, offset);
}

const uint64_t *
dlq_file_find(const struct dlq_file *d, uint64_t from, uint64_t to, size_t *n)
{
	size_t first = first_ahead(d, from);

	*n = first_ahead(d, to) - first;
	return *n > 0 ? d->ahead + first : NULL;
}

void
dlq_file_advance(struct dlq_file *d, uint64_t position)
{
	size_t n = first_ahead(d, position);

	d->position = position;
	if (n == 0)
		return;
	d->ahead_count -= n;
	memmove(d->ahead, d->ahead + n, d->ahead_count * sizeof *d->ahead);
}

uint64_t
dlq_file_below(const struct dlq_file *d)
{
	return d->own - d->ahead_count;
}

int
dlq_file_append(struct dlq_file *d, const struct dlq_record *record)
{
	int rc = dlq_file_begin(d), ended;

	if (rc == 0)
		rc = dlq_file_add(d, record);
	ended = dlq_file_end(d);
	return rc < 0 ? rc : ended;
}
