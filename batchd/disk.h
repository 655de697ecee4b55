/*
 * disk - all operations of the log on the disk, as replaceable functions.
 *
 * disk_real works on a directory.  Tests replace it with a struct disk that
 * fails, or that forgets unsynced writes at a simulated power cut.
 *
 * Names are relative to the log's directory and may contain one slash
 * ("cursors/postgres.cursor").  The functions return 0, or what their comment
 * names, and on failure -errno or a code of libbase/error.h.  They may block.
 * Several threads may call them at once, but not for one handle if one of the
 * threads writes; only pread and pwrite may run at the same time.
 */
#ifndef BATCHD_DISK_H
#define BATCHD_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "libbase/base.h"

struct disk {
	/* Returns a handle (>= 0) to read and write; it must be closed. */
	int (*open)(struct disk *d, const char *name, bool create);
	void (*close)(struct disk *d, int file);
	/* As pread(2) and pwrite(2), which may be short. */
	ssize_t (*pread)(struct disk *d, int file, void *buf, size_t n,
	                 uint64_t at);
	ssize_t (*pwrite)(struct disk *d, int file, const void *buf, size_t n,
	                  uint64_t at);
	/* Make content and size durable. */
	int (*sync)(struct disk *d, int file);
	int (*truncate)(struct disk *d, int file, uint64_t bytes);
	/* Reserve blocks for the first `bytes` bytes of the file. */
	int (*allocate)(struct disk *d, int file, uint64_t bytes);
	/* Drop cached pages, so that reads show what the disk holds. */
	int (*drop_cache)(struct disk *d, int file);
	/* A hint to read `n` bytes at `at` into the cache. */
	void (*will_need)(struct disk *d, int file, uint64_t at, uint64_t n);
	int64_t (*size)(struct disk *d, int file);
	int (*rename)(struct disk *d, const char *from, const char *to);
	int (*unlink)(struct disk *d, const char *name);
	/* Create a directory unless it exists. */
	int (*mkdir)(struct disk *d, const char *name);
	/* Make the names created, renamed and removed in it durable. */
	int (*sync_dir)(struct disk *d, const char *directory);
	/*
	 * Call on_name for each name in the directory, until it returns another
	 * value than 0, which is then returned.
	 */
	int (*list)(struct disk *d, const char *directory,
	            int (*on_name)(void *arg, const char *name), void *arg);
	/* Returns the bytes that are free on the file system. */
	int64_t (*free_bytes)(struct disk *d);
};

/* A directory of this machine. */
struct disk_real {
	struct disk disk; /* first: the functions cast back */
	int dir;          /* owned; -1 when closed */
	int lock;         /* owned; held while open */
};

/*
 * Open the directory at path, creating its last component if necessary, and
 * take its lock.  Returns 0; -EBUSY when another process holds the lock; or as
 * the functions above.  disk_real_close must follow if it succeeds.
 */
MUST_USE int disk_real_open(struct disk_real *d, const char *path);

/*
 * Open the directory at path for reading only.  It takes no lock, so it works
 * while batchd runs.  Functions that would change a file or a name return
 * -EROFS; sync and drop_cache do nothing.  Returns 0 or -errno.
 */
MUST_USE int disk_real_open_read(struct disk_real *d, const char *path);

/* Close the directory and release its lock.  Harmless after a failed open. */
void disk_real_close(struct disk_real *d);

/* Write all n bytes.  Returns 0 or -errno (-EIO when a write writes nothing).
 */
MUST_USE int disk_write(struct disk *d, int file, const void *buf, size_t n,
                        uint64_t at);

/* Read n bytes, or fewer at the end of the file.  Returns the number or -errno.
 */
MUST_USE ssize_t disk_read(struct disk *d, int file, void *buf, size_t n,
                           uint64_t at);

#endif
