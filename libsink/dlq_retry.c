/* dlq_retry - see dlq_retry.h. */
#include "libsink/dlq_retry.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "libbase/clock.h"
#include "libbase/directory.h"
#include "libbase/error.h"
#include "libbase/file.h"
#include "libbase/log.h"
#include "libsink/batchd_cursor.h"
#include "libsink/dlq_retry_files.h"
#include "libsink/dlq_retry_progress.h"
#include "libsink/stop.h"

struct dlq_retry_run {
	struct deliver *d;
	char path[PATH_MAX]; /* of the file being retried */
	int fd;
	char stream[sizeof "dead-" + 16]; /* its name in the store */
	uint64_t line;     /* lines from the start that are done */
	uint64_t position; /* of the store: after these lines, or before */
	struct dlq_retry_progress progress;
	/*
	 * The offsets of others_stream that other files have, when they were
	 * read.
	 */
	struct dlq_index others;
	char others_stream[64];
	uint64_t retried; /* dead letters, in all files */
	uint64_t kept;

	/* A chunk of the file: whole lines, and the start of one more. */
	char *bytes;
	size_t cap, used;
	struct dlq_record *records; /* of these lines, at most batch_events */
	/* their events, and where these are in the log */
	struct event *events;
	struct origin *origins;
	size_t count;
	size_t parsed; /* bytes of the lines in records */

	/*
	 * The sink's position in the stream of the record that was looked at
	 * last.
	 */
	char origin[64];
	uint64_t origin_position;
	struct batchd_cursor batchd_cursor;
	bool has_asked;
};

/*
 * The wait of deliver.c.  An operator waits for this process, so it gives up
 * when the store was unreachable for timeout_ms.
 */
static int
dlq_retry_on_wait(void *arg, uint64_t ms)
{
	struct dlq_retry_run *r = arg;
	uint64_t waited_ms = clock_mono_ms() - r->d->unavailable_since_ms;
	int rc;

	if (waited_ms > (uint64_t)r->d->common->timeout_ms)
		return ERR_STORE_UNREACHABLE;
	rc = stop_wait(-1, 0, (int)ms);
	return rc == -ETIMEDOUT ? 0 : rc;
}

/*
 * The step of deliver.c.  Records the progress, so that no piece is written
 * again, and ends a batch early if a stop was requested.
 */
static int
dlq_retry_on_step(void *arg, uint64_t next, uint64_t position)
{
	struct dlq_retry_run *r = arg;
	int rc = dlq_retry_progress_save(&r->progress, next, position);

	return rc == 0 && stop_asked() ? ERR_STOPPED : rc;
}

/* Read on until the buffer is full or the file ends.  Returns 0 or -errno. */
static int
dlq_retry_fill(struct dlq_retry_run *r)
{
	memmove(r->bytes, r->bytes + r->parsed, r->used - r->parsed);
	r->used -= r->parsed;
	r->parsed = 0;
	r->count = 0;
	while (r->used < r->cap) {
		ssize_t n = read(r->fd, r->bytes + r->used, r->cap - r->used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		r->used += (size_t)n;
	}
	return 0;
}

/* Parse lines for one batch. */
static int
dlq_retry_parse(struct dlq_retry_run *r, uint64_t first_line)
{
	size_t most = (size_t)r->d->common->batch_events;

	while (r->count < most && r->parsed < r->used) {
		char *line = r->bytes + r->parsed, *end;
		struct dlq_record *record = &r->records[r->count];
		const char *why = "the line has no end";
		size_t at = 0;

		end = memchr(line, '\n', r->used - r->parsed);
		if (!end && r->count > 0)
			return 0; /* it comes whole with the next chunk */
		if (!end || dlq_record_read(line, (size_t)(end - line), record,
		                            &why, &at) < 0) {
			log_error("not a dead letter; correct the line and try "
			          "again path=%s line=%" PRIu64
			          " column=%zu err=%s",
			          log_quote(r->path), first_line + r->count + 1,
			          at + 1, log_quote(why));
			return -EBADMSG;
		}
		r->origins[r->count] =
		    (struct origin){record->stream, record->offset};
		r->events[r->count++] = record->event;
		r->parsed = (size_t)(end + 1 - r->bytes);
	}
	return 0;
}

static int
dlq_retry_rewind(struct dlq_retry_run *r)
{
	r->used = r->parsed = r->count = 0;
	return lseek(r->fd, 0, SEEK_SET) < 0 ? -errno : 0;
}

/*
 * Check the whole file before anything is written.  After a retry has begun,
 * the file must not be edited, since its lines are counted.
 */
static int
dlq_retry_check_file(struct dlq_retry_run *r)
{
	uint64_t line = 0;
	int rc = 0;

	while (rc == 0) {
		rc = dlq_retry_fill(r);
		if (rc == 0 && line == 0) {
			const char *name = strrchr(r->path, '/') + 1;
			char *end = memchr(r->bytes, '\n', r->used);
			size_t n = end ? (size_t)(end - r->bytes) : r->used;
			XXH64_hash_t hash = XXH3_64bits_withSeed(
			    r->bytes, n, XXH3_64bits(name, strlen(name)));

			(void)snprintf(r->stream, sizeof r->stream,
			               "dead-%016" PRIx64, (uint64_t)hash);
		}
		if (rc == 0 && r->used == 0)
			break;
		if (rc == 0)
			rc = dlq_retry_parse(r, line);
		line += r->count;
	}
	return rc < 0 ? rc : dlq_retry_rewind(r);
}

/*
 * Find the sink's position in `stream`.  It comes from the store or, if the
 * store has none, from batchd, at whose cursor the sink then starts.
 */
static int
find_origin(struct dlq_retry_run *r, const char *stream)
{
	bool found = false;
	int rc = 0;

	if (!r->d->sink->position_fences)
		rc = deliver_start(r->d, stream, &found, &r->origin_position);
	if (rc == 0 && !found && !r->has_asked) {
		rc = batchd_cursor_ask(&r->batchd_cursor, r->d->common->socket,
		                       r->d->sink->name);
		r->has_asked = rc == 0;
	}
	if (rc == 0 && !found) {
		/* Events of another log than batchd's do not come again. */
		r->origin_position =
		    strcmp(r->batchd_cursor.stream, stream) == 0
			? r->batchd_cursor.committed
			: UINT64_MAX;
	}
	return rc;
}

/*
 * Find out whether the sink has moved past the event of the record.  If it has
 * not, it will look for the dead letter, and skip the event only if the dead
 * letter is there.  So the record must stay.
 */
static int
is_sink_past(struct dlq_retry_run *r, const struct dlq_record *record,
             bool *settled)
{
	const struct slice *stream = &record->stream;

	if (!slice_is(*stream, r->origin)) {
		char name[sizeof r->origin];
		int rc;

		(void)snprintf(name, sizeof name, "%.*s", (int)stream->bytes,
		               stream->data);
		rc = find_origin(r, name);
		if (rc < 0)
			return rc;
		memcpy(r->origin, name, sizeof name);
	}
	*settled = record->offset < r->origin_position;
	return 0;
}

/* Put records from..to back unchanged, synced together. */
static int
keep_range(struct dlq_retry_run *r, size_t from, size_t to)
{
	struct dlq_file *dlq = r->d->dlq;
	int rc = dlq_file_begin(dlq), ended;

	for (size_t i = from; rc == 0 && i < to; i++)
		rc = dlq_file_add(dlq, &r->records[i]);
	ended = dlq_file_end(dlq);
	if (rc == 0)
		rc = ended;
	if (rc < 0)
		log_error("cannot write the dead letters path=%s err=%s",
		          log_quote(dlq->path), log_quote(file_error(rc)));
	return rc;
}

/* What to do with a record. */
enum dlq_fate {
	FATE_DELIVER,
	FATE_KEEP, /* put it back unchanged */
	/* an earlier run has put it back, or it was rejected again */
	FATE_DONE,
};

/* Handle records from..to, which all have one fate. */
static int
retry_range(struct dlq_retry_run *r, size_t from, size_t to, enum dlq_fate fate)
{
	struct batch batch = {.stream = r->stream,
	                      .position = r->position,
	                      .offset = r->line,
	                      .next_offset = r->line + (to - from),
	                      .events = r->events + from,
	                      .origins = r->origins + from,
	                      .count = fate == FATE_DELIVER ? to - from : 0};
	const struct stats *stats = r->d->stats;
	uint64_t stored = stats->events + stats->duplicates;
	int rc = 0;

	if (from == to)
		return 0;
	if (fate == FATE_KEEP)
		rc = keep_range(r, from, to);
	if (rc == 0)
		rc = deliver_batch(r->d, &batch);
	if (rc < 0)
		return rc;
	r->line = r->position = batch.next_offset;
	if (fate != FATE_DONE) {
		r->retried += to - from;
		r->kept +=
		    to - from - (stats->events + stats->duplicates - stored);
	}
	return dlq_retry_progress_save(&r->progress, r->line, r->position);
}

/*
 * An earlier run may have ended after it had put records back, or had
 * dead-lettered them again, and before it had recorded that.  Then another file
 * has each of them, too, and the retry of that file counts.  Records that this
 * run adds are not looked for.
 */
static int
find_other_records(struct dlq_retry_run *r, const struct slice *stream)
{
	char name[sizeof r->others_stream];
	int rc;

	if (slice_is(*stream, r->others_stream))
		return 0;
	(void)snprintf(name, sizeof name, "%.*s", (int)stream->bytes,
	               stream->data);
	rc = dlq_index_find(&r->others, r->d->dlq->dir, r->d->sink->name,
	                    r->path, name, 0, UINT64_MAX);
	if (rc == 0)
		memcpy(r->others_stream, name, sizeof name);
	return rc;
}

static int
find_fate(struct dlq_retry_run *r, const struct dlq_record *record,
          enum dlq_fate *fate)
{
	bool settled = false;
	int rc = find_other_records(r, &record->stream);

	if (rc < 0)
		return rc;
	*fate = FATE_DONE;
	if (dlq_index_has(&r->others, record->offset))
		return 0;
	/* A record without payload is kept, for an operator to remove. */
	if (!record->without_payload)
		rc = is_sink_past(r, record, &settled);
	*fate = settled ? FATE_DELIVER : FATE_KEEP;
	return rc;
}

static int
retry_records(struct dlq_retry_run *r, size_t from)
{
	enum dlq_fate run_fate = FATE_DELIVER, fate = FATE_DELIVER;
	size_t start = from;
	int rc = 0;

	for (size_t i = from; rc == 0 && i < r->count; i++) {
		rc = find_fate(r, &r->records[i], &fate);
		if (rc == 0 && fate != run_fate) {
			rc = retry_range(r, start, i, run_fate);
			start = i;
			run_fate = fate;
		}
	}
	return rc < 0 ? rc : retry_range(r, start, r->count, run_fate);
}

static int
retry_file_from_position(struct dlq_retry_run *r)
{
	uint64_t position = 0, line = 0;
	bool found = false;
	int rc;

	rc = deliver_start(r->d, r->stream, &found, &position);
	if (rc == 0)
		rc = dlq_retry_progress_open(&r->progress, r->d->dlq->dir,
		                             r->path);
	/*
	 * The store's position counts.  But the store does not know of the
	 * records after it that were dead-lettered again.
	 */
	r->line = r->progress.found ? r->progress.line : 0;
	if (found && (!r->progress.found || r->progress.position != position))
		r->line = position;
	r->position = found ? position : r->line;
	dlq_index_clear(&r->others);
	r->others_stream[0] = '\0';
	while (rc == 0) {
		uint64_t skip;

		rc = dlq_retry_fill(r);
		if (rc == 0 && r->used == 0)
			return 0;
		if (rc == 0)
			rc = dlq_retry_parse(r, line);
		if (rc < 0)
			return rc;
		/* Skip what an earlier run has done. */
		skip = r->line > line ? r->line - line : 0;
		if (skip < r->count)
			rc = retry_records(r, (size_t)skip);
		line += r->count;
	}
	return rc;
}

/* Retry one file to its end, and remove it. */
static int
retry_file(struct dlq_retry_run *r)
{
	struct stat st = {0};
	int rc = 0;

	r->fd = file_open(AT_FDCWD, r->path, O_RDONLY, FILE_LOCK);
	if (r->fd < 0)
		return r->fd == -ENOENT ? 0 : r->fd;
	if (flock(r->fd, LOCK_EX | LOCK_NB) < 0)
		rc = errno == EWOULDBLOCK ? ERR_RETRY_IN_PROGRESS : -errno;
	else if (fstat(r->fd, &st) < 0)
		rc = -errno;
	/* Another run has finished and removed it before our lock. */
	if (rc == 0 && st.st_nlink == 0) {
		(void)close(r->fd); /* read only */
		return 0;
	}
	if (rc == 0)
		rc = dlq_retry_rewind(r);
	if (rc == 0)
		rc = dlq_retry_check_file(r);
	if (rc == 0)
		rc = retry_file_from_position(r);
	dlq_retry_progress_close(&r->progress);
	if (rc == 0 && unlink(r->path) < 0)
		rc = -errno;
	if (rc == 0)
		rc = directory_sync(r->d->dlq->dir);
	if (rc == 0)
		rc = dlq_retry_progress_remove(r->path);
	if (rc == 0)
		rc = split_journal_remove(r->d->dlq->dir, r->d->sink->name,
		                          r->stream);
	(void)close(r->fd); /* read only */
	return rc;
}

static int
note_oldest(void *arg, int dir, const char *name)
{
	char *oldest = arg; /* NAME_MAX + 1 bytes */

	(void)dir;
	if (!oldest[0] || strcmp(name, oldest) < 0)
		(void)snprintf(oldest, NAME_MAX + 1, "%s", name);
	return 0;
}

/*
 * Find the oldest file of dead letters being retried, of this run or an earlier
 * one.  Names sort by time.  Returns 1, 0 if there is none, or -errno.
 */
static int
find_oldest_file(struct dlq_retry_run *r)
{
	const char *dir = r->d->dlq->dir;
	char oldest[NAME_MAX + 1] = "";
	int rc =
	    dlq_retry_files_each(dir, r->d->sink->name, note_oldest, oldest);

	if (rc < 0)
		(void)snprintf(r->path, sizeof r->path, "%s", dir);
	if (rc < 0 || !oldest[0])
		return rc;
	if ((size_t)snprintf(r->path, sizeof r->path, "%s/%s", dir, oldest) >=
	    sizeof r->path)
		return -ENAMETOOLONG;
	return 1;
}

static int
retry_all_files(struct dlq_retry_run *r)
{
	int rc = dlq_file_take(r->d->dlq, r->path, sizeof r->path);

	if (rc < 0) /* nothing was moved out of it */
		(void)snprintf(r->path, sizeof r->path, "%s", r->d->dlq->path);
	if (rc == -ENOENT)
		rc = 0;
	while (rc == 0 && (rc = find_oldest_file(r)) > 0)
		rc = retry_file(r);
	return rc;
}

static int
dlq_retry_alloc(struct dlq_retry_run *r)
{
	size_t most = (size_t)r->d->common->batch_events;

	r->cap = (size_t)r->d->common->batch_bytes + DLQ_RECORD_MAX;
	r->bytes = malloc(r->cap);
	r->records = calloc(most, sizeof *r->records);
	r->events = calloc(most, sizeof *r->events);
	r->origins = calloc(most, sizeof *r->origins);
	return r->bytes && r->records && r->events && r->origins ? 0 : -ENOMEM;
}

static const char *
dlq_retry_reason(int rc)
{
	switch (rc) {
	case ERR_RETRY_IN_PROGRESS:
		return "another --retry-dead is running";
	case ERR_STORE_UNREACHABLE:
		return "the store is unreachable; try again later, nothing is "
		       "lost";
	case ERR_POSITION_MOVED:
		return "another --retry-dead has moved the position";
	case ERR_STOPPED:
		return "stopped; run it again to go on, nothing is lost";
	case ERR_BATCHD_UNREACHABLE:
		return "the store has no position, so that of batchd is "
		       "needed; "
		       "start batchd and run it again, nothing is lost";
	case ERR_UNKNOWN_SINK:
		return "batchd does not know this sink; add its name to "
		       "[batchd] sinks, restart batchd, run it again";
	case -EBADMSG:
		return "a line is damaged, see above";
	default:
		return file_error(rc);
	}
}

int
dlq_retry(struct deliver *d)
{
	struct dlq_retry_run r = {.d = d, .fd = -1, .progress = {.fd = -1}};
	int rc = dlq_retry_alloc(&r);

	d->dlq->keeps_payloads = true;
	d->wait = dlq_retry_on_wait;
	d->step = dlq_retry_on_step;
	d->arg = &r;
	if (rc == 0)
		rc = retry_all_files(&r);
	if (rc < 0)
		log_error("not all dead letters were retried path=%s err=%s",
		          log_quote(r.path), log_quote(dlq_retry_reason(rc)));
	printf("retried %" PRIu64 ", stored %" PRIu64 ", kept %" PRIu64 "\n",
	       r.retried, r.retried - r.kept, r.kept);
	free(r.bytes);
	free(r.records);
	free(r.events);
	free(r.origins);
	dlq_index_fini(&r.others);
	deliver_close(d);
	d->wait = NULL;
	d->step = NULL;
	d->arg = NULL;
	return rc < 0 || r.kept > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
