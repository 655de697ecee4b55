/* directory - see directory.h. */
#include "libbase/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int
directory_sync(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		rc = -errno;
	(void)close(fd); /* read only */
	return rc;
}

int
directory_make(const char *path)
{
	char *copy;
	int rc;

	if (mkdir(path, 0750) < 0)
		return errno == EEXIST ? 0 : -errno;
	copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	rc = directory_sync(dirname(copy));
	free(copy);
	return rc;
}
