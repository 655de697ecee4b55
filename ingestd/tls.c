/* tls - see tls.h. */
#include "ingestd/tls.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/x509.h>

static void
generation_free(struct tls_generation *g)
{
	for (unsigned i = 0; i < g->chain_count; i++)
		gnutls_pcert_deinit(&g->chain[i]);
	if (g->key)
		gnutls_privkey_deinit(g->key);
	free(g);
}

static int
read_chain(struct tls_generation *g, const char *path)
{
	unsigned count = TLS_CHAIN_MAX;
	gnutls_datum_t pem = {0};
	int rc = gnutls_load_file(path, &pem);

	if (rc < 0)
		return rc;
	rc = gnutls_pcert_list_import_x509_raw(g->chain, &count, &pem,
	                                       GNUTLS_X509_FMT_PEM, 0);
	if (rc >= 0)
		g->chain_count = count;
	gnutls_free(pem.data);
	if (rc >= 0 && count == 0)
		rc = GNUTLS_E_NO_CERTIFICATE_FOUND;
	return rc < 0 ? rc : 0;
}

static int
read_key(struct tls_generation *g, const char *path)
{
	gnutls_datum_t pem = {0};
	int rc = gnutls_privkey_init(&g->key);

	if (rc == 0)
		rc = gnutls_load_file(path, &pem);
	if (rc == 0)
		rc = gnutls_privkey_import_x509_raw(
		    g->key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0);
	if (pem.data) {
		explicit_bzero(pem.data, pem.size);
		gnutls_free(pem.data);
	}
	return rc;
}

/* Whether the key is the certificate's: sign with one, check by the other. */
static int
check_pair(const struct tls_generation *g)
{
	gnutls_datum_t text = {(unsigned char *)(uintptr_t) "leat", 4};
	gnutls_datum_t signature = {0};
	gnutls_pubkey_t pub = g->chain[0].pubkey;
	int algorithm = gnutls_pubkey_get_pk_algorithm(pub, NULL);
	gnutls_sign_algorithm_t sign;
	int rc;

	if (algorithm != gnutls_privkey_get_pk_algorithm(g->key, NULL))
		return GNUTLS_E_CERTIFICATE_KEY_MISMATCH;
	if (algorithm == GNUTLS_PK_EDDSA_ED25519 ||
	    algorithm == GNUTLS_PK_EDDSA_ED448)
		sign = algorithm == GNUTLS_PK_EDDSA_ED25519
		           ? GNUTLS_SIGN_EDDSA_ED25519
		           : GNUTLS_SIGN_EDDSA_ED448;
	else
		sign = gnutls_pk_to_sign((gnutls_pk_algorithm_t)algorithm,
		                         GNUTLS_DIG_SHA256);
	rc = gnutls_privkey_sign_data2(g->key, sign, 0, &text, &signature);
	if (rc == 0 &&
	    gnutls_pubkey_verify_data2(pub, sign, 0, &text, &signature) < 0)
		rc = GNUTLS_E_CERTIFICATE_KEY_MISMATCH;
	gnutls_free(signature.data);
	return rc;
}

/* Free those that no connection can point into. */
static void
collect(struct tls *t)
{
	while (t->oldest != t->newest && t->oldest->connections == 0) {
		struct tls_generation *g = t->oldest;

		t->oldest = g->next;
		generation_free(g);
	}
}

int
tls_load(struct tls *t, const char *certificate, const char *key,
         char error[TLS_ERROR_TEXT])
{
	struct tls_generation *g = calloc(1, sizeof *g);
	const char *path = certificate;
	int rc = g ? read_chain(g, certificate) : GNUTLS_E_MEMORY_ERROR;

	if (rc == 0) {
		path = key;
		rc = read_key(g, key);
	}
	if (rc == 0)
		rc = check_pair(g);
	if (rc < 0) {
		(void)snprintf(error, TLS_ERROR_TEXT, "%s: %s", path,
		               gnutls_strerror(rc));
		if (g)
			generation_free(g);
		return -EINVAL;
	}
	if (t->newest)
		t->newest->next = g;
	else
		t->oldest = g;
	t->newest = g;
	collect(t);
	return 0;
}

void
tls_free(struct tls *t)
{
	struct tls_generation *g;

	while ((g = t->oldest)) {
		assert(g->connections == 0);
		t->oldest = g->next;
		generation_free(g);
	}
	t->newest = NULL;
}

struct tls_generation *
tls_begin(struct tls *t, gnutls_session_t session)
{
	/* libmicrohttpd keeps its own pointer there, for PSK only. */
	gnutls_session_set_ptr(session, t);
	t->newest->connections++;
	return t->newest;
}

void
tls_end(struct tls *t, struct tls_generation *begun)
{
	assert(begun->connections > 0);
	begun->connections--;
	collect(t);
}

int
tls_retrieve(gnutls_session_t session, const gnutls_datum_t *ca_names,
             int ca_count, const gnutls_pk_algorithm_t *algorithms,
             int algorithm_count, gnutls_pcert_st **chain,
             unsigned *chain_count, gnutls_privkey_t *key)
{
	struct tls *t = gnutls_session_get_ptr(session);

	(void)ca_names;
	(void)ca_count;
	(void)algorithms;
	(void)algorithm_count;
	*chain = t->newest->chain;
	*chain_count = t->newest->chain_count;
	*key = t->newest->key;
	return 0;
}
