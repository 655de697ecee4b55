/* test_units - figures with few digits. */
#include "leat/units.h"
#include "tests/support/test.h"

TEST(bytes_have_a_unit)
{
	char out[UNITS_TEXT_BYTES];

	ck_assert_str_eq(units_bytes(0, out), "0B");
	ck_assert_str_eq(units_bytes(1023, out), "1023B");
	ck_assert_str_eq(units_bytes(1024, out), "1.0K");
	ck_assert_str_eq(units_bytes(1536, out), "1.5K");
	ck_assert_str_eq(units_bytes(UINT64_C(8) << 30, out), "8.0G");
	ck_assert_str_eq(units_bytes(UINT64_MAX, out), "16384.0P");
}

TEST(counts_have_at_most_five_digits)
{
	char out[UNITS_TEXT_BYTES];

	ck_assert_str_eq(units_count(0, out), "0");
	ck_assert_str_eq(units_count(99999, out), "99999");
	ck_assert_str_eq(units_count(100000, out), "100k");
	ck_assert_str_eq(units_count(999999, out), "999k");
	ck_assert_str_eq(units_count(1000000, out), "1.00M");
	ck_assert_str_eq(units_count(1059999, out), "1.05M");
	ck_assert_str_eq(units_count(12349999, out), "12.3M");
	ck_assert_str_eq(units_count(12049999, out), "12.0M");
	ck_assert_str_eq(units_count(999999999, out), "999M");
	ck_assert_str_eq(units_count(UINT64_MAX, out), "18.4E");
}

TEST(durations_have_two_units)
{
	char out[UNITS_TEXT_BYTES];

	ck_assert_str_eq(units_duration(0, out), "0.0 s");
	ck_assert_str_eq(units_duration(9999, out), "9.9 s");
	ck_assert_str_eq(units_duration(10000, out), "10 s");
	ck_assert_str_eq(units_duration(59999, out), "59 s");
	ck_assert_str_eq(units_duration(60000, out), "1m 00s");
	ck_assert_str_eq(units_duration(3599999, out), "59m 59s");
	ck_assert_str_eq(units_duration(3600000, out), "1h 00m");
	ck_assert_str_eq(units_duration(86399999, out), "23h 59m");
	ck_assert_str_eq(units_duration(86400000, out), "1d 00h");
	ck_assert_str_eq(units_duration(UINT64_C(99999) * 86400000, out),
	                 "99999d 00h");
	ck_assert_str_eq(units_duration(UINT64_MAX, out), ">99999d");
}

TEST(times_are_in_utc)
{
	char out[UNITS_TEXT_BYTES];

	ck_assert_str_eq(units_time(0, out), "1970-01-01 00:00:00Z");
	ck_assert_str_eq(units_time(UINT64_C(1795701600123456), out),
	                 "2026-11-26 14:00:00Z");
	ck_assert_str_eq(units_time(UINT64_MAX, out), "586524-01-19 08:01:49Z");
}
