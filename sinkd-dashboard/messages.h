/*
 * messages - the text of the event stream: what each message has for a viewer
 * of each level.
 *
 * Each function appends to `out` and keeps a failure in out->error.  The
 * messages are described in docs/dashboard.md.
 */
#ifndef SINKD_DASHBOARD_MESSAGES_H
#define SINKD_DASHBOARD_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/buf.h"
#include "sinkd-dashboard/filter.h"
#include "sinkd-dashboard/model.h"
#include "sinkd-dashboard/settings.h"

#define MESSAGE_ROWS 50 /* most rows of one `events` */

struct message_hello {
	const char *boot; /* another value: another process */
	const char *ingest_url;
	enum show show; /* of this viewer */
	bool login;     /* a login is possible */
	bool session;   /* the viewer is logged in */
	int64_t now_us;
};

/* The data of `hello`: a JSON object. */
void message_hello(struct buf *out, const struct message_hello *hello);

/*
 * The data of `snapshot` comes in parts, 0, 1, ..., so that no large buffer is
 * needed.  `second` is that of the tick at which the snapshot began; part 0
 * sets the keys of the rows that the later parts have, because the series may
 * give a row to another type meanwhile.  Returns false if that was the last
 * part.
 */
struct message_snapshot {
	uint64_t second;
	size_t row_count;
	uint8_t rows[MODEL_TOP];
	struct key keys[MODEL_TOP];
};
bool message_snapshot(struct buf *out, const struct model *m, enum show show,
                      struct message_snapshot *s, unsigned part);

/* The most bytes of one part: 900 numbers and a name. */
#define MESSAGE_PART_BYTES ((size_t)24 * 1024)

/* The data of `tick`. */
void message_tick(struct buf *out, const struct model *m, enum show show,
                  size_t viewers, size_t max_viewers);

/*
 * The data of `events`: of the events from number `from` to the newest one,
 * how many match the filter, and as many of the newest of these as fit into
 * MESSAGE_ROWS rows and `room` bytes.  Returns the number of matching events;
 * if it is 0, nothing is appended.
 */
size_t message_events(struct buf *out, const struct event_ring *ring,
                      const struct filter *filter, uint64_t from, size_t room);

#endif
