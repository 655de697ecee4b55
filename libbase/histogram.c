/* histogram - see histogram.h. */
#include "libbase/histogram.h"

const uint64_t histogram_bounds_us[HISTOGRAM_BOUNDS] = {
    500,    1000,   2500,    5000,    10000,   25000,    50000,    100000,
    250000, 500000, 1000000, 2500000, 5000000, 10000000, 60000000,
};

void
histogram_add(struct histogram *h, uint64_t us, uint64_t times)
{
	int i = 0;

	while (i < HISTOGRAM_BOUNDS && us > histogram_bounds_us[i])
		i++;
	h->counts[i] += times;
	h->sum_us += us * times;
}
