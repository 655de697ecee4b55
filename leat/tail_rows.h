/*
 * tail_rows - events as text: columns for a terminal, JSON for programs.
 *
 * What senders put into an event must not act on the terminal of the operator
 * who looks at it.  In columns, unsafe characters are shown as cell.h has it.
 * In JSON that goes to a terminal they become \u202e, which has the same
 * meaning to a reader of JSON.
 */
#ifndef LEAT_TAIL_ROWS_H
#define LEAT_TAIL_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libbase/buf.h"
#include "libproto/event.h"

/* The most bytes that one event can append, in either form. */
#define TAIL_ROW_MAX (1 * MIB)

/* A table on a terminal. */
struct tail_table {
	unsigned width; /* of the terminal; the owner may change it */
	int64_t day;    /* of the last row, days since 1970 */
};

/* Set the locale (cell_set_locale), and start a table. */
void tail_table_start(struct tail_table *t, unsigned width);

/* Append the line with the names of the columns. */
void tail_table_header(const struct tail_table *t, struct buf *out);

/*
 * Append an event as one row, which is at most as wide as the terminal: the
 * time at which it was received, in UTC, its type, its user, and as much of its
 * payload as fits.  A line with the date precedes the first row of each day.
 * A failure is kept in out->error.
 */
void tail_table_row(struct tail_table *t, struct buf *out,
                    const struct event *event);

/*
 * Append an event as one line of JSON (event_json.h) that begins with its
 * offset.  Line breaks and tabs between the values of the payload become
 * spaces.  For a terminal, unsafe characters are escaped.  Returns 0, -EMSGSIZE
 * or -ENOMEM, with nothing appended.
 */
MUST_USE int tail_json_line(struct buf *out, uint64_t offset,
                            const struct event *event, bool for_terminal);

#endif
