/* leat - the operator's command: `leat status`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leat/status.h"
#include "libbase/conf.h"
#include "libbase/log.h"

struct settings {
	char *socket;
};

static const struct conf_key keys[] = {
    {"socket", CONF_TEXT, offsetof(struct settings, socket),
     "/run/leat/batchd.sock", 1, 107, NULL,
     "Path of batchd's socket, which all daemons share."},
    {0},
};

int
main(int argc, char **argv)
{
	struct settings settings = {0};
	bool json = false;
	const struct conf_table table = {
	    .section = "leat", .keys = keys, .into = &settings};
	const struct conf_flag flags[] = {
	    {"--json", "print the status as one JSON object", &json}};
	const struct conf_program program = {
	    .name = "leat",
	    .summary = "leat status: how the log and the daemons are.",
	    .tables = &table,
	    .table_count = 1,
	    .flags = flags,
	    .flag_count = ARRAY_LEN(flags),
	};
	int rc;

	log_init("leat");
	if (argc < 2 || (argv[1][0] != '-' && strcmp(argv[1], "status") != 0)) {
		(void)fprintf(stderr, "usage: leat status [--json] "
		                      "[--config PATH]\n");
		return EXIT_CONFIG;
	}
	/* The verb stands where other programs have their own name. */
	if (argv[1][0] != '-') {
		argc--;
		argv++;
	}
	rc = conf_start(&program, argc, argv);
	if (rc == CONF_RUN)
		rc = status_print(settings.socket, json);
	conf_free(&table, 1);
	return rc;
}
