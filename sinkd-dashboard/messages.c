/* messages - see messages.h. */
#include "sinkd-dashboard/messages.h"

#include <string.h>

#include "libbase/base.h"
#include "libbase/json_text.h"

/* Room for what an `events` message has besides its rows. */
#define EVENTS_EXTRA_BYTES 128

/* --- members of an object --- */

/* Each of these appends `before`, which has the key, and a value. */

static void
add_number(struct buf *out, const char *before, uint64_t value)
{
	buf_add_text(out, before);
	buf_add_u64(out, value);
}

static void
add_time(struct buf *out, const char *before, int64_t us)
{
	add_number(out, before, us > 0 ? (uint64_t)us : 0);
}

/* null if the time is 0. */
static void
add_time_or_null(struct buf *out, const char *before, int64_t us)
{
	if (us > 0) {
		add_time(out, before, us);
		return;
	}
	buf_add_text(out, before);
	buf_add_text(out, "null");
}

static void
add_bool(struct buf *out, const char *before, bool value)
{
	buf_add_text(out, before);
	buf_add_text(out, value ? "true" : "false");
}

static void
add_text(struct buf *out, const char *before, const char *text)
{
	buf_add_text(out, before);
	json_text_add(out, slice_of(text));
}

static void
add_key(struct buf *out, const struct key *key)
{
	json_text_add(out, (struct slice){key->text, key->bytes});
}

/* --- hello --- */

void
message_hello(struct buf *out, const struct message_hello *hello)
{
	add_text(out, "{\"v\":1,\"version\":", LEAT_VERSION);
	add_text(out, ",\"boot\":", hello->boot);
	add_time(out, ",\"now_us\":", hello->now_us);
	add_text(out, ",\"show\":", show_name(hello->show));
	add_bool(out, ",\"login\":", hello->login);
	add_bool(out, ",\"session\":", hello->session);
	if (hello->ingest_url[0])
		add_text(out, ",\"curl\":", hello->ingest_url);
	buf_add_text(out, "}");
}

/* --- snapshot --- */

enum series_value { VALUE_EVENTS, VALUE_READ, VALUE_TYPE };

/*
 * The value of a second; 0 for one that the series has forgotten meanwhile, or
 * that was before the first second of the clock.
 */
static uint64_t
value_of(const struct series *s, enum series_value which,
         const struct series_type *type, uint64_t second)
{
	size_t at = series_at(second);

	if (second > s->second || s->second - second >= SERIES_SECONDS)
		return 0;
	switch (which) {
	case VALUE_EVENTS:
		return s->points[at].events;
	case VALUE_READ:
		return s->points[at].read;
	case VALUE_TYPE:
		return type ? type->counts[at] : 0;
	}
	return 0;
}

/* The values of the 900 seconds up to `second`, the oldest first. */
static void
add_values(struct buf *out, const struct series *s, enum series_value which,
           const struct series_type *type, uint64_t second)
{
	buf_add_text(out, "[");
	for (uint64_t i = 0; i < SERIES_SHOWN; i++)
		add_number(
		    out, i > 0 ? "," : "",
		    value_of(s, which, type, second - (SERIES_SHOWN - 1) + i));
	buf_add_text(out, "]");
}

static void
snapshot_begin(struct buf *out, const struct model *m, enum show show,
               struct message_snapshot *s)
{
	*s = (struct message_snapshot){.second = m->tick.second};
	if (show >= SHOW_TYPES)
		s->row_count = m->tick.row_count;
	for (size_t i = 0; i < s->row_count; i++) {
		s->rows[i] = m->tick.rows[i];
		s->keys[i] = m->series.types[s->rows[i]].key;
	}
	add_number(out, "{\"second\":", s->second);
	add_time(out, ",\"now_us\":", m->tick.now_us);
	buf_add_text(out, ",\"events\":");
	add_values(out, &m->series, VALUE_EVENTS, NULL, s->second);
}

bool
message_snapshot(struct buf *out, const struct model *m, enum show show,
                 struct message_snapshot *s, unsigned part)
{
	const struct series_type *type;
	size_t i = part - 2;

	if (part == 0) {
		snapshot_begin(out, m, show, s);
		return true;
	}
	if (part == 1) {
		buf_add_text(out, ",\"read\":");
		add_values(out, &m->series, VALUE_READ, NULL, s->second);
		buf_add_text(out, ",\"types\":[");
		return true;
	}
	if (i >= s->row_count) {
		buf_add_text(out, "]}");
		return false;
	}
	type = &m->series.types[s->rows[i]];
	if (type->key.hash != s->keys[i].hash)
		type = NULL;
	buf_add_text(out, i > 0 ? ",{\"name\":" : "{\"name\":");
	add_key(out, &s->keys[i]);
	buf_add_text(out, ",\"counts\":");
	add_values(out, &m->series, VALUE_TYPE, type, s->second);
	buf_add_text(out, "}");
	return true;
}

/* --- tick --- */

static void
add_shares(struct buf *out, const struct model_share *shares, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		buf_add_text(out, i > 0 ? ",[" : "[");
		add_key(out, &shares[i].key);
		add_number(out, ",", shares[i].count);
		add_number(out, ",", shares[i].error);
		buf_add_text(out, "]");
	}
}

static void
add_series(struct buf *out, const struct model *m)
{
	const struct model_tick *t = &m->tick;

	for (size_t i = 0; i < t->row_count; i++) {
		const struct series_type *type = &m->series.types[t->rows[i]];
		uint64_t read = 0;

		for (uint64_t s = t->first; s <= t->second; s++)
			read += type->counts[series_at(s)];
		buf_add_text(out, i > 0 ? ",[" : "[");
		add_key(out, &type->key);
		add_number(out, ",", read);
		buf_add_text(out, "]");
	}
}

static void
add_log(struct buf *out, const struct pipeline_log *log)
{
	add_number(out, ",\"total\":", log->durable_offset);
	add_number(out, ",\"log\":{\"bytes\":", log->bytes);
	add_number(out, ",\"max_bytes\":", log->max_bytes);
	add_bool(out, ",\"full\":", !log->open);
	add_text(out, ",\"full_reason\":", log->reason);
	if (log->full_in_s == PIPELINE_NEVER)
		buf_add_text(out, ",\"full_in_s\":null");
	else
		add_number(out, ",\"full_in_s\":", log->full_in_s);
	add_number(out, ",\"first_offset\":", log->first_offset);
	add_number(out, ",\"next_offset\":", log->next_offset);
	if (log->oldest_us == 0)
		buf_add_text(out, ",\"oldest_us\":null");
	else
		add_number(out, ",\"oldest_us\":", log->oldest_us);
	buf_add_text(out, "}");
}

static void
add_ingest(struct buf *out, const struct pipeline_ingest *in)
{
	add_number(out, ",\"ingest\":{\"processes\":", in->processes);
	add_number(out, ",\"events_per_s\":", in->events_per_s);
	add_number(out, ",\"responses_503_per_s\":", in->responses_503_per_s);
	add_number(out, ",\"rejected_per_s\":", in->rejected_per_s);
	add_number(out, ",\"connections\":", in->connections);
	buf_add_text(out, "}");
}

/* null if the sink is not paused. */
static void
add_pause(struct buf *out, const struct sink_pause *pause)
{
	if (!pause->paused) {
		buf_add_text(out, ",\"paused\":null");
		return;
	}
	add_number(out, ",\"paused\":{\"since_us\":", pause->since_us);
	add_time_or_null(out, ",\"until_us\":", (int64_t)pause->until_us);
	add_number(out, ",\"uid\":", pause->uid);
	add_text(out, ",\"why\":", pause->why);
	buf_add_text(out, "}");
}

static void
add_sink(struct buf *out, const struct pipeline_sink *sink)
{
	add_text(out, "{\"name\":", sink->name);
	add_text(out, ",\"state\":", sink->state);
	add_text(out, ",\"level\":", level_name(sink->level));
	add_pause(out, &sink->pause);
	add_text(out, ",\"order\":", sink->order);
	if (sink->error[0])
		add_text(out, ",\"error\":", sink->error);
	else
		buf_add_text(out, ",\"error\":null");
	add_time_or_null(out,
	                 ",\"error_since_us\":", (int64_t)sink->error_since_us);
	add_time_or_null(out,
	                 ",\"next_retry_us\":", (int64_t)sink->next_retry_us);
	add_number(out, ",\"lag_ms\":", sink->lag_ms);
	add_number(out, ",\"lag_events\":", sink->lag_events);
	add_number(out, ",\"events_per_s\":", sink->events_per_s);
	add_number(out, ",\"dead_letters\":", sink->dead_letters);
	add_number(out, ",\"committed\":", sink->committed);
	buf_add_text(out, "}");
}

static void
add_pipeline(struct buf *out, const struct pipeline *p)
{
	add_log(out, &p->log);
	add_ingest(out, &p->ingest);
	buf_add_text(out, ",\"sinks\":[");
	for (size_t i = 0; i < p->sink_count; i++) {
		buf_add_text(out, i > 0 ? "," : "");
		add_sink(out, &p->sinks[i]);
	}
	buf_add_text(out, "]");
}

static void
add_verdict(struct buf *out, const struct model_tick *t)
{
	add_bool(out, ",\"batchd\":", t->batchd_answers);
	if (!t->batchd_answers)
		add_text(out, ",\"batchd_error\":", t->batchd_error);
	if (t->stale_since_us > 0)
		add_time(out, ",\"stale_since_us\":", t->stale_since_us);
	add_text(out, ",\"level\":", level_name(t->verdict.level));
	add_text(out, ",\"verdict\":", t->verdict.text);
}

void
message_tick(struct buf *out, const struct model *m, enum show show,
             size_t viewers, size_t max_viewers)
{
	const struct model_tick *t = &m->tick;

	add_number(out, "{\"n\":", t->second);
	add_time(out, ",\"now_us\":", t->now_us);
	add_verdict(out, t);
	add_number(out, ",\"events\":", t->events);
	add_number(out, ",\"bytes\":", t->bytes);
	add_number(out, ",\"read\":", t->read);
	buf_add_text(out, ",\"series\":[");
	if (show >= SHOW_TYPES)
		add_series(out, m);
	buf_add_text(out, "],\"types\":[");
	if (show >= SHOW_TYPES)
		add_shares(out, t->types, t->type_count);
	buf_add_text(out, "],\"users\":[");
	if (show >= SHOW_EVENTS)
		add_shares(out, t->users, t->user_count);
	add_number(out, "],\"distinct_users\":", t->distinct_users);
	add_number(out, ",\"distinct_types\":", t->distinct_types);
	add_pipeline(out, &m->pipeline);
	add_number(out, ",\"viewers\":", viewers);
	add_number(out, ",\"max_viewers\":", max_viewers);
	buf_add_text(out, "}");
}

/* --- events --- */

static void
add_row(struct buf *out, const struct ring_event *event)
{
	add_number(out, "[", event->offset);
	add_time(out, ",", event->received_us);
	buf_add_text(out, ",");
	json_text_add(out, event->type);
	buf_add_text(out, ",");
	if (event->user.data)
		json_text_add(out, event->user);
	else
		buf_add_text(out, "null");
	buf_add_text(out, ",");
	json_text_add(out, event->payload);
	add_number(out, ",", event->payload_bytes);
	buf_add_text(out, "]");
}

/* The bytes of a row with its comma, by writing it and removing it again. */
static size_t
row_bytes(struct buf *out, const struct ring_event *event)
{
	size_t before = out->len, bytes;

	add_row(out, event);
	bytes = out->len - before + 1;
	out->len = before;
	return bytes;
}

size_t
message_events(struct buf *out, const struct event_ring *ring,
               const struct filter *filter, uint64_t from, size_t room)
{
	uint64_t rows[MESSAGE_ROWS];
	size_t matched = 0, used = 0, bytes = EVENTS_EXTRA_BYTES;

	if (from < ring->first)
		from = ring->first;
	for (uint64_t n = ring->next; n > from; n--) {
		const struct ring_event *event = event_ring_get(ring, n - 1);

		if (!filter_matches(filter, event))
			continue;
		/* Once the room is used up, the matching ones are counted. */
		if (matched++ == used && used < MESSAGE_ROWS) {
			bytes += row_bytes(out, event);
			if (bytes <= room)
				rows[used++] = n - 1;
		}
	}
	if (matched == 0)
		return 0;
	add_number(out, "{\"from\":", event_ring_get(ring, from)->offset);
	add_number(
	    out, ",\"to\":", event_ring_get(ring, ring->next - 1)->offset + 1);
	add_number(out, ",\"matched\":", matched);
	buf_add_text(out, ",\"rows\":[");
	for (size_t i = used; i-- > 0;) {
		add_row(out, event_ring_get(ring, rows[i]));
		buf_add_text(out, i > 0 ? "," : "");
	}
	buf_add_text(out, "]}");
	return matched;
}
