/* batchd - the log: keeps events on disk and feeds the sinks. */
#include <signal.h>

#include "batchd/startup.h"
#include "libbase/conf.h"
#include "libbase/core_dump.h"
#include "libbase/log.h"
#include "libbase/restart_pause.h"

int
main(int argc, char **argv)
{
	struct batchd_settings settings = {0};
	static struct server server;
	int rc, closed;

	log_init("batchd");
	core_dump_disable();
	/* Neither can fail.  server_run handles SIGHUP later. */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	rc = batchd_settings_load(&settings, argc, argv);
	if (rc == CONF_RUN) {
		rc = startup_open(&server, &settings);
		if (rc == 0)
			rc = server_run(&server);
		closed = startup_close(&server);
		if (rc == 0)
			rc = closed;
		if (rc == 0)
			log_info("stopped");
	}
	batchd_settings_free(&settings);
	return restart_pause(rc);
}
