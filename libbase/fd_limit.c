/* fd_limit - see fd_limit.h. */
#include "libbase/fd_limit.h"

#include <errno.h>
#include <sys/resource.h>

uint64_t
fd_limit_raise(uint64_t want)
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

bool
fd_limit_stops_accept(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOBUFS ||
	       err == ENOMEM;
}
