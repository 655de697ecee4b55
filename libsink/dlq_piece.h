/*
 * dlq_piece - the next batch of dead letters from a selection.  Its end depends
 * on its start, the file and the limits alone, so that it is the same whenever
 * the batch is read again.
 */
#ifndef LIBSINK_DLQ_PIECE_H
#define LIBSINK_DLQ_PIECE_H

#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libproto/dlq_record.h"
#include "libsink/sink.h"

struct dlq_piece {
	size_t most; /* events in a batch */
	uint64_t at; /* where `bytes` begins in the file */
	char *bytes; /* owned, as are the next two */
	struct event *events;
	struct origin *origins;
	size_t cap, used;
	size_t parsed; /* bytes of the batch */
	size_t count;  /* of the batch */
};

/* Returns 0 or -ENOMEM.  dlq_piece_fini must follow either way. */
MUST_USE int dlq_piece_init(struct dlq_piece *p, uint64_t batch_events,
                            uint64_t batch_bytes);
void dlq_piece_fini(struct dlq_piece *p);

/* The next batch begins at the byte `at` of the file. */
void dlq_piece_seek(struct dlq_piece *p, uint64_t at);

/*
 * Read the batch that begins there, or after the one that was read last, with
 * at most `most` events.  It has none at the end of the file.  Returns 0;
 * -EBADMSG when a line is no dead letter; or -errno.
 */
MUST_USE int dlq_piece_read(struct dlq_piece *p, int fd, size_t most);

#endif
