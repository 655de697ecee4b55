/*
 * http_conf - the settings that all programs with an HTTP server have: the
 * address, the tokens, and the certificate.
 *
 * Each function that checks one returns 0, or -EINVAL after it has logged what
 * is wrong with the setting and what would be right (conf_refuse).  `section`
 * is the section of the program.
 */
#ifndef LIBHTTP_HTTP_CONF_H
#define LIBHTTP_HTTP_CONF_H

#include <stdbool.h>

#include "libbase/base.h"
#include "libbase/conf.h"
#include "libhttp/tls.h"
#include "libhttp/tokens.h"

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

/*
 * Load what these settings name, at the start and at SIGHUP: the certificate,
 * unless tls is NULL, and the tokens, unless tokens_file is empty.  Returns 0;
 * or -errno after logging which file is invalid and why.  Then the tokens are
 * those of before, and so is the certificate if its file is the invalid one.
 */
MUST_USE int http_conf_load(struct http_tls *tls, const char *certificate,
                            const char *key, struct tokens *tokens,
                            const char *tokens_file);

#endif
