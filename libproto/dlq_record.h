/*
 * dlq_record - one dead letter, between a struct and its line of JSON.
 *
 *	{"stream":"..","offset":5,"sink":"postgres","at":"2026-..Z",
 *	 "code":"22P02","reason":"..","event":{"id":"..","type":"..",
 *	 "user_id":null,"payload":{..},"created_at":"..","received_at":".."}}
 *
 * on one line, with the keys in this order and no spaces.  The payload is the
 * sender's text, byte for byte.  One that has line breaks between its tokens
 * cannot be in a line: it is a string then, under "payload_text".
 * A record without payload has ,"payload_bytes":N}} after the type, the size of
 * what there was, and nothing else of the event.
 * Reading takes exactly what writing makes and refuses all else.
 */
#ifndef LIBPROTO_DLQ_RECORD_H
#define LIBPROTO_DLQ_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libbase/buf.h"
#include "libproto/event.h"

/*
 * The longest line: the payload, each of whose bytes may become six in a
 * string, and the rest.
 */
#define DLQ_RECORD_MAX (6 * EVENT_PACKED_MAX + 8 * 1024)

struct dlq_record {
	struct slice stream; /* of the log that has the event */
	uint64_t offset;     /* in that stream */
	struct slice sink;
	int64_t at_us;
	struct slice code;
	struct slice reason;
	bool without_payload; /* of the event only id and type are known */
	uint64_t payload_bytes;
	struct event event;
};

/* Append the record's line, newline included.  Returns as buf_add. */
MUST_USE int dlq_record_add(struct buf *out, const struct dlq_record *record);

/*
 * Read a line (without its newline).  Strings are unescaped in place: the line
 * is changed, and the record's slices point into it.  Returns 0, or -EBADMSG
 * with *why (static text) and *at (offset in the line) set.
 */
MUST_USE int dlq_record_read(char *line, size_t bytes,
                             struct dlq_record *record, const char **why,
                             size_t *at);

/*
 * Read only stream and offset.  Changes nothing.  Returns 0 or -EBADMSG.
 */
MUST_USE int dlq_record_peek(const char *line, size_t bytes,
                             struct slice *stream, uint64_t *offset);

/*
 * Read what decides whose share a record takes: its type, escaped as in the
 * line, and whether it is without payload.  Changes nothing.  Returns 0 or
 * -EBADMSG.
 */
MUST_USE int dlq_record_peek_type(const char *line, size_t bytes,
                                  struct slice *type, bool *without_payload);

#endif
