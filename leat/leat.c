/*
 * leat - the operator's command: `leat status`, `leat log verify`, `leat
 * token`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leat/status.h"
#include "leat/token.h"
#include "leat/verify.h"
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

static int
run_status(int argc, char **argv)
{
	struct settings settings = {0};
	bool json = false;
	const struct conf_table table = {
	    .section = "leat", .keys = keys, .into = &settings};
	const struct conf_flag flags[] = {
	    {.name = "--json",
	     .help = "print the status as one JSON object",
	     .set = &json},
	};
	const struct conf_program program = {
	    .name = "leat status",
	    .summary = "how the log and the daemons are.",
	    .tables = &table,
	    .table_count = 1,
	    .flags = flags,
	    .flag_count = ARRAY_LEN(flags),
	};
	int rc = conf_start(&program, argc, argv);

	if (rc == CONF_RUN)
		rc = status_print(settings.socket, json);
	conf_free(&table, 1);
	return rc;
}

/* Of batchd's settings only the folder matters here. */
struct log_settings {
	char dir[4001];
};

static const char *
on_batchd_pair(void *into, const char *name, const char *value)
{
	struct log_settings *s = into;

	if (strcmp(name, "dir") == 0)
		(void)snprintf(s->dir, sizeof s->dir, "%s", value);
	return NULL;
}

static int
run_log_verify(int argc, char **argv)
{
	struct log_settings settings = {.dir = "/var/lib/leat/log"};
	struct settings shared = {0};
	const struct conf_table tables[] = {
	    {.section = "leat", .keys = keys, .into = &shared},
	    {.section = "batchd", .into = &settings, .on_pair = on_batchd_pair},
	};
	const struct conf_program program = {
	    .name = "leat log verify",
	    .summary = "check the log on disk, in [batchd] dir; "
		       "--dir DIR checks another one.",
	    .tables = tables,
	    .table_count = ARRAY_LEN(tables),
	};
	int rc;

	if (argc == 3 && strcmp(argv[1], "--dir") == 0)
		return verify_print(argv[2]);
	rc = conf_start(&program, argc, argv);
	if (rc == CONF_RUN)
		rc = verify_print(settings.dir);
	conf_free(tables, ARRAY_LEN(tables));
	return rc;
}

static int
run_token(int argc, char **argv)
{
	if (argc == 2 && argv[1][0] != '-')
		return token_make(argv[1]);
	(void)fputs("usage: leat token NAME >>TOKENS_FILE\n", stderr);
	return EXIT_CONFIG;
}

static const struct {
	const char *noun, *verb; /* noun may be NULL */
	int (*run)(int argc, char **argv);
} verbs[] = {
    {NULL, "status", run_status},
    {"log", "verify", run_log_verify},
    {NULL, "token", run_token},
};

int
main(int argc, char **argv)
{
	bool help;

	log_init("leat");
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		int at = 1;

		if (verbs[i].noun && argc > at &&
		    strcmp(argv[at], verbs[i].noun) == 0)
			at++;
		/* The verb stands where other programs have their own name. */
		if (at == (verbs[i].noun ? 2 : 1) && argc > at &&
		    strcmp(argv[at], verbs[i].verb) == 0)
			return verbs[i].run(argc - at, argv + at);
	}
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		printf("leat %s\n", LEAT_VERSION);
		return EXIT_SUCCESS;
	}
	help = argc == 2 && strcmp(argv[1], "--help") == 0;
	(void)fputs("usage: leat status [--json] [--config PATH]\n"
	            "       leat log verify [--config PATH | --dir DIR]\n"
	            "       leat token NAME >>TOKENS_FILE\n",
	            help ? stdout : stderr);
	return help ? EXIT_SUCCESS : EXIT_CONFIG;
}
