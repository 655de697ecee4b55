/* verb - see verb.h. */
#include "leat/verb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *
verb_name(const struct verb *v, bool with_arguments, char out[VERB_NAME_TEXT])
{
	bool arguments = with_arguments && v->arguments;

	(void)snprintf(out, VERB_NAME_TEXT, "leat %s%s%s%s%s",
	               v->noun ? v->noun : "", v->noun ? " " : "", v->name,
	               arguments ? " " : "", arguments ? v->arguments : "");
	return out;
}

const struct verb *
verb_find(const char *const *args, int *count)
{
	for (size_t i = 0; args[0] && verbs[i]; i++) {
		const struct verb *v = verbs[i];

		*count = v->noun ? 2 : 1;
		if (v->noun && (strcmp(args[0], v->noun) != 0 || !args[1]))
			continue;
		if (strcmp(args[*count - 1], v->name) == 0)
			return v;
	}
	return NULL;
}

/* --- settings --- */

struct leat_settings {
	char *socket;
	char log_dir[4001];
};

static const struct conf_key keys[] = {
    {"socket", CONF_TEXT, offsetof(struct leat_settings, socket),
     "/run/leat/batchd.sock", 1, 107, NULL,
     "Unix socket on which batchd listens."},
    {0},
};

static const char *
on_batchd_pair(void *into, const char *name, const char *value)
{
	struct leat_settings *s = into;

	if (strcmp(name, "dir") == 0)
		(void)snprintf(s->log_dir, sizeof s->log_dir, "%s", value);
	return NULL;
}

/* --- run a verb --- */

/* Format the examples of a verb for --help.  Returns NULL without memory. */
static char *
format_examples(const struct verb *v)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	if (!out)
		return NULL;
	for (size_t i = 0; v->examples && v->examples[i].command; i++)
		(void)fprintf(out, "%s  %s\n      %s\n",
		              i == 0 ? "Examples:\n" : "",
		              v->examples[i].command, v->examples[i].what);
	return fclose(out) == 0 ? text : NULL;
}

/*
 * Read the command line and the settings.  Returns as conf_start.  The settings
 * are kept until the process ends.
 */
static int
verb_start(const struct verb *v, int argc, char **argv,
           struct conf_values *operands, struct verb_call *call)
{
	static struct leat_settings settings = {
	    .log_dir = "/var/lib/leat/log",
	};
	const struct conf_table tables[] = {
	    {.section = "leat", .keys = keys, .into = &settings},
	    {.section = "batchd", .into = &settings, .on_pair = on_batchd_pair},
	};
	char name[VERB_NAME_TEXT];
	char *examples = format_examples(v);
	struct conf_program program = {
	    .name = verb_name(v, false, name),
	    .summary = v->summary,
	    .details = v->details,
	    .examples = examples && *examples ? examples : NULL,
	    .flags = v->flags,
	    .path = &call->path,
	    .is_command = true,
	    .no_config = v->settings == VERB_NO_SETTINGS,
	    .arguments = v->arguments,
	    .operands = operands,
	};
	int rc;

	while (v->flags && v->flags[program.flag_count].name)
		program.flag_count++;
	if (v->settings == VERB_SETTINGS) {
		program.tables = tables;
		program.table_count = ARRAY_LEN(tables);
	}
	rc = conf_start(&program, argc, argv);
	call->socket = settings.socket;
	call->log_dir = settings.log_dir;
	free(examples);
	return rc;
}

int
verb_run(const struct verb *v, int argc, char **argv)
{
	struct conf_values operands = {.count = 0};
	struct verb_call call = {.args = operands.at};
	int rc = verb_start(v, argc, argv, &operands, &call);

	call.arg_count = operands.count;
	return rc == CONF_RUN ? v->run(&call) : rc;
}
