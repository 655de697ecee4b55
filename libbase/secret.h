/*
 * secret - read passwords and keys, and warn of settings with which a secret
 * is not one.
 */
#ifndef LIBBASE_SECRET_H
#define LIBBASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "libbase/conf.h"

/*
 * Read a secret: the first line of the file at path, or, with path empty,
 * environment variable `env` (which is then removed from the environment).
 * Returns its length (0 when neither is set) or -errno; -EMSGSIZE when it
 * does not fit `size` bytes with its NUL.
 */
MUST_USE int secret_read(const char *path, const char *env, char *out,
                         size_t size);

/*
 * Check the file that this setting names: as conf_check_file, and log a
 * warning if other users than root and our own can write it.  Returns 0 or
 * -EINVAL.
 */
MUST_USE int secret_check_file(const struct conf_source *source,
                               const char *section, const char *key,
                               const char *path);

/*
 * The same for a password_file.  Its first line must take up fewer than
 * max_bytes.
 */
MUST_USE int secret_check_password(const struct conf_source *source,
                                   const char *section, const char *path,
                                   size_t max_bytes);

/*
 * Whether every host of a list stays on this machine: an empty name, a path, a
 * loopback address.  Hosts are separated by commas, and may have a port.
 */
bool secret_stays_local(const char *hosts);

#endif
