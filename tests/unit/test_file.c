/* test_file - which files are opened, and which are refused. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "libbase/error.h"
#include "libbase/file.h"
#include "tests/support/test.h"

#define ANOTHER_USER 65534

static char path[64];
static int dir = -1;

static void
setup(void)
{
	(void)snprintf(path, sizeof path, "/tmp/leat-file-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(dir, 0);
}

static void
teardown(void)
{
	(void)unlinkat(dir, "file", 0);
	(void)unlinkat(dir, "name", 0);
	(void)close(dir);
	ck_assert_int_eq(rmdir(path), 0);
}

TEST_CASE(open, .setup = setup, .teardown = teardown);

static int
open_as(const char *name, int flags, enum file_owner owner)
{
	int fd = file_open(dir, name, flags, owner);

	if (fd < 0)
		return fd;
	(void)close(fd);
	return 0;
}

/* No way of opening it may block, and none may succeed. */
static void
assert_refused(int rc)
{
	static const int flags[] = {O_RDONLY, O_WRONLY, O_RDWR,
	                            O_WRONLY | O_CREAT, O_RDWR | O_CREAT};

	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		ck_assert_int_eq(open_as("name", flags[i], FILE_OWN), rc);
		ck_assert_int_eq(open_as("name", flags[i], FILE_ANY), rc);
	}
}

TEST(makes_and_opens_a_regular_file)
{
	struct stat st;

	ck_assert_int_eq(open_as("file", O_RDWR, FILE_OWN), -ENOENT);
	ck_assert_int_eq(open_as("file", O_RDWR | O_CREAT, FILE_OWN), 0);
	ck_assert_int_eq(open_as("file", O_RDONLY, FILE_OWN), 0);
	ck_assert_int_eq(fstatat(dir, "file", &st, 0), 0);
	ck_assert_uint_eq(st.st_mode & 0137, 0);
}

TEST(follows_no_link)
{
	ck_assert_int_eq(open_as("file", O_RDWR | O_CREAT, FILE_OWN), 0);
	ck_assert_int_eq(symlinkat("file", dir, "name"), 0);
	assert_refused(-ELOOP);
	ck_assert_int_eq(unlinkat(dir, "file", 0), 0);
	assert_refused(-ELOOP);
	/* No file was created where the link points. */
	ck_assert_int_eq(faccessat(dir, "file", F_OK, 0), -1);
}

TEST(does_not_wait_at_a_fifo)
{
	ck_assert_int_eq(mkfifoat(dir, "name", 0600), 0);
	assert_refused(ERR_NOT_REGULAR_FILE);
}

TEST(refuses_a_socket_and_a_directory)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(s, 0);
	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s/name",
	               path);
	ck_assert_int_eq(bind(s, (struct sockaddr *)&address, sizeof address),
	                 0);
	assert_refused(ERR_NOT_REGULAR_FILE);
	(void)close(s);
	ck_assert_int_eq(unlinkat(dir, "name", 0), 0);
	ck_assert_int_eq(mkdirat(dir, "name", 0700), 0);
	assert_refused(ERR_NOT_REGULAR_FILE);
	ck_assert_int_eq(unlinkat(dir, "name", AT_REMOVEDIR), 0);
}

TEST(refuses_the_file_of_another_user_unless_it_is_only_read)
{
	if (geteuid() != 0)
		return; /* only root can give a file away */
	ck_assert_int_eq(open_as("name", O_RDWR | O_CREAT, FILE_OWN), 0);
	ck_assert_int_eq(fchownat(dir, "name", ANOTHER_USER, 0, 0), 0);
	ck_assert_int_eq(open_as("name", O_RDWR, FILE_OWN), ERR_FOREIGN_OWNER);
	ck_assert_int_eq(open_as("name", O_RDONLY, FILE_OWN),
	                 ERR_FOREIGN_OWNER);
	ck_assert_int_eq(open_as("name", O_RDONLY, FILE_ANY), 0);
}

TEST(truncates_nothing_before_it_is_checked)
{
	ck_assert_int_eq(open_as("file", O_RDWR | O_TRUNC, FILE_OWN), -EINVAL);
}
