/*
 * tokens - who may send: named tokens, their limits, what each has done.
 *
 * The file holds one token a line, as `leat token NAME` prints it:
 *
 *	# name  hash of the token  [public] [metrics] [rate=N] [burst=N]
 *	shop    sha256:9f86d0...   rate=5000 burst=20000
 *
 * A token is long and random, so its plain SHA-256 gives nothing away and
 * needs no salt.  Looking one up takes the same time whichever it is, and
 * when it is none.
 *
 * The rate is a bucket of `burst` events that fills with `rate` events a
 * second; it is this process's own.  A request takes all its events from it
 * or is refused whole.  One larger than the bucket is taken when the bucket
 * is full, and the debt then waits to be filled: no size is refused for
 * ever, and the rate holds.
 */
#ifndef LIBHTTP_TOKENS_H
#define LIBHTTP_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libhttp/http.h"

#define TOKENS_MAX 1000
#define TOKEN_NAME_MAX 64 /* bytes of [A-Za-z0-9._-] */
#define TOKEN_HASH_WORDS 4
#define TOKENS_ERROR_TEXT 200

struct token {
	char name[TOKEN_NAME_MAX + 1];
	bool for_metrics; /* reads /metrics, sends nothing; else the reverse */
	bool is_public;   /* may stand in a URL: a page cannot keep a secret */
	int64_t rate;     /* events a second; 0: no limit */
	int64_t burst;    /* events */

	int64_t level_milli; /* thousandths of events; below 0: a debt */
	uint64_t level_ms;   /* when that was so */

	uint64_t requests; /* begun */
	uint64_t events;   /* answered with 202 */
	uint64_t refused;  /* requests answered with 4xx */

	struct http_payer payer; /* for all its requests */

	unsigned refs; /* requests under way, and one while it is listed */
};

struct tokens {
	size_t count;
	struct token *list[TOKENS_MAX]; /* in the order of the file */
	/* Their hashes, side by side, for the search. */
	uint64_t hashes[TOKENS_MAX][TOKEN_HASH_WORDS];
};

/*
 * Read the file at path.  On success t holds its tokens; those that t held
 * before under the same name keep their counters and their bucket.  Returns
 * 0, or -errno with t as before and the reason, without any content of the
 * file, in error.  t is zeroed before its first use.
 */
MUST_USE int tokens_load(struct tokens *t, const char *path,
                         char error[TOKENS_ERROR_TEXT]);

/* Let go of all; those under way live until their token_unref. */
void tokens_free(struct tokens *t);

/* The token whose text is n bytes of secret, or NULL. */
struct token *tokens_find(const struct tokens *t, const char *secret, size_t n);

struct token *token_ref(struct token *token);
void token_unref(struct token *token); /* NULL is fine */

/* Whether a request may try: the bucket holds an event. */
bool token_allows(struct token *token, uint64_t now_ms);

/* Take n events from the bucket; false when they are not there. */
MUST_USE bool token_take(struct token *token, uint64_t n, uint64_t now_ms);

/* Take n events that cannot be refused any more, even if that is a debt. */
void token_charge(struct token *token, uint64_t n, uint64_t now_ms);

/* Seconds, at least 1, until n events can be taken. */
unsigned token_wait_s(struct token *token, uint64_t n, uint64_t now_ms);

#endif
