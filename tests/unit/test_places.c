/* test_places - who holds a place, until when, and who goes for whom. */
#include <check.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ingestd/places.h"
#include "libbase/base.h"

#define IDLE_MS 1000
#define REQUEST_MS 500
#define MANY 8

static uv_loop_t loop; /* only its clock is used */
static struct places places;
static struct place place[MANY];
static int ours[MANY], theirs[MANY];

static void
setup(void)
{
	loop.time = 5000;
	for (size_t i = 0; i < MANY; i++) {
		int sv[2];

		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
		ours[i] = sv[0];
		theirs[i] = sv[1];
	}
}

static void
teardown(void)
{
	for (size_t i = 0; i < MANY; i++) {
		ck_assert_int_eq(close(ours[i]), 0);
		ck_assert_int_eq(close(theirs[i]), 0);
	}
}

static void
start(uint64_t max, size_t n)
{
	places_init(&places, &loop, max, IDLE_MS, REQUEST_MS);
	for (size_t i = 0; i < n; i++)
		places_add(&places, &place[i], ours[i]);
}

/* Whether the other end sees the end. */
static bool
is_gone(size_t i)
{
	struct pollfd p = {.fd = theirs[i], .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

static void
pass(uint64_t ms)
{
	loop.time += ms;
	places_sweep(&places);
}

START_TEST(a_request_has_a_deadline_however_it_drips)
{
	start(100, 3);
	pass(IDLE_MS);
	places_move(&places, &place[1], PLACE_BUSY);
	pass(REQUEST_MS - 1);
	ck_assert(!is_gone(0) && !is_gone(1) && !is_gone(2));
	places_move(&places, &place[2], PLACE_IDLE); /* its answer went out */
	pass(1);
	ck_assert(is_gone(0) && is_gone(1) && !is_gone(2));
	ck_assert_uint_eq(places.overdue, 2);
	pass(IDLE_MS + REQUEST_MS - 2);
	ck_assert(!is_gone(2));
	pass(1);
	ck_assert(is_gone(2));
}
END_TEST

START_TEST(who_waits_for_batchd_has_none)
{
	start(100, 1);
	places_move(&places, &place[0], PLACE_WAITING);
	pass(1000000);
	ck_assert(!is_gone(0));
	places_move(&places, &place[0], PLACE_BUSY);
	pass(REQUEST_MS);
	ck_assert(is_gone(0));
}
END_TEST

START_TEST(the_longest_idle_goes_for_a_new_one)
{
	start(6, 5); /* the fifth is one too many for the room of 1 */
	ck_assert(!is_gone(0));
	places_move(&places, &place[0], PLACE_BUSY);
	places_move(&places, &place[0], PLACE_IDLE);
	places_add(&places, &place[5], ours[5]);
	ck_assert(is_gone(1));
	ck_assert(!is_gone(0) && !is_gone(2) && !is_gone(5));
	ck_assert_uint_eq(places.evicted, 1);
	places_remove(&places, &place[1]);
	places_add(&places, &place[6], ours[6]);
	ck_assert(is_gone(2) && !is_gone(0));
}
END_TEST

START_TEST(then_the_slowest_body_and_never_a_waiting_one)
{
	start(6, 5);
	places_move(&places, &place[0], PLACE_WAITING);
	for (size_t i = 1; i < 5; i++)
		places_move(&places, &place[i], PLACE_BUSY);
	places_add(&places, &place[5], ours[5]);
	ck_assert(is_gone(1) && !is_gone(0));
	for (size_t i = 2; i < 6; i++)
		places_move(&places, &place[i], PLACE_WAITING);
	places_add(&places, &place[6], ours[6]);
	for (size_t i = 2; i < 7; i++)
		ck_assert(!is_gone(i));
}
END_TEST

START_TEST(under_pressure_only_a_slow_body_goes)
{
	start(100, 2);
	places_press(&places); /* nobody sends */
	places_move(&places, &place[0], PLACE_BUSY);
	places_press(&places);
	pass(REQUEST_MS / 10 - 1);
	places_press(&places);
	ck_assert(!is_gone(0));
	pass(1);
	places_move(&places, &place[1], PLACE_BUSY);
	places_press(&places);
	places_press(&places);
	ck_assert(is_gone(0) && !is_gone(1));
}
END_TEST

START_TEST(who_is_going_stays_so_and_can_leave)
{
	start(100, 2);
	pass(IDLE_MS + REQUEST_MS);
	places_move(&places, &place[0], PLACE_BUSY);
	places_move(&places, &place[0], PLACE_IDLE);
	ck_assert_int_eq(place[0].phase, PLACE_GOING);
	places_remove(&places, &place[1]);
	places_remove(&places, &place[0]);
	ck_assert_uint_eq(places.count, 0);
	ck_assert_ptr_null(places.rows[PLACE_IDLE].first);
	ck_assert_ptr_null(places.rows[PLACE_IDLE].last);
}
END_TEST

START_TEST(a_single_place_evicts_nobody)
{
	start(1, 1);
	ck_assert(!is_gone(0));
	start(3, 3);
	ck_assert(!is_gone(0) && !is_gone(1) && !is_gone(2));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("places");
	TCase *tc = tcase_create("places");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_request_has_a_deadline_however_it_drips);
	tcase_add_test(tc, who_waits_for_batchd_has_none);
	tcase_add_test(tc, the_longest_idle_goes_for_a_new_one);
	tcase_add_test(tc, then_the_slowest_body_and_never_a_waiting_one);
	tcase_add_test(tc, under_pressure_only_a_slow_body_goes);
	tcase_add_test(tc, who_is_going_stays_so_and_can_leave);
	tcase_add_test(tc, a_single_place_evicts_nobody);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
