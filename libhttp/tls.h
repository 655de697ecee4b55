/*
 * tls - TLS 1.2 and 1.3 for a server's connections, and how its certificate
 * is replaced while connections live.
 *
 * GnuTLS does the work; no type of it is in this interface.  Only suites with
 * forward secrecy by elliptic curves and with authenticated encryption (GCM,
 * ChaCha20-Poly1305) are offered, and the one application protocol is
 * http/1.1.  A client that sends much without completing a message, in the
 * handshake or after it, loses its connection: GnuTLS would keep up to 16 MiB.
 *
 * A certificate that has been loaded is a generation.  A session uses the one
 * that was the newest when the session began, and keeps it until it ends.
 */
#ifndef LIBHTTP_TLS_H
#define LIBHTTP_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "libbase/base.h"

#define HTTP_TLS_ERROR_TEXT 500

/* What the sessions of one server share. */
struct http_tls;

/* Returns NULL when out of memory. */
struct http_tls *http_tls_new(void);

/* Free it, after all sessions have ended.  NULL is fine. */
void http_tls_free(struct http_tls *tls);

/*
 * Read a certificate with its chain, and the key, from PEM files, and use
 * them for sessions to come.  Returns 0; or -EINVAL, with what was loaded
 * before still in use, and the reason in error.
 */
MUST_USE int http_tls_load(struct http_tls *tls, const char *certificate_path,
                           const char *key_path,
                           char error[HTTP_TLS_ERROR_TEXT]);

/* Return true once a certificate has been loaded. */
bool http_tls_is_loaded(const struct http_tls *tls);

/* One connection's session.  For libhttp itself. */
struct tls_session;

/*
 * Begin a session on a connected, non-blocking socket, which the caller
 * keeps.  Returns 0, or -errno with *session NULL.
 */
MUST_USE int tls_session_new(struct tls_session **session, struct http_tls *tls,
                             int fd);
void tls_session_free(struct tls_session *session); /* NULL is fine */

/*
 * Go on with the handshake.  Returns 0 when it is done; -EAGAIN when the
 * socket is not ready, with whether it must become writable, rather than
 * readable, in *want_write; or -EPROTO with the reason in *why, a static text.
 */
MUST_USE int tls_session_handshake(struct tls_session *session,
                                   bool *want_write, const char **why);

/*
 * As recv and send, with -errno for errors: -EAGAIN when the socket is not
 * ready, -EPROTO when the session is broken.  After -EAGAIN a send must be
 * repeated with the same bytes first.
 */
MUST_USE ssize_t tls_session_recv(struct tls_session *session, void *out,
                                  size_t size);
MUST_USE ssize_t tls_session_send(struct tls_session *session,
                                  const void *bytes, size_t n);

/* Return true if bytes can be received that the socket does not show. */
bool tls_session_has_pending(struct tls_session *session);

/* Tell the client that nothing more will be sent, if the socket is ready. */
void tls_session_close_notify(struct tls_session *session);

#endif
