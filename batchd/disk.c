/* disk - see disk.h. */
#include "batchd/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "libbase/directory.h"
#include "libbase/error.h"
#include "libbase/file.h"
#include "libbase/log.h"

static int
dir_of(struct disk *d)
{
	return ((struct disk_real *)(void *)d)->dir;
}

static int
open_directory(struct disk *d, const char *directory)
{
	int fd = openat(dir_of(d), directory[0] ? directory : ".",
	                O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* The longest name of a directory inside the log's directory. */
#define DIRECTORY_NAME_MAX 15

/*
 * Open the directory that *name is in, and make *name relative to it.  Returns
 * a descriptor for disk_leave, or -errno.
 *
 * The directory is opened for each operation, and never through a symbolic
 * link.  If the log's directory belongs to another user, that user can replace
 * a directory in it with a link at any time.
 */
static int
disk_enter(struct disk *d, const char **name)
{
	const char *slash = strchr(*name, '/');
	char directory[DIRECTORY_NAME_MAX + 1];
	size_t n = slash ? (size_t)(slash - *name) : 0;

	if (!slash)
		return dir_of(d);
	if (n > DIRECTORY_NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(directory, *name, n);
	directory[n] = '\0';
	*name = slash + 1;
	return open_directory(d, directory);
}

static void
disk_leave(struct disk *d, int dir)
{
	if (dir >= 0 && dir != dir_of(d))
		(void)close(dir); /* read only */
}

static int
open_named(struct disk *d, const char *name, int flags, enum file_owner owner)
{
	const char *last = name;
	int dir = disk_enter(d, &last);
	int fd = dir < 0 ? dir : file_open(dir, last, flags, owner);

	disk_leave(d, dir);
	/* Log it here, where the name of the file is known. */
	if (fd == -ELOOP || fd == ERR_NOT_REGULAR_FILE ||
	    fd == ERR_FOREIGN_OWNER)
		log_error("file refused name=%s err=%s", log_quote(name),
		          log_quote(file_error(fd)));
	return fd;
}

static int
real_open(struct disk *d, const char *name, bool create)
{
	return open_named(d, name, O_RDWR | (create ? O_CREAT : 0), FILE_OWN);
}

static void
real_close(struct disk *d, int file)
{
	(void)d;
	(void)close(file); /* what must be durable was synced before */
}

static ssize_t
real_pread(struct disk *d, int file, void *buf, size_t n, uint64_t at)
{
	ssize_t got = pread(file, buf, n, (off_t)at);

	(void)d;
	return got < 0 ? -errno : got;
}

static ssize_t
real_pwrite(struct disk *d, int file, const void *buf, size_t n, uint64_t at)
{
	ssize_t put = pwrite(file, buf, n, (off_t)at);

	(void)d;
	return put < 0 ? -errno : put;
}

static int
real_sync(struct disk *d, int file)
{
	(void)d;
	return fdatasync(file) < 0 ? -errno : 0;
}

static int
real_truncate(struct disk *d, int file, uint64_t bytes)
{
	(void)d;
	return ftruncate(file, (off_t)bytes) < 0 ? -errno : 0;
}

static int
real_allocate(struct disk *d, int file, uint64_t bytes)
{
	(void)d;
	return -posix_fallocate(file, 0, (off_t)bytes);
}

static int
real_drop_cache(struct disk *d, int file)
{
	(void)d;
	return -posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
}

static void
real_will_need(struct disk *d, int file, uint64_t at, uint64_t n)
{
	(void)d;
	(void)posix_fadvise(file, (off_t)at, (off_t)n, POSIX_FADV_WILLNEED);
}

static int64_t
real_size(struct disk *d, int file)
{
	struct stat st;

	(void)d;
	return fstat(file, &st) < 0 ? -errno : st.st_size;
}

static int
real_rename(struct disk *d, const char *from, const char *to)
{
	int from_dir = disk_enter(d, &from), to_dir = disk_enter(d, &to);
	int rc = from_dir < 0 ? from_dir : to_dir < 0 ? to_dir : 0;

	if (rc == 0 && renameat(from_dir, from, to_dir, to) < 0)
		rc = -errno;
	disk_leave(d, from_dir);
	disk_leave(d, to_dir);
	return rc;
}

static int
real_unlink(struct disk *d, const char *name)
{
	int dir = disk_enter(d, &name), rc = dir < 0 ? dir : 0;

	if (rc == 0 && unlinkat(dir, name, 0) < 0)
		rc = -errno;
	disk_leave(d, dir);
	return rc;
}

static int
real_mkdir(struct disk *d, const char *name)
{
	struct stat st;

	if (mkdirat(dir_of(d), name, 0750) == 0)
		return 0;
	if (errno != EEXIST ||
	    fstatat(dir_of(d), name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return 0;
	log_error("directory refused: it is a link or another file name=%s",
	          name);
	return -ENOTDIR;
}

static int
real_sync_dir(struct disk *d, const char *directory)
{
	int fd = open_directory(d, directory), rc;

	if (fd < 0)
		return fd;
	rc = fsync(fd) < 0 ? -errno : 0;
	(void)close(fd); /* synced, or the error is known */
	return rc;
}

static int
real_list(struct disk *d, const char *directory,
          int (*on_name)(void *arg, const char *name), void *arg)
{
	int fd = open_directory(d, directory), rc = 0;
	struct dirent *entry;
	DIR *dir;

	if (fd < 0)
		return fd;
	dir = fdopendir(fd);
	if (!dir) {
		rc = -errno;
		(void)close(fd);
		return rc;
	}
	while (rc == 0) {
		errno = 0;
		entry = readdir(dir);
		if (!entry) {
			rc = -errno;
			break;
		}
		if (entry->d_name[0] != '.')
			rc = on_name(arg, entry->d_name);
	}
	(void)closedir(dir); /* read only */
	return rc;
}

static int64_t
real_free_bytes(struct disk *d)
{
	struct statvfs st;

	if (fstatvfs(dir_of(d), &st) < 0)
		return -errno;
	return (int64_t)(st.f_bavail * st.f_frsize);
}

static const struct disk real_functions = {
    .open = real_open,
    .close = real_close,
    .pread = real_pread,
    .pwrite = real_pwrite,
    .sync = real_sync,
    .truncate = real_truncate,
    .allocate = real_allocate,
    .drop_cache = real_drop_cache,
    .will_need = real_will_need,
    .size = real_size,
    .rename = real_rename,
    .unlink = real_unlink,
    .mkdir = real_mkdir,
    .sync_dir = real_sync_dir,
    .list = real_list,
    .free_bytes = real_free_bytes,
};

int
disk_real_open(struct disk_real *d, const char *path)
{
	int rc;

	*d = (struct disk_real){.disk = real_functions, .dir = -1, .lock = -1};
	rc = directory_make(path);
	if (rc < 0)
		return rc;
	d->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->dir < 0)
		return -errno;
	d->lock = open_named(&d->disk, "lock", O_RDWR | O_CREAT, FILE_LOCK);
	if (d->lock < 0)
		rc = d->lock;
	else if (flock(d->lock, LOCK_EX | LOCK_NB) < 0)
		rc = errno == EWOULDBLOCK ? -EBUSY : -errno;
	if (rc < 0)
		disk_real_close(d);
	return rc;
}

/* --- read only --- */

static int
read_only_open(struct disk *d, const char *name, bool create)
{
	return create ? -EROFS : open_named(d, name, O_RDONLY, FILE_ANY);
}

static ssize_t
read_only_pwrite(struct disk *d, int file, const void *buf, size_t n,
                 uint64_t at)
{
	(void)d;
	(void)file;
	(void)buf;
	(void)n;
	(void)at;
	return -EROFS;
}

static int
read_only_sync(struct disk *d, int file)
{
	(void)d;
	(void)file;
	return 0;
}

static int
read_only_change_size(struct disk *d, int file, uint64_t bytes)
{
	(void)d;
	(void)file;
	(void)bytes;
	return -EROFS;
}

static int
read_only_rename(struct disk *d, const char *from, const char *to)
{
	(void)d;
	(void)from;
	(void)to;
	return -EROFS;
}

static int
read_only_change_name(struct disk *d, const char *name)
{
	(void)d;
	(void)name;
	return -EROFS;
}

static const struct disk read_only_functions = {
    .open = read_only_open,
    .close = real_close,
    .pread = real_pread,
    .pwrite = read_only_pwrite,
    .sync = read_only_sync,
    .truncate = read_only_change_size,
    .allocate = read_only_change_size,
    .drop_cache = read_only_sync,
    .will_need = real_will_need,
    .size = real_size,
    .rename = read_only_rename,
    .unlink = read_only_change_name,
    .mkdir = read_only_change_name,
    .sync_dir = read_only_change_name,
    .list = real_list,
    .free_bytes = real_free_bytes,
};

int
disk_real_open_read(struct disk_real *d, const char *path)
{
	*d = (struct disk_real){
	    .disk = read_only_functions, .dir = -1, .lock = -1};
	d->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return d->dir < 0 ? -errno : 0;
}

void
disk_real_close(struct disk_real *d)
{
	if (d->lock >= 0)
		(void)close(d->lock); /* unlocks */
	if (d->dir >= 0)
		(void)close(d->dir); /* read only */
	d->lock = d->dir = -1;
}

int
disk_write(struct disk *d, int file, const void *buf, size_t n, uint64_t at)
{
	const uint8_t *p = buf;

	while (n > 0) {
		ssize_t put = d->pwrite(d, file, p, n, at);

		if (put == -EINTR)
			continue;
		if (put < 0)
			return (int)put;
		if (put == 0)
			return -EIO;
		p += put;
		at += (uint64_t)put;
		n -= (size_t)put;
	}
	return 0;
}

ssize_t
disk_read(struct disk *d, int file, void *buf, size_t n, uint64_t at)
{
	uint8_t *p = buf;
	size_t used = 0;

	while (used < n) {
		ssize_t got = d->pread(d, file, p + used, n - used, at + used);

		if (got == -EINTR)
			continue;
		if (got < 0)
			return got;
		if (got == 0)
			break;
		used += (size_t)got;
	}
	return (ssize_t)used;
}
