/* check_disk - see check_disk.h. */
#include "leat/check_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "leat/mark.h"
#include "libbase/compare.h"
#include "libbase/conf.h"
#include "libbase/directory.h"
#include "libbase/log.h"

#define SYNCS 200
#define SYNC_BYTES 4096

/* Give up after this time: a disk that slow is known well enough. */
#define SYNC_TIME_US 20000000

/* A group of events waits for one sync; this one makes senders wait. */
#define SLOW_SYNC_US 20000

static uint64_t
now_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static const char *
file_system_name(const char *dir)
{
	static const struct {
		unsigned long type;
		const char *name;
	} names[] = {
	    {0xef53, "ext4"},        {0x58465342, "xfs"},
	    {0x9123683e, "btrfs"},   {0x2fc12fc1, "zfs"},
	    {0x01021994, "tmpfs"},   {0x6969, "nfs"},
	    {0x794c7630, "overlay"}, {0xf2f52010, "f2fs"},
	    {0xff534d42, "cifs"},    {0x65735546, "fuse"},
	};
	struct statfs fs;

	for (size_t i = 0; statfs(dir, &fs) == 0 && i < ARRAY_LEN(names); i++) {
		if ((unsigned long)fs.f_type == names[i].type)
			return names[i].name;
	}
	return "file system";
}

/* Open a file without a name, or -errno. */
static int
open_nameless(const char *dir)
{
	char path[PATH_MAX + sizeof "/leat-check-XXXXXX"];
	int fd = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

	if (fd >= 0)
		return fd;
	if (errno != EOPNOTSUPP && errno != EISDIR)
		return -errno;
	/* This file system has none: batchd ignores other names than its own.
	 */
	(void)snprintf(path, sizeof path, "%s/leat-check-XXXXXX", dir);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	(void)unlink(path);
	return fd;
}

/* Time syncs as batchd does them.  Returns their number, or -errno. */
static int
time_syncs(const char *dir, uint64_t us[SYNCS])
{
	static const char bytes[SYNC_BYTES];
	uint64_t start = now_us();
	int n = 0, rc = 0, fd = open_nameless(dir);

	if (fd < 0)
		return fd;
	while (n < SYNCS && rc == 0 && now_us() - start < SYNC_TIME_US) {
		uint64_t before = now_us();

		if (write(fd, bytes, sizeof bytes) != (ssize_t)sizeof bytes)
			rc = errno ? -errno : -EIO;
		else if (fdatasync(fd) < 0)
			rc = -errno;
		else
			us[n++] = now_us() - before;
	}
	(void)close(fd); /* it has no name, so it is gone */
	return rc < 0 ? rc : n;
}

/* The bytes that the files of the log take. */
static uint64_t
bytes_in(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	uint64_t sum = 0;
	struct stat st;

	while (d && (entry = readdir(d))) {
		if (fstatat(dirfd(d), entry->d_name, &st,
		            AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode))
			sum += (uint64_t)st.st_blocks * 512;
	}
	if (d)
		(void)closedir(d);
	return sum;
}

static void
print_speed(const char *dir, const char *where)
{
	uint64_t us[SYNCS];
	bool memory = strcmp(file_system_name(where), "tmpfs") == 0;
	int n = time_syncs(where, us);
	enum mark mark;
	uint64_t median;

	if (n <= 0) {
		mark_print(MARK_WARNING, "disk",
		           "cannot be measured in %s: %s; run leat check as "
		           "root or as the user of batchd",
		           log_quote(where), strerror(-n));
		return;
	}
	qsort(us, (size_t)n, sizeof *us, compare_u64);
	median = us[n / 2] > 0 ? us[n / 2] : 1;
	mark = memory || median > SLOW_SYNC_US ? MARK_WARNING : MARK_OK;
	mark_print(mark, "disk",
	           "%s, %s; fdatasync %.2f ms median, %.1f ms worst of %d: "
	           "about %lu groups of events a second%s",
	           dir, file_system_name(where), (double)median / 1000,
	           (double)us[n - 1] / 1000, n,
	           (unsigned long)(1000000 / median),
	           memory ? "; this is memory, which a restart of the machine "
	                    "empties: set [batchd] dir to a disk"
	           : mark == MARK_WARNING
	               ? "; slow: set [batchd] dir to a faster disk, best one "
	                 "whose cache survives a power failure"
	               : "");
}

static void
print_room(const struct check_disk *s, const char *where)
{
	struct statvfs fs;
	uint64_t free_bytes, used = bytes_in(s->dir), keep, fits;
	char limit[CONF_SIZE_TEXT];

	if (statvfs(where, &fs) < 0) {
		mark_print(MARK_WARNING, "space", "of %s is not known: %s",
		           log_quote(where), strerror(errno));
		return;
	}
	free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	keep = (uint64_t)s->min_free_bytes;
	fits = free_bytes + used > keep ? free_bytes + used - keep : 0;
	(void)conf_size_text(s->max_bytes, limit);
	if (fits >= (uint64_t)s->max_bytes) {
		mark_print(MARK_OK, "space",
		           "%.1f GiB free, %.1f GiB used by the log; max_bytes "
		           "= %s fits",
		           (double)free_bytes / (1 << 30),
		           (double)used / (1 << 30), limit);
		return;
	}
	/* Some is left for what else grows on that disk. */
	fits -= fits / 16;
	mark_print(fits < 64 * MIB ? MARK_ERROR : MARK_WARNING, "space",
	           "%.1f GiB free: the disk is full before the log has "
	           "max_bytes = %s; set [batchd] max_bytes = %lluM, or free "
	           "space",
	           (double)free_bytes / (1 << 30), limit,
	           (unsigned long long)(fits / MIB > 64 ? fits / MIB : 64));
}

void
check_disk(const struct check_disk *s)
{
	char where[PATH_MAX];
	struct stat st;

	(void)snprintf(where, sizeof where, "%s", s->dir);
	/* batchd creates the last part of the path. */
	if (stat(where, &st) < 0)
		(void)directory_parent(where);
	print_speed(s->dir, where);
	print_room(s, where);
}

bool
check_directory(const char *what, const char *path)
{
	struct stat st;

	/* The check of the settings reports what keeps it from being made. */
	if (stat(path, &st) < 0 || !(st.st_mode & S_IWOTH) ||
	    (st.st_mode & S_ISVTX))
		return true;
	mark_print(MARK_ERROR, "permissions",
	           "any user may change what is in %s = %s; run: chmod o-w %s",
	           what, path, path);
	return false;
}
