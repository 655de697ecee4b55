/*
 * login_limit - how often an address may try a token in vain.
 *
 * After LOGIN_FAILURES_MAX failures within a minute, no token is tried for that
 * address until the minute is over.  An address is an IPv4 address, or the
 * first 64 bits of an IPv6 address, because that is what a provider gives to
 * one customer.  The table has a fixed size; when it is full, a new address
 * takes the entry of the one whose minute began first.
 */
#ifndef SINKD_DASHBOARD_LOGIN_LIMIT_H
#define SINKD_DASHBOARD_LOGIN_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "libbase/base.h"

#define LOGIN_FAILURES_MAX 5
#define LOGIN_MINUTE_MS 60000
#define LOGIN_ADDRESSES 256

struct login_limit {
	struct {
		uint64_t address;
		uint64_t since_ms; /* when its minute began */
		unsigned failures; /* 0: unused */
	} list[LOGIN_ADDRESSES];
};

/* Return the address as a number; the text is that of http_client_address. */
uint64_t login_address(const char *text);

/*
 * Return 0 if this address may try a token now, else the seconds, at least 1,
 * until it may.
 */
unsigned login_limit_wait_s(const struct login_limit *l, uint64_t address,
                            uint64_t now_ms);

/* Count a failure. */
void login_limit_fail(struct login_limit *l, uint64_t address, uint64_t now_ms);

#endif
