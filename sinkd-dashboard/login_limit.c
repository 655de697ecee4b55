/* login_limit - see login_limit.h. */
#include "sinkd-dashboard/login_limit.h"

#include <arpa/inet.h>
#include <string.h>

uint64_t
login_address(const char *text)
{
	struct in6_addr v6;
	struct in_addr v4;
	uint64_t prefix;

	if (inet_pton(AF_INET, text, &v4) == 1)
		return v4.s_addr;
	if (inet_pton(AF_INET6, text, &v6) != 1)
		return 0;
	if (IN6_IS_ADDR_V4MAPPED(&v6)) {
		memcpy(&v4, &v6.s6_addr[12], sizeof v4);
		return v4.s_addr;
	}
	memcpy(&prefix, v6.s6_addr, sizeof prefix);
	return prefix;
}

unsigned
login_limit_wait_s(const struct login_limit *l, uint64_t address,
                   uint64_t now_ms)
{
	for (size_t i = 0; i < LOGIN_ADDRESSES; i++) {
		uint64_t passed = now_ms - l->list[i].since_ms;

		if (l->list[i].address == address &&
		    l->list[i].failures >= LOGIN_FAILURES_MAX &&
		    passed < LOGIN_MINUTE_MS)
			return (unsigned)((LOGIN_MINUTE_MS - passed + 999) /
			                  1000);
	}
	return 0;
}

void
login_limit_fail(struct login_limit *l, uint64_t address, uint64_t now_ms)
{
	size_t at = 0;

	for (size_t i = 0; i < LOGIN_ADDRESSES; i++) {
		if (l->list[i].address == address && l->list[i].failures > 0) {
			at = i;
			break;
		}
		if (l->list[i].since_ms < l->list[at].since_ms)
			at = i;
	}
	if (l->list[at].address != address || l->list[at].failures == 0 ||
	    now_ms - l->list[at].since_ms >= LOGIN_MINUTE_MS) {
		l->list[at].address = address;
		l->list[at].since_ms = now_ms;
		l->list[at].failures = 0;
	}
	l->list[at].failures++;
}
