/*
 * secret - keep what is in memory in memory, and warn of settings with which
 * a secret is not one.
 *
 * A core dump would hold tokens, passwords, keys and events.
 */
#ifndef LIBBASE_SECRET_H
#define LIBBASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

/*
 * From now on this process leaves no core dump, or one without any memory
 * where the system pipes core dumps to a program, which no limit stops.
 * Call at start.
 */
void secret_seal(void);

/*
 * Log a warning if other users than root and our own can write the file that
 * this setting names.  An empty path, or a file that is not there, is no
 * matter of this function.
 */
void secret_check_file(const char *section, const char *key, const char *path);

/*
 * Whether every host of a list stays on this machine: an empty name, a path, a
 * loopback address.  Hosts are separated by commas, and may have a port.
 */
bool secret_stays_here(const char *hosts);

#endif
