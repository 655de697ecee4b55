/*
 * reject - decide whether an error is the fault of an event.
 *
 * An event is dead-lettered only if the store can never take it.  These
 * functions find out when a server's error code does not tell, and check before
 * a reject that neither the table nor the position has changed in the meantime.
 */
#ifndef SINKD_POSTGRES_REJECT_H
#define SINKD_POSTGRES_REJECT_H

#include "sinkd-postgres/postgres.h"

/* Describe in error the field that copy_check found. */
void reject_name_field(enum event_field field, struct sink_error *error);

/*
 * Classify a server's diagnostics for a row of the batch.  bad_event is 1 + the
 * row's index, or 0 if only the diagnostics name the row.
 */
enum sink_result reject_classify(const struct batch *b,
                                 const struct pg_diagnostics *diagnostics,
                                 size_t bad_event, struct sink_error *error);

/*
 * Return true if an error whose code does not blame an event may be an event's
 * fault nevertheless.  An example is a trigger that fails for one type of
 * event.
 */
bool reject_may_be_event(const struct sink_error *error);

/*
 * Return true if the table accepts an ordinary event received at the same time
 * as `like`.  If it does, an error is the fault of the event and not of the
 * table.
 */
bool reject_takes_ordinary(struct postgres *s, const struct event *like);

/*
 * Return SINK_DONE if the columns still have the types that the sink read.
 * Otherwise they must be read again, and the result is SINK_UNREACHABLE.
 */
enum sink_result reject_confirm_columns(struct postgres *s,
                                        struct sink_error *error);

/*
 * A column refused a null.  Returns SINK_REJECT if that is the event's fault.
 * If the table now requires a column that leat has no value for, returns what
 * table_read returns for it.
 */
enum sink_result reject_confirm_null(struct postgres *s,
                                     struct sink_error *error);

enum sink_result reject_columns_changed(struct sink_error *error);
bool reject_is_events_fault(struct postgres *s, const struct batch *b,
                            const struct sink_error *error);
enum sink_result reject_confirm(struct postgres *s, const struct batch *b,
                                struct sink_error *error);

#endif
