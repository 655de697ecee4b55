/* leat - the operator's command.  `leat help` lists its verbs. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leat/check.h"
#include "leat/status.h"
#include "leat/tail.h"
#include "leat/token.h"
#include "leat/verify.h"
#include "libbase/conf.h"
#include "libbase/log.h"

struct leat_settings {
	char *socket;
};

static const struct conf_key keys[] = {
    {"socket", CONF_TEXT, offsetof(struct leat_settings, socket),
     "/run/leat/batchd.sock", 1, 107, NULL,
     "Unix socket on which batchd listens."},
    {0},
};

static int
run_status(int argc, char **argv)
{
	struct leat_settings settings = {0};
	const char *path = NULL;
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
	    .summary =
		"Shows the status of the log, the daemons and the sinks.",
	    .tables = &table,
	    .table_count = 1,
	    .flags = flags,
	    .flag_count = ARRAY_LEN(flags),
	    .path = &path,
	};
	int rc = conf_start(&program, argc, argv);

	if (rc == CONF_RUN)
		rc = status_print(settings.socket, path, json);
	conf_free(&table, 1);
	return rc;
}

static int
run_check(int argc, char **argv)
{
	const char *path;
	const struct conf_program program = {
	    .name = "leat check",
	    .summary =
		"Checks all sections of the settings file, and the files "
		"that it names.",
	    .path = &path,
	};
	int rc = conf_start(&program, argc, argv);

	return rc == CONF_RUN ? check_print(path) : rc;
}

/* The settings of a verb that reads the log on disk. */
struct log_settings {
	struct leat_settings shared;
	char dir[4001]; /* the only setting of batchd that is needed */
};

static const char *
on_batchd_pair(void *into, const char *name, const char *value)
{
	struct log_settings *s = into;

	if (strcmp(name, "dir") == 0)
		(void)snprintf(s->dir, sizeof s->dir, "%s", value);
	return NULL;
}

/* As conf_start.  log_settings_free must follow. */
static int
log_settings_start(struct log_settings *s, struct conf_program *program,
                   int argc, char **argv)
{
	const struct conf_table tables[] = {
	    {.section = "leat", .keys = keys, .into = &s->shared},
	    {.section = "batchd", .into = s, .on_pair = on_batchd_pair},
	};
	int rc;

	*s = (struct log_settings){.dir = "/var/lib/leat/log"};
	program->tables = tables;
	program->table_count = ARRAY_LEN(tables);
	rc = conf_start(program, argc, argv);
	program->tables = NULL;
	program->table_count = 0;
	return rc;
}

static void
log_settings_free(struct log_settings *s)
{
	const struct conf_table table = {
	    .section = "leat", .keys = keys, .into = &s->shared};

	conf_free(&table, 1);
}

static int
run_log_verify(int argc, char **argv)
{
	struct log_settings settings;
	const char *dir = NULL;
	const struct conf_flag flags[] = {
	    {.name = "--dir",
	     .argument = "DIR",
	     .help = "check the log in DIR, without reading the settings",
	     .value = &dir,
	     .no_file = true},
	};
	struct conf_program program = {
	    .name = "leat log verify",
	    .summary = "Reads the whole log on disk, in [batchd] dir, and "
		       "reports what is damaged.",
	    .flags = flags,
	    .flag_count = ARRAY_LEN(flags),
	};
	int rc = log_settings_start(&settings, &program, argc, argv);

	if (rc == CONF_RUN)
		rc = verify_print(dir ? dir : settings.dir);
	log_settings_free(&settings);
	return rc;
}

static int
run_tail(int argc, char **argv)
{
	struct log_settings settings;
	struct tail_request request = {0};
	const struct conf_flag flags[] = {
	    {.name = "--from",
	     .argument = "WHEN",
	     .help =
	         "begin at an offset, a time (2026-11-26T14:00Z), "
	         "-10m (s, m, h, d),\n"
	         "                 oldest or newest (the default; with --to "
	         "or --until-end: oldest)",
	     .value = &request.from},
	    {.name = "--to",
	     .argument = "WHEN",
	     .help =
	         "end before this offset, or this time, which must have passed",
	     .value = &request.to},
	    {.name = "--type",
	     .argument = "TYPE",
	     .help = "show only this type; may be given again",
	     .values = &request.types},
	    {.name = "--user",
	     .argument = "USER",
	     .help = "show only this user",
	     .value = &request.user},
	    {.name = "--limit",
	     .argument = "N",
	     .help = "end after N events were shown",
	     .value = &request.limit},
	    {.name = "--bytes-per-s",
	     .argument = "N",
	     .help = "take at most so many bytes of events a second; 0: no "
	             "limit\n                 (the default; or 1048576 if it "
	             "follows from newest without an end)",
	     .value = &request.bytes_per_s},
	    {.name = "--until-end",
	     .help = "end where the log ends now",
	     .set = &request.until_end},
	    {.name = "--json",
	     .help = "one JSON object a line on a terminal, too",
	     .set = &request.json},
	};
	struct conf_program program = {
	    .name = "leat tail",
	    .summary = "Shows events as they become durable, or those of the "
		       "log: columns on a terminal,\notherwise a JSON object a "
		       "line.  Times are when events were received, in UTC.",
	    .flags = flags,
	    .flag_count = ARRAY_LEN(flags),
	};
	int rc = log_settings_start(&settings, &program, argc, argv);

	request.socket = settings.shared.socket;
	request.log_dir = settings.dir;
	if (rc == CONF_RUN)
		rc = tail_print(&request);
	log_settings_free(&settings);
	return rc;
}

static bool
is_help(const char *arg)
{
	return strcmp(arg, "-h") == 0 || strcmp(arg, "--help") == 0;
}

static int
run_token(int argc, char **argv)
{
	bool help = argc == 2 && is_help(argv[1]);

	if (argc == 2 && argv[1][0] != '-')
		return token_make(argv[1]);
	(void)fputs("usage: leat token NAME >>TOKENS_FILE\n"
	            "       leat token --help\n",
	            help ? stdout : stderr);
	if (help)
		printf("\nMakes a token for senders.  Prints its line for "
		       "ingestd's tokens_file to standard\noutput, and the "
		       "token itself, which is not shown again, to standard "
		       "error.\n");
	return help ? EXIT_SUCCESS : EXIT_CONFIG;
}

static const struct {
	const char *noun, *verb; /* noun may be NULL */
	int (*run)(int argc, char **argv);
} verbs[] = {
    {NULL, "check", run_check}, {NULL, "status", run_status},
    {NULL, "tail", run_tail},   {"log", "verify", run_log_verify},
    {NULL, "token", run_token},
};

static int
leat_print_usage(FILE *out, int status)
{
	(void)fputs(
	    "usage: leat check [--config PATH]\n"
	    "       leat status [--config PATH] [--check] [--json]\n"
	    "       leat tail [--config PATH] [--check] [--from WHEN] "
	    "[--to WHEN] [--type TYPE]...\n"
	    "            [--user USER] [--limit N] [--bytes-per-s N] "
	    "[--until-end] [--json]\n"
	    "       leat log verify [--config PATH] [--check] [--dir DIR]\n"
	    "       leat token NAME >>TOKENS_FILE\n"
	    "       leat help | --help | --version\n"
	    "`leat VERB --help` describes one of them.\n",
	    out);
	return status;
}

/* Run the verb that argv[1] begins.  Returns CONF_RUN if there is none. */
static int
run_verb(int argc, char **argv)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		int at = 1;

		if (verbs[i].noun && argc > at &&
		    strcmp(argv[at], verbs[i].noun) == 0)
			at++;
		/* The verb is in argv[0] of its function. */
		if (at == (verbs[i].noun ? 2 : 1) && argc > at &&
		    strcmp(argv[at], verbs[i].verb) == 0)
			return verbs[i].run(argc - at, argv + at);
	}
	return CONF_RUN;
}

int
main(int argc, char **argv)
{
	int rc;

	log_init("leat");
	if (argc < 2)
		return leat_print_usage(stderr, EXIT_CONFIG);
	rc = run_verb(argc, argv);
	if (rc != CONF_RUN)
		return rc;
	if (strcmp(argv[1], "-V") == 0 || strcmp(argv[1], "--version") == 0) {
		printf("leat %s\n", LEAT_VERSION);
		return EXIT_SUCCESS;
	}
	/* This includes a noun without a verb: leat log --help. */
	if (strcmp(argv[1], "help") == 0 || is_help(argv[argc - 1]))
		return leat_print_usage(stdout, EXIT_SUCCESS);
	log_error("unknown command arg=%s", log_quote(argv[1]));
	return leat_print_usage(stderr, EXIT_CONFIG);
}
