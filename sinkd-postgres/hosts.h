/*
 * hosts - the list of servers in a connection's settings, so that each can be
 * tried by itself.
 */
#ifndef SINKD_POSTGRES_HOSTS_H
#define SINKD_POSTGRES_HOSTS_H

#include <libpq-fe.h>

/* The lists in which libpq keeps its hosts; each is owned, NULL or not. */
struct pg_hosts {
	char *host, *hostaddr, *port;
	unsigned count;
};

/*
 * Which hosts a connection has, whatever has named them: a setting, a URI, a
 * service file, the environment.
 */
void pg_hosts_read(struct pg_hosts *hosts, PGconn *conn);
void pg_hosts_free(struct pg_hosts *hosts);

/* Start to connect to one of several hosts alone. */
PGconn *pg_hosts_start(const struct pg_hosts *hosts, unsigned index,
                       const char *const *keywords, const char *const *values);

#endif
