/* tokens - see tokens.h. */
#include "libhttp/tokens.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nettle/sha2.h>

#include "libbase/hex.h"

#define HASH_PREFIX "sha256:"
#define LINE_BYTES 512
#define RATE_MAX 1000000000 /* events a second; also the largest burst */
#define MILLI 1000

_Static_assert(TOKEN_HASH_WORDS * sizeof(uint64_t) == SHA256_DIGEST_SIZE,
               "a hash has TOKEN_HASH_WORDS of 64 bits");

/* The file. */

static const char *
read_hash(const char *text, uint64_t hash[TOKEN_HASH_WORDS])
{
	uint8_t bytes[SHA256_DIGEST_SIZE];

	if (!text || strncmp(text, HASH_PREFIX, strlen(HASH_PREFIX)) != 0)
		return "the hash must begin with " HASH_PREFIX;
	text += strlen(HASH_PREFIX);
	if (strlen(text) != (size_t)2 * sizeof bytes ||
	    strspn(text, "0123456789abcdef") != (size_t)2 * sizeof bytes)
		return "the hash must have 64 digits of 0-9 and a-f";
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)(hex_digit(text[2 * i]) << 4 |
		                     hex_digit(text[2 * i + 1]));
	memcpy(hash, bytes, sizeof bytes);
	return NULL;
}

static bool
read_number(const char *text, int64_t *out)
{
	char *end;
	long long v;

	errno = 0;
	v = strtoll(text, &end, 10);
	if (errno != 0 || !isdigit((unsigned char)text[0]) || *end || v < 1 ||
	    v > RATE_MAX)
		return false;
	*out = v;
	return true;
}

static const char *
read_option(const char *word, struct token *token)
{
	if (strcmp(word, "metrics") == 0)
		token->for_metrics = true;
	else if (strcmp(word, "public") == 0)
		token->is_public = true;
	else if (strcmp(word, "dashboard") == 0)
		token->for_dashboard = true;
	else if (strcmp(word, "events") == 0)
		token->for_dashboard = token->sees_events = true;
	else if (strncmp(word, "rate=", 5) == 0) {
		if (!read_number(word + 5, &token->rate))
			return "rate must be from 1 to 1000000000 events/s";
	} else if (strncmp(word, "burst=", 6) == 0) {
		if (!read_number(word + 6, &token->burst))
			return "burst must be from 1 to 1000000000 events";
	} else {
		return "only public, metrics, dashboard, events, rate=N and "
		       "burst=N can follow the hash";
	}
	return NULL;
}

/* Parse a line that is not a comment.  Returns NULL, or what is wrong. */
static const char *
tokens_read_line(char *line, struct token *token,
                 uint64_t hash[TOKEN_HASH_WORDS])
{
	static const char blanks[] = " \t\r\n";
	char *rest, *word = strtok_r(line, blanks, &rest);
	const char *why;
	size_t n = strlen(word);

	if (n > TOKEN_NAME_MAX ||
	    strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                 "0123456789._-") < n)
		return "a name has 1 to 64 of a-z, A-Z, 0-9, '.', '_' and '-'";
	memcpy(token->name, word, n + 1);
	why = read_hash(strtok_r(NULL, blanks, &rest), hash);
	while (!why && (word = strtok_r(NULL, blanks, &rest)))
		why = read_option(word, token);
	if (why)
		return why;
	if (token->is_public + token->for_metrics + token->for_dashboard > 1)
		return "public, metrics, and dashboard or events exclude each "
		       "other";
	if (token->burst > 0 && token->rate == 0)
		return "burst needs a rate";
	if (token->burst == 0)
		token->burst = token->rate;
	token->level_milli = token->burst * MILLI;
	token->refs = 1;
	return NULL;
}

/* Add the token of a line, if it has one.  Returns NULL, or what is wrong. */
static const char *
tokens_add_line(struct tokens *t, char *line)
{
	struct token *token;
	const char *why;

	line += strspn(line, " \t\r\n");
	if (line[0] == '\0' || line[0] == '#')
		return NULL;
	if (t->count == TOKENS_MAX)
		return "more than 1000 tokens";
	token = calloc(1, sizeof *token);
	if (!token)
		return "out of memory";
	why = tokens_read_line(line, token, t->hashes[t->count]);
	for (size_t i = 0; !why && i < t->count; i++) {
		if (strcmp(t->list[i]->name, token->name) == 0)
			why = "duplicate name";
		else if (memcmp(t->hashes[i], t->hashes[t->count],
		                sizeof t->hashes[0]) == 0)
			why = "duplicate hash";
	}
	if (why)
		free(token);
	else
		t->list[t->count++] = token;
	return why;
}

/* Read the line that begins with c.  Returns NULL, or what is wrong. */
static const char *
tokens_next_line(FILE *f, int c, char line[LINE_BYTES])
{
	size_t n = 0;

	for (; c != EOF && c != '\n'; c = getc(f)) {
		if (c == '\0')
			return "contains a NUL"; /* which would hide the rest */
		if (n == LINE_BYTES - 1)
			return "the line is too long";
		line[n++] = (char)c;
	}
	line[n] = '\0';
	return NULL;
}

static int
tokens_read(struct tokens *t, FILE *f, const char *path,
            char error[TOKENS_ERROR_TEXT])
{
	char line[LINE_BYTES];
	const char *why = NULL;
	int c, number = 0;

	while (!why && !ferror(f) && (c = getc(f)) != EOF) {
		number++;
		why = tokens_next_line(f, c, line);
		if (!why && !ferror(f))
			why = tokens_add_line(t, line);
	}
	if (!why && ferror(f)) {
		(void)snprintf(error, TOKENS_ERROR_TEXT, "%s: cannot read",
		               path);
		return -EIO;
	}
	if (!why && t->count == 0)
		why = "the file has no token";
	if (!why)
		return 0;
	(void)snprintf(error, TOKENS_ERROR_TEXT, "%s:%d: %s", path, number,
	               why);
	return -EINVAL;
}

/*
 * If there was a token of the same name before, keep that one, as requests
 * refer to it, and give it the new limits.
 */
static void
carry_over(struct token **slot, const struct tokens *before)
{
	struct token *fresh = *slot;

	for (size_t i = 0; i < before->count; i++) {
		struct token *old = before->list[i];

		if (strcmp(old->name, fresh->name) != 0)
			continue;
		old->for_metrics = fresh->for_metrics;
		old->is_public = fresh->is_public;
		old->for_dashboard = fresh->for_dashboard;
		old->sees_events = fresh->sees_events;
		if (old->rate != fresh->rate || old->burst != fresh->burst) {
			old->level_milli = fresh->level_milli;
			old->level_ms = fresh->level_ms;
		}
		old->rate = fresh->rate;
		old->burst = fresh->burst;
		*slot = token_ref(old);
		free(fresh);
		return;
	}
}

int
tokens_load(struct tokens *t, const char *path, char error[TOKENS_ERROR_TEXT])
{
	struct tokens *fresh = calloc(1, sizeof *fresh);
	FILE *f = fresh ? fopen(path, "re") : NULL;
	int rc;

	if (!f) {
		rc = fresh ? -errno : -ENOMEM;
		(void)snprintf(error, TOKENS_ERROR_TEXT, "%s: %s", path,
		               strerror(-rc));
		free(fresh);
		return rc;
	}
	rc = tokens_read(fresh, f, path, error);
	(void)fclose(f); /* read only: nothing to lose */
	if (rc == 0) {
		for (size_t i = 0; i < fresh->count; i++)
			carry_over(&fresh->list[i], t);
		tokens_free(t);
		*t = *fresh;
	} else {
		tokens_free(fresh);
	}
	free(fresh);
	return rc;
}

void
tokens_free(struct tokens *t)
{
	for (size_t i = 0; i < t->count; i++)
		token_unref(t->list[i]);
	t->count = 0;
}

/* The search. */

struct token *
tokens_find(const struct tokens *t, const char *secret, size_t n)
{
	uint64_t hash[TOKEN_HASH_WORDS];
	uint8_t digest[SHA256_DIGEST_SIZE];
	struct sha256_ctx ctx;
	size_t found = TOKENS_MAX;

	sha256_init(&ctx);
	sha256_update(&ctx, n, (const uint8_t *)secret);
	sha256_digest(&ctx, sizeof digest, digest);
	memcpy(hash, digest, sizeof hash);
	for (size_t i = 0; i < t->count; i++) {
		uint64_t differ = 0;
		size_t mask;

		for (size_t w = 0; w < TOKEN_HASH_WORDS; w++)
			differ |= hash[w] ^ t->hashes[i][w];
		/*
		 * The mask is all ones if they are equal, and else zero.  A
		 * branch would make the time depend on the token.
		 */
		mask = (size_t)((differ | (0 - differ)) >> 63) - 1;
		found = (found & ~mask) | (i & mask);
	}
	explicit_bzero(&ctx, sizeof ctx);
	explicit_bzero(digest, sizeof digest);
	explicit_bzero(hash, sizeof hash);
	return found < t->count ? t->list[found] : NULL;
}

struct token *
token_ref(struct token *token)
{
	token->refs++;
	return token;
}

void
token_unref(struct token *token)
{
	if (!token)
		return;
	assert(token->refs > 0);
	if (--token->refs == 0)
		free(token);
}

/* The rate. */

/* Fill the bucket for the time that has passed. */
static void
token_fill(struct token *token, uint64_t now_ms)
{
	int64_t full = token->burst * MILLI;
	uint64_t passed = now_ms - token->level_ms;
	/* rate events/s for 1 ms are `rate` thousandths of events. */
	uint64_t until_full =
	    (uint64_t)(full - token->level_milli) / (uint64_t)token->rate + 1;

	if (passed >= until_full)
		token->level_milli = full;
	else
		token->level_milli += (int64_t)passed * token->rate;
	token->level_ms = now_ms;
}

/*
 * How full the bucket must be for n events, in thousandths: full if they are
 * more than fit.
 */
static int64_t
needed(const struct token *token, uint64_t n)
{
	uint64_t burst = (uint64_t)token->burst;

	return (int64_t)(n < burst ? n : burst) * MILLI;
}

bool
token_allows(struct token *token, uint64_t now_ms)
{
	if (token->rate == 0)
		return true;
	token_fill(token, now_ms);
	return token->level_milli >= MILLI;
}

bool
token_take(struct token *token, uint64_t n, uint64_t now_ms)
{
	if (token->rate == 0)
		return true;
	token_fill(token, now_ms);
	if (token->level_milli < needed(token, n))
		return false;
	token->level_milli -= (int64_t)n * MILLI;
	return true;
}

void
token_charge(struct token *token, uint64_t n, uint64_t now_ms)
{
	int64_t floor = -(int64_t)RATE_MAX * MILLI;

	if (token->rate == 0)
		return;
	token_fill(token, now_ms);
	/* Limit the debt, or adding to it would overflow some day. */
	if (n > RATE_MAX || token->level_milli - (int64_t)n * MILLI < floor)
		token->level_milli = floor;
	else
		token->level_milli -= (int64_t)n * MILLI;
}

unsigned
token_wait_s(struct token *token, uint64_t n, uint64_t now_ms)
{
	int64_t lacking, per_s = token->rate * MILLI;

	if (token->rate == 0)
		return 1;
	token_fill(token, now_ms);
	lacking = needed(token, n) - token->level_milli;
	return lacking <= per_s ? 1 : (unsigned)((lacking + per_s - 1) / per_s);
}
