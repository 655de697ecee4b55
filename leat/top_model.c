/* top_model - see top_model.h. */
#include "leat/top_model.h"

#include <errno.h>
#include <string.h>

#include "libproto/status_map.h"

/* --- one status --- */

static void
top_text(const msgpack_object *map, const char *key, char *out, uint32_t size)
{
	status_map_copy_text(status_map_get(map, key), out, size);
}

static void
top_read_log(struct top_model *m, const msgpack_object *log)
{
	top_text(log, "reason", m->reason, sizeof m->reason);
	top_text(log, "fsync", m->fsync, sizeof m->fsync);
	m->bytes = status_map_uint(log, "bytes");
	m->max_bytes = status_map_uint(log, "max_bytes");
	m->segments = status_map_uint(log, "segments");
	m->first_offset = status_map_uint(log, "first_offset");
	m->durable_offset = status_map_uint(log, "durable_offset");
	m->next_offset = status_map_uint(log, "next_offset");
}

static void
top_read_sink(struct top_sink *s, const msgpack_object *map)
{
	const msgpack_object *stats = status_map_get(map, "stats");

	*s = (struct top_sink){0};
	top_text(map, "name", s->name, sizeof s->name);
	sink_status_state(map, s->state, sizeof s->state);
	sink_status_pause(map, &s->pause);
	top_text(map, "order", s->order, sizeof s->order);
	top_text(stats, "error", s->error, sizeof s->error);
	s->error_since_us = status_map_uint(stats, "error_since_us");
	s->committed = status_map_uint(map, "committed");
	s->generation = status_map_uint(map, "generation");
	s->replayed_events = status_map_uint(map, "replayed_events");
	s->skipped_events = status_map_uint(map, "skipped_events");
	s->lag_events = status_map_uint(map, "lag_events");
	s->lag_bytes = status_map_uint(map, "lag_bytes");
	s->lag_ms = status_map_uint(map, "lag_ms");
	s->retries = status_map_uint(status_map_get(map, "totals"), "retries");
	s->dead_letters = status_map_uint(stats, "dead_letters");
	s->dropped_events = status_map_uint(map, "dropped_events");
}

static void
top_read_sinks(struct top_model *m, msgpack_object_array all)
{
	m->sink_count = all.size < TOP_SINKS_MAX ? all.size : TOP_SINKS_MAX;
	for (size_t i = 0; i < m->sink_count; i++)
		top_read_sink(&m->sinks[i], &all.ptr[i]);
}

static void
top_read_problems(struct top_model *m, msgpack_object_array all)
{
	m->problem_count = all.size;
	m->problems_kept = m->problem_count < TOP_PROBLEMS_MAX
	                       ? m->problem_count
	                       : TOP_PROBLEMS_MAX;
	for (size_t i = 0; i < m->problems_kept; i++)
		status_map_copy_text(&all.ptr[i], m->problems[i],
		                     sizeof m->problems[i]);
}

/* --- what follows from several statuses --- */

/*
 * Forget the samples of another process of batchd, in which counters begin at
 * zero and other sinks may be known.  Those of one sink are of no use once its
 * position was moved.
 */
static void
forget_samples(struct top_model *m)
{
	const struct top_sample *last;

	if (m->sample_count == 0)
		return;
	last = &m->samples[m->sample_count - 1];
	if (m->pid != last->pid || m->uptime_ms < last->at_ms ||
	    m->durable_offset < last->durable_offset ||
	    m->sink_count != last->sink_count) {
		m->sample_count = 0;
		memset(m->sink_from_ms, 0, sizeof m->sink_from_ms);
		return;
	}
	for (size_t i = 0; i < m->sink_count; i++) {
		if (m->sinks[i].generation != last->generation[i] ||
		    m->sinks[i].committed < last->committed[i])
			m->sink_from_ms[i] = m->uptime_ms;
	}
}

static void
keep_sample(struct top_model *m, uint64_t appended_bytes)
{
	struct top_sample *s;
	size_t drop = 0;

	/* batchd may send one status twice. */
	if (m->sample_count > 0 &&
	    m->samples[m->sample_count - 1].at_ms == m->uptime_ms)
		m->sample_count--;
	while (drop < m->sample_count &&
	       m->samples[drop].at_ms + TOP_WINDOW_MS < m->uptime_ms)
		drop++;
	/* The last one that is older serves if the others are too few. */
	if (drop > 0 && drop == m->sample_count)
		drop--;
	if (m->sample_count - drop == TOP_SAMPLES)
		drop++;
	m->sample_count -= drop;
	memmove(m->samples, m->samples + drop,
	        m->sample_count * sizeof m->samples[0]);
	s = &m->samples[m->sample_count++];
	s->at_ms = m->uptime_ms;
	s->durable_offset = m->durable_offset;
	s->appended_bytes = appended_bytes;
	s->rejected_events = m->rejected_events;
	s->pid = m->pid;
	s->sink_count = m->sink_count;
	for (size_t i = 0; i < m->sink_count; i++) {
		s->committed[i] = m->sinks[i].committed;
		s->generation[i] = m->sinks[i].generation;
	}
}

/* The rate of a counter; 0 if it was set back. */
static uint64_t
per_second(uint64_t before, uint64_t now, uint64_t ms)
{
	if (now < before || ms == 0)
		return 0;
	return (uint64_t)((double)(now - before) * 1000 / (double)ms + 0.5);
}

static void
estimate_catch_up(struct top_sink *s, const struct top_sample *from,
                  const struct top_sample *to, uint64_t committed)
{
	double ms = (double)(to->at_ms - from->at_ms);
	double arrived = (double)(to->durable_offset - from->durable_offset);
	double stored = (double)(s->committed - committed);

	if (stored <= arrived) {
		s->catch_up = TOP_CATCH_UP_NEVER;
		return;
	}
	s->catch_up = TOP_CATCH_UP_IN;
	s->catch_up_ms =
	    (uint64_t)((double)s->lag_events * ms / (stored - arrived));
}

static void
rate_sink(struct top_model *m, size_t i)
{
	const struct top_sample *to = &m->samples[m->sample_count - 1];
	const struct top_sample *from = m->samples;
	struct top_sink *s = &m->sinks[i];

	while (from < to && from->at_ms < m->sink_from_ms[i])
		from++;
	s->has_rate = from < to;
	if (s->has_rate)
		s->events_per_s = per_second(from->committed[i], s->committed,
		                             to->at_ms - from->at_ms);
	if (s->pause.paused)
		s->catch_up = TOP_CATCH_UP_PAUSED;
	else if (s->lag_events == 0 || s->lag_ms < TOP_LAG_MS)
		s->catch_up = TOP_CATCH_UP_NONE;
	else if (s->has_rate)
		estimate_catch_up(s, from, to, from->committed[i]);
}

static void
compute_rates(struct top_model *m)
{
	const struct top_sample *to = &m->samples[m->sample_count - 1];
	const struct top_sample *from = m->samples;
	uint64_t ms = to->at_ms - from->at_ms;

	m->has_rate = ms > 0;
	m->events_per_s =
	    per_second(from->durable_offset, to->durable_offset, ms);
	m->bytes_per_s =
	    per_second(from->appended_bytes, to->appended_bytes, ms);
	m->rejected_per_s =
	    per_second(from->rejected_events, to->rejected_events, ms);
	for (size_t i = 0; i < m->sink_count; i++)
		rate_sink(m, i);
}

int
top_model_read(struct top_model *m, const msgpack_object *status)
{
	const msgpack_object *batchd = status_map_get(status, "batchd");
	const msgpack_object *log = status_map_get(status, "log");
	const msgpack_object *ingest = status_map_get(status, "ingest");

	if (!batchd || !log)
		return -EBADMSG;
	m->known = true;
	top_text(status, "version", m->version, sizeof m->version);
	m->now_us = status_map_uint(status, "now_us");
	m->pid = status_map_uint(batchd, "pid");
	m->uptime_ms = status_map_uint(batchd, "uptime_ms");
	top_read_log(m, log);
	m->ingest_processes = status_map_uint(ingest, "processes");
	m->rejected_events = status_map_uint(ingest, "rejected_events");
	m->pending_requests = status_map_uint(ingest, "pending_requests");
	m->responses_503 = status_map_uint(ingest, "responses_503");
	top_read_sinks(m, status_map_array(status, "sinks"));
	top_read_problems(m, status_map_array(status, "problems"));
	forget_samples(m);
	keep_sample(m, status_map_uint(log, "appended_bytes"));
	compute_rates(m);
	return 0;
}

/* --- the order --- */

const char *
top_sort_name(enum top_sort sort)
{
	static const char *const names[TOP_SORTS] = {
	    [TOP_SORT_SETTINGS] = "settings",
	    [TOP_SORT_LAG] = "lag",
	    [TOP_SORT_RATE] = "events/s",
	    [TOP_SORT_DEAD] = "dead letters"};

	return names[sort];
}

static uint64_t
sort_key(const struct top_sink *s, enum top_sort sort)
{
	switch (sort) {
	case TOP_SORT_LAG:
		return s->lag_events;
	case TOP_SORT_RATE:
		return s->events_per_s;
	case TOP_SORT_DEAD:
		return s->dead_letters;
	case TOP_SORT_SETTINGS:
	case TOP_SORTS:
		break;
	}
	return 0;
}

void
top_model_order(const struct top_model *m, enum top_sort sort,
                size_t order[TOP_SINKS_MAX])
{
	for (size_t i = 0; i < m->sink_count; i++) {
		uint64_t key = sort_key(&m->sinks[i], sort);
		size_t at = i;

		for (; at > 0 && sort_key(&m->sinks[order[at - 1]], sort) < key;
		     at--)
			order[at] = order[at - 1];
		order[at] = i;
	}
}

int
top_model_find(const struct top_model *m, const char *name)
{
	for (size_t i = 0; i < m->sink_count; i++) {
		if (strcmp(m->sinks[i].name, name) == 0)
			return (int)i;
	}
	return -1;
}
