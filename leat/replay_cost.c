/* replay_cost - see replay_cost.h. */
#include "leat/replay_cost.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batchd/segment_file.h"
#include "batchd/segment_walk.h"
#include "leat/dead_file.h"
#include "leat/program.h"
#include "libbase/installed.h"
#include "libproto/frame.h"

/* --- doubles --- */

/* Read a line of `sinkd-X --check`, which has only the sink's sections. */
static void
read_setting(void *arg, char *line)
{
	const char **doubles = arg;

	if (strcmp(line, "dedup_by_id = yes") == 0)
		*doubles = "dedup_by_id = yes: those that the table still has "
			   "are not stored again.";
	else if (strcmp(line, "dedup_by_id = no") == 0)
		*doubles = "dedup_by_id = no: those that the table still has "
			   "will be in it TWICE.";
}

const char *
replay_cost_doubles(const char *settings, const char *sink)
{
	char directory[PATH_MAX], program[sizeof "sinkd-" + FRAME_NAME_MAX];
	const char *doubles = "Those that the store still has will be in it "
			      "TWICE.";
	struct program_run run = {
	    .directory = directory,
	    .args = {program, "--check", "--config", settings},
	    .out = true,
	    .on_line = read_setting,
	    .arg = &doubles};

	(void)snprintf(program, sizeof program, "sinkd-%s", sink);
	if (!installed_has(program) || installed_directory(directory) < 0 ||
	    program_run(&run) != EXIT_SUCCESS)
		return "Those that the store still has will be in it TWICE, "
		       "unless it drops known ids.";
	return doubles;
}

/* --- the log --- */

/* Add the segment that begins at `first`. */
static int
add_segment(struct disk *d, uint64_t first, struct replay_held *held)
{
	int file = segment_file_open(d, first);
	int64_t bytes;

	if (file == -ENOENT)
		return 0; /* batchd has deleted it meanwhile */
	if (file < 0)
		return file;
	bytes = d->size(d, file);
	d->close(d, file);
	if (bytes < 0)
		return (int)bytes;
	held->segments++;
	held->bytes += (uint64_t)bytes;
	return 0;
}

int
replay_cost_held(const char *dir, uint64_t from, uint64_t to,
                 struct replay_held *held)
{
	uint64_t *all = NULL;
	size_t count = 0;
	struct disk_real real;
	int rc = disk_real_open_read(&real, dir);

	*held = (struct replay_held){0};
	if (rc == 0)
		rc = segment_file_list(&real.disk, &all, &count);
	if (rc == 0 && count == 0)
		rc = -ENOENT;
	for (size_t i = 0; rc == 0 && i < count; i++) {
		uint64_t end =
		    i + 1 < count ? all[i + 1] : (uint64_t)SEGMENT_WALK_LAST;

		if (all[i] < to && end > from)
			rc = add_segment(&real.disk, all[i], held);
	}
	free(all);
	disk_real_close(&real);
	return rc;
}

/* --- dead letters --- */

struct count {
	const char *stream;
	uint64_t from, to;
	uint64_t all, dead_letters; /* all: of the sink */
};

static int
count_record(void *arg, const struct dlq_record *record, struct slice line)
{
	struct count *c = arg;

	(void)line;
	c->all++;
	c->dead_letters += record->offset >= c->from &&
	                   record->offset < c->to &&
	                   slice_is(record->stream, c->stream);
	return 0;
}

int
replay_cost_dead_letters(const char *settings, const char *sink,
                         const char *stream, uint64_t from, uint64_t to,
                         uint64_t *count)
{
	static const struct dlq_filter all;
	struct count c = {.stream = stream, .from = from, .to = to};
	uint64_t damaged;
	char path[PATH_MAX];
	int rc = dead_file_path(settings, sink, path);

	if (rc == 0)
		rc = dead_file_read(path, &all, count_record, &c, &damaged);
	*count = c.dead_letters;
	return rc == 0 && c.all == 0 ? -ENOENT : rc;
}
