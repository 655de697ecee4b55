/*
 * socket_access - which local processes may talk to batchd: those of its own
 * user, of root, and of the socket's owner and group.
 *
 * The socket's mode 0660 says the same; but a mode is changed by accident,
 * and the kernel's word about a peer (SO_PEERCRED, SO_PEERGROUPS) is not.
 */
#ifndef BATCHD_SOCKET_ACCESS_H
#define BATCHD_SOCKET_ACCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "libbase/base.h"

#define SOCKET_ACCESS_MODE 0660

struct socket_access {
	uid_t uid; /* of the socket */
	gid_t gid;
};

/*
 * Each is a name or a number; empty: the one that this process runs with.
 * Returns 0 or -ENOENT.
 */
MUST_USE int socket_access_set_owner(struct socket_access *a, const char *user);
MUST_USE int socket_access_set_group(struct socket_access *a,
                                     const char *group);

/*
 * Bind the socket fd to the path in addr, with its owner, group and mode.  The
 * directory may belong to another user: what that puts at the path meanwhile
 * keeps its own mode, and so does what a link there leads to.  Returns 0 or
 * -errno, -EPERM where only root may give the socket to them.
 */
struct sockaddr_un;
MUST_USE int socket_access_bind(const struct socket_access *a, int fd,
                                const struct sockaddr_un *addr);

/* Whether the peer connected at fd may talk to us; its ids for the log. */
bool socket_access_allows(const struct socket_access *a, int fd, uid_t *uid,
                          pid_t *pid);

#endif
