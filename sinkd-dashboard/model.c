/* model - see model.h. */
#include "sinkd-dashboard/model.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

/* Entries of the tables of one minute. */
#define TYPES_SIZE 128
#define USERS_SIZE 256

#define MINUTE 60

int
model_init(struct model *m, bool mask_users, uint64_t second)
{
	int rc, users_rc;

	*m = (struct model){.mask_users = mask_users};
	/* All parts are made, so that model_fini knows their state. */
	rc = top_init(&m->types, TYPES_SIZE, second / MINUTE);
	users_rc = top_init(&m->users, USERS_SIZE, second / MINUTE);
	if (rc == 0)
		rc = users_rc;
	if (event_ring_init(&m->ring) < 0)
		rc = -ENOMEM;
	if (rc == 0)
		rc = mask_init(&m->mask);
	if (rc == 0 &&
	    getrandom(&m->seed, sizeof m->seed, 0) != (ssize_t)sizeof m->seed)
		rc = -errno;
	series_advance(&m->series, second);
	m->tick.second = second - 1;
	m->pipeline.log.full_in_s = PIPELINE_NEVER;
	m->pipeline.log.open = true; /* until batchd reports otherwise */
	return rc;
}

void
model_fini(struct model *m)
{
	top_fini(&m->types);
	top_fini(&m->users);
	event_ring_fini(&m->ring);
	explicit_bzero(&m->mask, sizeof m->mask);
}

struct key
model_key(const struct model *m, struct slice name)
{
	struct key key;

	key_make(&key, name, m->seed);
	return key;
}

struct key
model_filter_key(const struct model *m, struct slice name)
{
	struct key key = model_key(m, name);

	/* This is a whole name: other names may begin as it does. */
	if (name.bytes > KEY_TEXT_BYTES)
		key.bytes = 0;
	return key;
}

void
model_event(struct model *m, uint64_t offset, const struct event *event)
{
	struct slice user = event->user_id;
	struct key type = model_key(m, event->type);
	struct ring_event kept = {.offset = offset,
	                          .received_us = event->received_at_us,
	                          .type_hash = type.hash,
	                          .type = event->type,
	                          .payload = event->payload};

	m->read_events++;
	series_read(&m->series, &type);
	top_add(&m->types, &type);
	if (user.data) {
		struct key key;

		/* Nothing after this knows the user himself. */
		if (m->mask_users)
			user = mask_user(&m->mask, user);
		key = model_key(m, user);
		top_add(&m->users, &key);
		kept.user_hash = key.hash;
		kept.user = user;
	}
	event_ring_add(&m->ring, &kept);
}

void
model_skipped(struct model *m, uint64_t from, uint64_t to)
{
	if (to > from)
		m->moved_ahead += to - from;
}

int
model_status(struct model *m, const void *map, size_t bytes, uint64_t at_ms)
{
	struct pipeline_log before = m->pipeline.log;
	bool was_known = m->pipeline.known;
	const struct pipeline_log *log = &m->pipeline.log;
	int rc = pipeline_read(&m->pipeline, map, bytes, at_ms);

	if (rc < 0)
		return rc;
	/* Offsets of another log tell nothing. */
	if (!was_known || strcmp(before.stream, log->stream) != 0)
		return 0;
	if (log->durable_offset > before.durable_offset)
		m->events += log->durable_offset - before.durable_offset;
	/* batchd counts bytes from its start. */
	if (log->appended_bytes >= before.appended_bytes)
		m->bytes += log->appended_bytes - before.appended_bytes;
	else
		m->bytes += log->appended_bytes;
	return 0;
}

/* --- a tick --- */

/*
 * Close the seconds from the one in progress to `second`.  Normally that is
 * one.  If this process was stopped for a while, or batchd did not reply in
 * time, the events are distributed evenly over that time.  Returns the first
 * one.
 */
static uint64_t
close_seconds(struct model *m, uint64_t second)
{
	uint64_t first = m->series.second;
	uint64_t count = second - first + 1;

	if (count > SERIES_SHOWN) {
		first = second - SERIES_SHOWN + 1;
		count = SERIES_SHOWN;
	}
	for (uint64_t i = 0; i < count; i++) {
		series_advance(&m->series, first + i);
		series_add(&m->series, series_part(m->events, i, count),
		           series_part(m->bytes, i, count));
	}
	if (count > 1)
		series_spread_read(&m->series, first);
	return first;
}

/*
 * Of many keys that are equally frequent, the table has some, whose counts are
 * nearly all error.  To show them as the most frequent would be wrong, so only
 * those are shown whose count is known to within a half.
 */
static size_t
read_shares(struct top *top, struct model_share out[MODEL_TOP])
{
	struct top_entry entries[MODEL_TOP];
	size_t n = top_read(top, entries, MODEL_TOP), used = 0;

	for (size_t i = 0; i < n; i++) {
		const struct top_entry *e = &entries[i];

		if (e->error <= e->count / 2)
			out[used++] =
			    (struct model_share){*e->key, e->count, e->error};
	}
	return used;
}

/* Choose the rows of the series with the most events. */
static void
choose_rows(const struct series *s, struct model_tick *t)
{
	t->row_count = 0;
	for (uint8_t row = 0; row < SERIES_TYPES; row++) {
		size_t at = t->row_count;

		if (!s->types[row].used || s->types[row].sum == 0)
			continue;
		while (at > 0 &&
		       s->types[t->rows[at - 1]].sum < s->types[row].sum)
			at--;
		if (at == MODEL_TOP)
			continue;
		if (t->row_count < MODEL_TOP)
			t->row_count++;
		memmove(&t->rows[at + 1], &t->rows[at], t->row_count - at - 1);
		t->rows[at] = row;
	}
}

static void
note_batchd(struct model *m, const struct verdict_batchd *batchd)
{
	struct model_tick *t = &m->tick;

	t->batchd_answers = batchd->answers;
	(void)snprintf(t->batchd_error, sizeof t->batchd_error, "%s",
	               batchd->answers ? "" : batchd->error);
	t->stale_since_us =
	    batchd->answers || !m->pipeline.known ? 0 : m->pipeline.now_us;
	verdict_make(&t->verdict, &m->pipeline, batchd, t->now_us);
}

void
model_tick(struct model *m, uint64_t second, int64_t now_us,
           const struct verdict_batchd *batchd)
{
	struct model_tick *t = &m->tick;

	if (second < m->series.second)
		return;
	t->first = close_seconds(m, second);
	t->second = second;
	t->now_us = now_us;
	t->events = m->events;
	t->bytes = m->bytes;
	t->read = 0;
	for (uint64_t s = t->first; s <= second; s++)
		t->read += m->series.points[series_at(s)].read;
	t->type_count = read_shares(&m->types, t->types);
	t->user_count = read_shares(&m->users, t->users);
	t->distinct_types = (uint64_t)(top_distinct(&m->types) + 0.5);
	t->distinct_users = (uint64_t)(top_distinct(&m->users) + 0.5);
	for (size_t i = 0; i < t->type_count; i++)
		series_promote(&m->series, &t->types[i].key, t->types[i].count);
	choose_rows(&m->series, t);
	note_batchd(m, batchd);
	m->ticks++;
	m->events = m->bytes = 0;
	series_advance(&m->series, second + 1);
	top_advance(&m->types, (second + 1) / MINUTE);
	top_advance(&m->users, (second + 1) / MINUTE);
}
