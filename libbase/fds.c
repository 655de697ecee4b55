/* fds - see fds.h. */
#include "libbase/fds.h"

#include <sys/resource.h>

uint64_t
fds_want(uint64_t want)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= want)
		return want;
	limit.rlim_cur = want < limit.rlim_max ? want : limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0 &&
	    getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return want; /* getrlimit has worked before */
	return limit.rlim_cur < want ? limit.rlim_cur : want;
}
