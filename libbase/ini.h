/*
 * ini - the lines of a settings file.
 *
 * A line is [section], `name = value`, a comment, or empty.  Blanks around
 * names and values do not count.  A # or ; begins a comment at the start of a
 * line, at the start of a value, and behind a blank; elsewhere, as in
 * `a#b`, it is a part of the value.  Where it would begin a comment, \# and
 * \; stand for the character itself.
 */
#ifndef LIBBASE_INI_H
#define LIBBASE_INI_H

#include <stdbool.h>

#include "libbase/base.h"

#define INI_LINE_BYTES (8 * KIB) /* of the longest line */
#define INI_SECTION_BYTES 128    /* of the longest section's name */

/* Where a walk through a file is; the caller sets `rest` alone. */
struct ini {
	const char *rest; /* text that is still to be read */
	int line;         /* number of the line that was read last */

	char section[INI_SECTION_BYTES + 1];
	char text[INI_LINE_BYTES + 1];
};

/* One line; its texts are valid until the next call of ini_next. */
struct ini_line {
	const char *why;     /* why it is no line of such a file; or NULL */
	const char *section; /* the one that it begins or stands in, or "" */
	const char *name;    /* NULL: it begins the section */
	const char *value;
	bool comment; /* a comment stood behind the value */
};

/*
 * Read the next line that is neither empty nor a comment.  Returns false at
 * the end of the text, and behind a section's line that is refused.
 */
MUST_USE bool ini_next(struct ini *ini, struct ini_line *line);

#endif
