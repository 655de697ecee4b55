/* conf_command_line - see conf_start in conf.h. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/conf.h"
#include "libbase/conf_source.h"
#include "libbase/file.h"
#include "libbase/log.h"
#include "libbase/wrap.h"

#define ERRORS_BYTES 4096

static void
print_value(const struct conf_key *key, const void *into)
{
	const void *field = (const char *)into + key->offset;
	char size[CONF_SIZE_TEXT];

	printf("%s = ", key->name);
	switch (key->type) {
	case CONF_BOOL:
		printf("%s\n", *(const bool *)field ? "yes" : "no");
		return;
	case CONF_INT:
		printf("%" PRId64 "\n", *(const int64_t *)field);
		return;
	case CONF_SIZE:
		printf("%s\n", conf_size_text(*(const int64_t *)field, size));
		return;
	case CONF_CHOICE:
		printf("%s\n", key->choices[*(const int *)field]);
		return;
	case CONF_TEXT:
		printf("%s\n", *(char *const *)field);
		return;
	}
}

static void
print_tables(const struct conf_program *program)
{
	const char *section = "";

	for (size_t i = 0; i < program->table_count; i++) {
		const struct conf_table *t = &program->tables[i];

		if (strcmp(section, t->section) != 0)
			printf("%s[%s]\n", i ? "\n" : "", t->section);
		section = t->section;
		for (size_t j = 0; t->keys && t->keys[j].name; j++)
			print_value(&t->keys[j], t->into);
	}
}

/* The least and the greatest width of the column of options. */
#define OPTION_COLUMNS_MIN 14
#define OPTION_COLUMNS_MAX 26

/* Format an option with its value, as "--dir DIR".  Returns out. */
#define OPTION_TEXT 64
static const char *
option_text(const struct conf_flag *f, char out[OPTION_TEXT])
{
	(void)snprintf(out, OPTION_TEXT, "%s%s%s", f->name, f->set ? "" : " ",
	               f->set ? "" : f->argument);
	return out;
}

static void
conf_print_usage(const struct conf_program *program, FILE *out)
{
	static const char start[] = "usage: ";
	struct wrap w = {.out = out, .indent = sizeof start - 1};
	char option[OPTION_TEXT], text[OPTION_TEXT + 8];

	(void)fprintf(out, "%s", start);
	w.column = w.indent;
	wrap_text(&w, program->name);
	w.indent += strlen(program->name) + 1;
	if (program->arguments)
		wrap_text(&w, program->arguments);
	if (!program->no_config)
		wrap_word(&w, "[--config PATH]");
	if (!program->is_command)
		wrap_word(&w, "[--check]");
	for (size_t i = 0; i < program->flag_count; i++) {
		const struct conf_flag *f = &program->flags[i];

		(void)snprintf(text, sizeof text, "[%s]%s",
		               option_text(f, option), f->values ? "..." : "");
		wrap_word(&w, text);
	}
	wrap_word(&w, "[--help]");
	wrap_word(&w, "[--version]");
	wrap_end(&w);
}

static void
print_option(size_t columns, const char *option, const char *help)
{
	struct wrap w = {.out = stdout, .indent = columns + 3};

	w.column = (size_t)printf("  %s", option);
	if (w.column + 1 > w.indent)
		wrap_end(&w);
	wrap_text(&w, help);
	wrap_end(&w);
}

static void
print_options(const struct conf_program *program)
{
	size_t columns = OPTION_COLUMNS_MIN;
	char option[OPTION_TEXT];

	for (size_t i = 0; i < program->flag_count; i++) {
		size_t n = strlen(option_text(&program->flags[i], option));

		if (n > columns && n <= OPTION_COLUMNS_MAX)
			columns = n;
	}
	for (size_t i = 0; i < program->flag_count; i++)
		print_option(columns, option_text(&program->flags[i], option),
		             program->flags[i].help);
	if (!program->no_config)
		print_option(columns, "--config PATH",
		             "settings (default " CONF_PATH ")");
	if (!program->is_command)
		print_option(columns, "--check",
		             "check them, print what is in force, exit");
	print_option(columns, "-h, --help", "this text");
	print_option(columns, "-V, --version", "the version");
}

static void
print_keys(const struct conf_program *program)
{
	const char *section = "";
	char allowed[512];

	for (size_t i = 0; i < program->table_count; i++) {
		const struct conf_table *t = &program->tables[i];

		if (t->keys && strcmp(section, t->section) != 0)
			printf("\n[%s]\n", t->section);
		section = t->section;
		for (size_t j = 0; t->keys && t->keys[j].name; j++) {
			const struct conf_key *key = &t->keys[j];

			conf_describe(key, allowed, sizeof allowed);
			printf("  %s = %s\n      %s\n      %s\n", key->name,
			       key->initial, key->help, allowed);
		}
	}
}

static void
print_help(const struct conf_program *program)
{
	struct wrap w = {.out = stdout};

	conf_print_usage(program, stdout);
	wrap_end(&w);
	wrap_text(&w, program->summary);
	wrap_end(&w);
	if (program->details) {
		wrap_end(&w);
		wrap_text(&w, program->details);
		wrap_end(&w);
	}
	wrap_end(&w);
	print_options(program);
	if (program->examples)
		printf("\n%s", program->examples);
	if (!program->is_command)
		print_keys(program);
}

int
conf_finish_output(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	log_error("cannot write to standard output");
	return EXIT_FAILURE;
}

/* What the command line sets. */
struct arguments {
	const char *path;
	bool check;
	bool no_file;
	bool only_operands;                /* "--" was given */
	const char *texts[CONF_FLAGS_MAX]; /* for the flags with `read` */
};

/*
 * Take an option with a value, `NAME VALUE` or `NAME=VALUE`, at argv[*at].
 * Returns 1, 0 if it is another option, or -EINVAL if the value is missing.
 */
static int
take_value(const char *name, char **argv, int *at, const char **value)
{
	const char *arg = argv[*at];
	size_t n = strlen(name);

	if (strncmp(arg, name, n) != 0 || (arg[n] != '\0' && arg[n] != '='))
		return 0;
	if (arg[n] == '=')
		*value = arg + n + 1;
	else if (argv[*at + 1])
		*value = argv[++*at];
	else
		return -EINVAL;
	return 1;
}

/* Take a value of an option that repeats.  Returns as take_value, or -E2BIG. */
static int
take_another(const struct conf_flag *f, char **argv, int *at)
{
	const char *value;
	int taken = take_value(f->name, argv, at, &value);

	if (taken <= 0)
		return taken;
	if (f->values->count == CONF_VALUES_MAX)
		return -E2BIG;
	f->values->at[f->values->count++] = value;
	return taken;
}

/* Take one of the program's own options.  Returns as take_another. */
static int
take_flag(const struct conf_program *program, char **argv, int *at,
          struct arguments *arguments)
{
	for (size_t i = 0; i < program->flag_count; i++) {
		const struct conf_flag *f = &program->flags[i];
		int taken;

		if (f->set) {
			taken = strcmp(f->name, argv[*at]) == 0;
			if (taken)
				*f->set = true;
		} else if (f->values) {
			taken = take_another(f, argv, at);
		} else {
			taken = take_value(f->name, argv, at,
			                   f->read ? &arguments->texts[i]
			                           : f->value);
		}
		if (taken > 0 && f->no_file)
			arguments->no_file = true;
		if (taken != 0)
			return taken;
	}
	return 0;
}

static bool
is_one_of(const char *arg, const char *brief, const char *name)
{
	return strcmp(arg, brief) == 0 || strcmp(arg, name) == 0;
}

/*
 * Take an argument that is no option.  Options may follow, until an argument
 * that is "--".  Returns as take_another.
 */
static int
take_operand(const struct conf_program *program, const char *arg,
             struct arguments *arguments)
{
	if (!program->operands)
		return 0;
	if (!arguments->only_operands && strcmp(arg, "--") == 0) {
		arguments->only_operands = true;
		return 1;
	}
	if (!arguments->only_operands && arg[0] == '-' && arg[1] != '\0')
		return 0;
	if (program->operands->count == CONF_VALUES_MAX)
		return -E2BIG;
	program->operands->at[program->operands->count++] = arg;
	return 1;
}

/* Take the argument at argv[*at].  Returns as take_another. */
static int
take_argument(const struct conf_program *program, char **argv, int *at,
              struct arguments *arguments)
{
	int taken = take_operand(program, argv[*at], arguments);

	if (taken == 0 && !program->is_command &&
	    strcmp(argv[*at], "--check") == 0) {
		arguments->check = true;
		return 1;
	}
	if (taken == 0 && !program->no_config)
		taken = take_value("--config", argv, at, &arguments->path);
	return taken == 0 ? take_flag(program, argv, at, arguments) : taken;
}

/* Return true if so many operands fit "A [B]": at least A, at most both. */
static bool
is_operand_count(const struct conf_program *program)
{
	const char *p = program->arguments ? program->arguments : "";
	size_t least = 0, most = 0;

	while (*p) {
		least += *p != '[';
		most++;
		p += strcspn(p, " ");
		p += strspn(p, " ");
	}
	return !program->operands || (program->operands->count >= least &&
	                              program->operands->count <= most);
}

/* Returns CONF_RUN, or the status to exit with. */
static int
take_arguments(const struct conf_program *program, int argc, char **argv,
               struct arguments *arguments)
{
	*arguments = (struct arguments){.path = CONF_PATH};
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i];
		int taken;

		if (!arguments->only_operands &&
		    is_one_of(arg, "-h", "--help")) {
			print_help(program);
			return conf_finish_output(EXIT_SUCCESS);
		}
		if (!arguments->only_operands &&
		    is_one_of(arg, "-V", "--version")) {
			printf("%s %s\n", program->name, LEAT_VERSION);
			return conf_finish_output(EXIT_SUCCESS);
		}
		taken = take_argument(program, argv, &i, arguments);
		if (taken == 1)
			continue;
		log_error("%s arg=%s",
		          taken == 0        ? "unknown argument"
		          : taken == -E2BIG ? "this is given too often"
		                            : "this option needs a value",
		          log_quote(arg));
		conf_print_usage(program, stderr);
		return EXIT_CONFIG;
	}
	if (!is_operand_count(program)) {
		log_error("%s: too %s arguments", program->name,
		          !program->arguments || program->operands->count > 0
		              ? "many"
		              : "few");
		conf_print_usage(program, stderr);
		return EXIT_CONFIG;
	}
	return CONF_RUN;
}

/* Parse the text into the tables.  Returns CONF_RUN, or EXIT_CONFIG. */
static int
take_text(const struct conf_source *source)
{
	const struct conf_program *program = source->program;
	char errors[ERRORS_BYTES];

	if (conf_parse(program, source->path, source->text, errors,
	               sizeof errors) < 0) {
		for (char *line = strtok(errors, "\n"); line;
		     line = strtok(NULL, "\n"))
			log_error("settings refused: %s", line);
		return EXIT_CONFIG;
	}
	conf_access_warn(source);
	if (program->validate && program->validate(source, program->arg) < 0)
		return EXIT_CONFIG;
	return CONF_RUN;
}

/* Read the settings file.  Returns CONF_RUN, or EXIT_CONFIG. */
static int
take_file(const struct conf_program *program, const struct arguments *arguments)
{
	struct conf_source source = {.program = program,
	                             .path = arguments->path,
	                             .check = arguments->check};
	char *text = NULL;
	size_t bytes = 0;
	int rc = file_read(arguments->path, CONF_FILE_BYTES_MAX, &text, &bytes);

	if (rc < 0) {
		log_error("cannot read the settings path=%s err=%s "
		          "(--config names another file)",
		          log_quote(arguments->path), log_quote(strerror(-rc)));
		return EXIT_CONFIG;
	}
	source.text = text;
	if (strlen(text) == bytes) {
		rc = take_text(&source);
	} else {
		/* The parser would ignore the text after it. */
		log_error("settings refused: %s: it contains a NUL byte",
		          source.path);
		rc = EXIT_CONFIG;
	}
	free(text);
	return rc;
}

/* Read the values of the flags that have a function for it. */
static int
take_texts(const struct conf_program *program,
           const struct arguments *arguments)
{
	for (size_t i = 0; i < program->flag_count; i++) {
		const struct conf_flag *f = &program->flags[i];
		const char *text = arguments->texts[i];

		if (text && f->read(f->name, text, f->into) < 0)
			return EXIT_CONFIG;
	}
	return CONF_RUN;
}

int
conf_start(const struct conf_program *program, int argc, char **argv)
{
	struct arguments arguments;
	int rc;

	assert(program->flag_count <= CONF_FLAGS_MAX);
	rc = take_arguments(program, argc, argv, &arguments);
	if (program->path)
		*program->path = arguments.path;
	if (rc == CONF_RUN && !arguments.no_file && program->table_count > 0)
		rc = take_file(program, &arguments);
	if (rc == CONF_RUN)
		rc = take_texts(program, &arguments);
	if (rc != CONF_RUN || !arguments.check)
		return rc;
	print_tables(program);
	return conf_finish_output(EXIT_SUCCESS);
}
