/*
 * disk_jobs - batchd's disk work on libuv's threads: writing a group of
 * records, deleting and preparing segments, writing cursors.
 *
 * At most one job of each kind runs at a time.  While it runs, its thread
 * touches only what store.h and cursor.h give to it.  All functions are called
 * from the main thread.  Each disk_jobs_start_* starts its job if there is
 * something to do and none of that kind is running; the server calls them once
 * in each turn of the loop, and a job that ends causes a turn.
 */
#ifndef BATCHD_DISK_JOBS_H
#define BATCHD_DISK_JOBS_H

#include <uv.h>

#include "batchd/broker.h"

struct disk_job {
	uv_work_t work; /* data: the disk_jobs */
	bool busy;
	int rc;
};

struct disk_jobs {
	struct broker *broker; /* borrowed */
	uv_loop_t *loop;       /* borrowed */
	struct disk_job append, retention, cursors;
	bool retention_wanted, cursors_wanted;
	/*
	 * A write or a sync failed, and that was logged.  batchd must exit
	 * without acknowledging anything more: see I2 in docs/architecture.md.
	 */
	bool failed;
};

void disk_jobs_init(struct disk_jobs *j, struct broker *b, uv_loop_t *loop);

/* A failure of these two sets `failed`. */
void disk_jobs_start_append(struct disk_jobs *j);
void disk_jobs_start_cursors(struct disk_jobs *j);

/* After a failure the log fills up; store.full_reason is the reason. */
void disk_jobs_start_retention(struct disk_jobs *j);

#endif
