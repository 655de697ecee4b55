/* disk_jobs - see disk_jobs.h. */
#include "batchd/disk_jobs.h"

#include <assert.h>
#include <string.h>

#include "batchd/peer.h"
#include "libbase/clock.h"
#include "libbase/error.h"

void
disk_jobs_init(struct disk_jobs *j, struct broker *b, uv_loop_t *loop)
{
	*j = (struct disk_jobs){.broker = b, .loop = loop};
	j->append.work.data = j->retention.work.data = j;
	j->cursors.work.data = j;
}

/* The log may not have what was written.  Nothing is tried again (I2). */
static void
log_failed(struct disk_jobs *j, const char *what, int rc)
{
	log_error("%s failed, exiting; recovery will run at the next start "
	          "dir=%s err=%s",
	          what, log_quote(j->broker->settings->dir),
	          log_quote(error_text(rc)));
	j->failed = true;
}

static void
start_job(struct disk_jobs *j, struct disk_job *job, uv_work_cb on_work,
          uv_after_work_cb on_done)
{
	int rc;

	job->busy = true;
	rc = uv_queue_work(j->loop, &job->work, on_work, on_done);
	assert(rc == 0); /* it fails only without a callback */
}

static void
on_append_work(uv_work_t *work)
{
	struct disk_jobs *j = work->data;

	j->append.rc = store_append_run(&j->broker->store);
}

static void
on_append_done(uv_work_t *work, int status)
{
	struct disk_jobs *j = work->data;
	struct broker *b = j->broker;
	uint64_t now_ms = clock_mono_ms();
	int rc = status < 0 ? status : j->append.rc;

	j->append.busy = false;
	if (rc == 0)
		rc = store_append_end(&b->store, clock_wall_us());
	if (rc < 0) {
		log_failed(j, "log write", rc);
		return;
	}
	for (size_t i = 0; i < b->peer_count; i++)
		ack_queue_write_ends(&b->peers[i]->acks);
	for (size_t i = 0; i < b->sink_count; i++)
		consumer_log_grew(&b->sinks[i].consumer, now_ms);
	if (!b->store.spare_ready)
		j->retention_wanted = true;
}

void
disk_jobs_start_append(struct disk_jobs *j)
{
	struct broker *b = j->broker;

	if (j->append.busy || !store_append_begin(&b->store, clock_wall_us()))
		return;
	for (size_t i = 0; i < b->peer_count; i++)
		ack_queue_write_begins(&b->peers[i]->acks);
	start_job(j, &j->append, on_append_work, on_append_done);
}

static void
on_retention_work(uv_work_t *work)
{
	struct disk_jobs *j = work->data;

	retention_run(&j->broker->store);
}

static void
on_retention_done(uv_work_t *work, int status)
{
	struct disk_jobs *j = work->data;

	(void)status; /* it is never cancelled */
	j->retention.busy = false;
	retention_end(&j->broker->store);
}

/*
 * The lowest offset that a sink still wants, now or after a crash.  No segment
 * with events from there on may be deleted (I5).
 */
static uint64_t
lowest_cursor(const struct broker *b)
{
	uint64_t lowest = b->store.durable_offset;

	for (size_t i = 0; i < b->sink_count; i++) {
		const struct cursor *c = &b->sinks[i].consumer.position.cursor;

		if (c->durable.committed < lowest)
			lowest = c->durable.committed;
		/*
		 * The sink's store has gone back.  That is not on disk yet, but
		 * batchd will send these events.
		 */
		if (c->now.committed < lowest)
			lowest = c->now.committed;
		/* An operator moves the position there. */
		if (c->now.seek_to < lowest)
			lowest = c->now.seek_to;
		if (c->durable.seek_to < lowest)
			lowest = c->durable.seek_to;
	}
	return lowest;
}

void
disk_jobs_start_retention(struct disk_jobs *j)
{
	struct broker *b = j->broker;

	if (j->retention.busy || !j->retention_wanted)
		return;
	j->retention_wanted = false;
	if (!retention_begin(&b->store, lowest_cursor(b)))
		return;
	start_job(j, &j->retention, on_retention_work, on_retention_done);
}

static void
on_cursors_work(uv_work_t *work)
{
	struct disk_jobs *j = work->data;
	struct broker *b = j->broker;

	j->cursors.rc = 0;
	for (size_t i = 0; i < b->sink_count && j->cursors.rc == 0; i++) {
		const struct cursor *c = &b->sinks[i].consumer.position.cursor;

		if (c->busy)
			j->cursors.rc = cursor_write(c, b->store.disk);
	}
}

static void
on_cursors_done(uv_work_t *work, int status)
{
	struct disk_jobs *j = work->data;
	struct broker *b = j->broker;

	(void)status; /* it is never cancelled */
	j->cursors.busy = false;
	if (j->cursors.rc < 0) {
		log_failed(j, "cursor write", j->cursors.rc);
		return;
	}
	for (size_t i = 0; i < b->sink_count; i++) {
		if (!b->sinks[i].consumer.position.cursor.busy)
			continue;
		cursor_end(&b->sinks[i].consumer.position.cursor);
		consumer_cursor_written(&b->sinks[i].consumer);
	}
	j->retention_wanted = true;
}

void
disk_jobs_start_cursors(struct disk_jobs *j)
{
	struct broker *b = j->broker;
	bool any = false;

	for (size_t i = 0; i < b->sink_count; i++) {
		const struct consumer *c = &b->sinks[i].consumer;

		if (c->state == CONSUMER_SYNCING ||
		    !position_may_send(&c->position))
			j->cursors_wanted = true;
		if (order_awaits_cursor(&b->sinks[i].order) ||
		    dead_order_awaits_cursor(&b->sinks[i].dead_order,
		                             &c->position.cursor))
			j->cursors_wanted = true;
	}
	/*
	 * If the log has no room, write what the sinks have committed now, so
	 * that segments can be deleted.
	 */
	if (!store_accepts_requests(&b->store))
		j->cursors_wanted = true;
	if (j->cursors.busy || !j->cursors_wanted)
		return;
	j->cursors_wanted = false;
	for (size_t i = 0; i < b->sink_count; i++)
		any |= cursor_begin(&b->sinks[i].consumer.position.cursor);
	if (!any)
		return;
	start_job(j, &j->cursors, on_cursors_work, on_cursors_done);
}
