/*
 * installed - the programs of leat that are installed beside this one.
 */
#ifndef LIBBASE_INSTALLED_H
#define LIBBASE_INSTALLED_H

#include <limits.h>
#include <stdbool.h>

#include "libbase/base.h"

/*
 * Put the directory that this program was started from into out.  Returns 0 or
 * -errno.
 */
MUST_USE int installed_directory(char out[PATH_MAX]);

/*
 * Return whether the directory of this program holds the program `name`, or is
 * not known.
 */
bool installed_has(const char *name);

/*
 * Put the names of the sinks whose programs are there into out, without
 * "sinkd-", separated by ", "; "none" when there is none.
 */
void installed_sinks(char *out, size_t size);

#endif
