/*
 * test_permissions - in which directories a process may create files, and which
 * users are named.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libbase/error.h"
#include "libbase/permissions.h"
#include "tests/support/test.h"

/* A user and a group that exist on no machine. */
#define OTHER_UID 48123

static char dir[64], below[80], why[PERMISSIONS_TEXT_BYTES];

static void
setup(void)
{
	(void)snprintf(dir, sizeof dir, "/tmp/leat-owner-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(below, sizeof below, "%s/below", dir);
	why[0] = '\0';
}

static void
teardown(void)
{
	(void)rmdir(below);
	ck_assert_int_eq(rmdir(dir), 0);
}

TEST_CASE(owner, .setup = setup, .teardown = teardown);

/* Only root can change the owner of a directory. */
static bool
give_away(const char *path)
{
	return geteuid() == 0 && chown(path, OTHER_UID, OTHER_UID) == 0;
}

TEST(a_directory_of_our_own_or_of_root_will_do)
{
	ck_assert_int_eq(permissions_check_owner(dir, why), 0);
	ck_assert_int_eq(permissions_check_owner(below, why), 0);
	ck_assert_int_eq(permissions_check_owner("/", why), 0);
	ck_assert_int_eq(permissions_check_owner("/nonexistent/at/all", why),
	                 0);
	if (!give_away(dir))
		return;
	/*
	 * As its owner, and as a user of a group to which root has given
	 * access.
	 */
	ck_assert_int_eq(seteuid(OTHER_UID), 0);
	ck_assert_int_eq(permissions_check_owner(dir, why), 0);
	ck_assert_int_eq(permissions_check_owner("/", why), 0);
	ck_assert_int_eq(seteuid(0), 0);
	ck_assert_str_eq(why, "");
}

TEST(a_directory_of_another_user_is_refused)
{
	if (!give_away(dir))
		return;
	ck_assert_int_eq(permissions_check_owner(dir, why), ERR_FOREIGN_OWNER);
	ck_assert_ptr_nonnull(strstr(why, dir));
	ck_assert_ptr_nonnull(strstr(why, "user 48123"));
	ck_assert_ptr_nonnull(strstr(why, "runuser -u 48123"));
	ck_assert_ptr_nonnull(strstr(why, "user root"));
	/*
	 * A directory that would be created in it would belong to us, so it is
	 * refused, too.
	 */
	ck_assert_int_eq(permissions_check_owner(below, why),
	                 ERR_FOREIGN_OWNER);
	/* A directory that exists and belongs to us is accepted. */
	ck_assert_int_eq(mkdir(below, 0700), 0);
	ck_assert_int_eq(permissions_check_owner(below, why), 0);
}

TEST(names_who_may_use_a_path)
{
	char want[PERMISSIONS_TEXT_BYTES];

	if (!give_away(dir))
		return;
	ck_assert_int_eq(chmod(dir, 0750), 0);
	(void)snprintf(want, sizeof want,
	               "only root, user %d and group %d may use %s", OTHER_UID,
	               OTHER_UID, dir);
	permissions_describe(dir, why);
	ck_assert_str_eq(why, want);
	ck_assert_int_eq(chmod(dir, 0700), 0);
	(void)snprintf(want, sizeof want, "only root and user %d may use %s",
	               OTHER_UID, dir);
	ck_assert_int_eq(mkdir(below, 0700), 0);
	/* What is in it cannot be reached because of the directory. */
	ck_assert_int_eq(seteuid(OTHER_UID + 1), 0);
	permissions_describe(below, why);
	ck_assert_str_eq(why, want);
	ck_assert_int_eq(seteuid(0), 0);
}
