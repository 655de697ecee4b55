/* core_dump - see core_dump.h. */
#include "libbase/core_dump.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "libbase/log.h"

/* Exclude all kinds of mappings from core dumps: see core(5). */
static int
dump_nothing(void)
{
	int fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, "0", 1) != 1)
		rc = -errno;
	(void)close(fd); /* write has returned the result */
	return rc;
}

void
core_dump_disable(void)
{
	const struct rlimit none = {0};
	int rc = setrlimit(RLIMIT_CORE, &none) < 0 ? -errno : 0;

	if (rc < 0)
		log_warn("cannot disable core dumps err=%s",
		         log_quote(strerror(-rc)));
	rc = dump_nothing();
	/* Without /proc, as in a sandbox, the limit alone has to do. */
	if (rc < 0 && rc != -ENOENT && rc != -EACCES)
		log_warn("cannot exclude memory from piped core dumps err=%s",
		         log_quote(strerror(-rc)));
}
