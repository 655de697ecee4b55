/*
 * tls - TLS 1.2 and 1.3 for a server's connections, with certificates that can
 * be replaced while connections live.
 *
 * GnuTLS does the work; no type of it is in this interface.  The server offers
 * only suites with forward secrecy by elliptic curves and with authenticated
 * encryption (GCM, ChaCha20-Poly1305), and http/1.1 as the only application
 * protocol.  A client that sends more than UNFINISHED_BYTES_MAX (tls.c)
 * without completing a message, during the handshake or after it, loses its
 * connection; GnuTLS itself would keep up to 16 MiB.
 *
 * A certificate that has been loaded is a generation.  A session uses the
 * generation that was the newest when the session began, until it ends.
 */
#ifndef LIBHTTP_TLS_H
#define LIBHTTP_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "libbase/base.h"

#define HTTP_TLS_ERROR_TEXT 500

/* What the sessions of one server share: the certificate. */
struct http_tls;

/* Returns NULL when out of memory.  No certificate is loaded yet. */
struct http_tls *http_tls_new(void);

/* Free it, after all sessions have ended.  NULL is fine. */
void http_tls_free(struct http_tls *tls);

/*
 * Read a certificate with its chain, and the key, from PEM files, and use them
 * for all later sessions.  Returns 0; or -EINVAL with the reason in error, and
 * keeps using what was loaded before.
 */
MUST_USE int http_tls_load(struct http_tls *tls, const char *certificate_path,
                           const char *key_path,
                           char error[HTTP_TLS_ERROR_TEXT]);

/* The session of one connection: used by libhttp only. */
struct tls_session;

/*
 * Begin a session on a connected, non-blocking socket, which the caller
 * continues to own.  A certificate must be loaded.  Returns 0, or -ENOMEM with
 * *session NULL.
 */
MUST_USE int tls_session_new(struct tls_session **session, struct http_tls *tls,
                             int fd);
void tls_session_free(struct tls_session *session); /* NULL is fine */

/*
 * Continue the handshake.  Returns 0 when it is done; -EAGAIN when the socket
 * is not ready, with *want_write set to whether it must become writable rather
 * than readable; or -EPROTO with the reason in *why, a static text.
 */
MUST_USE int tls_session_handshake(struct tls_session *session,
                                   bool *want_write, const char **why);

/*
 * As recv(2) and send(2), but errors are returned: -EAGAIN when the socket is
 * not ready, -EPROTO when the session is broken.  After a send returned
 * -EAGAIN, the next send must begin with the same bytes, since GnuTLS holds
 * the record that it made of them.
 */
MUST_USE ssize_t tls_session_recv(struct tls_session *session, void *out,
                                  size_t size);
MUST_USE ssize_t tls_session_send(struct tls_session *session,
                                  const void *bytes, size_t n);

/*
 * Return true if bytes can be received for which the socket will not become
 * readable, because GnuTLS has already taken them from it.
 */
bool tls_session_has_pending(struct tls_session *session);

/* Send close_notify, which ends our side, if the socket takes it at once. */
void tls_session_close_notify(struct tls_session *session);

#endif
