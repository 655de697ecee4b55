/* deliver - see deliver.h. */
#include "libsink/deliver.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "libbase/clock.h"
#include "libbase/file.h"
#include "libproto/frame.h"
#include "libsink/stop.h"

/*
 * Events that are found one by one in a batch before the sink's probe is asked
 * for all of them.  Until then bisecting costs less, with the store's hints.
 */
#define PROBE_AFTER 4
/* Most events that a probe looks at: one that fails costs no more. */
#define PROBE_EVENTS 10000

/*
 * Ends of pieces that wait.  A batch has at most 2^20 events, so pieces are
 * halved at most 20 times one inside another.  Each of these pieces may have
 * been split once more by a hint, which leaves two ends.  Two more come from
 * the limit and from a split point on disk.
 */
#define ENDS_MAX 66

/* Failures in the same way before a batch is halved. */
#define TOO_MUCH_FAILURES 4

/* Pieces of one size that are stored before twice as much is tried. */
#define FITTING_PIECES 16

/* One batch on its way into the store. */
struct work {
	const struct batch *whole;
	uint64_t position; /* of the store */
	size_t low;        /* events before this one are dealt with */
	/*
	 * The next piece is low .. end of the topmost, without the events that
	 * have a dead letter.
	 */
	struct {
		size_t end;
		/* The sink's probe cannot tell what is bad in it. */
		bool no_probe;
	} ends[ENDS_MAX];
	size_t depth;
	size_t refused; /* events that the store has refused one by one */
	size_t hints;   /* that were followed */
	/*
	 * Of a stable sink: a piece that begins below this offset may be
	 * stored, since a write of it has ended and who knows how.  Such a
	 * piece keeps its name: its halves would be stored again.
	 */
	uint64_t unwritten;
	/* The piece in hand may be stored, by a write before the last. */
	bool in_doubt;
	/* Owned; NULL until one event has a dead letter: */
	bool *has_dead_letter;  /* of each event of whole */
	struct event *events;   /* of the piece, where some have */
	struct origin *origins; /* of these events */
};

uint64_t
deliver_delay_ms(const struct sink_common *common, unsigned n)
{
	uint64_t ms = (uint64_t)common->retry_min_ms;
	uint32_t random = 0;

	while (n > 1 && ms < (uint64_t)common->retry_max_ms) {
		ms *= 2;
		n--;
	}
	if (ms > (uint64_t)common->retry_max_ms)
		ms = (uint64_t)common->retry_max_ms;
	/* Without randomness the wait is merely not spread. */
	if (getrandom(&random, sizeof random, GRND_NONBLOCK) < 0)
		random = 0;
	return ms - random % (ms / 2 + 1);
}

void
deliver_close(struct deliver *d)
{
	if (d->open)
		d->sink->close(d->state);
	d->open = false;
}

void
deliver_fini(struct deliver *d)
{
	deliver_close(d);
	dlq_index_fini(&d->dlq_index);
	split_journal_fini(&d->splits);
}

/* The store took something: whatever was wrong is over. */
static void
recovered(struct deliver *d)
{
	unsigned suppressed;

	if (d->failures > 0 && log_allow(&d->back_limit, &suppressed))
		log_info("store back after_ms=%" PRIu64 " not_logged=%u",
		         clock_mono_ms() - d->away_since_ms, suppressed);
	d->failures = 0;
	stats_well(d->stats, STATS_WRITING);
}

/* Say what is wrong and wait.  Returns as d->wait. */
static int
back_off(struct deliver *d, enum sink_result result,
         const struct sink_error *error)
{
	bool setup = result == SINK_MISCONFIGURED || result == SINK_REJECT;
	unsigned suppressed;
	uint64_t ms;

	if (d->failures++ == 0)
		d->away_since_ms = clock_mono_ms();
	ms = deliver_delay_ms(d->common, d->failures);
	d->stats->retries++;
	stats_error(d->stats, setup ? STATS_MISCONFIGURED : STATS_RETRYING,
	            error->text, ms);
	if (log_allow(&d->away_limit, &suppressed))
		log_warn("%s attempt=%u retry_in_ms=%" PRIu64
		         " code=%s err=%s not_logged=%u",
		         setup ? "the store's set-up needs attention"
		               : "store unreachable",
		         d->failures, ms, log_quote(error->code),
		         log_quote(error->text), suppressed);
	return d->wait(d->arg, ms);
}

static enum sink_result
try_start(struct deliver *d, const char *stream, bool *found,
          uint64_t *position, struct sink_error *error)
{
	enum sink_result result = SINK_DONE;

	(void)stop_hanging(true);
	if (!d->open) {
		/* Set first: a half open state is closed, too. */
		d->open = true;
		result = d->sink->open(d->state, d->common, d->conf, error);
	}
	*found = false;
	if (result == SINK_DONE)
		result =
		    d->sink->position(d->state, stream, found, position, error);
	(void)stop_hanging(false);
	if (result != SINK_DONE)
		deliver_close(d);
	return result;
}

/* The first lines of an outage, then now and then one. */
static void
set_limits(struct deliver *d)
{
	d->aside_limit.interval_ms = 10000;
	d->aside_limit.burst = 5;
	d->away_limit.interval_ms = d->back_limit.interval_ms = 60000;
	d->away_limit.burst = d->back_limit.burst = 10;
	d->less_limit.interval_ms = 60000;
	d->less_limit.burst = 10;
}

static int
find_position(struct deliver *d, const char *stream, bool *found,
              uint64_t *position)
{
	for (;;) {
		struct sink_error error = {0};
		enum sink_result result =
		    try_start(d, stream, found, position, &error);
		int rc;

		if (result == SINK_DONE)
			return 0;
		rc = back_off(d, result, &error);
		if (rc < 0)
			return rc;
	}
}

int
deliver_start(struct deliver *d, const char *stream, bool *found,
              uint64_t *position)
{
	set_limits(d);
	d->has_looked = false;
	split_journal_fini(&d->splits);
	return find_position(d, stream, found, position);
}

static void
push(struct work *w, size_t end)
{
	bool no_probe = w->depth > 0 && w->ends[w->depth - 1].no_probe;

	assert(w->depth < ENDS_MAX);
	w->ends[w->depth].end = end;
	w->ends[w->depth].no_probe = no_probe;
	w->depth++;
}

static bool
done(const struct work *w)
{
	return w->low == w->whole->count &&
	       w->position == w->whole->next_offset;
}

static void
work_fini(struct work *w)
{
	free(w->has_dead_letter);
	free(w->events);
	free(w->origins);
}

/* Get ready for events of the batch that have a letter.  0 or -ENOMEM. */
static int
alloc_dead_letters(struct work *w)
{
	size_t count = w->whole->count;

	if (w->has_dead_letter)
		return 0;
	w->has_dead_letter = calloc(count, sizeof *w->has_dead_letter);
	w->events = calloc(count, sizeof *w->events);
	w->origins = calloc(count, sizeof *w->origins);
	if (w->has_dead_letter && w->events && w->origins)
		return 0;
	work_fini(w);
	w->has_dead_letter = NULL;
	w->events = NULL;
	w->origins = NULL;
	return -ENOMEM;
}

static bool
is_left_out(const struct work *w, size_t i)
{
	return w->has_dead_letter && w->has_dead_letter[i];
}

/* The index in the whole batch of the nth event, from 0, of the next piece. */
static size_t
index_of(const struct work *w, size_t nth)
{
	size_t i = w->low;

	while (is_left_out(w, i) || nth-- > 0)
		i++;
	return i;
}

static size_t
piece_end(const struct work *w)
{
	return w->depth > 0 ? w->ends[w->depth - 1].end : w->whole->count;
}

/* Where an event of the batch is in the log. */
static struct origin
origin_of(const struct batch *batch, size_t i)
{
	if (batch->origins)
		return batch->origins[i];
	return (struct origin){slice_of(batch->stream), batch->offset + i};
}

/* Take out of the piece the events that have a letter. */
static void
leave_out(struct work *w, struct batch *piece, size_t end)
{
	size_t n = 0;

	for (size_t i = w->low; i < end; i++) {
		if (is_left_out(w, i))
			continue;
		w->events[n] = w->whole->events[i];
		w->origins[n++] = origin_of(w->whole, i);
	}
	if (n == piece->count)
		return; /* as it lies in the batch */
	piece->events = w->events;
	piece->origins = w->origins;
	piece->count = n;
}

/* What to write next; without events when only the position is left. */
static struct batch
next_piece(struct work *w)
{
	size_t count = w->whole->count, end = piece_end(w);
	struct batch piece = {
	    .stream = w->whole->stream,
	    .position = w->position,
	    .offset = w->whole->offset + w->low,
	    .next_offset =
		end == count ? w->whole->next_offset : w->whole->offset + end,
	    .events = w->whole->events + w->low,
	    .count = end - w->low,
	    .origins = w->whole->origins ? w->whole->origins + w->low : NULL};

	if (w->has_dead_letter)
		leave_out(w, &piece, end);
	return piece;
}

/* A piece was stored: after many at the limit, try twice as much. */
static void
grow(struct deliver *d, size_t count)
{
	d->too_much = 0;
	if (d->most == 0 || count < d->most || ++d->fitting < FITTING_PIECES)
		return;
	d->fitting = 0;
	d->most = d->most < SINK_BATCH_EVENTS_MAX ? d->most * 2 : 0;
}

static void
stored(struct deliver *d, struct work *w, const struct batch *piece,
       size_t duplicates)
{
	assert(duplicates <= piece->count);
	recovered(d);
	grow(d, piece->count);
	d->stats->events += piece->count - duplicates;
	d->stats->duplicates += duplicates;
	w->low = piece_end(w);
	w->position = piece->next_offset;
	if (w->depth > 0)
		w->depth--;
}

/* Which cuts belong together: those of one batch, or of one file of letters. */
static uint64_t
journal_end(const struct batch *batch)
{
	return batch->origins ? UINT64_MAX : batch->next_offset;
}

/* A file of cuts cannot be read or written: say so and wait. */
static int
journal_failed(struct deliver *d, int rc)
{
	struct sink_error error = {0};

	(void)snprintf(error.text, sizeof error.text,
	               "cannot keep in %s where a batch is cut: %s",
	               d->dlq->dir, file_error(rc));
	return back_off(d, SINK_MISCONFIGURED, &error);
}

/* Put on disk what has to be there before the next piece is written. */
static int
note(struct deliver *d, const struct batch *batch, const uint64_t *at, size_t n,
     uint64_t unwritten)
{
	int rc;

	if (!d->sink->stable)
		return 0;
	while ((rc = split_journal_add(&d->splits, journal_end(batch), at, n,
	                               unwritten)) < 0) {
		rc = journal_failed(d, rc);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/*
 * Put cuts on disk before a piece is written that ends there.  Which pieces
 * are unwritten is not kept: to know that would cost one more sync a piece,
 * and what the store refuses for its content it refuses whenever it comes.
 */
static int
note_splits(struct deliver *d, const struct batch *batch, const uint64_t *at,
            size_t n)
{
	return note(d, batch, at, n, SPLIT_JOURNAL_UNKNOWN);
}

/*
 * Where was the batch cut before a crash?  Letters that are retried come in
 * batches that may end elsewhere the next time: then here.
 */
static int
read_splits(struct deliver *d, const struct batch *batch)
{
	uint64_t next = batch->next_offset;
	int rc;

	if (!d->sink->stable || batch->count == 0)
		return 0;
	while (!d->splits.stream ||
	       strcmp(d->splits.stream, batch->stream) != 0) {
		rc = split_journal_read(&d->splits, d->dlq->dir, d->sink->name,
		                        batch->stream);
		d->had_splits = d->splits.found;
		if (rc < 0)
			rc = journal_failed(d, rc);
		if (rc < 0)
			return rc;
	}
	if (!batch->origins ||
	    split_journal_next(&d->splits, UINT64_MAX, next - 1) == next)
		return 0;
	return note(d, batch, &next, 1,
	            split_journal_unwritten(&d->splits, UINT64_MAX));
}

/*
 * What of the batch may be stored?  Any of it that is not known to be unwritten
 * when it was sent before, to another process perhaps.  An earlier run has
 * left cuts of a file of letters.
 */
static void
look_for_writes(const struct deliver *d, struct work *w)
{
	const struct batch *batch = w->whole;
	bool again = batch->origins ? d->had_splits : batch->again;

	w->unwritten =
	    again ? split_journal_unwritten(&d->splits, journal_end(batch))
		  : batch->offset;
}

static bool
may_be_stored(const struct work *w)
{
	return w->whole->offset + w->low < w->unwritten;
}

/* A stable sink's piece is about to be written. */
static int
begin_write(struct deliver *d, struct work *w, const struct batch *piece)
{
	uint64_t next = piece->next_offset;

	w->in_doubt = may_be_stored(w);
	if (!d->sink->stable || piece->count == 0)
		return 0;
	if (w->unwritten < next)
		w->unwritten = next;
	if (split_journal_unwritten(&d->splits, journal_end(w->whole)) >= next)
		return 0;
	return note(d, w->whole, NULL, 0, next);
}

/*
 * The store has kept nothing of the topmost piece for certain.  On disk, so
 * that the piece can be halved after a crash as well.
 */
static int
is_unwritten(struct deliver *d, struct work *w)
{
	w->unwritten = w->whole->offset + w->low;
	return note(d, w->whole, NULL, 0, w->unwritten);
}

/* Cut the topmost piece as it was cut before. */
static void
follow_splits(struct deliver *d, struct work *w)
{
	uint64_t offset = w->whole->offset, next;

	if (!d->sink->stable || w->depth == 0)
		return;
	next = split_journal_next(&d->splits, journal_end(w->whole),
	                          offset + w->low);
	if (next < offset + w->ends[w->depth - 1].end)
		push(w, next - offset);
}

/*
 * Split the topmost piece: around the event that the store named, or in
 * halves.
 *
 * A hint is followed only if each hint before it has led to an event that the
 * store refused.  So a store that names the wrong events costs a few writes for
 * each bad event, and halving finds that event as it does without hints.
 */
static int
split(struct deliver *d, struct work *w, size_t count, size_t bad_event)
{
	bool named =
	    w->hints <= w->refused && bad_event >= 1 && bad_event <= count;
	size_t bad = named ? index_of(w, bad_event - 1) : 0;
	size_t middle = index_of(w, count / 2), end = piece_end(w);
	uint64_t offset = w->whole->offset;
	const uint64_t around[] = {offset + bad, offset + bad + 1};
	const uint64_t half[] = {offset + middle};
	int rc = named ? note_splits(d, w->whole, around, 2)
	               : note_splits(d, w->whole, half, 1);

	if (rc < 0)
		return rc;
	if (named) {
		w->hints++;
		if (bad + 1 < end)
			push(w, bad + 1);
		if (bad > w->low)
			push(w, bad);
	} else {
		push(w, middle);
	}
	return 0;
}

/* Cut the topmost piece to what the store takes at once. */
static int
limit_piece(struct deliver *d, struct work *w)
{
	uint64_t at;
	int rc;

	if (d->most == 0 || w->depth == 0 || may_be_stored(w) ||
	    w->ends[w->depth - 1].end - w->low <= d->most)
		return 0;
	at = w->whole->offset + w->low + d->most;
	rc = note(d, w->whole, &at, 1, at);
	if (rc == 0)
		push(w, w->low + d->most);
	return rc;
}

/*
 * A write has failed.  Is it time to write less?  At first the failure has to
 * repeat itself, since it may pass; where a limit was met before, it is that.
 */
static bool
is_too_much(struct deliver *d, size_t count, const struct sink_error *error)
{
	if (!error->too_much) {
		d->too_much = 0;
		return false;
	}
	if (d->too_much == 0 || strcmp(d->too_much_code, error->code) != 0) {
		d->too_much = 0;
		memcpy(d->too_much_code, error->code, sizeof error->code);
	}
	d->too_much++;
	return count > 1 && (d->most > 0 || d->too_much >= TOO_MUCH_FAILURES);
}

/* The next piece is half of one that has `count` events. */
static int
write_less(struct deliver *d, struct work *w, size_t count)
{
	unsigned suppressed;

	d->most = count / 2;
	d->fitting = 0;
	if (log_allow(&d->less_limit, &suppressed))
		log_warn("the store does not take this much at once: writing "
		         "less events=%zu suppressed=%u; lower batch_events, "
		         "or raise the store's limit",
		         d->most, suppressed);
	return limit_piece(d, w);
}

static void
aside_error(struct deliver *d, int rc, struct sink_error *error)
{
	if (rc == -EDQUOT)
		(void)snprintf(error->text, sizeof error->text,
		               "dead letters are at dead_max_bytes: run "
		               "--retry-dead, move the file away, or raise it");
	else
		(void)snprintf(error->text, sizeof error->text,
		               "cannot write the dead letters %s: %s",
		               d->dlq->path, file_error(rc));
}

static struct dlq_record
record_of(const struct deliver *d, struct origin from,
          const struct event *event, const struct sink_error *why)
{
	return (struct dlq_record){
	    .stream = from.stream,
	    .offset = from.offset,
	    .sink = slice_of(d->sink->name),
	    .at_us = clock_wall_us(),
	    .code = slice_of(why->code),
	    .reason =
		slice_of(why->dead_letter[0] ? why->dead_letter : why->text),
	    .event = *event};
}

/*
 * The letters of `events` events are on disk; `first` and `why` are of the
 * first of them.
 */
static void
have_dead_letters(struct deliver *d, struct origin first, size_t events,
                  const struct sink_error *why)
{
	unsigned suppressed;

	if (log_allow(&d->aside_limit, &suppressed))
		log_warn("event dead-lettered stream=%.*s offset=%" PRIu64
		         " events=%zu code=%s err=%s not_logged=%u",
		         (int)first.stream.bytes, first.stream.data,
		         first.offset, events, log_quote(why->code),
		         log_quote(why->text), suppressed);
	recovered(d);
	d->stats->dead_letters = d->dlq->records;
	d->stats->dead_lettered += events;
}

/*
 * Put the letter on disk or, where there is no room, only count its event if
 * the settings say so.  Retried letters are never dropped.
 */
static int
add_dead_letter(struct deliver *d, const struct batch *piece,
                const struct dlq_record *record)
{
	int rc = dlq_file_add(d->dlq, record);
	bool drop = d->common->dead_full == DEAD_FULL_COUNT &&
	            slice_is(record->stream, piece->stream);

	return rc == -EDQUOT && drop ? dlq_file_drop(d->dlq, record) : rc;
}

static int
add_one_dead_letter(struct deliver *d, const struct batch *piece,
                    const struct dlq_record *record)
{
	int rc = dlq_file_begin(d->dlq), ended;

	if (rc == 0)
		rc = add_dead_letter(d, piece, record);
	ended = dlq_file_end(d->dlq);
	return rc < 0 ? rc : ended;
}

/* Put the one event of `piece` on disk as a dead letter, before going on. */
static int
set_aside(struct deliver *d, struct work *w, const struct batch *piece,
          const struct sink_error *why)
{
	struct origin from = origin_of(piece, 0);
	struct dlq_record record = record_of(d, from, &piece->events[0], why);
	int rc;

	while ((rc = add_one_dead_letter(d, piece, &record)) < 0) {
		struct sink_error error = {0};

		aside_error(d, rc, &error);
		rc = back_off(d, SINK_MISCONFIGURED, &error);
		if (rc < 0)
			return rc;
	}
	have_dead_letters(d, from, 1, why);
	w->refused++;
	w->low = piece_end(w);
	w->depth--;
	return 0;
}

/*
 * Find the events of the batch that have a letter: it was written, and then
 * a crash came before the position had passed them.  To store one of them
 * now would leave a letter that --retry-dead stores again.  After the first
 * batch from a position no others can come up but those seen with it.
 */
static int
find_dead_letters(struct deliver *d, const struct batch *batch)
{
	int rc;

	dlq_index_clear(&d->dlq_index);
	/* Letters that are retried have their letters, of course. */
	if (batch->origins ||
	    (d->has_looked && batch->offset > d->dlq_index.top))
		return 0;
	while ((rc = dlq_index_find(&d->dlq_index, d->dlq->dir, d->sink->name,
	                            NULL, batch->stream, batch->offset,
	                            batch->offset + batch->count)) < 0) {
		struct sink_error error = {0};

		(void)snprintf(error.text, sizeof error.text,
		               "cannot read the dead letters in %s: %s",
		               d->dlq->dir, file_error(rc));
		rc = back_off(d, SINK_MISCONFIGURED, &error);
		if (rc < 0)
			return rc;
	}
	if (d->failures > 0)
		recovered(d);
	d->has_looked = true;
	return 0;
}

/* Leave the events to their letter that have one from before. */
static int
leave_to_dead_letters(struct deliver *d, struct work *w)
{
	uint64_t offset = w->whole->offset, at;
	size_t events = 0, first = 0;

	if (d->dlq_index.count == 0 || w->whole->origins)
		return 0;
	if (alloc_dead_letters(w) < 0)
		return -ENOMEM;
	for (at = dlq_index_next(&d->dlq_index, offset);
	     at < offset + w->whole->count;
	     at = dlq_index_next(&d->dlq_index, at + 1)) {
		if (events++ == 0)
			first = at - offset;
		w->has_dead_letter[at - offset] = true;
	}
	if (events > 0)
		log_info("events have dead letters already: not stored "
		         "offset=%" PRIu64 " events=%zu",
		         offset + first, events);
	return 0;
}

/* Go past the events at the start of the next piece that have a letter. */
static void
skip_dead_letters(struct work *w)
{
	while (w->depth > 0 && is_left_out(w, w->low)) {
		w->low++;
		if (w->low == w->ends[w->depth - 1].end)
			w->depth--;
	}
}

/*
 * Ask the store where it is, after a write whose end is in doubt.  Returns 0
 * when that is before or behind the piece: the rest goes on from there.
 */
static int
reconcile(struct deliver *d, struct work *w, const struct batch *piece,
          bool fenced)
{
	uint64_t position = 0;
	bool found;
	int rc = find_position(d, piece->stream, &found, &position);

	if (rc < 0)
		return rc;
	if (found && position == piece->next_offset) {
		/* Which of them are duplicates was not answered. */
		stored(d, w, piece, 0);
		return 0;
	}
	if (!fenced && (!found || position == piece->position))
		return 0;
	log_error("the store's position is not what this sink left: another "
	          "writer has this sink's name, or the store has gone back "
	          "stream=%s expected=%" PRIu64 " found=%s position=%" PRIu64,
	          piece->stream, piece->position, found ? "yes" : "no",
	          position);
	return -ESTALE;
}

/*
 * The same limit has stopped the piece several times, and it cannot be made
 * smaller: say which events wait, and what can be done.  Returns
 * SINK_MISCONFIGURED then, else the result as it is.
 */
static enum sink_result
explain_limit(const struct deliver *d, const struct work *w,
              const struct batch *piece, enum sink_result result,
              struct sink_error *error)
{
	const struct event *e = piece->events;
	char words[sizeof error->text];

	if (!error->too_much || d->too_much < TOO_MUCH_FAILURES ||
	    (piece->count > 1 && !may_be_stored(w)))
		return result;
	memcpy(words, error->text, sizeof words);
	if (piece->count == 1)
		(void)snprintf(error->text, sizeof error->text,
		               "the event at offset %" PRIu64
		               " (%zu bytes) fails even alone: raise the "
		               "store's limit or timeout_ms: %.160s",
		               origin_of(piece, 0).offset,
		               (size_t)e->id.bytes + e->type.bytes +
		                   e->user_id.bytes + e->payload.bytes,
		               words);
	else
		(void)snprintf(error->text, sizeof error->text,
		               "%zu events from offset %" PRIu64
		               " may be stored already, and in smaller batches "
		               "would be stored twice: raise the store's "
		               "limit: %.140s",
		               piece->count, origin_of(piece, 0).offset, words);
	return SINK_MISCONFIGURED;
}

/* Neither stored nor rejected: start over with the store. */
static int
interrupted(struct deliver *d, struct work *w, const struct batch *piece,
            enum sink_result result, struct sink_error *error)
{
	bool too_much = is_too_much(d, piece->count, error);
	size_t low = w->low;
	int rc = 0;

	deliver_close(d);
	if (d->sink->stable && error->too_much &&
	    (error->forgets || (!error->may_be_stored && !w->in_doubt)))
		rc = is_unwritten(d, w);
	if (rc < 0)
		return rc;
	result = explain_limit(d, w, piece, result, error);
	/* Being fenced is settled by the position, not by waiting. */
	if (result != SINK_FENCED)
		rc = back_off(d, result, error);
	if (rc == 0)
		rc = reconcile(d, w, piece, result == SINK_FENCED);
	if (rc == 0 && too_much && !may_be_stored(w) && w->low == low)
		rc = write_less(d, w, piece->count);
	return rc;
}

/* A group of dead letters that a probe makes. */
struct group {
	struct deliver *d;
	struct work *w;
	const struct batch *piece;
	size_t *indices; /* in the whole batch, of the letters in the group */
	size_t count;
	size_t event, index; /* the last one: in the piece, in the batch */
	bool begun;
	int rc;                /* the first error; letters before it are kept */
	struct sink_error why; /* of the first letter */
};

static void
on_refused(void *arg, size_t event, const struct sink_error *why)
{
	struct group *g = arg;
	struct dlq_record record;

	assert(event < g->piece->count);
	if (g->rc < 0)
		return;
	if (!g->begun) {
		g->rc = dlq_file_begin(g->d->dlq);
		g->begun = true;
		g->why = *why;
	}
	while (g->event < event) {
		g->index++;
		g->event += !is_left_out(g->w, g->index);
	}
	record = record_of(g->d, origin_of(g->piece, event),
	                   &g->piece->events[event], why);
	if (g->rc == 0)
		g->rc = add_dead_letter(g->d, g->piece, &record);
	if (g->rc == 0)
		g->indices[g->count++] = g->index;
}

/* End the group: its letters are synced, or none is in the file. */
static int
end_group(struct group *g)
{
	int rc = g->begun ? dlq_file_end(g->d->dlq) : 0;

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < g->count; i++)
		g->w->has_dead_letter[g->indices[i]] = true;
	if (g->count > 0)
		have_dead_letters(g->d, origin_of(g->w->whole, g->indices[0]),
		                  g->count, &g->why);
	return g->rc;
}

/* Only the events before index `end` of the batch come next. */
static int
end_piece_at(struct deliver *d, struct work *w, size_t end)
{
	uint64_t at = w->whole->offset + end;

	if (end == piece_end(w))
		return 0;
	push(w, end);
	return note_splits(d, w->whole, &at, 1);
}

/*
 * Have the sink find what the store refuses in the piece, and put all of that
 * on disk as dead letters, synced once.  The group of letters is begun when
 * nothing more is asked of the store.
 */
static int
probe(struct deliver *d, struct work *w, const struct batch *piece,
      struct group *g)
{
	struct sink_refused refused = {on_refused, g};
	struct sink_error error = {0};
	struct batch some = *piece;
	enum sink_result result;
	size_t looked = 0, end;
	int rc;

	if (some.count > PROBE_EVENTS)
		some.count = PROBE_EVENTS;
	result = d->sink->probe(d->state, &some, &refused, &looked, &error);
	/* A probe that fails, or finds nothing in the end, is the last one. */
	if (result != SINK_DONE || looked == 0 ||
	    (looked == piece->count && g->count == 0 && g->rc == 0))
		w->ends[w->depth - 1].no_probe = true;
	end = looked < piece->count ? index_of(w, looked) : piece_end(w);
	rc = end_group(g);
	if (rc < 0) {
		aside_error(d, rc, &error);
		return back_off(d, SINK_MISCONFIGURED, &error);
	}
	if (result != SINK_DONE)
		return interrupted(d, w, piece, result, &error);
	return looked > 0 ? end_piece_at(d, w, end) : 0;
}

static int
find_refused(struct deliver *d, struct work *w, const struct batch *piece)
{
	struct group g = {.d = d, .w = w, .piece = piece, .index = w->low};
	int rc = alloc_dead_letters(w);

	g.indices = calloc(piece->count, sizeof *g.indices);
	if (rc == 0)
		rc = g.indices ? probe(d, w, piece, &g) : -ENOMEM;
	free(g.indices);
	return rc;
}

static int
rejected(struct deliver *d, struct work *w, const struct batch *piece,
         const struct sink_error *error)
{
	if (piece->count == 0)
		return back_off(d, SINK_MISCONFIGURED, error);
	/* What it refuses now it has refused before: it has none of it. */
	w->unwritten = w->whole->offset + w->low;
	if (piece->count == 1)
		return set_aside(d, w, piece, error);
	/*
	 * After a crash the retried letters that were set aside again are
	 * left out, and a stable sink's pieces would not end as they did.
	 */
	if (d->sink->probe && !(w->whole->origins && d->sink->stable) &&
	    w->refused >= PROBE_AFTER && !w->ends[w->depth - 1].no_probe)
		return find_refused(d, w, piece);
	return split(d, w, piece->count, error->bad_event);
}

int
deliver_batch(struct deliver *d, const struct batch *batch)
{
	struct work w = {.whole = batch, .position = batch->position};
	int rc = 0;

	d->stats->state = STATS_WRITING;
	rc = find_dead_letters(d, batch);
	if (rc == 0)
		rc = leave_to_dead_letters(d, &w);
	if (rc == 0)
		rc = read_splits(d, batch);
	if (rc == 0)
		look_for_writes(d, &w);
	if (batch->count > 0)
		push(&w, batch->count);
	while (rc == 0) {
		struct sink_error error = {0};
		enum sink_result result;
		struct batch piece;

		skip_dead_letters(&w);
		follow_splits(d, &w);
		rc = limit_piece(d, &w);
		if (rc < 0 || done(&w))
			break;
		piece = next_piece(&w);
		rc = begin_write(d, &w, &piece);
		if (rc < 0)
			break;
		assert(d->open);
		result = d->sink->write(d->state, &piece, &error);
		switch (result) {
		case SINK_DONE:
			stored(d, &w, &piece, error.duplicates);
			break;
		case SINK_REJECT:
			rc = rejected(d, &w, &piece, &error);
			break;
		case SINK_UNREACHABLE:
		case SINK_MISCONFIGURED:
		case SINK_FENCED:
			rc = interrupted(d, &w, &piece, result, &error);
			break;
		}
		if (rc == 0 && d->step && !done(&w))
			rc = d->step(d->arg, batch->offset + w.low, w.position);
	}
	work_fini(&w);
	if (rc == 0)
		d->stats->batches++;
	return rc;
}
