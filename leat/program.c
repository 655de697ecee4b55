/* program - see program.h. */
#include "leat/program.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libbase/directory.h"
#include "libbase/error.h"

void
program_find_user(const char *socket, struct program_user *user)
{
	char directory[PATH_MAX];
	const struct passwd *owner;
	struct stat st;

	*user = (struct program_user){.set = false};
	(void)snprintf(directory, sizeof directory, "%s", socket);
	if (geteuid() != 0 || !strchr(directory, '/') ||
	    !directory_parent(directory) || stat(directory, &st) < 0 ||
	    st.st_uid == 0)
		return;
	owner = getpwuid(st.st_uid);
	user->set = true;
	user->uid = st.st_uid;
	user->gid = owner ? owner->pw_gid : st.st_gid;
	if (owner)
		(void)snprintf(user->name, sizeof user->name, "%s",
		               owner->pw_name);
}

static bool
program_become(const struct program_user *user)
{
	int rc = user->name[0] ? initgroups(user->name, user->gid)
	                       : setgroups(1, &user->gid);

	return rc == 0 && setgid(user->gid) == 0 && setuid(user->uid) == 0;
}

/* In the child: execute the program, with its output going to fd. */
static void
program_exec(const struct program_run *run, int fd)
{
	char path[2 * PATH_MAX];
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)snprintf(path, sizeof path, "%s/%s", run->directory,
	               run->args[0]);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(run->out ? fd : null, STDOUT_FILENO) < 0 ||
	    dup2(run->err ? fd : null, STDERR_FILENO) < 0)
		_exit(EXIT_FAILURE);
	if (run->user && run->user->set && !program_become(run->user))
		_exit(EXIT_FAILURE);
	(void)execv(path, (char *const *)(uintptr_t)run->args);
	_exit(EXIT_FAILURE);
}

int
program_run(const struct program_run *run)
{
	char *line = NULL;
	size_t size = 0;
	int fds[2], status = 0, rc = 0;
	pid_t child;
	FILE *in;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	child = fork();
	if (child == 0)
		program_exec(run, fds[1]);
	if (child < 0)
		rc = -errno;
	(void)close(fds[1]); /* the child's end */
	in = fdopen(fds[0], "r");
	if (!in) {
		rc = rc < 0 ? rc : -errno;
		(void)close(fds[0]);
	}
	while (in && getline(&line, &size, in) > 0) {
		line[strcspn(line, "\n")] = '\0';
		run->on_line(run->arg, line);
	}
	free(line);
	if (in)
		(void)fclose(in); /* read only: nothing to lose */
	while (child > 0 && waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	if (rc < 0)
		return rc;
	return WIFEXITED(status) ? WEXITSTATUS(status) : ERR_CHILD_FAILED;
}
