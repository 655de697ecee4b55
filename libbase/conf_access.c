/* conf_access - see conf_source.h and conf.h. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
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

/* The user that the daemons run as, who must be able to read the files. */
struct reader {
	uid_t uid;
	gid_t gid;
	const char *name; /* for the supplementary groups; or NULL */
	char text[512]; /* who that is and that it cannot read, for messages */
};

/*
 * As try_read, for another user.  A child process tries it, because a process
 * that has given up root and its groups cannot get them back.
 */
static int
try_read_as(const char *path, const struct reader *reader)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		int rc = reader->name ? initgroups(reader->name, reader->gid)
		                      : setgroups(1, &reader->gid);

		if (rc < 0 || setgid(reader->gid) < 0 ||
		    setuid(reader->uid) < 0)
			_exit(CANNOT_TELL);
		_exit(-try_read(path));
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
 * Find out as which user the daemons run.  That is usually the owner of the
 * directory in which batchd creates its socket.  If the directory does not
 * exist yet, assume a user who is the file's owner and in its group, unless
 * these are root's.  Returns false if the user is root.
 */
static bool
find_reader(const struct conf_source *s, const char *path,
            struct reader *reader)
{
	char directory[128];
	struct passwd *user;
	struct stat st;

	if (socket_directory(s, directory, sizeof directory) &&
	    stat(directory, &st) == 0) {
		if (st.st_uid == 0)
			return false;
		user = getpwuid(st.st_uid);
		*reader = (struct reader){
		    .uid = st.st_uid,
		    .gid = user ? user->pw_gid : st.st_gid,
		    .name = user ? user->pw_name : NULL,
		};
		(void)snprintf(reader->text, sizeof reader->text,
		               "user %s, who owns %s, cannot read it",
		               user ? user->pw_name : "without a name",
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
	rc = try_read_as(path, reader);
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

void
conf_access_warn(const struct conf_source *s)
{
	struct reader reader;
	const char *why = hidden_from_daemons(s, s->path, &reader);

	if (why)
		log_warn("%s: %s", s->path, why);
}
