/* directory - see directory.h. */
#include "libbase/directory.h"

#include <errno.h>
#include <fcntl.h>
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
	(void)directory_parent(copy);
	rc = directory_sync(copy);
	free(copy);
	return rc;
}

bool
directory_parent(char *path)
{
	size_t n = strlen(path);
	char *slash;

	while (n > 1 && path[n - 1] == '/')
		path[--n] = '\0';
	if (strcmp(path, "/") == 0 || strcmp(path, ".") == 0)
		return false;
	slash = strrchr(path, '/');
	if (!slash)
		memcpy(path, ".", 2);
	else
		slash[slash == path] = '\0';
	return true;
}
