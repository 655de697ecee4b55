/* uuid7 - see uuid7.h. */
#include "ingestd/uuid7.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define HIGH_MASK UINT64_C(0xfff)
#define LOW_MASK ((UINT64_C(1) << 62) - 1)
#define STEP_MASK UINT64_C(0xffffffff)

/* getrandom returns up to 256 bytes completely and uninterrupted. */
static int
uuid7_fill_pool(struct uuid7 *u)
{
	for (size_t at = 0; at < sizeof u->pool; at += 256) {
		if (getrandom(u->pool + at, 256, 0) != 256)
			return -errno;
	}
	u->used = 0;
	return 0;
}

static uint64_t
take_random(struct uuid7 *u)
{
	uint64_t v;
	int rc = 0;

	if (u->used + sizeof v > sizeof u->pool)
		rc = uuid7_fill_pool(u);
	/* It succeeded in uuid7_init, after which Linux does not fail. */
	assert(rc == 0);
	memcpy(&v, u->pool + u->used, sizeof v);
	u->used += sizeof v;
	return v;
}

int
uuid7_init(struct uuid7 *u)
{
	*u = (struct uuid7){0};
	return uuid7_fill_pool(u);
}

static void
uuid7_advance(struct uuid7 *u, uint64_t ms)
{
	if (ms > u->ms) {
		u->ms = ms;
		u->high = take_random(u) & HIGH_MASK;
		u->low = take_random(u) & LOW_MASK;
		return;
	}
	u->low += 1 + (take_random(u) & STEP_MASK);
	if (u->low <= LOW_MASK)
		return;
	u->low &= LOW_MASK;
	u->high++;
	if (u->high <= HIGH_MASK)
		return;
	/* All numbers of this millisecond are used: take the next. */
	u->high = 0;
	u->ms++;
}

static char *
uuid7_put_hex(char *out, uint64_t value, int digits)
{
	static const char hex[] = "0123456789abcdef";

	for (int i = digits - 1; i >= 0; i--)
		*out++ = hex[value >> (4 * i) & 15];
	return out;
}

void
uuid7_next(struct uuid7 *u, int64_t wall_us, char out[UUID7_TEXT_BYTES])
{
	uint64_t variant;

	uuid7_advance(u, (uint64_t)wall_us / 1000);
	variant = UINT64_C(1) << 63 | u->low;
	out = uuid7_put_hex(out, u->ms >> 16, 8);
	*out++ = '-';
	out = uuid7_put_hex(out, u->ms, 4);
	*out++ = '-';
	*out++ = '7';
	out = uuid7_put_hex(out, u->high, 3);
	*out++ = '-';
	out = uuid7_put_hex(out, variant >> 48, 4);
	*out++ = '-';
	(void)uuid7_put_hex(out, variant, 12);
}
