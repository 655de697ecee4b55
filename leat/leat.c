/* leat - the operator's command.  `leat help` lists its verbs. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leat/completion.h"
#include "leat/help.h"
#include "leat/manual.h"
#include "leat/verb.h"
#include "libbase/base.h"
#include "libbase/log.h"

static bool
is_help(const char *arg)
{
	return strcmp(arg, "-h") == 0 || strcmp(arg, "--help") == 0;
}

int
main(int argc, char **argv)
{
	const struct verb *v;
	int count;

	log_init("leat");
	if (argc < 2) {
		help_print_verbs(stderr, NULL);
		return EXIT_CONFIG;
	}
	v = verb_find((const char *const *)argv + 1, &count);
	if (v)
		return verb_run(v, argc - count, argv + count);
	/* For the scripts of completion.h, and for the build. */
	if (strcmp(argv[1], "--complete") == 0) {
		completion_print_candidates((const char *const *)argv + 2,
		                            (size_t)argc - 2);
		return conf_finish_output(EXIT_SUCCESS);
	}
	if (strcmp(argv[1], "--manual") == 0) {
		manual_print();
		return conf_finish_output(EXIT_SUCCESS);
	}
	if (strcmp(argv[1], "-V") == 0 || strcmp(argv[1], "--version") == 0) {
		printf("leat %s\n", LEAT_VERSION);
		return EXIT_SUCCESS;
	}
	/* This includes a noun without a verb: leat log --help. */
	if (is_help(argv[argc - 1])) {
		help_print_verbs(stdout, argc > 2 ? argv[1] : NULL);
		return conf_finish_output(EXIT_SUCCESS);
	}
	help_print_unknown((const char *const *)argv + 1);
	return EXIT_CONFIG;
}
