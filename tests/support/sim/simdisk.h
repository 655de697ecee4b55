/*
 * simdisk - a disk in memory whose power can fail.
 *
 * It keeps what is durable separate from what was only written.  When the power
 * fails, unsynced writes are kept, lost, reordered or torn, in sectors of 512
 * bytes, as the seed determines.  Of the unsynced changes of names in each
 * directory, a prefix is kept.
 *
 * It holds one rule of POSIX strictly that file systems relax: the name of a
 * file is durable only after its directory was synced.  The name of a directory
 * is an entry of the directory above it; when it is lost, all files in the
 * directory are lost.
 *
 * It can also make one call fail, once.  A fault that this call cannot have (a
 * sync is never short) waits for the next call that can have it.  After a
 * failed sync, the pages that were to be written are clean and may be lost, as
 * on Linux.
 */
#ifndef TESTS_SIMDISK_H
#define TESTS_SIMDISK_H

#include <stdbool.h>
#include <stdint.h>

#include "batchd/disk.h"

#define SIM_FILES 4096 /* created between two power failures */
#define SIM_HANDLES 256
#define SIM_NAME_BYTES 96

enum sim_fault {
	SIM_NONE,
	SIM_EIO,
	SIM_ENOSPC,
	SIM_EINTR,
	SIM_SHORT,
	SIM_EMFILE,
	SIM_FAULTS
};

/* A write, or a change of size to `bytes`, not yet synced. */
struct sim_write {
	uint64_t at, bytes;
	uint64_t data; /* where its bytes begin in the file's `pending` */
	bool resize;
};

struct sim_bytes {
	uint8_t *data;
	uint64_t bytes, cap;
};

struct sim_file {
	struct sim_bytes now, durable;
	struct sim_bytes pending; /* the bytes of all writes */
	struct sim_write *writes;
	size_t write_count, write_cap;
	unsigned names; /* links, in either namespace */
	bool used;
};

struct sim_entry {
	char name[SIM_NAME_BYTES];
	int file;
};

/* One change of names in a directory. */
struct sim_change {
	char remove[SIM_NAME_BYTES]; /* "" for none */
	char add[SIM_NAME_BYTES];
	int file;
};

struct sim_names {
	struct sim_entry *entries;
	size_t count, cap;
};

struct simdisk {
	struct disk disk;       /* first: the functions cast back */
	uint64_t random;        /* state of the generator */
	struct sim_file *files; /* SIM_FILES, of which file_count were used */
	int file_count;
	int handles[SIM_HANDLES]; /* file of each; -1 when closed */
	struct sim_names now, durable;
	struct sim_change *changes; /* of `now`, not yet in `durable` */
	size_t change_count, change_cap;
	uint64_t calls;   /* so far */
	uint64_t cut_at;  /* the call at which the power fails; 0: none */
	bool off;         /* the power has failed, and all calls fail */
	uint64_t fail_at; /* the call that fails; 0: none */
	enum sim_fault fault;
	bool failed;              /* that call has failed */
	uint64_t met[SIM_FAULTS]; /* calls with each fault */
	bool no_sync;             /* break: sync does nothing */
	bool no_cursor_sync;      /* break: the same, for cursors only */
	int64_t capacity_bytes;
};

void sim_init(struct simdisk *s, uint64_t seed);
void sim_fini(struct simdisk *s);

/* Power is back: keep what the disk holds now.  Closes all handles. */
void sim_power_cycle(struct simdisk *s);

/* Close all handles, as when the process dies and the machine does not. */
void sim_close_all(struct simdisk *s);

/* Make `to`, which was initialised, a copy of `from`. */
void sim_copy(struct simdisk *to, const struct simdisk *from);

uint64_t sim_random(uint64_t *state);

#endif
