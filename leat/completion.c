/* completion - see completion.h. */
#include "leat/completion.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leat/verb.h"
#include "libbase/file.h"
#include "libbase/ini.h"
#include "libbase/log.h"
#include "libbase/slice.h"
#include "libproto/frame.h"

/* --- what can stand for a word --- */

struct candidates {
	const char *start;         /* with which they have to begin */
	const char *settings_path; /* names the sinks */
	size_t count;
};

static void
candidates_add(struct candidates *c, struct slice text, const char *what)
{
	size_t start = strlen(c->start);

	if (text.bytes < start || memcmp(text.data, c->start, start) != 0)
		return;
	printf("%.*s\t%.*s\n", (int)text.bytes, text.data,
	       (int)strcspn(what, "\n"), what);
	c->count++;
}

/* Add the name if it can be a sink's, and so needs no quotes in any shell. */
static void
candidates_add_sink(struct candidates *c, struct slice name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-";

	if (name.bytes <= FRAME_NAME_MAX &&
	    strspn(name.data, allowed) >= name.bytes)
		candidates_add(c, name, "sink");
}

static void
candidates_add_sinks(struct candidates *c)
{
	struct ini *ini = calloc(1, sizeof *ini);
	struct ini_line line;
	char *text = NULL;
	size_t bytes;

	if (ini && file_read(c->settings_path, CONF_FILE_BYTES_MAX, &text,
	                     &bytes) == 0) {
		ini->rest = text;
		while (ini_next(ini, &line)) {
			const char *list = line.value;
			struct slice name;

			if (line.why || !line.name ||
			    strcmp(line.section, "batchd") != 0 ||
			    strcmp(line.name, "sinks") != 0)
				continue;
			while ((name = slice_take_word(&list)).bytes > 0)
				candidates_add_sink(c, name);
		}
	}
	free(text);
	free(ini);
}

/* Add what can stand for an argument that is called `name`. */
static void
candidates_add_argument(struct candidates *c, struct slice name)
{
	const char *bar;

	if (slice_is(name, "FILE") || slice_is(name, "DIR") ||
	    slice_is(name, "PATH")) {
		printf(":files\n");
		c->count++;
		return;
	}
	if (slice_is(name, "SINK")) {
		candidates_add_sinks(c);
		return;
	}
	while ((bar = memchr(name.data, '|', name.bytes))) {
		uint32_t n = (uint32_t)(bar - name.data);

		candidates_add(c, (struct slice){name.data, n}, "");
		name = (struct slice){bar + 1, name.bytes - n - 1};
		if (!memchr(name.data, '|', name.bytes))
			candidates_add(c, name, "");
	}
}

/* Add what can stand for the argument with this number. */
static void
candidates_add_operand(struct candidates *c, const char *arguments, size_t i)
{
	struct slice name = {"", 0};

	for (size_t at = 0; arguments && at <= i; at++)
		name = slice_take_word(&arguments);
	if (name.bytes > 0 && name.data[0] == '[')
		name = (struct slice){name.data + 1, name.bytes - 2};
	candidates_add_argument(c, name);
}

static void
candidates_add_options(struct candidates *c, const struct verb *v)
{
	for (size_t i = 0; v->flags && v->flags[i].name; i++)
		candidates_add(c, slice_of(v->flags[i].name), v->flags[i].help);
	if (v->settings != VERB_NO_SETTINGS)
		candidates_add(c, slice_of("--config"), "settings");
	candidates_add(c, slice_of("--help"), "describe the verb");
}

/* Add the nouns and the verbs without one; or the verbs of a noun. */
static void
candidates_add_verbs(struct candidates *c, const char *noun)
{
	const char *last = "";

	for (size_t i = 0; verbs[i]; i++) {
		const struct verb *v = verbs[i];

		if (noun ? v->noun && strcmp(v->noun, noun) == 0 : !v->noun)
			candidates_add(c, slice_of(v->name), v->summary);
		/* The verbs of a noun follow each other in the table. */
		if (!noun && v->noun && strcmp(v->noun, last) != 0)
			candidates_add(c, slice_of(v->noun), "");
		if (v->noun)
			last = v->noun;
	}
}

/* Return the option's argument, or NULL if it takes none or is unknown. */
static const char *
option_argument(const struct verb *v, const char *option)
{
	if (strcmp(option, "--config") == 0 && v->settings != VERB_NO_SETTINGS)
		return "FILE";
	for (size_t i = 0; v->flags && v->flags[i].name; i++) {
		if (strcmp(v->flags[i].name, option) == 0)
			return v->flags[i].set ? NULL : v->flags[i].argument;
	}
	return NULL;
}

/* The words after the verb; the last one is to be completed. */
static void
complete_arguments(struct candidates *c, const struct verb *v,
                   const char *const *words, size_t count)
{
	const char *waiting = NULL; /* the argument of the option before */
	size_t operands = 0;

	for (size_t i = 0; i + 1 < count; i++) {
		if (waiting && strcmp(words[i - 1], "--config") == 0)
			c->settings_path = words[i];
		if (waiting)
			waiting = NULL;
		else if (words[i][0] == '-')
			waiting = option_argument(v, words[i]);
		else
			operands++;
	}
	if (waiting) {
		candidates_add_argument(c, slice_of(waiting));
		return;
	}
	if (c->start[0] != '-')
		candidates_add_operand(c, v->arguments, operands);
	if (c->count == 0)
		candidates_add_options(c, v);
}

void
completion_print_candidates(const char *const *words, size_t count)
{
	struct candidates c = {.settings_path = CONF_PATH};
	const struct verb *v;
	int used = 0;

	if (count == 0)
		return;
	c.start = words[count - 1];
	if (strcmp(words[0], "help") == 0 && count > 1) {
		words++;
		count--;
	}
	v = count > 1 ? verb_find(words, &used) : NULL;
	if (v && (size_t)used < count)
		complete_arguments(&c, v, words + used, count - (size_t)used);
	else if (count <= 2)
		candidates_add_verbs(&c, count == 2 ? words[0] : NULL);
}

/* --- the scripts --- */

static const char bash_script[] =
    "# Completion of leat in bash: source <(leat completion bash)\n"
    "_leat()\n"
    "{\n"
    "\tlocal line current=${COMP_WORDS[COMP_CWORD]}\n"
    "\tCOMPREPLY=()\n"
    "\twhile IFS= read -r line; do\n"
    "\t\tif [[ $line == :files ]]; then\n"
    "\t\t\tcompopt -o filenames 2>/dev/null\n"
    "\t\t\twhile IFS= read -r line; do\n"
    "\t\t\t\tCOMPREPLY+=(\"$line\")\n"
    "\t\t\tdone < <(compgen -f -- \"$current\")\n"
    "\t\telse\n"
    "\t\t\tCOMPREPLY+=(\"${line%%$'\\t'*}\")\n"
    "\t\tfi\n"
    "\tdone < <(\"${COMP_WORDS[0]}\" --complete \\\n"
    "\t\t\"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
    "}\n"
    "complete -F _leat leat\n";

static const char zsh_script[] =
    "#compdef leat\n"
    "# Completion of leat in zsh: source <(leat completion zsh), after "
    "compinit\n"
    "_leat()\n"
    "{\n"
    "\tlocal line\n"
    "\tlocal -a found\n"
    "\tfor line in \"${(@f)$(\"${words[1]}\" --complete \\\n"
    "\t\t\"${(@)words[2,CURRENT]}\" 2>/dev/null)}\"; do\n"
    "\t\tif [[ $line == :files ]]; then\n"
    "\t\t\t_files\n"
    "\t\t\treturn\n"
    "\t\telif [[ -n $line ]]; then\n"
    "\t\t\tfound+=(\"${line/$'\\t'/:}\")\n"
    "\t\tfi\n"
    "\tdone\n"
    "\t_describe -V leat found\n"
    "}\n"
    "if [[ $funcstack[1] == _leat ]]; then\n"
    "\t_leat \"$@\"\n"
    "else\n"
    "\tcompdef _leat leat\n"
    "fi\n";

static const char fish_script[] =
    "# Completion of leat in fish: leat completion fish | source\n"
    "function __leat_complete\n"
    "\tset -l words (commandline -opc)\n"
    "\tset -l current (commandline -ct)\n"
    "\tfor line in (command $words[1] --complete $words[2..-1] \"$current\" "
    "2>/dev/null)\n"
    "\t\tif test \"$line\" = :files\n"
    "\t\t\t__fish_complete_path \"$current\"\n"
    "\t\telse\n"
    "\t\t\tprintf '%s\\n' $line\n"
    "\t\tend\n"
    "\tend\n"
    "end\n"
    "complete -c leat -f -a '(__leat_complete)'\n";

static int
completion_run(const struct verb_call *call)
{
	static const struct {
		const char *shell, *script;
	} all[] = {
	    {"bash", bash_script},
	    {"zsh", zsh_script},
	    {"fish", fish_script},
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		if (strcmp(all[i].shell, call->args[0]) == 0) {
			printf("%s", all[i].script);
			return conf_finish_output(EXIT_SUCCESS);
		}
	}
	log_error("no completion for this shell: it must be bash, zsh or fish "
	          "shell=%s",
	          log_quote(call->args[0]));
	return EXIT_CONFIG;
}

const struct verb completion_verb = {
    .name = "completion",
    .arguments = "bash|zsh|fish",
    .summary = "Prints a script with which the shell completes verbs, options "
	       "and sinks.",
    .details = "`make install` installs the three scripts.",
    .settings = VERB_NO_SETTINGS,
    .examples = VERB_EXAMPLES(
	{"source <(leat completion bash)", "in ~/.bashrc; zsh has the same"},
	{"leat completion fish | source", "in ~/.config/fish/config.fish"}),
    .run = completion_run,
};
