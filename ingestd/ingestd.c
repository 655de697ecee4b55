/* ingestd - receives events over HTTP; answers 202 once they are durable. */
#include <stdlib.h>

#include "ingestd/daemon.h"
#include "ingestd/settings.h"
#include "libbase/core_dump.h"
#include "libbase/error.h"
#include "libbase/log.h"

int
main(int argc, char **argv)
{
	struct ingestd_settings settings;
	struct conf_table tables[INGESTD_SETTINGS_TABLES];
	struct conf_program program;
	int rc;

	log_init("ingestd");
	core_dump_disable();
	ingestd_settings_init(&settings, tables, &program);
	rc = conf_start(&program, argc, argv);
	if (rc != CONF_RUN) {
		conf_free(tables, INGESTD_SETTINGS_TABLES);
		return rc;
	}
	rc = daemon_run(&settings);
	conf_free(tables, INGESTD_SETTINGS_TABLES);
	if (rc < 0)
		log_error("stopped err=%s", log_quote(error_text(rc)));
	else
		log_info("stopped");
	return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
