/* hosts - see hosts.h. */
#include "sinkd-postgres/hosts.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST_MAX 512

static unsigned
count_items(const char *list)
{
	unsigned n = 1;

	for (; list && *list; list++)
		n += *list == ',';
	return n;
}

/*
 * Copy the value of an option.  Returns NULL if it has none, or without memory.
 */
static char *
copy_host_option(const PQconninfoOption *o, const char *keyword)
{
	for (; o && o->keyword; o++) {
		if (o->val && strcmp(o->keyword, keyword) == 0)
			return strdup(o->val);
	}
	return NULL;
}

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

/*
 * Copy the index-th item of a list to `out`.  A list with one item applies to
 * every host.
 */
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
 * libpq itself would wait for a host that accepts the connection and then sends
 * nothing, and would never try the next one.  With one host at a time the
 * deadline of pg_open applies to each.
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
	/*
	 * libpq uses the last value of a repeated keyword, and ignores an empty
	 * one.
	 */
	with[n] = "host";
	value[n++] = list_item(hosts->host, index, host);
	with[n] = "hostaddr";
	value[n++] = list_item(hosts->hostaddr, index, hostaddr);
	with[n] = "port";
	value[n++] = list_item(hosts->port, index, port);
	with[n] = value[n] = NULL;
	return PQconnectStartParams(with, value, 1);
}
