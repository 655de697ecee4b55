/* file - see file.h. */
#include "libbase/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libbase/error.h"

static int
check_open_file(int fd, enum file_owner owner)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return ERR_NOT_REGULAR_FILE;
	if (owner != FILE_ANY && st.st_uid != geteuid())
		return ERR_FOREIGN_OWNER;
	/* An earlier release made it, or an operator copied it. */
	if (owner == FILE_LOCK && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0 &&
	    fchmod(fd, 0600) < 0)
		return -errno;
	return 0;
}

/* The error of an open that failed; errno is set. */
static int
failed_open(int dir, const char *name)
{
	struct stat st;
	int rc = -errno;

	/* A fifo without a reader, a socket or a device without a driver. */
	if ((rc == -ENXIO || rc == -ENODEV || rc == -EISDIR) &&
	    fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    !S_ISREG(st.st_mode))
		rc = ERR_NOT_REGULAR_FILE;
	return rc;
}

int
file_open(int dir, const char *name, int flags, enum file_owner owner)
{
	int fd, rc;

	/* Nothing is truncated before the file has been checked. */
	if (flags & O_TRUNC)
		return -EINVAL;
	fd = openat(dir, name,
	            flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
	            owner == FILE_LOCK ? 0600 : 0640);
	if (fd < 0)
		return failed_open(dir, name);
	rc = check_open_file(fd, owner);
	if (rc == 0)
		return fd;
	(void)close(fd); /* nothing was written */
	return rc;
}

bool
file_is_at(int fd, const char *path)
{
	struct stat open, now;

	return fstat(fd, &open) == 0 && lstat(path, &now) == 0 &&
	       open.st_dev == now.st_dev && open.st_ino == now.st_ino;
}

const char *
file_error(int rc)
{
	switch (rc) {
	case -ELOOP:
		return "it is a symbolic link: remove it";
	case ERR_NOT_REGULAR_FILE:
		return "it is not a regular file: remove it";
	case ERR_FOREIGN_OWNER:
		return "it belongs to another user: run as the user that owns "
		       "it, or change its owner";
	default:
		return error_text(rc);
	}
}

int
file_read(const char *path, size_t max_bytes, char **out, size_t *bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	char *text;
	int rc = 0;

	if (fd < 0)
		return -errno;
	text = malloc(max_bytes + 1);
	if (!text)
		rc = -ENOMEM;
	while (rc == 0) {
		ssize_t n = read(fd, text + used, max_bytes + 1 - used);

		if (n == 0)
			break;
		if (n < 0)
			rc = errno == EINTR ? 0 : -errno;
		else
			used += (size_t)n;
		if (used > max_bytes)
			rc = -EFBIG;
	}
	(void)close(fd); /* read only: nothing to lose */
	if (rc < 0) {
		free(text);
		return rc;
	}
	text[used] = '\0';
	*out = text;
	*bytes = used;
	return 0;
}

int
file_write(int fd, const void *data, size_t bytes, uint64_t at)
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
	return 0;
}

int
file_put(int fd, const void *data, size_t bytes, uint64_t at)
{
	int rc = file_write(fd, data, bytes, at);

	if (rc == 0 && fsync(fd) < 0)
		rc = -errno;
	return rc;
}
