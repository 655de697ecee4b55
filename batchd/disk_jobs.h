/*
 * disk_jobs - batchd's disk work, on libuv's threads: appending a group,
 * deleting and preparing segments, writing cursors.
 *
 * Of each kind one at most is under way.  A thread touches only what store.h
 * and cursor.h give to it; before and after, all is the loop's.  Each of these
 * starts its job where there is something to do and none is under way; the
 * loop calls them once a turn, and a job that ends makes a turn.
 */
#ifndef BATCHD_DISK_JOBS_H
#define BATCHD_DISK_JOBS_H

#include "batchd/server.h"

/* A failure ends batchd: see I2 in docs/architecture.md. */
void disk_jobs_start_append(struct server *s);
void disk_jobs_start_cursors(struct server *s);

/* A failure is a full log: store_is_full says why. */
void disk_jobs_start_tidy(struct server *s);

#endif
