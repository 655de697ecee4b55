/* dead_file - see dead_file.h. */
#include "leat/dead_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libbase/conf.h"
#include "libbase/file.h"
#include "libbase/ini.h"
#include "libbase/log.h"
#include "libproto/dlq_lines.h"

/* As in libsink/sink_conf.c. */
#define DEFAULT_DIR "/var/lib/leat/dead"

/* Find the value of dead_dir in the section of the sink. */
static void
find_dir(const char *text, const char *sink, char out[PATH_MAX])
{
	char section[INI_SECTION_BYTES + 1];
	struct ini ini = {.rest = text};
	struct ini_line line;

	(void)snprintf(section, sizeof section, "sinkd-%s", sink);
	(void)snprintf(out, PATH_MAX, "%s", DEFAULT_DIR);
	while (ini_next(&ini, &line)) {
		if (!line.why && line.name &&
		    strcmp(line.section, section) == 0 &&
		    strcmp(line.name, "dead_dir") == 0)
			(void)snprintf(out, PATH_MAX, "%s", line.value);
	}
}

int
dead_file_directory(const char *settings, const char *sink, char out[PATH_MAX])
{
	char *text;
	size_t bytes;
	int rc = file_read(settings, CONF_FILE_BYTES_MAX, &text, &bytes);

	if (rc < 0) {
		log_error("cannot read the settings path=%s err=%s",
		          log_quote(settings), log_quote(file_error(rc)));
		return rc;
	}
	find_dir(text, sink, out);
	free(text);
	return 0;
}

int
dead_file_path(const char *settings, const char *sink, char out[PATH_MAX])
{
	char dir[PATH_MAX];
	int rc = dead_file_directory(settings, sink, dir);

	if (rc < 0)
		return rc;
	if ((size_t)snprintf(out, PATH_MAX, "%s/%s.ndjson", dir, sink) <
	    PATH_MAX)
		return 0;
	log_error("the path of the dead letters is too long dir=%s",
	          log_quote(dir));
	return -ENAMETOOLONG;
}

int
dead_file_read(const char *path, const struct dlq_filter *filter,
               dead_file_on_record f, void *arg, uint64_t *damaged)
{
	int fd = file_open(AT_FDCWD, path, O_RDONLY, FILE_ANY), rc = fd;
	struct dlq_lines lines = {0};
	struct dlq_record record;
	uint64_t matches = 0;
	struct buf copy; /* of the line, which is changed by reading it */
	size_t bytes, at;
	const char *why;
	char *line;

	*damaged = 0;
	if (fd == -ENOENT)
		return 0;
	buf_init(&copy, DLQ_RECORD_MAX);
	if (fd >= 0)
		rc = dlq_lines_init(&lines, fd, 0);
	while (rc == 0 && (filter->limit == 0 || matches < filter->limit)) {
		rc = dlq_lines_next(&lines, &line, &bytes);
		if (rc <= 0)
			break;
		buf_clear(&copy);
		rc = buf_add(&copy, line, bytes);
		if (rc < 0)
			break;
		if (dlq_record_read(line, bytes, &record, &why, &at) < 0) {
			(*damaged)++;
		} else if (dlq_filter_matches(filter, &record)) {
			matches++;
			rc = f(arg, &record, buf_slice(&copy));
		}
	}
	if (rc < 0)
		log_error("cannot read the dead letters path=%s err=%s",
		          log_quote(path), log_quote(file_error(rc)));
	dlq_lines_fini(&lines);
	buf_fini(&copy);
	if (fd >= 0)
		(void)close(fd); /* read only */
	return rc;
}
