/* manual - see manual.h. */
#include "leat/manual.h"

#include <stdio.h>

#include "leat/verb.h"

/* The page has the date of the release, not that of the build. */
#define RELEASE_DATE "2026-11-27"

/*
 * Print text so that it stands for itself: a hyphen can be searched for and
 * copied, and a line begins no request.
 */
static void
print_text(const char *text)
{
	for (const char *p = text; *p; p++) {
		if ((*p == '.' || *p == '\'') && (p == text || p[-1] == '\n'))
			printf("\\&");
		if (*p == '-')
			printf("\\-");
		else if (*p == '\\')
			printf("\\e");
		else if (*p == '^' || *p == '~' || *p == '`')
			printf(*p == '^'   ? "\\(ha"
			       : *p == '~' ? "\\(ti"
			                   : "\\(ga");
		else
			printf("%c", *p);
	}
}

/* Print a line in a font, which is a request to change to it, or "". */
static void
print_line(const char *text, const char *font)
{
	printf("%s", font);
	print_text(text);
	printf("%s\n", *font ? "\\fR" : "");
}

/* Print a paragraph, each sentence of which is on a line of its own. */
static void
print_paragraph(const char *text)
{
	char sentence[2] = {0};

	for (const char *p = text; *p; p++) {
		if (p > text && p[-1] == '.' && *p == ' ') {
			while (p[1] == ' ')
				p++;
			printf("\n");
			if (p[1] == '.' || p[1] == '\'')
				printf("\\&");
			continue;
		}
		sentence[0] = *p;
		if (p > text && (*p == '.' || *p == '\''))
			printf("%c", *p);
		else
			print_text(sentence);
	}
	printf("\n");
}

static void
print_option(const struct conf_flag *f)
{
	printf(".TP\n\\fB");
	print_text(f->name);
	printf("\\fR");
	if (!f->set) {
		printf(" \\fI");
		print_text(f->argument);
		printf("\\fR");
	}
	printf("\n");
	print_paragraph(f->help);
}

static void
print_verb(const struct verb *v)
{
	char name[VERB_NAME_TEXT];

	printf(".SS ");
	print_line(verb_name(v, true, name), "");
	print_paragraph(v->summary);
	if (v->details)
		print_paragraph(v->details);
	for (size_t i = 0; v->flags && v->flags[i].name; i++)
		print_option(&v->flags[i]);
	for (size_t i = 0; v->examples && v->examples[i].command; i++) {
		printf(".PP\n");
		print_line(v->examples[i].command, "\\fB");
		printf(".br\n");
		print_paragraph(v->examples[i].what);
	}
}

void
manual_print(void)
{
	printf(".TH LEAT 1 " RELEASE_DATE " \"leat " LEAT_VERSION "\"\n"
	       ".SH NAME\n"
	       "leat \\- look at and operate the event pipeline leat\n"
	       ".SH SYNOPSIS\n"
	       "\\fBleat\\fR \\fIVERB\\fR [\\fIARGUMENTS\\fR] "
	       "[\\fIOPTIONS\\fR]\n"
	       ".SH DESCRIPTION\n"
	       "Each verb has the options \\fB\\-\\-help\\fR and, if it reads "
	       "the settings,\n"
	       "\\fB\\-\\-config\\fR \\fIPATH\\fR.\n"
	       "What changes something, other than pause and resume, shows "
	       "what it would do,\n"
	       "and does it only with \\fB\\-\\-execute\\fR.\n"
	       ".SH VERBS\n");
	for (size_t i = 0; verbs[i]; i++)
		print_verb(verbs[i]);
	printf(".SH EXIT STATUS\n"
	       ".TP\n0\nAll is well, or it was done.\n"
	       ".TP\n1\nbatchd is unreachable, or the system failed.\n"
	       ".TP\n2\nThe command line is not understood, or the settings "
	       "are wrong or cannot be read.\n"
	       ".TP\n3\nAn answer, but not a good one: something is not well, "
	       "or an order was refused and nothing was changed.\n"
	       ".SH FILES\n"
	       ".TP\n\\fI%s\\fR\nThe settings.\n",
	       CONF_PATH);
}
