/*
 * ini - the lines of a settings file.
 *
 * A line is [section], `name = value`, a comment, or empty.  Blanks around
 * names and values are ignored.  A # or ; begins a comment at the start of a
 * line, at the start of a value, and after a blank; elsewhere, as in `a#b`, it
 * is a part of the value.  Where a # or ; would begin a comment, \# and \;
 * mean the character itself.
 */
#ifndef LIBBASE_INI_H
#define LIBBASE_INI_H

#include <stdbool.h>

#include "libbase/base.h"

#define INI_LINE_BYTES (8 * KIB) /* of the longest line */
#define INI_SECTION_BYTES 128    /* of the longest section's name */

/* The state of a walk through a file; the caller sets only `rest`. */
struct ini {
	const char *rest; /* text that is still to be read */
	int line;         /* number of the line that was read last */

	char section[INI_SECTION_BYTES + 1];
	char text[INI_LINE_BYTES + 1];
};

/* One line; its texts are valid until the next call of ini_next. */
struct ini_line {
	const char *why;     /* why the line is refused; or NULL */
	const char *section; /* that it begins, or is in; or "" */
	const char *name;    /* NULL: it begins the section */
	const char *value;
	bool comment; /* a comment follows the value */
};

/*
 * Read the next line that is neither empty nor a comment.  Returns false at the
 * end of the text.  After a section's line that is refused, the rest of the
 * text is skipped, because it is not known whose pairs follow.
 */
MUST_USE bool ini_next(struct ini *ini, struct ini_line *line);

#endif
