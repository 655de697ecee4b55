/*
 * viewers - the windows that show the page: what each has been sent, and what
 * it gets next.
 *
 *   HELLO ──► SNAPSHOT, part by part ──► LIVE: tick, gap, events
 *
 * Nothing is queued for a viewer.  It has a position among the ticks and one in
 * the ring of events, and the text of one message, of which a part is sent.
 * When that is sent and the socket takes more, the next message is composed,
 * of what is newest at that moment.  So a slow viewer costs no more than
 * others: it misses ticks, and events, of which it gets the number.
 *
 * Each viewer has its turn four times a second, and is sent then what is new:
 * a tick, events, or both together.
 */
#ifndef SINKD_DASHBOARD_VIEWERS_H
#define SINKD_DASHBOARD_VIEWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "libbase/base.h"
#include "libbase/buf.h"
#include "libhttp/http.h"
#include "sinkd-dashboard/access.h"
#include "sinkd-dashboard/filter.h"
#include "sinkd-dashboard/messages.h"
#include "sinkd-dashboard/model.h"

/* Room for the text of any message. */
#define VIEWER_TEXT_BYTES ((size_t)48 * 1024)

#define BOOT_TEXT_BYTES 16

enum viewer_stage { VIEWER_HELLO, VIEWER_SNAPSHOT, VIEWER_LIVE };

/* What a request for the stream asks for. */
struct viewer_wish {
	bool rows; /* it wants events */
	struct filter filter;
};

struct viewer {
	struct viewers *all;
	struct http_request *rq; /* NULL: unused */
	struct visitor visitor;
	struct viewer_wish wish;
	enum viewer_stage stage;
	unsigned part; /* of the snapshot, next */
	struct message_snapshot snapshot;
	uint64_t tick;        /* model.ticks when it got the last one */
	uint64_t position;    /* in the ring: the next event to look at */
	uint64_t moved_ahead; /* of model.moved_ahead, reported to it */
	uint64_t events_ms;   /* when it got the last events or gap */
	struct buf text;      /* one message */
	size_t sent;          /* bytes of it */
};

struct viewers {
	const struct model *model;
	const struct access *access;
	const struct dashboard_settings *settings;
	char boot[BOOT_TEXT_BYTES + 1];
	bool stopping; /* all streams end */

	size_t max, count;
	struct viewer *list; /* owned; max of them */
	struct {
		uint64_t tick; /* model.ticks of this text */
		struct buf text;
	} ticks[SHOW_EVENTS + 1]; /* one for all viewers of a level */
	struct {
		uint64_t from, next; /* in the ring */
		struct buf text;     /* empty: not composed */
	} newest; /* one for all that have their turn together, unfiltered */
	uint64_t slow_events; /* events that viewers missed, since the start */
	uv_timer_t turns;     /* while there are viewers */
	size_t turn;          /* of it: 0 to TURNS - 1 */
	uint64_t turned_ms;   /* when it was called last */
};

/*
 * Allocate all memory.  The caller sets the pointers first.  Returns 0 or
 * -errno.  In either case the caller must viewers_close it, let the loop run,
 * and viewers_fini it.
 */
MUST_USE int viewers_init(struct viewers *v, uv_loop_t *loop);
void viewers_close(struct viewers *v);
void viewers_fini(struct viewers *v);

/*
 * Answer this request with the event stream.  The request's http_data must
 * begin with a struct viewer *, which is set to the viewer, for viewer_end when
 * the request ends.  Returns false, and does nothing, if there are too many
 * viewers.
 */
MUST_USE bool viewer_begin(struct viewers *v, struct http_request *rq,
                           const char *headers, const struct visitor *visitor,
                           const struct viewer_wish *wish);
void viewer_end(struct viewer *viewer); /* NULL is fine */

/*
 * There is a new tick.  Each viewer gets it in its turn, or at once if it came
 * late in the second: the next tick may come before the turn.
 */
void viewers_on_tick(struct viewers *v);

/* Look at each viewer now, because sessions or all streams end. */
void viewers_wake(struct viewers *v);

/* The hello for a visitor. */
struct message_hello viewers_hello(const struct viewers *v,
                                   const struct visitor *visitor);

#endif
