/*
 * tls - certificate and key, and how they are changed while connections live.
 *
 * A loaded pair is a generation.  A handshake takes the newest one and points
 * into it until it is done, which nobody tells us; so a generation lives as
 * long as any connection that began before the next one came.
 */
#ifndef INGESTD_TLS_H
#define INGESTD_TLS_H

#include <stdint.h>

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>

#include "libbase/base.h"

/* TLS 1.2 and 1.3, forward secret only. */
#define TLS_PRIORITIES                                                         \
	"SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:"                  \
	"%SERVER_PRECEDENCE"

#define TLS_CHAIN_MAX 16 /* certificates in the file */
#define TLS_ERROR_TEXT 300

struct tls_generation {
	struct tls_generation *next; /* the one that came after it */
	gnutls_pcert_st chain[TLS_CHAIN_MAX];
	unsigned chain_count;
	gnutls_privkey_t key;
	uint64_t connections; /* begun while it was the newest */
};

struct tls {
	struct tls_generation *oldest, *newest;
};

/*
 * Read certificate chain and key (PEM files) and use them for handshakes to
 * come.  Returns 0, or -EINVAL with the old ones in force and the reason in
 * error.  t is zeroed before its first use.
 */
MUST_USE int tls_load(struct tls *t, const char *certificate, const char *key,
                      char error[TLS_ERROR_TEXT]);

void tls_free(struct tls *t);

/* A connection begins: its session will ask t.  Pair with tls_end. */
struct tls_generation *tls_begin(struct tls *t, gnutls_session_t session);
void tls_end(struct tls *t, struct tls_generation *begun);

/* What libmicrohttpd's sessions ask. */
int tls_retrieve(gnutls_session_t session, const gnutls_datum_t *ca_names,
                 int ca_count, const gnutls_pk_algorithm_t *algorithms,
                 int algorithm_count, gnutls_pcert_st **chain,
                 unsigned *chain_count, gnutls_privkey_t *key);

#endif
