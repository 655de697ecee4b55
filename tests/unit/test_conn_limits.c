/* test_conn_limits - how long a connection may stay, and which one is evicted.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libhttp/conn_limits.h"
#include "tests/support/test.h"

#define MANY 400

enum { IDLE, BUSY, WAITING };

#define IDLE_MS 1000
#define BUSY_MS 500

static struct conn_limits limits;
static struct conn_slot slots[MANY];
static bool added[MANY];

static void
start(uint64_t max, unsigned share_percent)
{
	ck_assert_int_eq(conn_limits_init(&limits, max, share_percent), 0);
	limits.timeout_ms[IDLE] = IDLE_MS;
	limits.timeout_ms[BUSY] = BUSY_MS;
	limits.now_ms = 5000;
}

static void
setup(void)
{
	memset(added, 0, sizeof added);
}

static void
drop(size_t i)
{
	conn_limits_remove(&limits, &slots[i]);
	added[i] = false;
}

static void
teardown(void)
{
	for (size_t i = 0; i < MANY; i++) {
		if (added[i])
			drop(i);
	}
	ck_assert(list_is_empty(&limits.ages));
	ck_assert(list_is_empty(&limits.over_share));
	for (size_t i = 0; i < limits.table_size; i++)
		ck_assert_ptr_null(limits.table[i]);
	conn_limits_fini(&limits);
}

TEST_CASE(conn_limits, .setup = setup, .teardown = teardown);

static void
add_from(size_t i, const char *address)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	const struct sockaddr *from = (void *)&in;

	if (inet_pton(AF_INET6, address, &in6.sin6_addr) == 1)
		from = (void *)&in6;
	else
		ck_assert_int_eq(inet_pton(AF_INET, address, &in.sin_addr), 1);
	ck_assert_int_eq(conn_limits_add(&limits, &slots[i], IDLE, from), 0);
	added[i] = true;
}

static void
add(size_t i)
{
	add_from(i, "192.0.2.1");
}

/* The index of a slot; -1 for NULL. */
static int
index_of(const struct conn_slot *slot)
{
	return slot ? (int)(slot - slots) : -1;
}

static int
victim(void)
{
	return index_of(conn_limits_victim(&limits));
}

static int
overdue(void)
{
	return index_of(conn_limits_overdue(&limits));
}

TEST(a_state_has_a_deadline_from_when_it_was_entered)
{
	start(100, 100);
	for (size_t i = 0; i < 3; i++)
		add(i);
	limits.now_ms += IDLE_MS - 1;
	ck_assert_int_eq(overdue(), -1);
	conn_limits_change_state(&limits, &slots[1], BUSY);
	limits.now_ms += 1;
	ck_assert_int_eq(overdue(), 0);
	conn_limits_change_state(&limits, &slots[0], IDLE);
	ck_assert_int_eq(overdue(), 2);
	drop(2);
	ck_assert_int_eq(overdue(), -1);
	limits.now_ms += BUSY_MS - 2;
	ck_assert_int_eq(overdue(), -1);
	limits.now_ms += 1;
	ck_assert_int_eq(overdue(), 1);
}

TEST(a_state_without_a_limit_lasts)
{
	start(100, 100);
	add(0);
	conn_limits_change_state(&limits, &slots[0], WAITING);
	limits.now_ms += 1000000000;
	ck_assert_int_eq(overdue(), -1);
	conn_limits_change_state(&limits, &slots[0], BUSY);
	ck_assert_int_eq(overdue(), -1);
	limits.now_ms += BUSY_MS;
	ck_assert_int_eq(overdue(), 0);
}

TEST(the_one_that_has_completed_no_request_for_longest_goes)
{
	start(8, 100); /* a room of 2 */
	for (size_t i = 0; i < 5; i++)
		add(i);
	ck_assert_int_eq(victim(), -1);
	add(5);
	ck_assert_int_eq(victim(), 0);
	/* The beginning of a request does not make it younger. */
	conn_limits_change_state(&limits, &slots[0], BUSY);
	ck_assert_int_eq(victim(), 0);
	/* A complete request makes it the youngest of all. */
	conn_limits_refresh(&limits, &slots[0]);
	ck_assert_int_eq(victim(), 1);
	drop(1);
	ck_assert_int_eq(victim(), -1);
	add(1);
	ck_assert_int_eq(victim(), 2);
}

TEST(one_that_waits_for_the_program_never_goes)
{
	start(4, 100);
	for (size_t i = 0; i < 4; i++)
		add(i);
	ck_assert(conn_limits_full(&limits));
	for (size_t i = 0; i < 4; i++) {
		ck_assert_int_eq(victim(), (int)i);
		conn_limits_exempt(&slots[i]);
	}
	ck_assert_int_eq(victim(), -1);
	conn_limits_refresh(&limits, &slots[2]);
	ck_assert_int_eq(victim(), 2);
}

TEST(an_address_beyond_its_share_pays_first)
{
	start(100, 20);
	for (size_t i = 0; i < 25; i++)
		add_from(i, "192.0.2.1"); /* the oldest, within... */
	for (size_t i = 25; i < 60; i++)
		add_from(i, "192.0.2.2");
	for (size_t i = 60; i < 75; i++)
		add_from(i, "192.0.2.3");
	/*
	 * The address with the most connections is chosen among those above 20,
	 * although its connections are younger.
	 */
	ck_assert_int_eq(victim(), 25);
	for (size_t i = 25; i < 35; i++) {
		ck_assert_int_eq(victim(), (int)i);
		drop(i);
		add_from(i + 60, "192.0.2.4");
	}
	/* Both have 25: the one that exceeded its share first is chosen. */
	ck_assert_int_eq(victim(), 0);
	for (size_t i = 0; i < 25; i++)
		drop(i);
	for (size_t i = 35; i < 60; i++)
		drop(i);
	/*
	 * No address is above its share any more, so the oldest of all is
	 * chosen.
	 */
	for (size_t i = 100; i < 120; i++)
		add_from(i, "192.0.2.5");
	for (size_t i = 120; i < 140; i++)
		add_from(i, "192.0.2.6");
	for (size_t i = 140; i < 150; i++)
		add_from(i, "192.0.2.7");
	ck_assert_int_eq(victim(), 60);
}

TEST(an_ipv6_network_is_one_address)
{
	char text[64];

	start(100, 10);
	add_from(0, "::ffff:192.0.2.1");
	for (size_t i = 1; i < 11; i++)
		add_from(i, "192.0.2.1"); /* with the first: 11 */
	for (size_t i = 11; i < 30; i++) {
		(void)snprintf(text, sizeof text, "2001:db8:0:1::%zu", i);
		add_from(i, text);
	}
	for (size_t i = 30; i < 80; i++) {
		(void)snprintf(text, sizeof text, "2001:db8:%zu:1::1", i);
		add_from(i, text);
	}
	ck_assert_int_eq(victim(), 11); /* 19 of one network */
	for (size_t i = 11; i < 30; i++)
		drop(i);
	for (size_t i = 80; i < 100; i++) {
		(void)snprintf(text, sizeof text, "2001:db8:%zu:1::1", i);
		add_from(i, text);
	}
	ck_assert_int_eq(victim(), 0); /* 11 of one address */
}

TEST(a_single_place_is_given_to_the_newest)
{
	start(1, 100);
	ck_assert_int_eq(victim(), -1);
	add(0);
	ck_assert(conn_limits_full(&limits));
	ck_assert_int_eq(victim(), 0);
}

TEST(the_oldest_of_a_state_is_known)
{
	start(100, 100);
	ck_assert_ptr_null(conn_limits_oldest(&limits, BUSY));
	for (size_t i = 0; i < 3; i++)
		add(i);
	conn_limits_change_state(&limits, &slots[2], BUSY);
	conn_limits_change_state(&limits, &slots[0], BUSY);
	ck_assert_int_eq(index_of(conn_limits_oldest(&limits, BUSY)), 2);
	ck_assert_int_eq(index_of(conn_limits_oldest(&limits, IDLE)), 1);
	drop(2);
	ck_assert_int_eq(index_of(conn_limits_oldest(&limits, BUSY)), 0);
}
