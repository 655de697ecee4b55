/*
 * exception - what an error response of ClickHouse means.
 *
 * The server reports an exception as text, "Code: 60.  DB::Exception: ...", in
 * the body of a response.  If the failure came late, the status may be 200
 * nevertheless.  The exception's code decides who is at fault: the server for
 * now, its configuration, or the data.
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
	const char *message; /* points into the body; no NUL at its end */
	size_t message_bytes;
};

/*
 * Find an exception in the body of a response.  `code` is the value of the
 * X-ClickHouse-Exception-Code header, or 0 without one.  Returns true if there
 * is an exception.  If only the header has a code, the message is the whole
 * body.
 */
bool ch_exception_find(const char *body, size_t n, int code,
                       struct ch_exception *exception);

/* Return SINK_UNREACHABLE, SINK_MISCONFIGURED or SINK_REJECT. */
enum sink_result ch_exception_class(const struct ch_exception *exception);

/*
 * Return true if a limit of size or time was exceeded, so that fewer rows may
 * pass.
 */
bool ch_exception_too_much(const struct ch_exception *exception);

/*
 * Return true if the rows may have been stored although a limit was exceeded.
 * A view exceeds its limit after the table has stored the rows, and the server
 * may notice a limit of time only then.
 */
bool ch_exception_may_be_stored(const struct ch_exception *exception);

/* The class of a status without an exception, as proxies send it. */
enum sink_result ch_exception_status_class(long status);

/*
 * Return the materialized view that failed, or an empty slice.  If a view
 * failed, the table has stored the block before.  Only the end of the message
 * counts, since the rest may quote events.  The slice is valid as long as the
 * message.
 */
struct slice ch_exception_view(const struct ch_exception *exception);

/*
 * Return the row that the message names, counted from 1, or 0 if it names none
 * of the `count` rows.
 */
size_t ch_exception_row(const struct ch_exception *exception, size_t count);

/*
 * Copy the message for an operator: one line, without the content of any event.
 */
void ch_exception_text(const struct ch_exception *exception, char *out,
                       size_t size);

#endif
