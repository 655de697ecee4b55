/*
 * disk - everything the log does to the disk, behind replaceable functions.
 *
 * disk_real works on a folder.  Tests put another struct disk in its place:
 * one that fails, or that forgets unsynced writes at a simulated power cut.
 * Names are relative to the log's folder and may hold one slash
 * ("cursors/postgres.cursor").  All functions return 0 (or what they say), or
 * -errno.  They may block, and may be called from several threads at once,
 * but never on one handle from two threads where one of them writes, except
 * that pread may run beside pwrite.
 */
#ifndef BATCHD_DISK_H
#define BATCHD_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "libbase/base.h"

struct disk {
	/* A handle (>= 0) for reading and writing; must be closed. */
	int (*open)(struct disk *d, const char *name, bool create);
	void (*close)(struct disk *d, int file);
	/* As pread(2) and pwrite(2): may be short. */
	ssize_t (*pread)(struct disk *d, int file, void *buf, size_t n,
	                 uint64_t at);
	ssize_t (*pwrite)(struct disk *d, int file, const void *buf, size_t n,
	                  uint64_t at);
	/* Content and size are on disk when this returns 0. */
	int (*sync)(struct disk *d, int file);
	int (*truncate)(struct disk *d, int file, uint64_t bytes);
	/* Reserve blocks for bytes 0 .. bytes, so that writes find room. */
	int (*allocate)(struct disk *d, int file, uint64_t bytes);
	/* Forget cached pages, so that reads show what the disk holds. */
	int (*drop_cache)(struct disk *d, int file);
	/* Start to read `n` bytes at `at`; a hint. */
	void (*will_need)(struct disk *d, int file, uint64_t at, uint64_t n);
	int64_t (*size)(struct disk *d, int file);
	int (*rename)(struct disk *d, const char *from, const char *to);
	int (*unlink)(struct disk *d, const char *name);
	/* Create a folder unless it is there. */
	int (*mkdir)(struct disk *d, const char *name);
	/* Names created, renamed and removed in folder are on disk. */
	int (*sync_dir)(struct disk *d, const char *folder);
	/* Call on_name for each name in folder; stops at its first error. */
	int (*list)(struct disk *d, const char *folder,
	            int (*on_name)(void *arg, const char *name), void *arg);
	/* Bytes that may still be written to the file system. */
	int64_t (*free_bytes)(struct disk *d);
};

/* A folder of the machine. */
struct disk_real {
	struct disk disk; /* first: the functions cast back */
	int dir;          /* owned; -1 when closed */
	int lock;         /* owned; held while open */
};

/*
 * Open the folder at path, creating its last part if need be, and take its
 * lock.  Returns 0, -EBUSY when another process holds the lock, or -errno.
 */
MUST_USE int disk_real_open(struct disk_real *d, const char *path);

/*
 * Open the folder at path to look only: without its lock, so also beside a
 * batchd that runs.  What would change it is -EROFS, but for sync and
 * drop_cache, which do nothing.  Returns 0 or -errno.
 */
MUST_USE int disk_real_open_read(struct disk_real *d, const char *path);

/* Let go of the folder and its lock.  Safe on a failed open. */
void disk_real_close(struct disk_real *d);

/* Write all n bytes.  Returns 0 or -errno (-EIO when nothing is taken). */
MUST_USE int disk_write(struct disk *d, int file, const void *buf, size_t n,
                        uint64_t at);

/* Read up to n bytes; fewer only at the file's end.  Number, or -errno. */
MUST_USE ssize_t disk_read(struct disk *d, int file, void *buf, size_t n,
                           uint64_t at);

#endif
