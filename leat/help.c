/* help - see help.h. */
#include "leat/help.h"

#include <stdlib.h>
#include <string.h>

#include "leat/verb.h"
#include "libbase/log.h"
#include "libbase/wrap.h"

static bool
is_noun(const char *text)
{
	for (size_t i = 0; text && verbs[i]; i++) {
		if (verbs[i]->noun && strcmp(verbs[i]->noun, text) == 0)
			return true;
	}
	return false;
}

void
help_print_verbs(FILE *out, const char *noun)
{
	bool all = !is_noun(noun);
	struct wrap w = {.out = out, .indent = 28};
	char name[VERB_NAME_TEXT];

	(void)fprintf(out, "usage: leat %s%sVERB [ARGUMENTS] [OPTIONS]\n\n",
	              all ? "" : noun, all ? "" : " ");
	for (size_t i = 0; verbs[i]; i++) {
		const struct verb *v = verbs[i];

		if (!all && (!v->noun || strcmp(v->noun, noun) != 0))
			continue;
		(void)fprintf(out, "  %s", verb_name(v, true, name));
		w.column = 2 + strlen(name);
		wrap_to(&w, w.indent);
		wrap_text(&w, v->summary);
		wrap_end(&w);
	}
	(void)fprintf(
	    out, "\n`leat help VERB`, or `leat VERB --help`, describes one "
		 "of them with examples.\n"
		 "Exit status: 0 well, 1 batchd is unreachable or the system "
		 "failed, 2 wrong usage\nor settings, 3 answered, but not "
		 "well.\n");
}

void
help_print_unknown(const char *const *args)
{
	if (is_noun(args[0]) && args[1])
		log_error("leat %s has no such verb arg=%s", args[0],
		          log_quote(args[1]));
	else if (is_noun(args[0]))
		log_error("leat %s needs a verb", args[0]);
	else
		log_error("unknown command arg=%s", log_quote(args[0]));
	help_print_verbs(stderr, args[0]);
}

static int
help_run(const struct verb_call *call)
{
	const char *args[] = {NULL, NULL, NULL};
	static char option[] = "--help";
	const struct verb *v;
	int count;

	for (size_t i = 0; i < call->arg_count; i++)
		args[i] = call->args[i];
	if (!args[0] || (is_noun(args[0]) && !args[1])) {
		help_print_verbs(stdout, args[0]);
		return conf_finish_output(EXIT_SUCCESS);
	}
	v = verb_find(args, &count);
	if (v && !args[count]) {
		/* Its name is only shown if its command line is wrong. */
		char *argv[] = {option, option, NULL};

		return verb_run(v, 2, argv);
	}
	help_print_unknown(args);
	return EXIT_CONFIG;
}

const struct verb help_verb = {
    .name = "help",
    .arguments = "[NOUN] [VERB]",
    .summary = "Lists the verbs, or describes one of them.",
    .settings = VERB_NO_SETTINGS,
    .examples = VERB_EXAMPLES(
	{"leat help", "what leat can do"},
	{"leat help log verify", "the same as leat log verify --help"}),
    .run = help_run,
};
