/*
 * open - connect to the server, and find out whether it can take the events.
 *
 * postgres_open does all of it, and creates what is missing.  The other
 * functions are its steps that change nothing, for check.c and count.c.
 */
#ifndef SINKD_POSTGRES_OPEN_H
#define SINKD_POSTGRES_OPEN_H

#include "sinkd-postgres/postgres.h"

/* Implements struct sink's open. */
enum sink_result postgres_open(void *state, const struct sink_common *common,
                               const void *conf, struct sink_error *error);

/* Read the password and connect. */
enum sink_result postgres_connect(struct postgres *s,
                                  const struct sink_common *common,
                                  const void *conf, struct sink_error *error);

/*
 * Check that the server accepts writes.  Logs a warning if a crash of its
 * machine can lose what it has confirmed.
 */
enum sink_result postgres_check_server(struct postgres *s,
                                       struct sink_error *error);

/*
 * Check that a crash of the server cannot lose the position and keep the rows,
 * which would then be written twice.
 */
enum sink_result postgres_check_crash(struct postgres *s,
                                      struct sink_error *error);

#endif
