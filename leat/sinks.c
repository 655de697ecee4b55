/* sinks - see sinks.h. */
#include "leat/sinks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/conf.h"
#include "libbase/error.h"
#include "libbase/installed.h"
#include "libbase/log.h"
#include "libbase/slice.h"

static void
sinks_read_names(struct sinks *s, const char *list)
{
	struct slice name;

	while (s->count < SINKS_MAX &&
	       (name = slice_take_word(&list)).bytes > 0)
		(void)snprintf(s->names[s->count++], sizeof s->names[0], "%.*s",
		               (int)name.bytes, name.data);
}

/* Read a line of `batchd --check`, which has only its sections. */
static void
sinks_read_line(void *arg, char *line)
{
	struct sinks *s = arg;
	char *value = strstr(line, " = ");
	int64_t size;

	if (!value)
		return;
	*value = '\0';
	value += 3;
	if (strcmp(line, "dir") == 0)
		(void)snprintf(s->log_dir, sizeof s->log_dir, "%s", value);
	else if (strcmp(line, "socket") == 0)
		(void)snprintf(s->socket, sizeof s->socket, "%s", value);
	else if (strcmp(line, "sinks") == 0)
		sinks_read_names(s, value);
	else if (strcmp(line, "max_bytes") == 0 &&
	         conf_parse_size(value, &size) == 0)
		s->max_bytes = size;
	else if (strcmp(line, "min_free_bytes") == 0 &&
	         conf_parse_size(value, &size) == 0)
		s->min_free_bytes = size;
}

int
sinks_read(struct sinks *s, const char *path)
{
	struct program_run run = {
	    .args = {"batchd", "--check", "--config", path},
	    .out = true,
	    .on_line = sinks_read_line,
	    .arg = s};
	int rc;

	*s = (struct sinks){.path = path};
	rc = installed_directory(s->directory);
	run.directory = s->directory;
	if (rc == 0)
		rc = program_run(&run);
	program_find_user(s->socket, &s->user);
	if (rc == 0 && s->log_dir[0])
		return 0;
	if (rc == EXIT_CONFIG) {
		log_error("the settings have errors; run leat check");
		return rc;
	}
	log_error("cannot read the settings of batchd err=%s; run leat check",
	          log_quote(error_text(rc < 0 ? rc : ERR_CHILD_FAILED)));
	return EXIT_FAILURE;
}

bool
sinks_has(const struct sinks *s, const char *name)
{
	char list[sizeof s->names] = "none";
	size_t n = 0;

	for (size_t i = 0; i < s->count; i++) {
		if (strcmp(s->names[i], name) == 0)
			return true;
		n += (size_t)snprintf(list + n, sizeof list - n, "%s%s",
		                      i > 0 ? " " : "", s->names[i]);
	}
	log_error("[batchd] sinks has no sink %s; it has: %s", log_quote(name),
	          list);
	return false;
}
