/*
 * tokens - the senders that a server knows: named tokens, their limits, and
 * what each has sent.
 *
 * The file has one token on each line, as `leat token NAME` prints it:
 *
 *	# name  hash of the token  [marks] [rate=N] [burst=N]
 *	shop    sha256:9f86d0...   rate=5000 burst=20000
 *	ann     sha256:60303a...   events
 *
 * A mark is what the token is for: `public` (a web page sends with it),
 * `metrics` (to read /metrics), `dashboard` (to see the names of types on the
 * dashboard) or `events` (to see whole events there).  A token without one
 * sends events.
 *
 * A token is long and random, so its plain SHA-256 reveals nothing about it
 * and needs no salt.  A look-up takes the same time whichever token is found,
 * and if none is, so that its duration reveals nothing either.
 *
 * The rate limit is a bucket of `burst` events that fills at `rate` events a
 * second.  Each process has its own.  A request takes all of its events from
 * the bucket, or is refused as a whole.  A request that is larger than the
 * bucket is accepted when the bucket is full, and leaves a debt that must be
 * filled first.  So no request is too large for ever, and the rate still
 * holds on average.
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
	bool for_dashboard; /* logs in to the dashboard, sends nothing */
	bool sees_events;   /* the same, and sees whole events there */
	bool is_public;     /* may be in a URL: a page cannot keep a secret */
	int64_t rate;       /* events a second; 0: no limit */
	int64_t burst;      /* events */

	int64_t level_milli; /* thousandths of events; below 0: a debt */
	uint64_t level_ms;   /* when that was the level */

	uint64_t requests; /* begun */
	uint64_t events;   /* answered with 202 */
	uint64_t refused;  /* requests answered with 4xx */

	struct http_payer payer; /* for all its requests */

	unsigned refs; /* open requests, and one while it is listed */
};

struct tokens {
	size_t count;
	struct token *list[TOKENS_MAX]; /* in the order of the file */
	/* Their hashes, in the same order, for the search. */
	uint64_t hashes[TOKENS_MAX][TOKEN_HASH_WORDS];
};

/*
 * Read the file at path into t, which is zeroed before its first use.  A token
 * that t held before under the same name keeps its counters, and keeps its
 * bucket unless its limits changed.  Returns 0; or -errno with the reason in
 * error, which contains nothing of the file's content, and t is unchanged.
 */
MUST_USE int tokens_load(struct tokens *t, const char *path,
                         char error[TOKENS_ERROR_TEXT]);

/* Release all tokens; one with references lives until its token_unref. */
void tokens_free(struct tokens *t);

/* The token whose text is the n bytes of secret, or NULL. */
struct token *tokens_find(const struct tokens *t, const char *secret, size_t n);

struct token *token_ref(struct token *token);
void token_unref(struct token *token); /* NULL is fine */

/* Return true if the bucket has an event, so that a request may be tried. */
bool token_allows(struct token *token, uint64_t now_ms);

/* Take n events from the bucket.  Returns false if it has too few. */
MUST_USE bool token_take(struct token *token, uint64_t n, uint64_t now_ms);

/* Take n events that can no longer be refused, even if a debt results. */
void token_charge(struct token *token, uint64_t n, uint64_t now_ms);

/* Return how many seconds, at least 1, to wait until n can be taken. */
unsigned token_wait_s(struct token *token, uint64_t n, uint64_t now_ms);

#endif
