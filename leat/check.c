/*
 * check - `leat check`: whether leat would work with the settings as they are.
 *
 * Each line has a mark, what it is about, and what was found; a line without a
 * tick ends with what to do.  The daemons may run or not.  Nothing is changed.
 *
 * The settings, the directories, the disk of the log, and the stores of all
 * sinks that batchd has are checked; each store by the sink's own program, as
 * the user of the daemons.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batchd/segment_file.h"
#include "leat/check_disk.h"
#include "leat/check_settings.h"
#include "leat/dead_file.h"
#include "leat/mark.h"
#include "leat/sinks.h"
#include "leat/verb.h"
#include "libbase/conf.h"
#include "libbase/directory.h"
#include "libbase/error.h"
#include "libbase/installed.h"

struct check {
	struct sinks sinks;
	char stream[STREAM_TEXT_BYTES]; /* of the log; or empty */
	bool incomplete;                /* a program could not be run */
	/* The sink that is being checked. */
	const char *sink;
	bool answered;
};

/* Read the name of the log from the header of one of its segments. */
static void
read_stream(struct check *c)
{
	struct disk_real real;
	uint64_t *first_offsets = NULL;
	size_t count = 0;

	if (disk_real_open_read(&real, c->sinks.log_dir) < 0)
		return;
	if (segment_file_list(&real.disk, &first_offsets, &count) < 0)
		count = 0;
	for (size_t i = count; i-- > 0 && !c->stream[0];) {
		struct segment_header h;
		int file = segment_file_open(&real.disk, first_offsets[i]);

		if (file < 0)
			continue;
		if (segment_file_read_header(&real.disk, file, first_offsets[i],
		                             &h) == 0)
			segment_stream_text(h.stream, c->stream);
		real.disk.close(&real.disk, file);
	}
	free(first_offsets);
	disk_real_close(&real);
}

/* --- directories --- */

/* Check the directory of a sink's dead letters.  As check_directory. */
static bool
check_dead_dir(const struct check *c, const char *sink)
{
	char dir[PATH_MAX], what[256];

	(void)snprintf(what, sizeof what, "[sinkd-%s] dead_dir", sink);
	return dead_file_directory(c->sinks.path, sink, dir) < 0 ||
	       check_directory(what, dir);
}

static void
check_directories(struct check *c)
{
	char path[PATH_MAX], program[sizeof "sinkd-" + FRAME_NAME_MAX];
	bool all_good = true;

	(void)snprintf(path, sizeof path, "%s", c->sinks.socket);
	if (directory_parent(path))
		all_good =
		    check_directory("the directory of [leat] socket", path);
	all_good &= check_directory("[batchd] dir", c->sinks.log_dir);
	for (size_t i = 0; i < c->sinks.count; i++) {
		(void)snprintf(program, sizeof program, "sinkd-%s",
		               c->sinks.names[i]);
		if (installed_has(program))
			all_good &= check_dead_dir(c, c->sinks.names[i]);
	}
	if (all_good)
		mark_print(
		    MARK_OK, "permissions",
		    "not every user may change the log, the dead letters "
		    "or the directory of the socket");
}

/* --- stores --- */

/* A line of `sinkd-NAME --check-store`. */
static void
check_on_finding(void *arg, char *line)
{
	struct check *c = arg;
	enum mark mark;
	const char *text = mark_parse(line, &mark);

	if (!text) {
		mark_pass_on(line);
		return;
	}
	c->answered = true;
	mark_print(mark, c->sink, "%s", text);
}

static void
check_store(struct check *c, const char *sink)
{
	char program[256];
	const struct program_run run = {
	    .directory = c->sinks.directory,
	    .args = {program, "--check-store", "--config", c->sinks.path,
	             c->stream[0] ? "--stream" : NULL, c->stream},
	    .out = true,
	    .err = true,
	    .user = &c->sinks.user,
	    .on_line = check_on_finding,
	    .arg = c};
	int rc;

	(void)snprintf(program, sizeof program, "sinkd-%s", sink);
	c->sink = sink;
	c->answered = false;
	if (!installed_has(program)) {
		mark_print(MARK_ERROR, sink,
		           "%s is not installed in %s; install it, or remove "
		           "%s from [batchd] sinks",
		           program, c->sinks.directory, sink);
		return;
	}
	rc = program_run(&run);
	if (rc == EXIT_SUCCESS && c->answered)
		return;
	mark_print(MARK_ERROR, sink,
	           "could not be checked: %s --check-store %s", program,
	           rc < 0 ? error_text(rc) : "ended before it had a result");
	c->incomplete = true;
}

static const char *sink_name;
static bool offline;

static int
check_all(struct check *c)
{
	const struct check_disk disk = {.dir = c->sinks.log_dir,
	                                .max_bytes = c->sinks.max_bytes,
	                                .min_free_bytes =
	                                    c->sinks.min_free_bytes};

	check_directories(c);
	check_disk(&disk);
	read_stream(c);
	for (size_t i = 0; !offline && i < c->sinks.count; i++) {
		if (!sink_name || strcmp(c->sinks.names[i], sink_name) == 0)
			check_store(c, c->sinks.names[i]);
	}
	return conf_finish_output(c->incomplete                ? EXIT_FAILURE
	                          : mark_worst() == MARK_ERROR ? EXIT_NOT_WELL
	                                                       : EXIT_SUCCESS);
}

static int
check_run(const struct verb_call *call)
{
	static struct check c;
	int rc = check_settings(call->path);

	if (rc == EXIT_SUCCESS)
		rc = sinks_read(&c.sinks, call->path);
	if (rc != EXIT_SUCCESS)
		return rc;
	if (sink_name && !sinks_has(&c.sinks, sink_name))
		return EXIT_CONFIG;
	return check_all(&c);
}

const struct verb check_verb = {
    .name = "check",
    .summary = "Checks the settings, the directories, the disk of the log and "
	       "the stores.",
    .details =
	"Each line has a mark: a tick for what is as it should be, ! for what "
	"works but has a cost or a risk, and a cross for what does not work "
	"or loses events.  A line without a tick ends with what to do.  The "
	"command changes nothing, and the daemons may run meanwhile.  The exit "
	"status is 0 if there is no cross, 3 if there are any, and 2 if the "
	"settings have errors, so that nothing else was checked.",
    .flags = VERB_FLAGS(VERB_TEXT("--sink", "SINK", &sink_name,
                                  "check only the store of this sink"),
                        VERB_SWITCH("--offline", &offline, "check no store")),
    .settings = VERB_PATH,
    .examples = VERB_EXAMPLES(
	{"leat check", "before the first start, or a restart: would it work?"},
	{"leat check --sink postgres", "after a change in that store"}),
    .run = check_run,
};
