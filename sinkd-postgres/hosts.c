/* hosts - see hosts.h. */
#include "sinkd-postgres/hosts.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sinkd-postgres/connection.h"

#define HOST_MAX 512

static unsigned
count_items(const char *list)
{
	unsigned n = 1;

	for (; list && *list; list++)
		n += *list == ',';
	return n;
}

/* A copy of an option's value; NULL without one, or without memory. */
static char *
copy_host_option(const PQconninfoOption *o, const char *keyword)
{
	for (; o && o->keyword; o++) {
		if (o->val && strcmp(o->keyword, keyword) == 0)
			return strdup(o->val);
	}
	return NULL;
}

/*
 * Which hosts a connection has, whatever has named them: a setting, a URI, a
 * service file, the environment.
 */
void
pg_hosts_read(struct pg_hosts *hosts, PGconn *conn)
{
	PQconninfoOption *all = PQconninfo(conn);
	unsigned addresses;

	hosts->host = copy_host_option(all, "host");
	hosts->hostaddr = copy_host_option(all, "hostaddr");
	hosts->port = copy_host_option(all, "port");
	PQconninfoFree(all);
	hosts->count = count_items(hosts->host);
	addresses = count_items(hosts->hostaddr);
	if (addresses > hosts->count)
		hosts->count = addresses;
}

void
pg_hosts_free(struct pg_hosts *hosts)
{
	free(hosts->host);
	free(hosts->hostaddr);
	free(hosts->port);
}

/* The index-th item of a list, in out; a single one is for every host. */
static const char *
list_item(const char *list, unsigned index, char out[HOST_MAX])
{
	if (!list)
		return "";
	if (!strchr(list, ','))
		index = 0;
	while (index-- > 0) {
		list = strchr(list, ',');
		if (!list)
			return "";
		list++;
	}
	(void)snprintf(out, HOST_MAX, "%.*s", (int)strcspn(list, ","), list);
	return out;
}

/*
 * Start to connect to one of several hosts alone: libpq would wait for a host
 * that accepts and then says nothing, and never come to the next.
 */
PGconn *
pg_hosts_start(const struct pg_hosts *hosts, unsigned index,
               const char *const *keywords, const char *const *values)
{
	char host[HOST_MAX], hostaddr[HOST_MAX], port[HOST_MAX];
	const char *with[PG_PAIRS_MAX + 4], *value[PG_PAIRS_MAX + 4];
	size_t n = 0;

	for (; keywords[n]; n++) {
		assert(n < PG_PAIRS_MAX);
		with[n] = keywords[n];
		value[n] = values[n];
	}
	/* The last of a keyword counts, and an empty value does not. */
	with[n] = "host";
	value[n++] = list_item(hosts->host, index, host);
	with[n] = "hostaddr";
	value[n++] = list_item(hosts->hostaddr, index, hostaddr);
	with[n] = "port";
	value[n++] = list_item(hosts->port, index, port);
	with[n] = value[n] = NULL;
	return PQconnectStartParams(with, value, 1);
}
