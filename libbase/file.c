/* file - see file.h. */
#include "libbase/file.h"

#include <errno.h>
#include <unistd.h>

int
file_put(int fd, const void *data, size_t bytes, uint64_t at)
{
	const char *from = data;
	size_t done = 0;

	while (done < bytes) {
		ssize_t n =
		    pwrite(fd, from + done, bytes - done, (off_t)(at + done));

		if (n == 0)
			return -EIO;
		if (n < 0 && errno != EINTR)
			return -errno;
		done += n > 0 ? (size_t)n : 0;
	}
	return fsync(fd) < 0 ? -errno : 0;
}
