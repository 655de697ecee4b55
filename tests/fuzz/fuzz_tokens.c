/*
 * fuzz_tokens - fuzz the file of tokens, which is loaded over a set that is in
 * use. If the file is refused, the set must not change. If it is accepted,
 * there must be a token for each of its lines; the set must read the same again
 * after it was written out; each token must be found by its own secret; and its
 * bucket must keep its rate.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <nettle/sha2.h>

#include "libbase/buf.h"
#include "libhttp/tokens.h"
#include "tests/fuzz/fuzz.h"

#define FILE_MAX (256 * KIB)
#define SECRET_BYTES 40
#define HASH_TEXT_BYTES (2 * SHA256_DIGEST_SIZE)

static struct tokens tokens, again;
static char path[64];
static int file; /* in memory */

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	file = memfd_create("tokens", MFD_CLOEXEC);
	HOLDS(file >= 0);
	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", file);
	return 0;
}

static int
load(struct tokens *t, const void *bytes, size_t n)
{
	char error[TOKENS_ERROR_TEXT];
	int rc;

	HOLDS(ftruncate(file, 0) == 0 &&
	      pwrite(file, bytes, n, 0) == (ssize_t)n);
	memset(error, 'x', sizeof error);
	rc = tokens_load(t, path, error);
	HOLDS(rc == 0 || rc == -EINVAL);
	if (rc < 0) {
		const char *end = memchr(error, '\0', sizeof error);

		HOLDS(end && strncmp(error, path, strlen(path)) == 0);
		for (const char *p = error; p < end; p++)
			HOLDS(isprint((unsigned char)*p));
	}
	return rc;
}

static void
put_secret(char out[SECRET_BYTES], size_t i)
{
	(void)snprintf(out, SECRET_BYTES, "leat_secret-%zu", i);
}

static void
add_hash(struct buf *out, const uint8_t *hash)
{
	for (size_t i = 0; i < SHA256_DIGEST_SIZE; i++)
		HOLDS(buf_addf(out, "%02x", hash[i]) == 0);
}

static void
add_secret_hash(struct buf *out, size_t i)
{
	uint8_t digest[SHA256_DIGEST_SIZE];
	char secret[SECRET_BYTES];
	struct sha256_ctx ctx;

	put_secret(secret, i);
	sha256_init(&ctx);
	sha256_update(&ctx, strlen(secret), (const uint8_t *)secret);
	sha256_digest(&ctx, sizeof digest, digest);
	add_hash(out, digest);
}

/*
 * Write the set as a file, with its own hashes or with those of known secrets.
 */
static void
write_out(struct buf *out, const struct tokens *t, bool our_secrets)
{
	buf_clear(out);
	for (size_t i = 0; i < t->count; i++) {
		const struct token *token = t->list[i];

		HOLDS(buf_addf(out, "%s sha256:", token->name) == 0);
		if (our_secrets)
			add_secret_hash(out, i);
		else
			add_hash(out, (const uint8_t *)t->hashes[i]);
		HOLDS(buf_addf(out, "%s%s",
		               token->for_metrics ? " metrics" : "",
		               token->is_public ? " public" : "") == 0);
		if (token->rate > 0)
			HOLDS(buf_addf(out, " rate=%lld burst=%lld",
			               (long long)token->rate,
			               (long long)token->burst) == 0);
		HOLDS(buf_add(out, "\n", 1) == 0);
	}
}

/* The set that is in use, with what a reload must keep. */
static void
set_up(void)
{
	struct buf text;

	buf_init(&text, FILE_MAX);
	HOLDS(buf_addf(&text, "shop sha256:") == 0);
	add_secret_hash(&text, 0);
	HOLDS(buf_addf(&text, " rate=5 burst=7\nweb sha256:") == 0);
	add_secret_hash(&text, 1);
	HOLDS(buf_addf(&text, " public\n") == 0);
	HOLDS(load(&tokens, text.data, text.len) == 0 && tokens.count == 2);
	buf_fini(&text);
	tokens.list[0]->requests = 100;
	tokens.list[0]->level_milli = 2000;
	tokens.list[1]->requests = 200;
}

static bool
same_rules(const struct token *a, const struct token *b)
{
	return strcmp(a->name, b->name) == 0 &&
	       a->for_metrics == b->for_metrics &&
	       a->is_public == b->is_public && a->rate == b->rate &&
	       a->burst == b->burst;
}

static void
check_refused(struct token *const before[2], const struct token was[2])
{
	HOLDS(tokens.count == 2);
	for (size_t i = 0; i < 2; i++) {
		char secret[SECRET_BYTES];

		put_secret(secret, i);
		HOLDS(tokens.list[i] == before[i] &&
		      same_rules(before[i], &was[i]) &&
		      before[i]->level_milli == was[i].level_milli &&
		      before[i]->requests == was[i].requests &&
		      before[i]->refs == was[i].refs);
		HOLDS(tokens_find(&tokens, secret, strlen(secret)) ==
		      before[i]);
	}
}

/* Lines that are neither blank nor a comment. */
static size_t
count_lines(const uint8_t *data, size_t size)
{
	const uint8_t *end = data + size;
	size_t count = 0;

	while (data < end) {
		const uint8_t *newline =
		    memchr(data, '\n', (size_t)(end - data));

		if (!newline)
			newline = end;
		while (data < newline &&
		       (*data == ' ' || *data == '\t' || *data == '\r'))
			data++;
		count += data < newline && *data != '#';
		data = newline < end ? newline + 1 : end;
	}
	return count;
}

static void
check_token(const struct token *t, struct token *const before[2],
            const struct token was[2])
{
	uint64_t requests = 0;

	HOLDS(t->name[0] && strlen(t->name) <= TOKEN_NAME_MAX);
	HOLDS(t->rate >= 0 && (t->rate > 0) == (t->burst > 0));
	HOLDS(!(t->for_metrics && t->is_public));
	for (size_t i = 0; i < 2; i++) {
		HOLDS((t == before[i]) == (strcmp(t->name, was[i].name) == 0));
		if (t != before[i])
			continue;
		requests = was[i].requests;
		if (t->rate == was[i].rate && t->burst == was[i].burst)
			HOLDS(t->level_milli == was[i].level_milli);
	}
	HOLDS(t->requests == requests);
	HOLDS(t->level_milli <= t->burst * 1000);
}

static void
read_again(struct buf *text, bool our_secrets)
{
	write_out(text, &tokens, our_secrets);
	HOLDS(load(&again, text->data, text->len) == 0);
	HOLDS(again.count == tokens.count);
	for (size_t i = 0; i < tokens.count; i++) {
		HOLDS(same_rules(tokens.list[i], again.list[i]));
		if (!our_secrets)
			HOLDS(memcmp(tokens.hashes[i], again.hashes[i],
			             sizeof again.hashes[i]) == 0);
	}
}

/* A new bucket gives its burst at once, and then its rate. */
static void
check_rate(struct token *t)
{
	uint64_t now_ms = 1000, burst = (uint64_t)t->burst, wait_ms;

	HOLDS(token_allows(t, now_ms) && token_take(t, burst, now_ms));
	if (t->rate == 0)
		return;
	HOLDS(!token_allows(t, now_ms) && !token_take(t, 1, now_ms));
	wait_ms = token_wait_s(t, 2 * burst, now_ms) * UINT64_C(1000);
	HOLDS(token_take(t, 2 * burst, now_ms + wait_ms));
	wait_ms += token_wait_s(t, 1, now_ms + wait_ms) * UINT64_C(1000);
	HOLDS(token_take(t, 1, now_ms + wait_ms));
	HOLDS(t->level_milli >= 0);
}

/* Each token is found by its own whole secret, and lives while referenced. */
static void
check_search(struct buf *text)
{
	char secret[SECRET_BYTES];

	read_again(text, true);
	for (size_t i = 0; i < again.count; i++) {
		put_secret(secret, i);
		HOLDS(tokens_find(&again, secret, strlen(secret)) ==
		      again.list[i]);
		HOLDS(!tokens_find(&again, secret, strlen(secret) + 1));
		check_rate(again.list[i]);
	}
	HOLDS(!tokens_find(&again, secret, 0));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct token *before[2], was[2];
	struct buf text;

	if (size > FILE_MAX / 2)
		return 0;
	set_up();
	for (size_t i = 0; i < 2; i++) {
		before[i] = token_ref(tokens.list[i]); /* a request under way */
		was[i] = *before[i];
	}
	if (load(&tokens, data, size) < 0) {
		check_refused(before, was);
	} else {
		HOLDS(tokens.count == count_lines(data, size) &&
		      !memchr(data, '\0', size)); /* what follows was read */
		for (size_t i = 0; i < tokens.count; i++)
			check_token(tokens.list[i], before, was);
		buf_init(&text, FILE_MAX);
		read_again(&text, false);
		check_search(&text);
		buf_fini(&text);
	}
	token_unref(before[0]);
	token_unref(before[1]);
	tokens_free(&tokens);
	tokens_free(&again);
	return 0;
}
