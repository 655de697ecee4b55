/*
 * conf_source - the settings file itself: on which line it sets a key, and who
 * can read it and the files that it names.  Used by conf*.c only; programs
 * include conf.h.
 */
#ifndef LIBBASE_CONF_SOURCE_H
#define LIBBASE_CONF_SOURCE_H

#include <stdbool.h>

#include "libbase/conf.h"

struct conf_source {
	const struct conf_program *program;
	const char *path;
	const char *text; /* of the whole file */
	bool check;       /* --check was given */
};

/*
 * With --check as root, warn if the user of the daemons cannot read the
 * settings file.
 */
void conf_access_warn(const struct conf_source *source);

#endif
