/*
 * reject - whether an error that came with a batch is an event's fault.
 */
#ifndef SINKD_POSTGRES_REJECT_H
#define SINKD_POSTGRES_REJECT_H

#include "sinkd-postgres/postgres.h"

/* Say in error what copy_check has found in a field. */
void reject_name_field(enum event_field field, struct sink_error *error);

/*
 * Class a server's words about a row, with what the batch tells of it:
 * bad_event is 1 + its index, or 0 where only the words may say.
 */
enum sink_result reject_classify(const struct batch *b,
                                 const struct pg_diagnostics *words,
                                 size_t bad_event, struct sink_error *error);

/*
 * Whether an error that is none of an event by its code may be one all the
 * same, such as one of a trigger that knows some types only.
 */
bool reject_may_be_event(const struct sink_error *error);

/*
 * Whether the table takes an ordinary event that comes at the time of `like`.
 * If it does, what it fails at is the fault of the event.
 */
bool reject_takes_ordinary(struct postgres *s, const struct event *like);

/* SINK_DONE if the columns are still of the types that the sink knows. */
enum sink_result reject_confirm_columns(struct postgres *s,
                                        struct sink_error *error);

/*
 * A column has refused a null.  Returns SINK_REJECT if that is an event's
 * fault, or what is wrong with the table.
 */
enum sink_result reject_confirm_null(struct postgres *s,
                                     struct sink_error *error);

enum sink_result reject_columns_changed(struct sink_error *error);
bool reject_is_events_fault(struct postgres *s, const struct batch *b,
                            const struct sink_error *error);
enum sink_result reject_confirm(struct postgres *s, const struct batch *b,
                                struct sink_error *error);

#endif
