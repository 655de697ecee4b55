/*
 * conf_source - the settings file itself: where a key stands in it, and who
 * can read it and the files that it names.  For conf alone; see conf.h.
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

/* With --check as root: warn if the daemons' user cannot read the file. */
void conf_access_warn(const struct conf_source *source);

/* What a key takes, for messages and --help. */
void conf_describe(const struct conf_key *key, char *out, size_t size);

#endif
