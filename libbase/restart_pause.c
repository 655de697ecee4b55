/* restart_pause - see restart_pause.h. */
#include "libbase/restart_pause.h"

#include <stdlib.h>
#include <time.h>

int
restart_pause(int status)
{
	const struct timespec pause = {.tv_sec = 1};

	/* supervisord sets it for each program: see its documentation. */
	if (status == EXIT_FAILURE && getenv("SUPERVISOR_ENABLED"))
		(void)nanosleep(&pause, NULL);
	return status;
}
