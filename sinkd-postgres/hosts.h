/*
 * hosts - the list of servers in a connection's settings.
 *
 * pg_open uses it to try each server by itself, with a deadline of its own.
 */
#ifndef SINKD_POSTGRES_HOSTS_H
#define SINKD_POSTGRES_HOSTS_H

#include <libpq-fe.h>

/* The most keywords that a caller of pg_open may pass. */
#define PG_PAIRS_MAX 24

/*
 * The lists in which libpq keeps its hosts, addresses and ports, separated by
 * commas.  Each string is owned and may be NULL.
 */
struct pg_hosts {
	char *host, *hostaddr, *port;
	unsigned count;
};

/*
 * Read the hosts of a connection, wherever they were set: in a setting, a URI,
 * a service file or the environment.
 */
void pg_hosts_read(struct pg_hosts *hosts, PGconn *conn);
void pg_hosts_free(struct pg_hosts *hosts);

/*
 * Start to connect to the index-th host only.  Returns libpq's connection,
 * which the caller owns, or NULL without memory.
 */
PGconn *pg_hosts_start(const struct pg_hosts *hosts, unsigned index,
                       const char *const *keywords, const char *const *values);

#endif
