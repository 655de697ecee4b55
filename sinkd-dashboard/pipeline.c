/* pipeline - see pipeline.h. */
#include "sinkd-dashboard/pipeline.h"

#include <errno.h>
#include <string.h>

#include <msgpack.h>

#include "libproto/status_map.h"

/* A growth that is seen for less time is not extrapolated. */
#define GROWTH_LEAST_MS 10000

/* What would be full only after this is called never. */
#define FULL_IN_MOST_S (30 * 86400)

/* --- reading --- */

/* JSON's readers take numbers for doubles; none of these is larger. */
static uint64_t
safe_number(uint64_t n)
{
	return n < (UINT64_C(1) << 53) ? n : 0;
}

static uint64_t
pipeline_number(const msgpack_object *map, const char *key)
{
	return safe_number(status_map_uint(map, key));
}

static void
pipeline_text(const msgpack_object *map, const char *key, char *out,
              uint32_t size)
{
	status_map_copy_text(status_map_get(map, key), out, size);
}

static void
read_log(const msgpack_object *map, struct pipeline_log *log)
{
	pipeline_text(map, "stream", log->stream, sizeof log->stream);
	log->bytes = pipeline_number(map, "bytes");
	log->max_bytes = pipeline_number(map, "max_bytes");
	log->first_offset = pipeline_number(map, "first_offset");
	log->oldest_us = pipeline_number(map, "oldest_us");
	log->next_offset = pipeline_number(map, "next_offset");
	log->durable_offset = pipeline_number(map, "durable_offset");
	log->appended_bytes = pipeline_number(map, "appended_bytes");
	log->lost_events = pipeline_number(map, "lost_events");
	log->open = status_map_bool(map, "open");
	pipeline_text(map, "reason", log->reason, sizeof log->reason);
}

static void
read_ingest(const msgpack_object *map, struct pipeline_ingest *ingest)
{
	ingest->processes = pipeline_number(map, "processes");
	ingest->connections = pipeline_number(map, "connections");
	ingest->accepted = pipeline_number(map, "accepted_events");
	ingest->responses_503 = pipeline_number(map, "responses_503");
	ingest->rejected = pipeline_number(map, "rejected_events");
}

static void
read_pause(const msgpack_object *map, struct sink_pause *pause)
{
	sink_status_pause(map, pause);
	pause->since_us = safe_number(pause->since_us);
	pause->until_us = safe_number(pause->until_us);
	pause->uid = safe_number(pause->uid);
}

static void
read_sink(const msgpack_object *map, struct pipeline_sink *sink)
{
	const msgpack_object *stats = status_map_get(map, "stats");

	pipeline_text(map, "name", sink->name, sizeof sink->name);
	sink_status_state(map, sink->state, sizeof sink->state);
	read_pause(map, &sink->pause);
	pipeline_text(map, "order", sink->order, sizeof sink->order);
	pipeline_text(stats, "error", sink->error, sizeof sink->error);
	sink->error_since_us = pipeline_number(stats, "error_since_us");
	sink->next_retry_us = pipeline_number(stats, "next_retry_us");
	sink->lag_ms = pipeline_number(map, "lag_ms");
	sink->lag_events = pipeline_number(map, "lag_events");
	sink->events_per_s = pipeline_number(map, "events_per_s");
	sink->dead_letters = pipeline_number(stats, "dead_letters");
	sink->committed = pipeline_number(map, "committed");
	sink->absent_since_us = !status_map_bool(map, "connected");
}

/* --- what follows from two statuses --- */

/* The rate of a counter, which begins at 0 again with batchd's process. */
static uint64_t
rate_of(uint64_t before, uint64_t now, uint64_t passed_ms)
{
	if (now < before || passed_ms == 0)
		return 0;
	return ((now - before) * 1000 + passed_ms / 2) / passed_ms;
}

/*
 * When a condition that holds now began, if it held before; else now.  After
 * the clock was set back, it counts from now again.
 */
static int64_t
since(bool holds, int64_t before_us, int64_t now_us)
{
	if (!holds)
		return 0;
	return before_us > 0 && before_us < now_us ? before_us : now_us;
}

static const struct pipeline_sink *
find_sink(const struct pipeline *p, const char *name)
{
	for (size_t i = 0; i < p->sink_count; i++) {
		if (strcmp(p->sinks[i].name, name) == 0)
			return &p->sinks[i];
	}
	return NULL;
}

static void
compare(struct pipeline *p, const struct pipeline *before)
{
	struct pipeline_ingest *in = &p->ingest;
	const struct pipeline_ingest *was = &before->ingest;
	uint64_t passed_ms = before->known ? p->at_ms - before->at_ms : 0;

	in->events_per_s = rate_of(was->accepted, in->accepted, passed_ms);
	in->responses_503_per_s =
	    rate_of(was->responses_503, in->responses_503, passed_ms);
	in->rejected_per_s = rate_of(was->rejected, in->rejected, passed_ms);
	in->absent_since_us =
	    since(in->processes == 0, was->absent_since_us, p->now_us);
	p->log.closed_since_us =
	    since(!p->log.open, before->log.closed_since_us, p->now_us);
	for (size_t i = 0; i < p->sink_count; i++) {
		struct pipeline_sink *sink = &p->sinks[i];
		const struct pipeline_sink *old = find_sink(before, sink->name);

		sink->absent_since_us =
		    since(sink->absent_since_us, old ? old->absent_since_us : 0,
		          p->now_us);
	}
}

/*
 * By how much the log has grown since a point.  batchd allocates a segment as a
 * whole, so a new log is 64 MiB larger after one event.  The growth is
 * therefore at most what was appended, which batchd counts from its start.
 */
static uint64_t
grown_since(const struct pipeline_log *log, const struct pipeline_growth *point)
{
	uint64_t appended = log->appended_bytes, grown;

	if (appended >= point->appended_bytes)
		appended -= point->appended_bytes;
	grown = log->bytes > point->bytes ? log->bytes - point->bytes : 0;
	return grown < appended ? grown : appended;
}

/*
 * Keep a point of the log's size every few seconds, and extrapolate from the
 * oldest one.  A log whose old segments are deleted goes up and down; over
 * minutes that averages out.
 */
static void
update_growth(struct pipeline *p)
{
	size_t newest = (p->growth_next + PIPELINE_GROWTH_POINTS - 1) %
	                PIPELINE_GROWTH_POINTS;
	size_t oldest;
	struct pipeline_log *log = &p->log;
	uint64_t passed_ms, grown;

	if (p->growth_used == 0 ||
	    p->at_ms - p->growth[newest].at_ms >= PIPELINE_GROWTH_STEP_MS) {
		p->growth[p->growth_next] = (struct pipeline_growth){
		    p->at_ms, log->bytes, log->appended_bytes};
		p->growth_next = (p->growth_next + 1) % PIPELINE_GROWTH_POINTS;
		if (p->growth_used < PIPELINE_GROWTH_POINTS)
			p->growth_used++;
	}
	oldest = p->growth_used < PIPELINE_GROWTH_POINTS ? 0 : p->growth_next;
	log->full_in_s = log->open ? PIPELINE_NEVER : 0;
	passed_ms = p->at_ms - p->growth[oldest].at_ms;
	grown = grown_since(log, &p->growth[oldest]);
	if (!log->open || passed_ms < GROWTH_LEAST_MS || grown == 0 ||
	    log->bytes >= log->max_bytes)
		return;
	log->full_in_s = (uint64_t)((double)(log->max_bytes - log->bytes) *
	                            (double)passed_ms / 1000 / (double)grown);
	if (log->full_in_s > FULL_IN_MOST_S)
		log->full_in_s = PIPELINE_NEVER;
}

/* --- */

static void
read_status(const msgpack_object *status, struct pipeline *p)
{
	const msgpack_object_array sinks = status_map_array(status, "sinks");

	p->now_us = (int64_t)pipeline_number(status, "now_us");
	read_log(status_map_get(status, "log"), &p->log);
	read_ingest(status_map_get(status, "ingest"), &p->ingest);
	for (uint32_t i = 0; i < sinks.size && i < PIPELINE_SINKS; i++)
		read_sink(&sinks.ptr[i], &p->sinks[p->sink_count++]);
}

int
pipeline_read(struct pipeline *p, const void *map, size_t bytes, uint64_t at_ms)
{
	struct pipeline fresh = {.known = true, .at_ms = at_ms};
	msgpack_unpacked unpacked;
	size_t at = 0;
	int rc = -EBADMSG;

	memcpy(fresh.growth, p->growth, sizeof fresh.growth);
	fresh.growth_next = p->growth_next;
	fresh.growth_used = p->growth_used;
	msgpack_unpacked_init(&unpacked);
	if (msgpack_unpack_next(&unpacked, map, bytes, &at) ==
	        MSGPACK_UNPACK_SUCCESS &&
	    status_map_get_type(&unpacked.data, "log", MSGPACK_OBJECT_MAP)) {
		read_status(&unpacked.data, &fresh);
		compare(&fresh, p);
		update_growth(&fresh);
		*p = fresh;
		rc = 0;
	}
	msgpack_unpacked_destroy(&unpacked);
	return rc;
}
