/* dlq_retry - see dlq_retry.h. */
#include "libsink/dlq_retry.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libbase/clock.h"
#include "libbase/error.h"
#include "libbase/file.h"
#include "libbase/log.h"

/* Bytes of a file that one step reads. */
#define STEP_BYTES (8 * MIB)
/*
 * A batch that the store refuses in part ends its step after this time.  After
 * one that has taken less, the next one is larger.
 */
#define STEP_MS 500
/* Events of the first batch. */
#define FIRST_PIECE 100
/* Failures in a row before a retry is suspended. */
#define FAILURES_MIN 5

static const char *
phase_name(enum dlq_retry_phase phase)
{
	static const char *const names[] = {
	    [DLQ_RETRY_IDLE] = "idle",
	    [DLQ_RETRY_SELECTING] = "selecting",
	    [DLQ_RETRY_DELIVERING] = "delivering",
	    [DLQ_RETRY_REMOVING] = "removing",
	};

	return names[phase];
}

static const char *
action_name(const struct dlq_retry *r)
{
	return r->selection.action == DLQ_DROP ? "drop" : "retry";
}

/* The phase in which a recorded selection begins. */
static enum dlq_retry_phase
first_phase(const struct dlq_retry *r)
{
	return r->selection.action == DLQ_DROP ? DLQ_RETRY_REMOVING
	                                       : DLQ_RETRY_DELIVERING;
}

/* Close what the phase has open. */
static void
close_phase(struct dlq_retry *r)
{
	if (r->from_fd >= 0)
		(void)close(r->from_fd); /* read only */
	r->from_fd = -1;
	dlq_lines_fini(&r->from);
	dlq_piece_fini(&r->piece);
	dlq_retry_progress_close(&r->progress);
	dlq_rewrite_abort(&r->rewrite);
	buf_fini(&r->text);
	r->has_position = false;
}

/* The only place where the phase changes. */
static void
dlq_retry_change_phase(struct dlq_retry *r, enum dlq_retry_phase to)
{
	log_debug("retry of dead letters phase=%s was=%s", phase_name(to),
	          phase_name(r->phase));
	close_phase(r);
	r->phase = to;
	r->not_before_ms = 0;
	if (to != DLQ_RETRY_IDLE)
		return;
	dlq_selection_close(&r->selection);
	dlq_file_fini(&r->kept);
	free(r->is_kept);
	r->is_kept = NULL;
	r->line = 0;
	r->piece_events = FIRST_PIECE;
	r->event_us = UINT64_MAX;
	r->has_result = true;
}

int
dlq_retry_init(struct dlq_retry *r, struct deliver *d)
{
	*r = (struct dlq_retry){.deliver = d,
	                        .from_fd = -1,
	                        .piece_events = FIRST_PIECE,
	                        .event_us = UINT64_MAX,
	                        .progress = {.fd = -1},
	                        .kept = {.fd = -1, .lock_fd = -1},
	                        .limit = {.interval_ms = 60000, .burst = 3}};
	buf_init(&r->event_bytes, EVENT_PACKED_MAX);
	buf_init(&r->text, DLQ_RECORD_MAX + 1);
	dlq_rewrite_init(&r->rewrite, d->dlq);
	return dlq_selection_init(&r->selection, d->dlq->dir, d->sink->name);
}

void
dlq_retry_fini(struct dlq_retry *r)
{
	if (!r->deliver)
		return;
	close_phase(r);
	dlq_selection_fini(&r->selection);
	dlq_file_fini(&r->kept);
	buf_fini(&r->event_bytes);
	free(r->is_kept);
	r->is_kept = NULL;
}

bool
dlq_retry_is_active(const struct dlq_retry *r)
{
	return r->phase != DLQ_RETRY_IDLE;
}

bool
dlq_retry_is_due(const struct dlq_retry *r, uint64_t position)
{
	return dlq_retry_is_active(r) && clock_mono_ms() >= r->not_before_ms &&
	       (r->phase == DLQ_RETRY_SELECTING || position >= r->own_end);
}

/* The number of selected dead letters that are not dealt with yet. */
static uint64_t
dlq_retry_left(const struct dlq_retry *r)
{
	return r->phase == DLQ_RETRY_DELIVERING ? r->selection.count - r->line
	                                        : 0;
}

/* Let the log go on, and continue after `ms`. */
static void
suspend(struct dlq_retry *r, uint64_t ms)
{
	r->has_position = false;
	r->not_before_ms = clock_mono_ms() + ms;
}

/* Something on the disk has failed. */
static void
suspend_for_disk(struct dlq_retry *r, const char *what, int rc)
{
	unsigned suppressed;

	if (log_allow(&r->limit, &suppressed))
		log_warn("retry of dead letters suspended: cannot %s dir=%s "
		         "err=%s suppressed=%u",
		         what, log_quote(r->deliver->dlq->dir),
		         log_quote(file_error(rc)), suppressed);
	suspend(r, (uint64_t)r->deliver->common->retry_max_ms);
}

/* --- the files of a selection --- */

/* Remove what is left of earlier selections, on which nothing depends. */
static void
clean_up(const struct dlq_retry *r)
{
	int rc = dlq_selection_clean_up(&r->selection);

	if (rc < 0)
		log_warn("cannot remove the files of a retry dir=%s err=%s",
		         log_quote(r->deliver->dlq->dir),
		         log_quote(file_error(rc)));
}

/* Mark the lines whose dead letters were refused again. */
static int
read_kept(struct dlq_retry *r)
{
	int fd = file_open(AT_FDCWD, r->kept.path, O_RDONLY, FILE_OWN), rc;
	struct dlq_lines lines;
	struct slice stream;
	uint64_t offset;
	size_t bytes, i;
	char *line;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	rc = dlq_lines_init(&lines, fd, 0);
	while (rc == 0 && (rc = dlq_lines_next(&lines, &line, &bytes)) > 0) {
		rc = dlq_record_peek(line, bytes, &stream, &offset);
		i = rc == 0 ? dlq_selection_find(&r->selection, &stream, offset)
		            : SIZE_MAX;
		if (i != SIZE_MAX)
			r->is_kept[i] = true;
	}
	dlq_lines_fini(&lines);
	(void)close(fd); /* read only */
	return rc;
}

/* The log is that of the stream. */
static void
find_own_end(struct dlq_retry *r, const char *stream)
{
	size_t n;
	const struct dlq_key *keys =
	    dlq_selection_of(&r->selection, stream, &n);

	r->own_end = n > 0 ? keys[n - 1].offset + 1 : 0;
}

/* The selection is recorded and open: prepare what its later phases need. */
static int
open_rest(struct dlq_retry *r, const char *log)
{
	const struct dlq_selection *s = &r->selection;
	const struct deliver *d = r->deliver;
	char name[FRAME_NAME_MAX + sizeof s->stream + 8];
	int n, rc;

	n = snprintf(r->progress_path, sizeof r->progress_path,
	             "%s/%s.%s.progress", d->dlq->dir, d->sink->name,
	             s->stream);
	if (n < 0 || (size_t)n >= sizeof r->progress_path)
		return -ENAMETOOLONG;
	(void)snprintf(name, sizeof name, "%s.%s.kept", d->sink->name,
	               s->stream);
	dlq_file_fini(&r->kept);
	rc = dlq_file_init(&r->kept, d->dlq->dir, name, INT64_MAX);
	if (rc < 0)
		return rc;
	r->kept.is_part = true;
	free(r->is_kept);
	r->is_kept = calloc(s->count + 1, sizeof *r->is_kept);
	if (!r->is_kept)
		return -ENOMEM;
	find_own_end(r, log);
	rc = read_kept(r);
	dlq_selection_mark_repeated(s, r->is_kept);
	return rc;
}

static void
log_begin(const struct dlq_retry *r, const char *how)
{
	log_info("%s of dead letters %s stream=%s dead_letters=%zu",
	         action_name(r), how, r->selection.stream, r->selection.count);
}

/* --- SELECTING --- */

/* The order cannot be carried out, and nothing was changed. */
static void
give_up(struct dlq_retry *r, const char *why)
{
	(void)snprintf(r->result.text, sizeof r->result.text, "%s", why);
	log_warn("dead letters not selected err=%s", log_quote(why));
	dlq_retry_change_phase(r, DLQ_RETRY_IDLE);
}

static int
open_selecting(struct dlq_retry *r)
{
	struct dlq_selection *s = &r->selection;
	const struct deliver *d = r->deliver;
	int rc = dlq_file_lock(d->dlq);

	if (rc == 0)
		rc = dlq_selection_clean_up(s);
	if (rc < 0)
		return rc;
	s->action = r->order.action;
	s->batch_events = (uint64_t)d->common->batch_events;
	if (s->batch_events > DLQ_SELECTION_MAX)
		s->batch_events = DLQ_SELECTION_MAX;
	s->batch_bytes = (uint64_t)d->common->batch_bytes;
	s->is_edited = r->order.event != NULL;
	rc = dlq_selection_begin(s);
	if (rc < 0)
		return rc;
	rc = file_open(AT_FDCWD, d->dlq->path, O_RDONLY, FILE_OWN);
	if (rc < 0) /* a missing file has no dead letters */
		return rc == -ENOENT ? 0 : rc;
	r->from_fd = rc;
	return dlq_lines_init(&r->from, r->from_fd, 0);
}

static int
copy_event(struct dlq_retry *r, const struct event *event)
{
	struct wire_reader reader;
	int rc;

	buf_clear(&r->event_bytes);
	rc = event_pack(&r->event_bytes, event);
	reader = (struct wire_reader){r->event_bytes.data,
	                              r->event_bytes.data + r->event_bytes.len};
	if (rc == 0)
		rc = event_read(&reader, &r->event);
	r->order.event = &r->event;
	return rc;
}

bool
dlq_retry_accept(struct dlq_retry *r, const struct dlq_retry_order *order)
{
	int rc;

	if (dlq_retry_is_active(r)) {
		(void)snprintf(r->result.text, sizeof r->result.text,
		               "a %s of dead letters is in progress, %" PRIu64
		               " are left: wait for its end",
		               action_name(r), dlq_retry_left(r));
		return false;
	}
	r->result = (struct dlq_retry_result){0};
	r->order = *order;
	dlq_retry_change_phase(r, DLQ_RETRY_SELECTING);
	rc = order->event ? copy_event(r, order->event) : 0;
	if (rc == 0)
		rc = open_selecting(r);
	if (rc == 0)
		return true;
	(void)snprintf(r->result.text, sizeof r->result.text,
	               "cannot select dead letters in %s: %s",
	               r->deliver->dlq->dir, file_error(rc));
	dlq_retry_change_phase(r, DLQ_RETRY_IDLE);
	r->has_result = false;
	return false;
}

/* Add the line of the dead letter, with the event of the order if it has one.
 */
static int
select_record(struct dlq_retry *r, struct dlq_record *record)
{
	int rc = 0;

	if (r->order.event) {
		record->event = *r->order.event;
		record->without_payload = false;
		buf_clear(&r->text);
		rc = dlq_record_add(&r->text, record);
		r->text.len -= rc == 0; /* the newline */
	}
	r->result.selected++;
	return rc < 0
	           ? rc
	           : dlq_selection_add(&r->selection, r->text.data, r->text.len,
	                               &record->stream, record->offset);
}

static int
select_line(struct dlq_retry *r, char *line, size_t bytes)
{
	const struct dlq_retry_order *o = &r->order;
	uint64_t limit = o->filter.limit;
	struct dlq_record record;
	const char *why;
	size_t at;
	int rc;

	/* Reading a record changes its line. */
	buf_clear(&r->text);
	rc = buf_add(&r->text, line, bytes);
	if (rc < 0)
		return rc;
	if (limit == 0 || limit > DLQ_SELECTION_MAX)
		limit = DLQ_SELECTION_MAX;
	if (dlq_record_read(line, bytes, &record, &why, &at) < 0)
		r->result.damaged++;
	else if (!dlq_filter_matches(&o->filter, &record))
		return 0;
	else if (slice_is(record.stream, r->deliver->log) &&
	         record.offset >= o->below)
		r->result.waiting++;
	else if (record.without_payload && o->action == DLQ_RETRY && !o->event)
		r->result.without_payload++;
	else if (r->result.selected == limit)
		r->result.more++;
	else
		rc = select_record(r, &record);
	return rc;
}

/* The whole file was read: record the selection. */
static int
end_selecting(struct dlq_retry *r)
{
	struct dlq_selection *s = &r->selection;
	int rc;

	if (s->count == 0) {
		dlq_retry_change_phase(r, DLQ_RETRY_IDLE);
		return 0;
	}
	if (r->order.event && s->count > 1) {
		give_up(r, "several dead letters have this offset, each of "
		           "another log: only one can be given an event");
		return 0;
	}
	rc = dlq_selection_commit(s);
	if (rc == 0)
		rc = open_rest(r, r->deliver->log);
	if (rc < 0)
		return rc;
	log_begin(r, "begins");
	dlq_retry_change_phase(r, first_phase(r));
	return 0;
}

static void
select_step(struct dlq_retry *r)
{
	const uint64_t end = r->from.at + STEP_BYTES;
	char *line;
	size_t bytes;
	int rc = 1;

	while (rc > 0 && r->from_fd >= 0 && r->from.at < end) {
		rc = dlq_lines_next(&r->from, &line, &bytes);
		if (rc > 0 && (rc = select_line(r, line, bytes)) == 0)
			rc = 1;
	}
	if (rc > 0 && r->from_fd >= 0)
		rc = dlq_lines_writer_sync(&r->selection.out);
	else if (rc >= 0)
		rc = end_selecting(r);
	if (rc < 0) {
		char why[FRAME_TEXT_MAX];

		/* It may be recorded, and would be found at the next start. */
		(void)unlink(r->selection.path);
		(void)snprintf(why, sizeof why,
		               "cannot record the selected dead letters in "
		               "%s: %s",
		               r->deliver->dlq->dir, file_error(rc));
		give_up(r, why);
	}
}

/* --- DELIVERING --- */

/* In place of the deliverer's wait: a retry does not hold up the log for long.
 */
static int
dlq_retry_on_wait(void *arg, uint64_t ms)
{
	struct dlq_retry *r = arg;
	const struct deliver *d = r->deliver;
	uint64_t waited_ms = clock_mono_ms() - d->unavailable_since_ms;
	unsigned suppressed;

	/* After so many failures a batch that is too large was halved. */
	if (waited_ms <= (uint64_t)d->common->timeout_ms ||
	    d->failures <= FAILURES_MIN)
		return r->log_calls.wait(r->log_calls.arg, ms);
	if (log_allow(&r->limit, &suppressed))
		log_warn("retry of dead letters suspended: the store has not "
		         "taken a batch within timeout_ms retry_in_ms=%" PRId64
		         " suppressed=%u",
		         d->common->retry_max_ms, suppressed);
	suspend(r, (uint64_t)d->common->retry_max_ms);
	return ERR_RETRY_SUSPENDED;
}

static int
save_progress(struct dlq_retry *r, uint64_t line)
{
	int rc = dlq_retry_progress_save(&r->progress, line);

	if (rc == 0)
		return 0;
	suspend_for_disk(r, "record the progress", rc);
	return ERR_RETRY_SUSPENDED;
}

/* In place of the deliverer's step. */
static int
dlq_retry_on_step(void *arg, uint64_t next, uint64_t position)
{
	struct dlq_retry *r = arg;
	int rc = save_progress(r, next);

	(void)position;
	if (rc == 0)
		rc = r->on_write(r->arg);
	/* Something must be done in each step. */
	if (rc == 0 && next > r->line && clock_mono_ms() >= r->until_ms) {
		suspend(r, 0);
		rc = ERR_RETRY_SUSPENDED;
	}
	return rc;
}

/* Find where line r->line begins in the selection. */
static int
seek_line(struct dlq_retry *r)
{
	const struct dlq_selection *s = &r->selection;
	struct dlq_lines lines;
	uint64_t n = 0;
	char *line;
	size_t bytes;
	int rc = dlq_lines_init(&lines, s->fd, s->lines_at);

	while (rc == 0 && n < r->line) {
		rc = dlq_lines_next(&lines, &line, &bytes);
		if (rc == 0)
			rc = -EBADMSG; /* it was longer */
		else if (rc > 0)
			rc = 0;
		n++;
	}
	r->line_at = lines.at;
	dlq_lines_fini(&lines);
	return rc;
}

/*
 * Find out what is dealt with.  The position of the store counts.  If it has
 * none, the recorded progress does, which is at most a moment older.
 */
static int
dlq_retry_find_position(struct dlq_retry *r)
{
	const struct dlq_selection *s = &r->selection;
	uint64_t position = 0;
	bool found = false;
	int rc = deliver_start_retry(r->deliver, s->stream, &found, &position);

	if (rc < 0)
		return rc;
	dlq_retry_progress_close(&r->progress);
	rc = dlq_retry_progress_open(&r->progress, r->deliver->dlq->dir,
	                             r->progress_path);
	r->line = found ? position : r->progress.line;
	if (rc == 0 && r->line > s->count)
		rc = -EBADMSG;
	if (rc == 0 && !r->piece.bytes)
		rc = dlq_piece_init(&r->piece, s->batch_events, s->batch_bytes);
	if (rc == 0)
		rc = seek_line(r);
	if (rc < 0) {
		suspend_for_disk(r, "read the recorded selection", rc);
		return ERR_RETRY_SUSPENDED;
	}
	dlq_piece_seek(&r->piece, r->line_at);
	r->has_position = true;
	return 0;
}

/*
 * The store has taken a batch in `us` microseconds.  A larger one has its use
 * as long as each event takes less time in it, however long the batch takes:
 * then most of the time is that of a transaction.
 */
static void
grow_piece(struct dlq_retry *r, uint64_t us)
{
	uint64_t event_us = us / r->piece.count;

	if ((us < STEP_MS * 1000 || event_us < r->event_us / 4 * 3) &&
	    r->piece_events < r->piece.most)
		r->piece_events *= 2;
	r->event_us = event_us;
}

/* Deliver one batch, by the deliverer of the log. */
static int
deliver_piece(struct dlq_retry *r)
{
	struct deliver *d = r->deliver;
	const struct dlq_piece *p = &r->piece;
	struct batch batch = {.stream = r->selection.stream,
	                      .position = r->line,
	                      .offset = r->line,
	                      .next_offset = r->line + p->count,
	                      .events = p->events,
	                      .origins = p->origins,
	                      .count = p->count};
	const struct delivery_kept kept = {&r->kept, r->is_kept + r->line};
	uint64_t begun_us = clock_mono_us();
	int rc;

	rc = deliver_batch(d, &batch, &kept);
	if (rc == 0)
		grow_piece(r, clock_mono_us() - begun_us);
	if (rc == 0)
		rc = save_progress(r, batch.next_offset);
	if (rc == 0)
		r->line = batch.next_offset;
	return rc;
}

static int
deliver_next(struct dlq_retry *r)
{
	int rc = r->has_position ? 0 : dlq_retry_find_position(r);

	if (rc < 0)
		return rc;
	rc = dlq_piece_read(&r->piece, r->selection.fd,
	                    r->deliver->sink->stable ? r->piece.most
	                                             : r->piece_events);
	if (rc < 0) {
		suspend_for_disk(r, "read the recorded selection", rc);
		return ERR_RETRY_SUSPENDED;
	}
	if (r->piece.count > 0)
		return deliver_piece(r);
	dlq_retry_change_phase(r, DLQ_RETRY_REMOVING);
	return 0;
}

static int
deliver_step(struct dlq_retry *r)
{
	struct deliver *d = r->deliver;
	int rc;

	r->log_calls = d->calls;
	r->until_ms = clock_mono_ms() + STEP_MS;
	d->calls =
	    (struct delivery_calls){dlq_retry_on_wait, dlq_retry_on_step, r};
	rc = deliver_next(r);
	d->calls = r->log_calls;
	if (rc == 0)
		return 0;
	r->has_position = false;
	if (rc != ERR_RETRY_SUSPENDED)
		return rc;
	/* Only deliver does not report when to go on. */
	if (r->not_before_ms == 0)
		suspend(r, (uint64_t)d->common->retry_max_ms);
	return 0;
}

/* --- REMOVING --- */

static void
count_result(struct dlq_retry *r)
{
	struct dlq_retry_result *result = &r->result;
	const struct dlq_selection *s = &r->selection;

	result->selected = dlq_selection_count(s, NULL);
	if (s->action == DLQ_DROP) {
		result->dropped = result->selected;
	} else {
		result->kept = dlq_selection_count(s, r->is_kept);
		result->stored = result->selected - result->kept;
	}
}

/* What was dropped twice, because of a crash, counts once. */
static int
count_dropped(const struct dlq_retry *r)
{
	const struct dlq_selection *s = &r->selection;
	const struct dlq_key *keys;
	size_t n;

	if (s->action != DLQ_DROP)
		return 0;
	keys = dlq_selection_of(s, r->deliver->dlq->stream, &n);
	return dlq_file_drop_selected(r->deliver->dlq, s->stream, keys, n);
}

/* The sink's file is replaced: forget the selection. */
static int
end_removing(struct dlq_retry *r)
{
	struct deliver *d = r->deliver;
	int rc = dlq_file_refresh(d->dlq);

	if (rc == 0)
		rc = count_dropped(r);
	if (rc < 0)
		return rc;
	count_result(r);
	rc = dlq_selection_remove(&r->selection);
	if (rc < 0)
		return rc;
	log_info("%s of dead letters ends stored=%" PRIu64 " kept=%" PRIu64
	         " dropped=%" PRIu64,
	         action_name(r), r->result.stored, r->result.kept,
	         r->result.dropped);
	dlq_retry_change_phase(r, DLQ_RETRY_IDLE);
	clean_up(r);
	return 0;
}

/* Returns 1, or 0 if an operator has moved the file elsewhere, or -errno. */
static int
begin_removing(struct dlq_retry *r)
{
	const struct dlq_selection *s = &r->selection;
	struct dlq_file *dlq = r->deliver->dlq;
	int rc = dlq_file_lock(dlq);

	if (rc == 0)
		rc = dlq_file_refresh(dlq);
	if (rc == 0)
		rc = dlq_rewrite_begin(
		    &r->rewrite, s, s->action == DLQ_RETRY ? r->is_kept : NULL,
		    r->kept.path);
	if (rc == -ENOENT)
		return 0;
	return rc < 0 ? rc : 1;
}

static void
remove_step(struct dlq_retry *r)
{
	int rc = dlq_rewrite_is_open(&r->rewrite) ? 1 : begin_removing(r);

	if (rc > 0)
		rc = dlq_rewrite_step(&r->rewrite, STEP_BYTES);
	if (rc == 0)
		rc = end_removing(r);
	if (rc < 0 && dlq_retry_is_active(r)) {
		close_phase(r);
		suspend_for_disk(r, "write the file without those retried", rc);
	}
}

/* --- all phases --- */

int
dlq_retry_step(struct dlq_retry *r)
{
	r->not_before_ms = 0;
	switch (r->phase) {
	case DLQ_RETRY_IDLE:
		break;
	case DLQ_RETRY_SELECTING:
		select_step(r);
		break;
	case DLQ_RETRY_DELIVERING:
		return deliver_step(r);
	case DLQ_RETRY_REMOVING:
		remove_step(r);
		break;
	}
	return 0;
}

void
dlq_retry_resume(struct dlq_retry *r, const char *log)
{
	struct dlq_selection *s = &r->selection;
	int rc;

	if (dlq_retry_is_active(r)) {
		/* The stream of the log may be another one. */
		find_own_end(r, log);
		return;
	}
	rc = dlq_selection_open(s);
	if (rc == 0) {
		clean_up(r);
		return;
	}
	if (rc > 0)
		rc = open_rest(r, log);
	if (rc == 0) {
		r->result = (struct dlq_retry_result){0};
		log_begin(r, "continues");
		dlq_retry_change_phase(r, first_phase(r));
		/* What was dropped must be counted before it is reported. */
		while (s->action == DLQ_DROP && dlq_retry_is_active(r) &&
		       r->not_before_ms == 0)
			remove_step(r);
	}
	if (rc < 0) {
		log_error("cannot continue a retry of dead letters; if the "
		          "file is damaged, move it elsewhere path=%s err=%s",
		          log_quote(s->path), log_quote(file_error(rc)));
		dlq_selection_close(s);
	}
}
