/* permissions - see permissions.h. */
#include "libbase/permissions.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libbase/directory.h"
#include "libbase/error.h"

#define NAME_BYTES 33

/* Put the name of a user into out, or its number if it has no name. */
static void
put_user(uid_t uid, char out[NAME_BYTES])
{
	const struct passwd *entry = getpwuid(uid);

	if (entry)
		(void)snprintf(out, NAME_BYTES, "%s", entry->pw_name);
	else
		(void)snprintf(out, NAME_BYTES, "%u", (unsigned)uid);
}

static void
put_group(gid_t gid, char out[NAME_BYTES])
{
	const struct group *entry = getgrgid(gid);

	if (entry)
		(void)snprintf(out, NAME_BYTES, "%s", entry->gr_name);
	else
		(void)snprintf(out, NAME_BYTES, "%u", (unsigned)gid);
}

int
permissions_check_owner(const char *dir, char why[PERMISSIONS_TEXT_BYTES])
{
	char path[PATH_MAX], owner[NAME_BYTES], self[NAME_BYTES];
	struct stat st;
	int rc;

	if ((size_t)snprintf(path, sizeof path, "%s", dir) >= sizeof path)
		return 0;
	rc = stat(path, &st);
	if (rc < 0 && errno == ENOENT && directory_parent(path))
		rc = stat(path, &st);
	if (rc < 0 || st.st_uid == geteuid() || st.st_uid == 0)
		return 0;
	put_user(st.st_uid, owner);
	put_user(geteuid(), self);
	(void)snprintf(why, PERMISSIONS_TEXT_BYTES,
	               "%.200s belongs to user %s, who could not use the files "
	               "that user %s makes there: run this as %s (runuser -u "
	               "%s -- COMMAND), or give the directory and what is in "
	               "it to %s",
	               path, owner, self, owner, owner, self);
	return ERR_FOREIGN_OWNER;
}

void
permissions_describe(const char *path, char out[PERMISSIONS_TEXT_BYTES])
{
	char at[PATH_MAX], user[NAME_BYTES], group[NAME_BYTES];
	struct stat st;
	mode_t needed;

	(void)snprintf(at, sizeof at, "%s", path);
	/* The nearest directory that stat can reach is the one without access.
	 */
	while (stat(at, &st) < 0) {
		if (!directory_parent(at)) {
			(void)snprintf(out, PERMISSIONS_TEXT_BYTES,
			               "see its mode");
			return;
		}
	}
	put_user(st.st_uid, user);
	put_group(st.st_gid, group);
	needed = S_ISDIR(st.st_mode) ? S_IXGRP : S_IWGRP;
	if (st.st_mode & needed)
		(void)snprintf(out, PERMISSIONS_TEXT_BYTES,
		               "only root, user %s and group %s may use %.200s",
		               user, group, at);
	else
		(void)snprintf(out, PERMISSIONS_TEXT_BYTES,
		               "only root and user %s may use %.200s", user,
		               at);
}
