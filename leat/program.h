/*
 * program - run another program of leat, and read what it prints.
 */
#ifndef LEAT_PROGRAM_H
#define LEAT_PROGRAM_H

#include <stdbool.h>
#include <sys/types.h>

#include "libbase/base.h"

/* The user that the daemons run as. */
struct program_user {
	bool set; /* this process is root, and the user is another */
	uid_t uid;
	gid_t gid;
	char name[64]; /* or empty */
};

/*
 * Find the user that the daemons run as: the owner of the directory of batchd's
 * socket.  It is not set unless this process is root, which alone can become
 * another user, or if the directory does not exist yet.
 */
void program_find_user(const char *socket, struct program_user *user);

#define PROGRAM_ARGS_MAX 8

struct program_run {
	const char *directory; /* that the program is installed in */
	/* its name, its arguments, and NULL */
	const char *args[PROGRAM_ARGS_MAX];
	bool out, err; /* whether to read its standard output, error, or both */
	const struct program_user *user; /* whom to run it as; may be NULL */
	/* Called for each line, without its end. */
	void (*on_line)(void *arg, char *line);
	void *arg;
};

/*
 * Run it and wait for its end.  Returns its exit status, -errno, or
 * ERR_CHILD_FAILED if a signal ended it.
 */
MUST_USE int program_run(const struct program_run *run);

#endif
