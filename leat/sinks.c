/* sinks - see sinks.h. */
#include "leat/sinks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/conf.h"
#include "libbase/error.h"
#include "libbase/installed.h"
#include "libbase/log.h"

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
		(void)snprintf(s->list, sizeof s->list, "%s", value);
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
sinks_next(const struct sinks *s, const char *only, size_t *at, char *out,
           size_t out_bytes)
{
	for (;;) {
		const char *p = s->list + *at;
		size_t n;

		p += strspn(p, " \t");
		n = strcspn(p, " \t");
		*at = (size_t)(p - s->list) + n;
		if (n == 0)
			return false;
		(void)snprintf(out, out_bytes, "%.*s", (int)n, p);
		if (!only || strcmp(only, out) == 0)
			return true;
	}
}

bool
sinks_has(const struct sinks *s, const char *name)
{
	char found[256];
	size_t at = 0;

	if (sinks_next(s, name, &at, found, sizeof found))
		return true;
	log_error("[batchd] sinks has no sink %s; it has: %s", log_quote(name),
	          s->list[0] ? s->list : "none");
	return false;
}
