/*
 * installed - the programs of leat in the directory of this one.
 */
#ifndef LIBBASE_INSTALLED_H
#define LIBBASE_INSTALLED_H

#include <limits.h>
#include <stdbool.h>

#include "libbase/base.h"

/*
 * Put the directory of this program's executable file into out.  Returns 0 or
 * -errno.
 */
MUST_USE int installed_directory(char out[PATH_MAX]);

/*
 * Return true if the program `name` is in the directory of this program, or if
 * that directory is not known.
 */
bool installed_has(const char *name);

/*
 * Put the names of the sinks whose programs are installed into out, without
 * "sinkd-" and separated by ", "; or "none" if there are none.
 */
void installed_sinks(char *out, size_t size);

#endif
