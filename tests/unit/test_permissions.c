/* test_permissions - whose directories a process may work in, and who is named.
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

/* A user and a group that no machine has. */
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

/* Only root can give a directory away. */
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
	/* As its owner, and as a user to whose group root has opened it. */
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
	/* What would be made in it belongs to us, so that is refused, too. */
	ck_assert_int_eq(permissions_check_owner(below, why),
	                 ERR_FOREIGN_OWNER);
	/* But not what is there and belongs to us. */
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
	/* What is in it cannot be looked at: it is the directory's doing. */
	ck_assert_int_eq(seteuid(OTHER_UID + 1), 0);
	permissions_describe(below, why);
	ck_assert_str_eq(why, want);
	ck_assert_int_eq(seteuid(0), 0);
}
