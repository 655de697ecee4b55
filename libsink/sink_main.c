/* sink_main - the main of every sink daemon; see sink.h. */
#include "libbase/error.h"
#include "libsink/sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/core_dump.h"
#include "libbase/file.h"
#include "libbase/log.h"
#include "libbase/permissions.h"
#include "libbase/restart_pause.h"
#include "libproto/frame.h"
#include "libsink/inspect.h"
#include "libsink/session.h"
#include "libsink/stop.h"

static int
sink_run(struct sink_conf *settings)
{
	struct session session;
	char why[PERMISSIONS_TEXT_BYTES];
	int rc, status = EXIT_SUCCESS;

	/*
	 * Check before a file is created that the directory's owner could not
	 * open.
	 */
	if (permissions_check_owner(settings->common.dead_dir, why) < 0) {
		log_error("dead_dir refused err=%s", log_quote(why));
		return EXIT_CONFIG;
	}
	rc = session_init(&session, settings);
	if (rc == 0)
		rc = stop_init();
	if (rc < 0) {
		log_error("cannot start err=%s", log_quote(error_text(rc)));
		status = EXIT_FAILURE;
	} else {
		rc = dlq_file_refresh(&session.dlq);
		if (rc == 0)
			rc = dlq_file_check(&session.dlq);
		if (rc < 0)
			log_warn("dead letters cannot be kept: an event that "
			         "the store rejects will stop this sink "
			         "dir=%s err=%s",
			         log_quote(settings->common.dead_dir),
			         log_quote(file_error(rc)));
		session_run(&session);
	}
	session_fini(&session);
	return status;
}

int
sink_main(int argc, char **argv, const struct sink *sink)
{
	char program[sizeof "sinkd-" + FRAME_NAME_MAX];
	struct sink_conf settings;
	int status;

	(void)snprintf(program, sizeof program, "sinkd-%s", sink->name);
	log_init(program);
	core_dump_disable();
	status = sink_conf_start(&settings, sink, program, argc, argv);
	if (status == CONF_RUN && settings.check_store)
		status = inspect_check(&settings);
	else if (status == CONF_RUN && settings.count)
		status = inspect_count(&settings);
	else if (status == CONF_RUN)
		status = sink_run(&settings);
	sink_conf_free(&settings);
	return restart_pause(status);
}
