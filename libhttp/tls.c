/* tls - see tls.h. */
#include "libhttp/tls.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gnutls/gnutls.h>

#include "libbase/file.h"

#define FILE_BYTES_MAX MIB

/*
 * Forward secrecy (no RSA key exchange) and authenticated encryption (no CBC,
 * whose padding has been attacked again and again, and no CCM).  No finite
 * field Diffie-Hellman: a client can make the server compute it, up to 0.3 s
 * for one message, at no cost of its own (CVE-2002-20001).
 */
#define PRIORITIES                                                             \
	"SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-DHE-RSA:"         \
	"-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:"          \
	"-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:"            \
	"%SERVER_PRECEDENCE"

/*
 * How many messages of a handshake, or records without data, are handled in
 * one turn of the loop, so that a client that sends them without end does not
 * occupy the loop.
 */
#define STEPS_MAX 16

/*
 * The most bytes that a client may send before they complete a record with
 * data, or the handshake: enough for a record of the largest size.
 */
#define UNFINISHED_BYTES_MAX (20 * KIB)

struct tls_generation {
	gnutls_certificate_credentials_t credentials;
	unsigned refs; /* sessions, and one while it is the newest */
};

struct http_tls {
	gnutls_priority_t priorities;
	struct tls_generation *newest; /* NULL: none is loaded */
};

struct tls_session {
	gnutls_session_t gnutls;
	struct tls_generation *generation;
	int fd;                  /* owned by the caller */
	size_t unfinished_bytes; /* received since the last data */
	bool send_again; /* GnuTLS holds a record that the socket refused */
};

/* Certificates. */

static void
generation_unref(struct tls_generation *g)
{
	if (!g || --g->refs > 0)
		return;
	if (g->credentials)
		gnutls_certificate_free_credentials(g->credentials);
	free(g);
}

struct http_tls *
http_tls_new(void)
{
	struct http_tls *tls = calloc(1, sizeof *tls);

	if (!tls)
		return NULL;
	if (gnutls_priority_init(&tls->priorities, PRIORITIES, NULL) < 0) {
		free(tls);
		return NULL;
	}
	return tls;
}

void
http_tls_free(struct http_tls *tls)
{
	if (!tls)
		return;
	assert(!tls->newest || tls->newest->refs == 1);
	generation_unref(tls->newest);
	gnutls_priority_deinit(tls->priorities);
	free(tls);
}

/*
 * Read a file.  GnuTLS has a function for it, which does not return why it
 * failed.
 * Returns 0 with *out to be freed by free_file, or -errno.
 */
static int
load_file(const char *path, gnutls_datum_t *out)
{
	char *text;
	size_t bytes;
	int rc = file_read(path, FILE_BYTES_MAX, &text, &bytes);

	if (rc == 0)
		*out = (gnutls_datum_t){(unsigned char *)text, (unsigned)bytes};
	return rc;
}

static void
free_file(gnutls_datum_t *file)
{
	if (file->data)
		explicit_bzero(file->data, file->size);
	free(file->data);
}

/* Returns 0 or -EINVAL with the reason in error. */
static int
load_pair(struct tls_generation *g, const char *certificate_path,
          const char *key_path, char error[HTTP_TLS_ERROR_TEXT])
{
	gnutls_datum_t certificate = {NULL, 0}, key = {NULL, 0};
	const char *path = certificate_path, *reason = NULL;
	int rc = load_file(path, &certificate);

	if (rc == 0) {
		path = key_path;
		rc = load_file(path, &key);
	}
	if (rc < 0) {
		reason = strerror(-rc);
	} else {
		/* This checks that the key is the certificate's. */
		rc = gnutls_certificate_allocate_credentials(&g->credentials);
		if (rc == 0)
			rc = gnutls_certificate_set_x509_key_mem2(
			    g->credentials, &certificate, &key,
			    GNUTLS_X509_FMT_PEM, NULL, 0);
		if (rc < 0)
			reason = gnutls_strerror(rc);
		path = NULL;
	}
	free_file(&certificate);
	free_file(&key);
	if (!reason)
		return 0;
	if (path)
		(void)snprintf(error, HTTP_TLS_ERROR_TEXT, "cannot read %s: %s",
		               path, reason);
	else
		(void)snprintf(error, HTTP_TLS_ERROR_TEXT,
		               "cannot use certificate %s with key %s: %s",
		               certificate_path, key_path, reason);
	return -EINVAL;
}

int
http_tls_load(struct http_tls *tls, const char *certificate_path,
              const char *key_path, char error[HTTP_TLS_ERROR_TEXT])
{
	struct tls_generation *g = calloc(1, sizeof *g);
	int rc;

	if (!g) {
		(void)snprintf(error, HTTP_TLS_ERROR_TEXT, "out of memory");
		return -EINVAL;
	}
	g->refs = 1;
	rc = load_pair(g, certificate_path, key_path, error);
	if (rc < 0) {
		generation_unref(g);
		return rc;
	}
	generation_unref(tls->newest);
	tls->newest = g;
	return 0;
}

/* Sessions. */

/*
 * The function with which GnuTLS receives.  It counts the bytes, so that a
 * client cannot make GnuTLS hold a message of up to 16 MiB.
 */
static ssize_t
pull(gnutls_transport_ptr_t arg, void *out, size_t size)
{
	struct tls_session *s = arg;
	ssize_t n = recv(s->fd, out, size, MSG_DONTWAIT);
	int err = n < 0 ? errno : 0;

	if (n > 0)
		s->unfinished_bytes += (size_t)n;
	if (s->unfinished_bytes > UNFINISHED_BYTES_MAX)
		err = EPROTO;
	if (err == 0)
		return n;
	gnutls_transport_set_errno(s->gnutls, err);
	return -1;
}

int
tls_session_new(struct tls_session **session, struct http_tls *tls, int fd)
{
	static unsigned char name[] = "http/1.1";
	static const gnutls_datum_t protocol = {name, sizeof name - 1};
	struct tls_session *s = calloc(1, sizeof *s);
	int rc = s ? 0 : GNUTLS_E_MEMORY_ERROR;

	*session = NULL;
	if (rc == 0)
		rc = gnutls_init(&s->gnutls, GNUTLS_SERVER | GNUTLS_NONBLOCK |
		                                 GNUTLS_NO_SIGNAL);
	if (rc == 0)
		rc = gnutls_priority_set(s->gnutls, tls->priorities);
	if (rc == 0)
		rc = gnutls_credentials_set(s->gnutls, GNUTLS_CRD_CERTIFICATE,
		                            tls->newest->credentials);
	if (rc == 0)
		rc = gnutls_alpn_set_protocols(s->gnutls, &protocol, 1,
		                               GNUTLS_ALPN_MANDATORY);
	if (rc < 0) {
		if (s && s->gnutls)
			gnutls_deinit(s->gnutls);
		free(s);
		return -ENOMEM; /* the only way for these to fail */
	}
	s->fd = fd;
	gnutls_transport_set_ptr2(s->gnutls, s,
	                          (gnutls_transport_ptr_t)(intptr_t)fd);
	gnutls_transport_set_pull_function(s->gnutls, pull);
	/* The connection has a deadline of its own. */
	gnutls_handshake_set_timeout(s->gnutls, GNUTLS_INDEFINITE_TIMEOUT);
	s->generation = tls->newest;
	s->generation->refs++;
	*session = s;
	return 0;
}

void
tls_session_free(struct tls_session *session)
{
	if (!session)
		return;
	gnutls_deinit(session->gnutls);
	generation_unref(session->generation);
	free(session);
}

int
tls_session_handshake(struct tls_session *session, bool *want_write,
                      const char **why)
{
	int rc = GNUTLS_E_AGAIN;

	for (int i = 0; i < STEPS_MAX; i++) {
		rc = gnutls_handshake(session->gnutls);
		if (rc == 0) {
			session->unfinished_bytes = 0;
			return 0;
		}
		/* Other errors that are not fatal are harmless alerts. */
		if (rc == GNUTLS_E_AGAIN || gnutls_error_is_fatal(rc))
			break;
	}
	if (rc == GNUTLS_E_AGAIN) {
		*want_write = gnutls_record_get_direction(session->gnutls) == 1;
		return -EAGAIN;
	}
	/* Send the client an alert with the reason, if the socket takes it. */
	(void)gnutls_alert_send_appropriate(session->gnutls, rc);
	*why = gnutls_strerror(rc);
	return -EPROTO;
}

ssize_t
tls_session_recv(struct tls_session *session, void *out, size_t size)
{
	ssize_t n = GNUTLS_E_AGAIN;

	for (int i = 0; i < STEPS_MAX; i++) {
		n = gnutls_record_recv(session->gnutls, out, size);
		if (n > 0)
			session->unfinished_bytes = 0;
		if (n >= 0)
			return n;
		if (n == GNUTLS_E_AGAIN)
			return -EAGAIN;
		/*
		 * A client that closes the connection without close_notify has
		 * ended it like any other.  A client must not request another
		 * handshake.
		 */
		if (n == GNUTLS_E_PREMATURE_TERMINATION)
			return 0;
		if (n == GNUTLS_E_REHANDSHAKE || gnutls_error_is_fatal((int)n))
			return -EPROTO;
	}
	return -EPROTO;
}

ssize_t
tls_session_send(struct tls_session *session, const void *bytes, size_t n)
{
	ssize_t sent;

	/* GnuTLS holds the record that was refused, and takes no bytes. */
	if (session->send_again)
		sent = gnutls_record_send(session->gnutls, NULL, 0);
	else
		sent = gnutls_record_send(session->gnutls, bytes, n);
	session->send_again =
	    sent == GNUTLS_E_AGAIN || sent == GNUTLS_E_INTERRUPTED;
	if (session->send_again)
		return -EAGAIN;
	return sent < 0 ? -EPROTO : sent;
}

bool
tls_session_has_pending(struct tls_session *session)
{
	return gnutls_record_check_pending(session->gnutls) > 0;
}

void
tls_session_close_notify(struct tls_session *session)
{
	/* If the socket is not ready, the connection ends without it. */
	if (!session->send_again)
		(void)gnutls_bye(session->gnutls, GNUTLS_SHUT_WR);
}
