/* mark - see mark.h. */
#include "leat/mark.h"

#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char *const words[] = {"ok", "warn", "FAIL"};
static enum mark worst;

static bool
is_utf8(void)
{
	static bool known, yes;

	if (!known) {
		locale_t locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);

		yes = locale &&
		      strcmp(nl_langinfo_l(CODESET, locale), "UTF-8") == 0;
		if (locale)
			freelocale(locale);
		known = true;
	}
	return yes;
}

void
mark_print(enum mark mark, const char *subject, const char *fmt, ...)
{
	static const char *const signs[] = {"✔", "!", "✗"};
	va_list args;

	if (mark > worst)
		worst = mark;
	if (is_utf8())
		printf("%s %-13s ", signs[mark], subject);
	else
		printf("%-4s %-13s ", words[mark], subject);
	va_start(args, fmt);
	(void)vprintf(fmt, args);
	va_end(args);
	printf("\n");
	/* A store that is asked next may take long. */
	(void)fflush(stdout);
}

enum mark
mark_worst(void)
{
	return worst;
}

const char *
mark_parse(const char *line, enum mark *mark)
{
	for (int i = MARK_OK; i <= MARK_ERROR; i++) {
		size_t n = strlen(words[i]);

		if (strncmp(line, words[i], n) == 0 && line[n] == ' ') {
			*mark = (enum mark)i;
			return line + n + 1;
		}
	}
	*mark = MARK_ERROR;
	return strstr(line, " error sinkd-") ? line : NULL;
}

void
mark_pass_on(const char *line)
{
	if (!strstr(line, " warn sinkd-"))
		(void)fprintf(stderr, "%s\n", line);
}
