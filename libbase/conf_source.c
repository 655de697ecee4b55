/* conf_source - see conf_source.h and conf.h. */
#include "libbase/conf_source.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libbase/directory.h"
#include "libbase/ini.h"
#include "libbase/installed.h"
#include "libbase/log.h"

#define WHY_BYTES 1024
#define NOBODY 65534 /* a user without any right */

/* A child's exit statuses beside 0 and errno values, which are below. */
#define CANNOT_TELL 255

/* Messages. */

/* The line of a key; 0 when it does not stand in the file. */
static int
conf_line_of(const struct conf_source *s, const char *section, const char *key)
{
	struct ini ini = {.rest = s->text};
	struct ini_line line;

	while (ini_next(&ini, &line)) {
		if (!line.why && line.name &&
		    strcmp(line.section, section) == 0 &&
		    strcmp(line.name, key) == 0)
			return ini.line;
	}
	return 0;
}

static void conf_say(const struct conf_source *s, enum log_level level,
                     const char *section, const char *key, const char *value,
                     const char *fmt, va_list ap) PRINTF_LIKE(6, 0);

static void
conf_say(const struct conf_source *s, enum log_level level, const char *section,
         const char *key, const char *value, const char *fmt, va_list ap)
{
	const char *refused = level == LOG_ERROR ? "settings refused: " : "";
	int line = conf_line_of(s, section, key);
	char number[16] = "", why[WHY_BYTES];

	if (vsnprintf(why, sizeof why, fmt, ap) < 0)
		return;
	if (line > 0)
		(void)snprintf(number, sizeof number, ":%d", line);
	log_write(level, "%s%s%s: [%s] %s%s%s%s: %s", refused, s->path, number,
	          section, key, value ? " = " : "", value ? value : "",
	          line > 0 ? "" : " (which is not set)", why);
}

int
conf_refuse(const struct conf_source *source, const char *section,
            const char *key, const char *value, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	conf_say(source, LOG_ERROR, section, key, value, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

void
conf_warn(const struct conf_source *source, const char *section,
          const char *key, const char *value, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	conf_say(source, LOG_WARN, section, key, value, fmt, ap);
	va_end(ap);
}

/* Files. */

/* Whether the file can be opened and read.  Returns 0 or -errno. */
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

/* Who reads the files when leat runs: for what root is asked to check. */
struct reader {
	uid_t uid;
	gid_t gid;
	const char *name; /* for its further groups; or NULL */
	char text[512];   /* who that is, for messages */
};

/*
 * As try_read, for another user.  A child tries it, as there is no way back
 * for a process that has given up root with all its groups.
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
		return 0; /* nothing is known against it */
	return -WEXITSTATUS(status);
}

/* The directory of batchd's socket, as the settings conf_say, in out. */
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
 * Find out as whom the daemons run.  Most often that is the owner of the
 * directory in which batchd makes its socket.  Before that directory is made it
 * is not known: then the reader is whoever the file's owner and group admit
 * beside root.  Returns false when root itself is the reader.
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
	    .uid = st.st_uid ? st.st_uid : NOBODY,
	    .gid = st.st_gid ? st.st_gid : NOBODY,
	};
	(void)snprintf(reader->text, sizeof reader->text,
	               "root alone can read it, and daemons that run as "
	               "another user cannot");
	return true;
}

/* What root would not notice: NULL, or why a daemon cannot read the file. */
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
conf_source_warn(const struct conf_source *s)
{
	struct reader reader;
	const char *why = hidden_from_daemons(s, s->path, &reader);

	if (why)
		log_warn("%s: %s", s->path, why);
}

/* Sections. */

/*
 * A misspelt section of a sink is passed over by every program, as all other
 * sinks' are; but no program would read it.
 */
static void
warn_of_section(const struct conf_source *s, const char *section, int line)
{
	char program[INI_SECTION_BYTES + 1], sinks[512];

	/* [sinkd-kafka.rdkafka] belongs to sinkd-kafka. */
	(void)snprintf(program, sizeof program, "%.*s",
	               (int)strcspn(section, "."), section);
	if (strcmp(program, s->program->name) == 0 || installed_has(program))
		return;
	installed_sinks(sinks, sizeof sinks);
	log_warn("%s:%d: [%s]: nothing reads this section here: the program %s "
	         "is not installed; the sinks that are: %s",
	         s->path, line, section, program, sinks);
}

void
conf_warn_sections(const struct conf_source *s)
{
	struct ini ini = {.rest = s->text};
	struct ini_line line;

	while (ini_next(&ini, &line)) {
		if (!line.why && !line.name &&
		    strncmp(line.section, "sinkd-", strlen("sinkd-")) == 0)
			warn_of_section(s, line.section, ini.line);
	}
}
