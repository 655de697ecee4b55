/* finding - see finding.h. */
#include "libsink/finding.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "libbase/printable.h"

#define TEXT_BYTES 2048

/* Replace each run of white space by one blank. */
static void
join_lines(char *text)
{
	char *out = text;

	for (const char *p = text; *p; p++) {
		if (!isspace((unsigned char)*p))
			*out++ = *p;
		else if (out > text && out[-1] != ' ')
			*out++ = ' ';
	}
	*out = '\0';
}

void
finding_print(enum finding level, const char *fmt, ...)
{
	static const char *const words[] = {"ok", "warn", "FAIL"};
	char text[TEXT_BYTES], safe[PRINTABLE_GROWTH * TEXT_BYTES + 1];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	join_lines(text);
	(void)printable_put(safe, text, strlen(text), "");
	printf("%s %s\n", words[level], safe);
}
