/*
 * fuzz_rfc3339 - timestamps.  One that is accepted, written by clock and read
 * again, is the same time.
 */
#include <errno.h>

#include "libbase/clock.h"
#include "libproto/event.h"
#include "libproto/rfc3339.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char again[CLOCK_TEXT_BYTES + 1], *text = fuzz_copy(data, size);
	int64_t us = 0, second = 0;
	int rc = rfc3339_read(text, size, &us);

	HOLDS(rc == 0 || rc == -EINVAL || rc == -ERANGE);
	if (rc == 0) {
		HOLDS(us >= EVENT_TIME_MIN_US && us <= EVENT_TIME_MAX_US);
		clock_format_us(us, again);
		HOLDS(rfc3339_read(again, CLOCK_TEXT_BYTES, &second) == 0);
		HOLDS(us == second);
	}
	free(text);
	return 0;
}
