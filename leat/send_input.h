/*
 * send_input - the input of `leat send`: a file that can be resumed, or a
 * stream that cannot.
 */
#ifndef LEAT_SEND_INPUT_H
#define LEAT_SEND_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "leat/sent_file.h"
#include "leat/splitter.h"
#include "leat/uuid5.h"
#include "libbase/base.h"

#define SEND_INPUT_NAME 33 /* of a random name, with a NUL */

struct send_input {
	const char *path; /* as given; NULL: standard input */
	int fd;           /* owned, unless it is standard input */
	bool is_regular;  /* a read never waits */
	bool has_sent_file;
	struct sent_file sent;   /* FILE.sent, if there is one */
	uint8_t key[UUID_BYTES]; /* of the ids */
	/* The name from which the key was made, or "". */
	char name[SEND_INPUT_NAME];
	bool is_random; /* the name */
};

/*
 * Open the file at path, or standard input if it is NULL.  `name` is the name
 * of a stream, from which ids are made, or NULL.  `restart` begins a file from
 * its first byte.  Returns 0, -EINVAL after logging what is wrong with the
 * command line, or another negative error after logging it.
 * send_input_close must follow in any case.
 */
MUST_USE int send_input_open(struct send_input *i, const char *path,
                             const char *name, bool restart);
void send_input_close(struct send_input *i);

/* The size of the input as it is now, or 0 if it is not known. */
uint64_t send_input_size(const struct send_input *i);

/*
 * Read what is there, without waiting, and give it to the splitter, which has
 * asked for more.  Returns 1, 0 if nothing is there yet, or -errno.
 */
MUST_USE int send_input_read(struct send_input *i, struct splitter *splitter);

#endif
