/* conf_access - see conf_source.h and conf.h. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libbase/conf_source.h"
#include "libbase/directory.h"
#include "libbase/log.h"

#define NO_RIGHTS_ID 65534 /* of the user and group that have no rights */

/* A child's exit status if it cannot tell; others are 0 or an errno value. */
#define CANNOT_TELL 255

/* Try to open the file for reading.  Returns 0 or -errno. */
static int
try_read(const char *path)
{
	/* Opening a fifo without a writer must not hang. */
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	int rc;

	if (fd < 0)
		return -errno;
	rc = fstat(fd, &st) < 0 ? -errno : S_ISDIR(st.st_mode) ? -EISDIR : 0;
	(void)close(fd); /* read only: nothing to lose */
	return rc;
}

/* Try to create a file in the directory.  Returns 0 or -errno. */
static int
try_create_in(const char *path)
{
	return access(path, W_OK | X_OK) < 0 ? -errno : 0;
}

/* The user that the daemons run as, who must be able to read the files. */
struct reader {
	uid_t uid;
	gid_t gid;
	const char *name; /* for the supplementary groups; or NULL */
	char text[512]; /* who that is and that it cannot read, for messages */
};

/*
 * Return what try(path) returns for another user.  A child process tries it,
 * because a process that has given up root and its groups cannot get them back.
 */
static int
try_as(int (*try)(const char *), const char *path, const struct reader *reader)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		int rc = reader->name ? initgroups(reader->name, reader->gid)
		                      : setgroups(1, &reader->gid);

		if (rc < 0 || setgid(reader->gid) < 0 ||
		    setuid(reader->uid) < 0)
			_exit(CANNOT_TELL);
		_exit(-try(path));
	}
	while (child > 0 && waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return 0;
	}
	if (child < 0 || !WIFEXITED(status) ||
	    WEXITSTATUS(status) == CANNOT_TELL)
		return 0; /* it is not known: do not warn */
	return -WEXITSTATUS(status);
}

/* Put the directory of batchd's socket, as [leat] sets it, into out. */
static bool
socket_directory(const struct conf_source *s, char *out, size_t size)
{
	for (size_t i = 0; i < s->program->table_count; i++) {
		const struct conf_table *t = &s->program->tables[i];
		const struct conf_key *k = t->keys;

		for (; strcmp(t->section, "leat") == 0 && k && k->name; k++) {
			const void *field = (const char *)t->into + k->offset;

			if (k->type != CONF_TEXT ||
			    strcmp(k->name, "socket") != 0)
				continue;
			(void)snprintf(out, size, "%s", *(char *const *)field);
			return strchr(out, '/') && directory_parent(out);
		}
	}
	return false;
}

/*
 * Find the owner of the directory in which batchd creates its socket, which
 * `directory` is set to.  Usually the daemons run as that user.  Returns false
 * if the directory does not exist yet.
 */
static bool
find_daemons_user(const struct conf_source *s, char directory[128],
                  struct reader *reader)
{
	struct passwd *user;
	struct stat st;

	if (!socket_directory(s, directory, 128) || stat(directory, &st) < 0)
		return false;
	user = getpwuid(st.st_uid);
	*reader = (struct reader){
	    .uid = st.st_uid,
	    .gid = user ? user->pw_gid : st.st_gid,
	    .name = user ? user->pw_name : NULL,
	};
	return true;
}

/*
 * Find out as which user the daemons run.  If find_daemons_user cannot tell,
 * assume a user who is the file's owner and in its group, unless
 * these are root's.  Returns false if the user is root.
 */
static bool
find_reader(const struct conf_source *s, const char *path,
            struct reader *reader)
{
	char directory[128];
	struct stat st;

	if (find_daemons_user(s, directory, reader)) {
		if (reader->uid == 0)
			return false;
		(void)snprintf(reader->text, sizeof reader->text,
		               "user %s, who owns %s, cannot read it",
		               reader->name ? reader->name : "without a name",
		               directory);
		return true;
	}
	if (stat(path, &st) < 0)
		return false;
	*reader = (struct reader){
	    .uid = st.st_uid ? st.st_uid : NO_RIGHTS_ID,
	    .gid = st.st_gid ? st.st_gid : NO_RIGHTS_ID,
	};
	(void)snprintf(reader->text, sizeof reader->text,
	               "root alone can read it, and daemons that run as "
	               "another user cannot");
	return true;
}

/*
 * Check what root, who can read every file, would not notice.  Returns NULL, or
 * why the daemons cannot read the file, valid until the next call.
 */
static const char *
hidden_from_daemons(const struct conf_source *s, const char *path,
                    struct reader *reader)
{
	static char text[1024];
	int rc;

	if (!s->check || geteuid() != 0 || !find_reader(s, path, reader))
		return NULL;
	rc = try_as(try_read, path, reader);
	if (rc == 0)
		return NULL;
	(void)snprintf(text, sizeof text,
	               "%s: %s; let the daemons' group read it (chgrp, chmod "
	               "g+r) and enter the directories above it",
	               reader->text, strerror(-rc));
	return text;
}

int
conf_check_file(const struct conf_source *source, const char *section,
                const char *key, const char *path)
{
	struct reader reader;
	const char *why;
	int rc;

	if (!source->check || !path || !path[0])
		return 0;
	rc = try_read(path);
	if (rc < 0)
		return conf_refuse(source, section, key, path,
		                   "cannot read this file: %s", strerror(-rc));
	why = hidden_from_daemons(source, path, &reader);
	if (why)
		conf_warn(source, section, key, path, "%s", why);
	return 0;
}

/* Try, as the user of the daemons, to create a file in the directory. */
static void
warn_of_directory(const struct conf_source *source, const char *section,
                  const char *key, const char *value, const char *directory)
{
	char socket_parent[128];
	struct reader user;
	int rc;

	if (!find_daemons_user(source, socket_parent, &user))
		return;
	if (geteuid() == user.uid)
		rc = try_create_in(directory);
	else if (geteuid() == 0)
		rc = try_as(try_create_in, directory, &user);
	else
		return; /* this user cannot find out what that one may do */
	if (rc < 0)
		conf_warn(source, section, key, value,
		          "user %s, who owns %s, cannot create files in %s: %s",
		          user.name ? user.name : "without a name",
		          socket_parent, directory, strerror(-rc));
}

void
conf_check_directory(const struct conf_source *source, const char *section,
                     const char *key, const char *path, bool is_file)
{
	struct stat st;
	char *copy;

	if (!source->check)
		return;
	copy = strdup(path[0] ? path : "/");
	if (!copy)
		return;
	if ((is_file || (stat(copy, &st) < 0 && errno == ENOENT)) &&
	    directory_parent(copy) && stat(copy, &st) < 0 && errno == ENOENT)
		conf_warn(source, section, key, path,
		          "the directory %s is missing: create it, and give it "
		          "to the user of the daemons",
		          copy);
	else
		warn_of_directory(source, section, key, path, copy);
	free(copy);
}

void
conf_access_warn(const struct conf_source *s)
{
	struct reader reader;
	const char *why = hidden_from_daemons(s, s->path, &reader);

	if (why)
		log_warn("%s: %s", s->path, why);
}
