/*
 * fuzz_clickhouse - responses of a ClickHouse server.
 *
 * A column type that is parsed and can hold a field must accept a row.  An
 * exception must be classified without reading outside the response.
 */
#include <errno.h>

#include "sinkd-clickhouse/exception.h"
#include "sinkd-clickhouse/rowbinary.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

static void
check_exception(const char *text, size_t n, int code)
{
	struct ch_exception e;
	enum sink_result class;
	char out[SINK_ERROR_TEXT];

	if (!ch_exception_find(text, n, code, &e))
		return;
	HOLDS(n == 0 ||
	      (e.message >= text && e.message + e.message_bytes <= text + n));
	class = ch_exception_class(&e);
	HOLDS(class == SINK_UNREACHABLE || class == SINK_MISCONFIGURED ||
	      class == SINK_REJECT);
	HOLDS(ch_exception_row(&e, 1000) <= 1000);
	memset(out, 'x', sizeof out);
	ch_exception_text(&e, out, sizeof out);
	HOLDS(memchr(out, '\0', sizeof out) && out[0] && !strchr(out, '\n'));
}

static void
check_row(const struct column_type *type)
{
	static const struct event event = {
	    .id = {"0190b2a5-7b1c-7def-8abc-0123456789ab", 36},
	    .type = {"t", 1},
	    .payload = {"{\"a\":1}", 7},
	    .created_at_us = EVENT_TIME_MAX_US,
	    .received_at_us = 1};
	struct column_type types[FIELD_COUNT] = {0};
	enum event_field bad;
	const char *why;
	struct buf out;

	types[FIELD_CREATED_AT].kind = types[FIELD_RECEIVED_AT].kind =
	    COLUMN_INT64;
	buf_init(&out, MIB);
	for (int f = 0; f < FIELD_COUNT; f++) {
		struct column_type before = types[f];
		int rc;

		if (!column_type_holds(type, (enum event_field)f))
			continue;
		types[f] = *type;
		buf_clear(&out);
		rc = rowbinary_add(&out, types, &event, &bad, &why);
		HOLDS(rc == 0 ? out.len > 0
		              : rc == -EINVAL && out.len == 0 && why);
		types[f] = before;
	}
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct column_type type;
	char *text;

	if (size == 0)
		return 0;
	text = fuzz_copy(data + 1, size - 1);
	if (data[0] % 2) {
		check_exception(text, size - 1, 0);
		check_exception(text, size - 1, data[0] / 2);
	} else if (column_type_parse(text, size - 1, &type) == 0) {
		HOLDS(type.fixed_bytes <= COLUMN_FIXED_MAX);
		HOLDS(type.precision <= 9);
		check_row(&type);
	}
	free(text);
	return 0;
}
