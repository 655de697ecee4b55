/* check - see check.h. */
#include "leat/check.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libbase/conf.h"
#include "libbase/error.h"
#include "libbase/file.h"
#include "libbase/ini.h"
#include "libbase/installed.h"
#include "libbase/log.h"

#define PROGRAMS_MAX 64
#define FINDINGS_MAX 256 /* kept, so that each is printed only once */

struct check {
	const char *path; /* of the settings */
	char directory[PATH_MAX];
	char *programs[PROGRAMS_MAX];
	size_t program_count;
	char *findings[FINDINGS_MAX];
	size_t finding_count;
	unsigned errors, warnings;
	bool incomplete; /* a program could not be run */
};

/* --- which programs --- */

/* Add the program whose name is `prefix` and the first n bytes of name. */
static void
add_program(struct check *c, const char *prefix, const char *name, size_t n)
{
	char *program = NULL;

	if (n > NAME_MAX || memchr(name, '/', n) ||
	    asprintf(&program, "%s%.*s", prefix, (int)n, name) < 0)
		return;
	for (size_t i = 0; i < c->program_count; i++) {
		if (strcmp(c->programs[i], program) == 0) {
			free(program);
			return;
		}
	}
	/*
	 * batchd itself reports sinks that are not installed, and more sinks
	 * than it can have.
	 */
	if (c->program_count == PROGRAMS_MAX ||
	    (prefix[0] && !installed_has(program)))
		free(program);
	else
		c->programs[c->program_count++] = program;
}

/* Add the sinks that the settings name, or have sections for. */
static void
check_add_sinks(struct check *c, const char *text)
{
	static const char prefix[] = "sinkd-";
	struct ini ini = {.rest = text};
	struct ini_line line;

	while (ini_next(&ini, &line)) {
		const char *section = line.section + strlen(prefix);

		if (line.why)
			continue;
		if (!line.name &&
		    strncmp(line.section, prefix, strlen(prefix)) == 0)
			add_program(c, prefix, section, strcspn(section, "."));
		if (!line.name || strcmp(line.section, "batchd") != 0 ||
		    strcmp(line.name, "sinks") != 0)
			continue;
		for (const char *p = line.value; *p;) {
			size_t n = strcspn(p, " \t");

			if (n > 0)
				add_program(c, prefix, p, n);
			p += n + strspn(p + n, " \t");
		}
	}
}

/* --- their findings --- */

/* The part of text after its n-th blank, or NULL if it has fewer blanks. */
static const char *
after_blanks(const char *text, int n)
{
	while (text && n-- > 0) {
		text = strchr(text, ' ');
		text = text ? text + 1 : NULL;
	}
	return text;
}

/* Print a finding, unless another program has found it before. */
static void
add_finding(struct check *c, bool is_error, const char *text)
{
	for (size_t i = 0; i < c->finding_count; i++) {
		if (strcmp(c->findings[i], text) == 0)
			return;
	}
	c->errors += is_error;
	c->warnings += !is_error;
	(void)fprintf(stderr, "%s: %s\n", is_error ? "error" : "warning", text);
	if (c->finding_count == FINDINGS_MAX)
		return;
	c->findings[c->finding_count] = strdup(text);
	c->finding_count += c->findings[c->finding_count] != NULL;
}

/*
 * Read a line that a program has logged: time, level, program, message (log.h).
 * Print any other line, such as one of the dynamic linker, as it is.
 */
static void
check_read_line(struct check *c, char *line)
{
	static const char refused[] = "settings refused: ";
	const char *level = after_blanks(line, 1);
	const char *message = after_blanks(line, 3);
	bool is_error, is_warning;

	line[strcspn(line, "\n")] = '\0';
	is_error = level && strncmp(level, "error ", 6) == 0;
	is_warning = level && strncmp(level, "warn ", 5) == 0;
	if (!message || (!is_error && !is_warning)) {
		(void)fprintf(stderr, "%s\n", line);
		return;
	}
	if (strncmp(message, refused, strlen(refused)) == 0)
		message += strlen(refused);
	add_finding(c, is_error, message);
}

/* Execute the program, with its standard error going to fd. */
static void
exec_program(const struct check *c, const char *program, int fd)
{
	char path[2 * PATH_MAX];

	(void)snprintf(path, sizeof path, "%s/%s", c->directory, program);
	if (dup2(fd, STDERR_FILENO) < 0 ||
	    !freopen("/dev/null", "w", stdout)) /* the settings in force */
		_exit(EXIT_FAILURE);
	(void)execl(path, program, "--check", "--config", c->path,
	            (char *)NULL);
	_exit(EXIT_FAILURE);
}

/*
 * Have one program check its sections.  Returns 0, -errno, or ERR_CHILD_FAILED
 * when it ended in another way than with a result of the check.
 */
static int
ask_program(struct check *c, const char *program)
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
		exec_program(c, program, fds[1]);
	if (child < 0)
		rc = -errno;
	(void)close(fds[1]); /* the child's end */
	in = fdopen(fds[0], "r");
	if (!in) {
		rc = rc < 0 ? rc : -errno;
		(void)close(fds[0]);
	}
	while (in && getline(&line, &size, in) > 0)
		check_read_line(c, line);
	free(line);
	if (in)
		(void)fclose(in); /* read only: nothing to lose */
	while (child > 0 && waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	/* With EXIT_CONFIG, the program has logged what is wrong. */
	if (rc == 0 &&
	    (!WIFEXITED(status) || (WEXITSTATUS(status) != EXIT_SUCCESS &&
	                            WEXITSTATUS(status) != EXIT_CONFIG)))
		rc = ERR_CHILD_FAILED;
	return rc;
}

static void
ask_programs(struct check *c)
{
	for (size_t i = 0; i < c->program_count; i++) {
		const char *program = c->programs[i];
		int rc;

		if (!installed_has(program)) {
			log_error(
			    "cannot check all settings: %s is not installed "
			    "in %s",
			    program, c->directory);
			c->incomplete = true;
			continue;
		}
		rc = ask_program(c, program);
		if (rc < 0) {
			log_error(
			    "cannot check all settings: %s --check failed "
			    "err=%s",
			    program, log_quote(error_text(rc)));
			c->incomplete = true;
		}
	}
}

static int
print_result(const struct check *c)
{
	printf("%s: %u error%s, %u warning%s; checked by", c->path, c->errors,
	       c->errors == 1 ? "" : "s", c->warnings,
	       c->warnings == 1 ? "" : "s");
	for (size_t i = 0; i < c->program_count; i++) {
		if (installed_has(c->programs[i]))
			printf("%s %s", i > 0 ? "," : "", c->programs[i]);
	}
	printf("\n");
	if (fflush(stdout) != 0 || ferror(stdout) || c->incomplete)
		return EXIT_FAILURE;
	return c->errors > 0 ? EXIT_CONFIG : EXIT_SUCCESS;
}

/* Check the settings file at `path`.  Returns the exit status. */
static int
check_print(const char *path)
{
	struct check c = {.path = path};
	char *text = NULL;
	size_t bytes;
	int rc = file_read(path, CONF_FILE_BYTES_MAX, &text, &bytes);

	if (rc < 0) {
		log_error("cannot read the settings path=%s err=%s "
		          "(--config names another file)",
		          log_quote(path), log_quote(error_text(rc)));
		return EXIT_CONFIG;
	}
	rc = installed_directory(c.directory);
	if (rc < 0) {
		log_error("cannot find leat's other programs err=%s",
		          log_quote(error_text(rc)));
		free(text);
		return EXIT_FAILURE;
	}
	add_program(&c, "", "batchd", strlen("batchd"));
	add_program(&c, "", "ingestd", strlen("ingestd"));
	check_add_sinks(&c, text);
	ask_programs(&c);
	rc = print_result(&c);
	for (size_t i = 0; i < c.program_count; i++)
		free(c.programs[i]);
	for (size_t i = 0; i < c.finding_count; i++)
		free(c.findings[i]);
	free(text);
	return rc;
}

static int
check_run(const struct verb_call *call)
{
	return check_print(call->path);
}

static const struct verb_example examples[] = {
    {"leat check", "before a restart: is the settings file right?"},
    {0},
};

const struct verb check_verb = {
    .name = "check",
    .summary = "Checks all sections of the settings file, and the files that "
	       "it names.",
    .settings = VERB_PATH,
    .examples = examples,
    .run = check_run,
};
