/* disk_jobs - see disk_jobs.h. */
#include "batchd/disk_jobs.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "libbase/clock.h"
#include "libbase/error.h"

/* The log cannot be trusted to have what was written: stop (I2). */
static void
log_failed(struct server *s, const char *what, int rc)
{
	log_error("%s failed, stopping: what is on disk decides at the next "
	          "start dir=%s err=%s",
	          what, log_quote(s->settings->dir), log_quote(error_text(rc)));
	s->rc = EXIT_FAILURE;
	server_stop(s);
}

static void
on_append_work(uv_work_t *work)
{
	struct server *s = work->data;

	s->append.rc = store_append_run(&s->store);
}

static void
on_append_done(uv_work_t *work, int status)
{
	struct server *s = work->data;
	uint64_t now_ms = clock_mono_ms();
	int rc = status < 0 ? status : s->append.rc;

	s->append.busy = false;
	if (rc == 0)
		rc = store_append_end(&s->store, clock_wall_us());
	if (rc < 0) {
		log_failed(s, "writing the log", rc);
		return;
	}
	for (size_t i = 0; i < s->peer_count; i++)
		ack_queue_write_ends(&s->peers[i]->acks);
	for (size_t i = 0; i < s->consumer_count; i++)
		consumer_log_grew(&s->consumers[i], now_ms);
	if (!s->store.spare_ready)
		s->retention_wanted = true;
}

void
disk_jobs_start_append(struct server *s)
{
	int rc;

	if (s->append.busy || !store_append_begin(&s->store, clock_wall_us()))
		return;
	for (size_t i = 0; i < s->peer_count; i++)
		ack_queue_write_begins(&s->peers[i]->acks);
	s->append.busy = true;
	rc = uv_queue_work(&s->loop, &s->append.work, on_append_work,
	                   on_append_done);
	assert(rc == 0); /* fails only without a callback */
}

static void
on_retention_work(uv_work_t *work)
{
	struct server *s = work->data;

	retention_run(&s->store);
}

static void
on_retention_done(uv_work_t *work, int status)
{
	struct server *s = work->data;

	(void)status; /* never cancelled */
	s->retention.busy = false;
	retention_end(&s->store);
}

/* Lowest offset that some sink still wants, now or after a crash. */
static uint64_t
lowest_cursor(const struct server *s)
{
	uint64_t lowest = s->store.durable_offset;

	for (size_t i = 0; i < s->consumer_count; i++) {
		const struct cursor *c = &s->consumers[i].cursor;

		if (c->durable.committed < lowest)
			lowest = c->durable.committed;
		/* Its store has gone back: not on disk yet, but promised. */
		if (c->now.committed < lowest)
			lowest = c->now.committed;
	}
	return lowest;
}

void
disk_jobs_start_tidy(struct server *s)
{
	int rc;

	if (s->retention.busy || !s->retention_wanted)
		return;
	s->retention_wanted = false;
	if (!retention_begin(&s->store, lowest_cursor(s), clock_wall_us()))
		return;
	s->retention.busy = true;
	rc = uv_queue_work(&s->loop, &s->retention.work, on_retention_work,
	                   on_retention_done);
	assert(rc == 0); /* fails only without a callback */
}

static void
on_cursors_work(uv_work_t *work)
{
	struct server *s = work->data;

	s->cursors.rc = 0;
	for (size_t i = 0; i < s->consumer_count && s->cursors.rc == 0; i++) {
		const struct cursor *c = &s->consumers[i].cursor;

		if (c->busy)
			s->cursors.rc = cursor_write(c, &s->disk.disk);
	}
}

static void
on_cursors_done(uv_work_t *work, int status)
{
	struct server *s = work->data;

	(void)status; /* never cancelled */
	s->cursors.busy = false;
	if (s->cursors.rc < 0) {
		log_failed(s, "writing a cursor", s->cursors.rc);
		return;
	}
	for (size_t i = 0; i < s->consumer_count; i++) {
		if (!s->consumers[i].cursor.busy)
			continue;
		cursor_end(&s->consumers[i].cursor);
		consumer_cursor_written(&s->consumers[i]);
	}
	s->retention_wanted = true;
}

void
disk_jobs_start_cursors(struct server *s)
{
	bool any = false;
	int rc;

	for (size_t i = 0; i < s->consumer_count; i++) {
		if (consumer_awaits_cursor(&s->consumers[i]))
			s->cursors_wanted = true;
	}
	/* Without room, what is committed must become deletable now. */
	if (!store_accepts_requests(&s->store))
		s->cursors_wanted = true;
	if (s->cursors.busy || !s->cursors_wanted)
		return;
	s->cursors_wanted = false;
	for (size_t i = 0; i < s->consumer_count; i++)
		any |= cursor_begin(&s->consumers[i].cursor);
	if (!any)
		return;
	s->cursors.busy = true;
	rc = uv_queue_work(&s->loop, &s->cursors.work, on_cursors_work,
	                   on_cursors_done);
	assert(rc == 0); /* fails only without a callback */
}
