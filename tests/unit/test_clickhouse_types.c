/* test_clickhouse_types - parse column types as a server reports them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sinkd-clickhouse/column_type.h"
#include "tests/support/test.h"

static struct column_type
parsed(const char *text)
{
	struct column_type t;

	ck_assert_msg(column_type_parse(text, strlen(text), &t) == 0, "%s",
	              text);
	return t;
}

TEST(reads_every_supported_type)
{
	struct column_type t;

	ck_assert_int_eq(parsed("String").kind, COLUMN_STRING);
	ck_assert_int_eq(parsed("UUID").kind, COLUMN_UUID);
	ck_assert_int_eq(parsed("Int64").kind, COLUMN_INT64);
	ck_assert_int_eq(parsed("UInt64").kind, COLUMN_UINT64);
	ck_assert_int_eq(parsed("DateTime").kind, COLUMN_DATETIME);
	ck_assert_int_eq(parsed("DateTime('Asia/Istanbul')").kind,
	                 COLUMN_DATETIME);
	t = parsed("DateTime64(3)");
	ck_assert_int_eq(t.kind, COLUMN_DATETIME64);
	ck_assert_uint_eq(t.precision, 3);
	t = parsed("DateTime64(9, 'UTC')");
	ck_assert_uint_eq(t.precision, 9);
	t = parsed("FixedString(36)");
	ck_assert_int_eq(t.kind, COLUMN_FIXED_STRING);
	ck_assert_uint_eq(t.fixed_bytes, 36);
	ck_assert_int_eq(parsed("JSON").kind, COLUMN_JSON);
	ck_assert_int_eq(
	    parsed("JSON(max_dynamic_paths=8, `a)` Enum8('(' = 1))").kind,
	    COLUMN_JSON);
}

TEST(reads_wrappers)
{
	struct column_type t = parsed("LowCardinality(String)");

	ck_assert_int_eq(t.kind, COLUMN_STRING);
	ck_assert(!t.nullable);
	t = parsed("Nullable(UUID)");
	ck_assert_int_eq(t.kind, COLUMN_UUID);
	ck_assert(t.nullable);
	t = parsed("LowCardinality(Nullable(FixedString(8)))");
	ck_assert_int_eq(t.kind, COLUMN_FIXED_STRING);
	ck_assert_uint_eq(t.fixed_bytes, 8);
	ck_assert(t.nullable);
	ck_assert(parsed("Nullable(DateTime64(6, 'UTC'))").nullable);
}

TEST(refuses_everything_else)
{
	static const char *const bad[] = {
	    "",
	    " String",
	    "String ",
	    "Strings",
	    "string",
	    "Int32",
	    "UInt128",
	    "Date",
	    "DateTime(",
	    "DateTime()",
	    "DateTime('UTC'",
	    "DateTime('U\\TC')",
	    "DateTime64",
	    "DateTime64()",
	    "DateTime64(10)",
	    "DateTime64(3,)",
	    "DateTime64(3, UTC)",
	    "FixedString",
	    "FixedString()",
	    "FixedString(0)",
	    "FixedString(-1)",
	    "FixedString(131073)",
	    "FixedString(99999999999999999999)",
	    "Nullable(String",
	    "Nullable(String))",
	    "Nullable()",
	    "Nullable(Nullable(String))",
	    "Nullable(LowCardinality(String))",
	    "LowCardinality(LowCardinality(String))",
	    "LowCardinality(JSON)",
	    "JSON(",
	    "JSON('",
	    "JSON(a))",
	    "Object('json')",
	    "Array(String)",
	    "Enum8('a' = 1)",
	    "SimpleAggregateFunction(any, String)",
	};
	struct column_type t;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(column_type_parse(bad[i], strlen(bad[i]), &t) ==
		                  -EINVAL,
		              "taken: %s", bad[i]);
}

TEST(never_reads_past_the_end_of_the_text)
{
	static const char *const texts[] = {
	    "LowCardinality(Nullable(FixedString(36)))",
	    "Nullable(DateTime64(6, 'Europe/Berlin'))",
	    "Nullable(JSON(a UInt32, SKIP b, SKIP REGEXP '\\'x'))",
	};
	struct column_type t;

	/*
	 * A copy that ends with the text, so that AddressSanitizer finds reads
	 * after it.
	 */
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		for (size_t n = 0; n < strlen(texts[i]); n++) {
			char *copy = malloc(n ? n : 1);

			ck_assert_ptr_nonnull(copy);
			memcpy(copy, texts[i], n);
			ck_assert_int_eq(column_type_parse(copy, n, &t),
			                 -EINVAL);
			free(copy);
		}
		(void)parsed(texts[i]);
	}
}

TEST(knows_which_field_goes_where)
{
	struct column_type text = parsed("LowCardinality(String)");
	struct column_type uuid = parsed("UUID"), json = parsed("JSON");
	struct column_type time = parsed("DateTime64(3)"), ms = parsed("Int64");

	ck_assert(column_type_holds(&text, FIELD_ID));
	ck_assert(column_type_holds(&text, FIELD_PAYLOAD));
	ck_assert(!column_type_holds(&text, FIELD_CREATED_AT));
	ck_assert(column_type_holds(&uuid, FIELD_USER_ID));
	ck_assert(!column_type_holds(&uuid, FIELD_PAYLOAD));
	ck_assert(column_type_holds(&json, FIELD_PAYLOAD));
	ck_assert(!column_type_holds(&json, FIELD_TYPE));
	ck_assert(column_type_holds(&time, FIELD_RECEIVED_AT));
	ck_assert(column_type_holds(&ms, FIELD_CREATED_AT));
	ck_assert(!column_type_holds(&ms, FIELD_ID));
}
