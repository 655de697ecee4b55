/*
 * send_event - check an event before it is sent, and give it an id.
 *
 * The rules are those of ingestd, whose code this uses.  Two things are left to
 * ingestd, because its settings decide: fields that leat does not know, and the
 * size of an event.
 *
 * An event without an id gets a UUID that is computed from a key, the event's
 * place in the input, and its text.  With the same key the same input therefore
 * gets the same ids, however often it is sent.
 */
#ifndef LEAT_SEND_EVENT_H
#define LEAT_SEND_EVENT_H

#include <stddef.h>
#include <stdint.h>

#include "leat/uuid5.h"
#include "libbase/base.h"
#include "libbase/buf.h"
#include "libjson/json_event.h"
#include "libjson/json_structure.h"

/* Bytes by which an id can make the text of an event longer. */
#define SEND_EVENT_GROWTH (sizeof "\"id\":\"\"," + UUID_TEXT_BYTES)

struct send_event {
	uint8_t key[UUID_BYTES];          /* of the ids */
	struct json_structure *structure; /* owned */
	struct json_event_reader reader;
	struct json_rules rules;
	char *text; /* owned: a copy of the event, with padding */
};

/* Returns 0 or -ENOMEM.  After both, send_event_fini must follow. */
MUST_USE int send_event_init(struct send_event *s);
void send_event_fini(struct send_event *s);

/* Why an event was rejected. */
struct send_event_fault {
	const char *reason;     /* static text */
	struct json_span field; /* that it concerns; may be empty */
};

/*
 * Check a text of at most SPLITTER_PIECE_MAX bytes, which begins at the byte
 * `at` of the input, and append the event with its id to out.  Returns 0;
 * -EINVAL with *fault, which is valid until the next call; or as buf_reserve.
 */
MUST_USE int send_event_put(struct send_event *s, const char *text,
                            size_t bytes, uint64_t at, struct buf *out,
                            struct send_event_fault *fault);

#endif
