/*
 * exception - what ClickHouse means by an answer that is no success.
 *
 * The server reports an exception as text, "Code: 60. DB::Exception: ...",
 * in the body of any answer, also behind a status of 200 when the failure
 * came late.  Its code decides who is at fault: the store for now, its
 * set-up, or the data.
 */
#ifndef SINKD_CLICKHOUSE_EXCEPTION_H
#define SINKD_CLICKHOUSE_EXCEPTION_H

#include <stdbool.h>
#include <stddef.h>

#include "libbase/base.h"
#include "libproto/event.h"
#include "libsink/sink.h"

struct ch_exception {
	int code;
	const char *message; /* into the body; not terminated */
	size_t message_bytes;
};

/*
 * Find an exception in an answer's body.  `code` is that of the
 * X-ClickHouse-Exception-Code header, 0 without one.  Returns whether there
 * is an exception; with a code from the header alone, the message is the
 * whole body.
 */
bool ch_exception_find(const char *body, size_t n, int code,
                       struct ch_exception *exception);

/* Whose fault it is: SINK_UNREACHABLE, SINK_MISCONFIGURED or SINK_REJECT. */
enum sink_result ch_exception_class(const struct ch_exception *exception);

/* Whether fewer rows may pass: a limit of size or time is exceeded. */
bool ch_exception_too_much(const struct ch_exception *exception);

/*
 * Whether the rows may be stored although a limit is exceeded: a view meets one
 * when the table has the rows, and a limit of time may be noticed only then.
 */
bool ch_exception_may_be_stored(const struct ch_exception *exception);

/* Whose fault a status without any exception is, as proxies answer. */
enum sink_result ch_exception_status_class(long status);

/*
 * The materialized view that has thrown, if one has: by then the table has
 * stored the block.  Else empty.  Only how the message ends counts: before
 * that it quotes events.  Valid as long as the message.
 */
struct slice ch_exception_view(const struct ch_exception *exception);

/*
 * The row that the message names, counted from 1, when it is one of
 * `count`; else 0.
 */
size_t ch_exception_row(const struct ch_exception *exception, size_t count);

/* The message for people: one line, without the content of any event. */
void ch_exception_text(const struct ch_exception *exception, char *out,
                       size_t size);

#endif
