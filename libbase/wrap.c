/* wrap - see wrap.h. */
#include "libbase/wrap.h"

#include <string.h>

#define COLUMNS 79 /* a full line of 80 makes some terminals scroll */

static void
wrap_print(struct wrap *w, const char *text, size_t n)
{
	if (w->column > w->indent && w->column + 1 + n > COLUMNS)
		wrap_end(w);
	if (w->column < w->indent)
		wrap_to(w, w->indent);
	else if (w->column > w->indent)
		w->column += fprintf(w->out, " ") > 0;
	(void)fprintf(w->out, "%.*s", (int)n, text);
	w->column += n;
}

void
wrap_word(struct wrap *w, const char *text)
{
	wrap_print(w, text, strlen(text));
}

void
wrap_text(struct wrap *w, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, " \n");

		if (n > 0)
			wrap_print(w, text, n);
		text += n;
		if (*text == '\n')
			wrap_end(w);
		text += *text != '\0';
	}
}

void
wrap_to(struct wrap *w, size_t column)
{
	if (w->column > column)
		wrap_end(w);
	if (w->column < column)
		(void)fprintf(w->out, "%*s", (int)(column - w->column), "");
	w->column = column;
}

void
wrap_end(struct wrap *w)
{
	(void)fprintf(w->out, "\n");
	w->column = 0;
}
