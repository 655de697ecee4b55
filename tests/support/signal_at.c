/*
 * signal_at - preloaded into a daemon, sends it a signal at a chosen step.
 *
 * The file $LEAT_SIGNAL_AT names the step: a signal, `before` or `after`, a
 * function of libc, a pattern for the name of the file that it is about, and
 * which of these calls counts, from 1, and from 1 again when the file changes;
 * what follows is ignored.  So the daemon is killed when the second piece was
 * stored and its progress is not recorded:
 *
 *	9 before pwrite *.progress 2
 *
 * A call that fails has no `after`.
 */
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STEP_FORM "%d %7s %15s %99s %u"

static char last[256]; /* the step that was read last */
static unsigned calls; /* that match it */

struct step {
	int signo;
	char when[8], function[16], pattern[100];
	unsigned call;
};

/* Returns false if there is no step. */
static bool
read_step(struct step *s)
{
	const char *path = getenv("LEAT_SIGNAL_AT");
	char text[sizeof last] = "";
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	if (fd < 0)
		return false;
	if (read(fd, text, sizeof text - 1) < 0)
		text[0] = '\0';
	(void)close(fd); /* read only */
	if (strcmp(text, last) != 0)
		calls = 0;
	memcpy(last, text, sizeof last);
	return sscanf(text, STEP_FORM, &s->signo, s->when, s->function,
	              s->pattern, &s->call) == 5;
}

static void
at(const char *when, const char *function, const char *path)
{
	const char *name = strrchr(path, '/');
	struct step s;

	name = name ? name + 1 : path;
	if (!read_step(&s) || strcmp(s.when, when) != 0 ||
	    strcmp(s.function, function) != 0 ||
	    fnmatch(s.pattern, name, 0) != 0 || ++calls != s.call)
		return;
	(void)kill(getpid(), s.signo);
}

static const char *
path_of(int fd, char out[PATH_MAX])
{
	char link[32];
	ssize_t n;

	(void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, out, PATH_MAX - 1);
	out[n < 0 ? 0 : n] = '\0';
	return out;
}

int
rename(const char *from, const char *to)
{
	int rc;

	at("before", "rename", to);
	rc = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
	if (rc == 0)
		at("after", "rename", to);
	return rc;
}

int
unlink(const char *path)
{
	int rc;

	at("before", "unlink", path);
	rc = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
	if (rc == 0)
		at("after", "unlink", path);
	return rc;
}

ssize_t
pwrite(int fd, const void *data, size_t bytes, off_t offset)
{
	char path[PATH_MAX];
	ssize_t n;

	at("before", "pwrite", path_of(fd, path));
	n = syscall(SYS_pwrite64, fd, data, bytes, offset);
	if (n >= 0)
		at("after", "pwrite", path);
	return n;
}
