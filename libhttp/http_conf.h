/*
 * http_conf - check the settings that all programs with an HTTP server have:
 * the address, the tokens, and the certificate.
 *
 * Each function returns 0, or -EINVAL after it has logged what is wrong with
 * the setting and what would be right (conf_refuse).  `section` is the section
 * of the program.
 */
#ifndef LIBHTTP_HTTP_CONF_H
#define LIBHTTP_HTTP_CONF_H

#include <stdbool.h>

#include "libbase/base.h"
#include "libbase/conf.h"

/*
 * Check `listen`, which must be a numeric address.  A name is refused, because
 * the address of a name can change, and with it the clients that can reach the
 * port.  *loopback is true if only clients on this machine can reach it.
 */
MUST_USE int http_conf_check_listen(const struct conf_source *source,
                                    const char *section, const char *listen,
                                    bool *loopback);

/* Check `tokens_file`, which may be empty, and the file. */
MUST_USE int http_conf_check_tokens(const struct conf_source *source,
                                    const char *section, const char *path);

/* Check `tls_certificate` and `tls_key`: both or none, and their files. */
MUST_USE int http_conf_check_tls(const struct conf_source *source,
                                 const char *section, const char *certificate,
                                 const char *key);

#endif
