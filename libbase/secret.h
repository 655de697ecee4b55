/*
 * secret - read passwords and other secrets, and warn of settings that expose
 * them.
 */
#ifndef LIBBASE_SECRET_H
#define LIBBASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "libbase/conf.h"

/*
 * Read a secret: the first line of the file at path; or, if path is empty, the
 * environment variable `env`, which is then removed from the environment.
 * Returns its length, which is 0 if neither is set; or -errno, which is
 * -EMSGSIZE if the secret does not fit into `size` bytes with its NUL.
 */
MUST_USE int secret_read(const char *path, const char *env, char *out,
                         size_t size);

/*
 * The same for a client that connects again and again.  A file is read at each
 * call, so that a changed secret takes effect.  The environment has it only
 * once, so it is read until a call succeeds, which sets *known.  Returns 0
 * or -errno.
 */
MUST_USE int secret_refresh(const char *path, const char *env, char *out,
                            size_t size, bool *known);

/*
 * As conf_check_file, and also warn if users other than root and the user of
 * this process can write the file, or if users other than its owner and its
 * group can read it.  Returns 0 or -EINVAL.
 */
MUST_USE int secret_check_file(const struct conf_source *source,
                               const char *section, const char *key,
                               const char *path);

/*
 * The same for the setting password_file.  The first line of the file must have
 * fewer than max_bytes bytes.
 */
MUST_USE int secret_check_password(const struct conf_source *source,
                                   const char *section, const char *path,
                                   size_t max_bytes);

/*
 * Return true if a secret that is sent to any host of the list stays on this
 * machine: each host is an empty name, the path of a socket, or a loopback
 * address.  Hosts are separated by commas, and may have a port.
 */
bool secret_stays_local(const char *hosts);

#endif
