/* access - see access.h. */
#include "batchd/access.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Groups of a peer that are looked at; beyond, it is as if it had none. */
#define GROUPS_MAX 1024

int
access_init(struct access *a, const char *group)
{
	const struct group *entry;
	char *end;
	long number;

	a->gid = getegid();
	if (group[0] == '\0')
		return 0;
	entry = getgrnam(group);
	if (entry) {
		a->gid = entry->gr_gid;
		return 0;
	}
	errno = 0;
	number = strtol(group, &end, 10);
	if (errno != 0 || *end || number < 0 || number > INT32_MAX)
		return -ENOENT;
	a->gid = (gid_t)number;
	return 0;
}

int
access_apply(const struct access *a, const char *path)
{
	/* One's own group needs no chown, which a sandbox may forbid. */
	if (a->gid != getegid() && chown(path, (uid_t)-1, a->gid) < 0)
		return -errno;
	return chmod(path, ACCESS_SOCKET_MODE) < 0 ? -errno : 0;
}

static bool
has_group(int fd, gid_t gid)
{
	gid_t groups[GROUPS_MAX];
	socklen_t n = sizeof groups;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &n) < 0)
		return false;
	for (size_t i = 0; i < n / sizeof groups[0]; i++) {
		if (groups[i] == gid)
			return true;
	}
	return false;
}

bool
access_allows(const struct access *a, int fd, uid_t *uid, pid_t *pid)
{
	struct ucred peer;
	socklen_t n = sizeof peer;

	*uid = (uid_t)-1;
	*pid = 0;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
		return false;
	*uid = peer.uid;
	*pid = peer.pid;
	return peer.uid == geteuid() || peer.uid == 0 || peer.gid == a->gid ||
	       has_group(fd, a->gid);
}
