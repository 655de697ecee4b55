/*
 * socket_access - which local processes may connect to batchd: those of its own
 * user, of root, and of the socket's owner and group.
 *
 * The socket has mode 0660 for the same purpose.  But an operator can change a
 * mode by accident, so batchd also checks the credentials that the kernel
 * returns for each peer (SO_PEERCRED and SO_PEERGROUPS).
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
 * Set the owner or the group of the socket.  It is a name or a number; if it is
 * empty, it is the one that this process runs with.  Returns 0, or -ENOENT if
 * there is no such user or group.
 */
MUST_USE int socket_access_set_owner(struct socket_access *a, const char *user);
MUST_USE int socket_access_set_group(struct socket_access *a,
                                     const char *group);

/*
 * Bind the socket fd to the path in addr, with its owner, group and mode.  The
 * directory may belong to another user, who can replace the path at any time: a
 * file that is put there keeps its mode, and so does the target of a link.
 * Returns 0 or -errno; -EPERM means that only root may give the socket to that
 * owner or group.
 */
struct sockaddr_un;
MUST_USE int socket_access_bind(const struct socket_access *a, int fd,
                                const struct sockaddr_un *addr);

/*
 * Return true if the process that is connected at fd may use batchd.  *uid and
 * *pid are those of the process, or (uid_t)-1 and 0 if they are not known.
 */
bool socket_access_allows(const struct socket_access *a, int fd, uid_t *uid,
                          pid_t *pid);

#endif
