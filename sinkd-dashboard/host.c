/* host - see host.h. */
#include "sinkd-dashboard/host.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

/* The next name of the list, with its length in *n; NULL at the end. */
static const char *
next_name(const char *at, size_t *n)
{
	at += strspn(at, " \t");
	*n = strcspn(at, " \t");
	return *n > 0 ? at : NULL;
}

const char *
host_check_list(const char *hosts)
{
	size_t n;

	for (const char *at = hosts; (at = next_name(at, &n)); at += n) {
		if (strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789.-") < n)
			return "each must be a host name in lower case, "
			       "without https:// and without a port";
	}
	return NULL;
}

/* Remove a port and the brackets of an IPv6 address. */
static struct slice
without_port(struct slice host)
{
	const char *end = host.data + host.bytes;
	const char *colon;

	if (host.bytes > 0 && host.data[0] == '[') {
		const char *bracket = memchr(host.data, ']', host.bytes);

		return bracket
		           ? (struct slice){host.data + 1,
		                            (uint32_t)(bracket - host.data - 1)}
		           : (struct slice){host.data, 0};
	}
	colon = memchr(host.data, ':', host.bytes);
	return (struct slice){host.data,
	                      (uint32_t)((colon ? colon : end) - host.data)};
}

static bool
is_address(struct slice name)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (name.bytes >= sizeof text)
		return false;
	memcpy(text, name.data, name.bytes);
	text[name.bytes] = '\0';
	return inet_pton(AF_INET, text, &address) == 1 ||
	       inet_pton(AF_INET6, text, &address) == 1;
}

static bool
is_listed(const char *hosts, struct slice name)
{
	size_t n;

	for (const char *at = hosts; (at = next_name(at, &n)); at += n) {
		if (n == name.bytes && strncasecmp(at, name.data, n) == 0)
			return true;
	}
	return false;
}

bool
host_is_ours(const char *hosts, struct slice host)
{
	struct slice name = without_port(host);

	return name.bytes > 0 &&
	       (is_address(name) || slice_is_nocase(name, "localhost") ||
	        is_listed(hosts, name));
}

bool
host_is_own_origin(const char *hosts, struct slice origin, struct slice host,
                   bool *https)
{
	static const char tls[] = "https://", plain[] = "http://";
	uint32_t scheme;

	*https = origin.bytes > strlen(tls) &&
	         strncmp(origin.data, tls, strlen(tls)) == 0;
	if (!*https && (origin.bytes <= strlen(plain) ||
	                strncmp(origin.data, plain, strlen(plain)) != 0))
		return false;
	scheme = (uint32_t)(*https ? strlen(tls) : strlen(plain));
	origin.data += scheme;
	origin.bytes -= scheme;
	if (origin.bytes == host.bytes &&
	    strncasecmp(origin.data, host.data, host.bytes) == 0)
		return true;
	return is_listed(hosts, without_port(origin));
}
