/* check_settings - see check_settings.h. */
#include "leat/check_settings.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leat/mark.h"
#include "leat/program.h"
#include "libbase/conf.h"
#include "libbase/error.h"
#include "libbase/file.h"
#include "libbase/ini.h"
#include "libbase/installed.h"
#include "libbase/log.h"
#include "libbase/slice.h"

#define PROGRAMS_MAX 64
#define FINDINGS_MAX 256 /* kept, so that each is printed only once */

struct check {
	const char *path; /* of the settings */
	char directory[PATH_MAX];
	char programs[PROGRAMS_MAX][NAME_MAX + 1];
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
	char program[NAME_MAX + 1];
	int bytes =
	    snprintf(program, sizeof program, "%s%.*s", prefix, (int)n, name);

	if (bytes > NAME_MAX || memchr(name, '/', n))
		return;
	for (size_t i = 0; i < c->program_count; i++) {
		if (strcmp(c->programs[i], program) == 0)
			return;
	}
	/*
	 * batchd itself reports sinks that are not installed, and more sinks
	 * than it can have.
	 */
	if (c->program_count < PROGRAMS_MAX &&
	    (!prefix[0] || installed_has(program)))
		memcpy(c->programs[c->program_count++], program,
		       sizeof program);
}

/* Add the sinks that the settings name, or have sections for. */
static void
check_add_sinks(struct check *c, const char *text)
{
	static const char prefix[] = "sinkd-";
	struct ini ini = {.rest = text};
	struct ini_line line;
	struct slice name;

	while (ini_next(&ini, &line)) {
		const char *list, *section = line.section + strlen(prefix);

		if (line.why)
			continue;
		if (!line.name &&
		    strncmp(line.section, prefix, strlen(prefix)) == 0)
			add_program(c, prefix, section, strcspn(section, "."));
		if (!line.name || strcmp(line.section, "batchd") != 0 ||
		    strcmp(line.name, "sinks") != 0)
			continue;
		list = line.value;
		while ((name = slice_take_word(&list)).bytes > 0)
			add_program(c, prefix, name.data, name.bytes);
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
check_read_line(void *arg, char *line)
{
	struct check *c = arg;
	static const char refused[] = "settings refused: ";
	const char *level = after_blanks(line, 1);
	const char *message = after_blanks(line, 3);
	bool is_error, is_warning;

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

/*
 * Have one program check its sections.  Returns 0, -errno, or ERR_CHILD_FAILED
 * when it ended in another way than with a result of the check.
 */
static int
ask_program(struct check *c, const char *program)
{
	const struct program_run run = {
	    .directory = c->directory,
	    .args = {program, "--check", "--config", c->path},
	    .err = true,
	    .on_line = check_read_line,
	    .arg = c};
	int rc = program_run(&run);

	if (rc < 0)
		return rc;
	/* With EXIT_CONFIG, the program has logged what is wrong. */
	return rc == EXIT_SUCCESS || rc == EXIT_CONFIG ? 0 : ERR_CHILD_FAILED;
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
	char by[NAME_MAX + 1] = "";
	size_t n = 0;

	for (size_t i = 0; i < c->program_count && n < sizeof by; i++) {
		if (installed_has(c->programs[i]))
			n += (size_t)snprintf(by + n, sizeof by - n, "%s %s",
			                      n > 0 ? "," : "", c->programs[i]);
	}
	mark_print(c->errors > 0 || c->incomplete ? MARK_ERROR
	           : c->warnings > 0              ? MARK_WARNING
	                                          : MARK_OK,
	           "settings", "%s: %u error%s, %u warning%s; checked by%s",
	           c->path, c->errors, c->errors == 1 ? "" : "s", c->warnings,
	           c->warnings == 1 ? "" : "s", by);
	if (c->incomplete)
		return EXIT_FAILURE;
	return c->errors > 0 ? EXIT_CONFIG : EXIT_SUCCESS;
}

int
check_settings(const char *path)
{
	static struct check c;
	char *text = NULL;
	size_t bytes;
	int rc = file_read(path, CONF_FILE_BYTES_MAX, &text, &bytes);

	c.path = path;
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
	free(text);
	ask_programs(&c);
	return print_result(&c);
}
