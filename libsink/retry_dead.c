/* retry_dead - see retry_dead.h. */
#include "libsink/retry_dead.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

int
retry_dead(struct deliver *d)
{
	(void)d;
	return EXIT_FAILURE;
}
