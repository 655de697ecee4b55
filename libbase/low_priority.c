/* low_priority - see low_priority.h. */
#include "libbase/low_priority.h"

#include <sched.h>
#include <sys/resource.h>

#define NICE 10

void
low_priority_set(void)
{
	const struct sched_param none = {0};

	/* Both are allowed to everyone; a sandbox may still forbid them. */
	(void)setpriority(PRIO_PROCESS, 0, NICE);
	(void)sched_setscheduler(0, SCHED_BATCH, &none);
}
