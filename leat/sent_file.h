/*
 * sent_file - FILE.sent: how much of a file has been sent.
 *
 * It has the place up to which ingestd has accepted the events, and the key
 * from which their ids are made.  It is written before the first request, and
 * again after each answer.  A run that ends early can therefore be continued,
 * and what was sent last is then sent with the same ids.
 *
 * It belongs to one file, which it recognises by the inode and by the bytes at
 * the beginning and before the place.  Another file of the same name is
 * refused.  The file may grow meanwhile.
 */
#ifndef LEAT_SENT_FILE_H
#define LEAT_SENT_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "leat/splitter.h"
#include "leat/uuid5.h"
#include "libbase/base.h"

struct sent_state {
	struct splitter_position position;
	uint8_t key[UUID_BYTES];
	uint64_t accepted; /* events, in all runs */
	uint64_t rejected; /* the same, since a run has ended completely */
};

struct sent_file {
	int fd;       /* of FILE.sent, or -1; owned */
	int input;    /* of FILE; borrowed */
	bool resumed; /* it was there, and it is that of this file */
	struct sent_state state;
	uint64_t inode;
	uint64_t head_bytes; /* of the beginning of the file, and their hash */
	uint8_t head[UUID_BYTES];
};

/*
 * Open FILE.sent for the file `path`, which is open as `input`, and lock it.
 * If it does not exist, or with `restart`, it is written for the beginning of
 * the file.  Returns 0, or a negative error after logging it and what to do.
 */
MUST_USE int sent_file_open(struct sent_file *f, const char *path, int input,
                            bool restart);

/* Write f->state and sync it.  Returns 0 or -errno. */
MUST_USE int sent_file_save(struct sent_file *f);

/* Close it and release the lock.  Harmless if it is closed. */
void sent_file_close(struct sent_file *f);

/*
 * Make the key for the ids of a file that is open as `input`, from what
 * identifies it as it is now: its size, its time of change, and the bytes at
 * its beginning.  Returns 0 or -errno.
 */
MUST_USE int sent_file_key(int input, uint8_t key[UUID_BYTES]);

#endif
