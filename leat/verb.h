/*
 * verb - one verb of the command, such as `leat pause`.
 *
 * A verb is one constant of this type, in the file that runs it, and one line
 * of the table in verbs.c.  All that leat knows of its verbs comes from there:
 * the command line, `leat help`, --help, the completions of the shells and the
 * manual page.  A test compares the documents with the table.
 *
 * To add a verb `leat noun name`:
 *
 * 1. Write leat/noun.c with a function that runs it, and its row:
 *
 *	static const char *from;
 *	static bool execute;
 *
 *	const struct verb noun_name_verb = {
 *	    .noun = "noun", .name = "name", .arguments = "SINK",
 *	    .summary = "Does one thing.",
 *	    .flags = VERB_FLAGS(
 *	        VERB_TEXT("--from", "WHEN", &from, "begin there"),
 *	        VERB_SWITCH("--execute", &execute, "do it")),
 *	    .examples = VERB_EXAMPLES(
 *	        {"leat noun name kafka --from -1h", "show what it would do"}),
 *	    .run = noun_name_run,
 *	};
 *
 *    The options are static, because a process runs one verb, once.
 *
 * 2. Declare the row below, and add it to the table in verbs.c.
 * 3. Name it in docs/operations.md, and the new files in docs/architecture.md.
 *
 * A verb that changes something, other than pause and resume, shows what it
 * would do, and does it only with --execute.
 */
#ifndef LEAT_VERB_H
#define LEAT_VERB_H

#include <stdbool.h>
#include <stddef.h>

#include "libbase/base.h"
#include "libbase/conf.h"

/* What a verb is run with.  All of it is valid until the process ends. */
struct verb_call {
	const char *const *args; /* one for each of verb.arguments given */
	size_t arg_count;
	const char *path;    /* of the settings file; it may not exist if the
	                        verb does not read it */
	const char *socket;  /* on which batchd listens: [leat] socket */
	const char *log_dir; /* [batchd] dir */
};

struct verb_example {
	const char *command; /* the whole of it, with "leat" */
	const char *what;    /* one line */
};

/* What the verb needs of the settings file. */
enum verb_settings {
	VERB_SETTINGS,    /* socket and log_dir */
	VERB_PATH,        /* only its path: the verb reads the file itself */
	VERB_NO_SETTINGS, /* nothing; it has no --config */
};

struct verb {
	const char *noun; /* before the name: "log" of `leat log verify` */
	const char *name;
	/*
	 * The arguments that are no options, as "SINK" or "[FILE]"; NULL if
	 * there are none.  Those in brackets may be left out.  Completions
	 * offer the names of the sinks for SINK, and files for FILE and DIR,
	 * as well as after an option whose argument has that name; for a|b
	 * they offer a and b.
	 */
	const char *arguments;
	const char *summary; /* one sentence in the third person */
	const char *details; /* more of it, for --help and the page; or NULL */
	const struct conf_flag *flags;       /* ends with {0}; NULL if none */
	const struct verb_example *examples; /* the same */
	enum verb_settings settings;
	/* Returns the exit status (docs/operations.md, "Exit statuses"). */
	int (*run)(const struct verb_call *call);
};

/* The tables of a verb, with the {0} at their end. */
#define VERB_FLAGS(...) ((const struct conf_flag[]){__VA_ARGS__, {0}})
#define VERB_EXAMPLES(...) ((const struct verb_example[]){__VA_ARGS__, {0}})

/*
 * The rows of a table of flags: a switch; an option whose value is kept as it
 * was given; and one whose value `read_` reads into `into_` (conf_flag.read).
 */
#define VERB_SWITCH(name_, set_, help_)                                        \
	{                                                                      \
		.name = name_, .set = set_, .help = help_                      \
	}
#define VERB_TEXT(name_, argument_, value_, help_)                             \
	{                                                                      \
		.name = name_, .argument = argument_, .value = value_,         \
		.help = help_                                                  \
	}
#define VERB_VALUE(name_, argument_, read_, into_, help_)                      \
	{                                                                      \
		.name = name_, .argument = argument_, .read = read_,           \
		.into = into_, .help = help_                                   \
	}

/* The table in verbs.c, in the order of `leat help`; NULL is the end. */
extern const struct verb *const verbs[];

/* The verbs, each of which is in the file of its noun, or of its name. */
extern const struct verb account_verb, check_verb, completion_verb,
    dead_drop_verb, dead_ls_verb, dead_retry_verb, dead_show_verb, health_verb,
    help_verb, log_dump_verb, log_ls_verb, log_verify_verb, pause_verb,
    replay_verb, resume_verb, send_verb, skip_verb, status_verb, tail_verb,
    token_verb, top_verb;

/*
 * The whole name of a verb, as "leat log verify", with " SINK" or the like if
 * with_arguments.  Returns out.
 */
#define VERB_NAME_TEXT 64
const char *verb_name(const struct verb *v, bool with_arguments,
                      char out[VERB_NAME_TEXT]);

/*
 * Return the verb whose noun and name are at the start of args, which ends with
 * NULL, and set *count to how many of them these are; or return NULL.
 */
const struct verb *verb_find(const char *const *args, int *count);

/*
 * Read the command line of the verb, whose name is in argv[0], and run it.
 * Returns the exit status.
 */
MUST_USE int verb_run(const struct verb *v, int argc, char **argv);

#endif
