/* socket_access - see socket_access.h. */
#include "batchd/socket_access.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A peer with more groups than this is treated as if it had none. */
#define GROUPS_MAX 1024

/* Read the number of a user or group without a name.  Returns 0 or -ENOENT. */
static int
read_id(const char *text, unsigned *id)
{
	char *end;
	long number;

	errno = 0;
	number = strtol(text, &end, 10);
	if (errno != 0 || *end || number < 0 || number > INT32_MAX)
		return -ENOENT;
	*id = (unsigned)number;
	return 0;
}

int
socket_access_set_owner(struct socket_access *a, const char *user)
{
	const struct passwd *entry = user[0] ? getpwnam(user) : NULL;

	a->uid = entry ? entry->pw_uid : geteuid();
	return entry || !user[0] ? 0 : read_id(user, &a->uid);
}

int
socket_access_set_group(struct socket_access *a, const char *group)
{
	const struct group *entry = group[0] ? getgrnam(group) : NULL;

	a->gid = entry ? entry->gr_gid : getegid();
	return entry || !group[0] ? 0 : read_id(group, &a->gid);
}

int
socket_access_bind(const struct socket_access *a, int fd,
                   const struct sockaddr_un *addr)
{
	/* batchd's own ids need no chown, which a sandbox may forbid. */
	uid_t uid = a->uid == geteuid() ? (uid_t)-1 : a->uid;
	gid_t gid = a->gid == getegid() ? (gid_t)-1 : a->gid;
	mode_t mask;
	int rc = 0;

	/*
	 * The file gets the mode of the socket.  A chmod(2) after bind would
	 * follow a link that another user has put at the path meanwhile.
	 */
	if (fchmod(fd, SOCKET_ACCESS_MODE) < 0)
		return -errno;
	mask = umask(0);
	if (bind(fd, (const struct sockaddr *)addr, sizeof *addr) < 0)
		rc = -errno;
	(void)umask(mask); /* cannot fail */
	if (rc == 0 && (uid != (uid_t)-1 || gid != (gid_t)-1) &&
	    lchown(addr->sun_path, uid, gid) < 0)
		rc = -errno;
	return rc;
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
socket_access_allows(const struct socket_access *a, int fd, uid_t *uid,
                     pid_t *pid)
{
	struct ucred peer;
	socklen_t n = sizeof peer;

	*uid = (uid_t)-1;
	*pid = 0;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
		return false;
	*uid = peer.uid;
	*pid = peer.pid;
	return peer.uid == geteuid() || peer.uid == 0 || peer.uid == a->uid ||
	       peer.gid == a->gid || has_group(fd, a->gid);
}
