/* test_socket_access - the socket's owner and mode, in a directory of another
 * user. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "batchd/socket_access.h"
#include "tests/support/test.h"

static char directory[] = "/tmp/leat-access-XXXXXX", victim[64];
static struct sockaddr_un addr = {.sun_family = AF_UNIX};
static bool swap;

/* Instead of libc's: what another user could do as soon as the socket is there.
 */
int
bind(int fd, const struct sockaddr *to, socklen_t n)
{
	int rc = (int)syscall(SYS_bind, fd, to, n);

	if (swap &&
	    (unlink(addr.sun_path) < 0 || symlink(victim, addr.sun_path) < 0))
		abort();
	return rc;
}

static void
setup(void)
{
	int fd;

	ck_assert_ptr_nonnull(mkdtemp(directory));
	(void)snprintf(victim, sizeof victim, "%s/victim", directory);
	(void)snprintf(addr.sun_path, sizeof addr.sun_path, "%s/socket",
	               directory);
	fd = open(victim, O_WRONLY | O_CREAT, 0600);
	ck_assert_int_ge(fd, 0);
	(void)close(fd);
}

static void
teardown(void)
{
	(void)unlink(victim);
	(void)unlink(addr.sun_path);
	(void)rmdir(directory);
	memcpy(strrchr(directory, '-'), "-XXXXXX", 8);
}

TEST_CASE(bind, .setup = setup, .teardown = teardown);

static struct stat
apply(const struct socket_access *a, int want)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	struct stat st;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(socket_access_bind(a, fd, &addr), want);
	ck_assert_int_eq(lstat(addr.sun_path, &st), 0);
	(void)close(fd);
	return st;
}

TEST_LOOP(the_mode_is_right_whatever_the_umask, 2)
{
	const struct socket_access a = {geteuid(), getegid()};
	mode_t before = umask(_i == 0 ? 0 : 077);
	struct stat st;

	swap = false;
	st = apply(&a, 0);
	ck_assert_uint_eq(umask(before), _i == 0 ? 0 : 077);
	ck_assert(S_ISSOCK(st.st_mode));
	ck_assert_uint_eq(st.st_mode & 07777, SOCKET_ACCESS_MODE);
	ck_assert_uint_eq(st.st_uid, a.uid);
}

TEST(a_link_in_place_of_the_socket_changes_no_file)
{
	/* Only root can give a file away. */
	const struct socket_access a = {geteuid() == 0 ? 65534 : geteuid(),
	                                geteuid() == 0 ? 12345 : getegid()};
	struct stat st;

	swap = true;
	st = apply(&a, 0);
	ck_assert(S_ISLNK(st.st_mode));
	ck_assert_int_eq(stat(victim, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_uint_eq(st.st_uid, geteuid());
	ck_assert_uint_eq(st.st_gid, getegid());
}
