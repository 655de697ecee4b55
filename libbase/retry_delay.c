/* retry_delay - see retry_delay.h. */
#include "libbase/retry_delay.h"

#include <sys/random.h>

uint64_t
retry_delay_ms(uint64_t min_ms, uint64_t max_ms, unsigned n)
{
	uint64_t ms = min_ms;
	uint32_t random = 0;

	while (n > 1 && ms < max_ms) {
		ms *= 2;
		n--;
	}
	if (ms > max_ms)
		ms = max_ms;
	/* Without randomness the waits of several processes are not spread. */
	if (getrandom(&random, sizeof random, GRND_NONBLOCK) < 0)
		random = 0;
	return ms - random % (ms / 2 + 1);
}
