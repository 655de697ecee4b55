/* test_tokens - the tokens' file, the search, the rate; and the headers. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nettle/sha2.h>

#include "libhttp/auth.h"
#include "libhttp/cors.h"
#include "libhttp/tokens.h"
#include "tests/support/test.h"

static char path[32];
static char error[TOKENS_ERROR_TEXT];
static struct tokens tokens;

static void
setup(void)
{
	int fd;

	(void)snprintf(path, sizeof path, "/tmp/leat-tokens-XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(close(fd), 0);
	memset(&tokens, 0, sizeof tokens);
}

static void
teardown(void)
{
	tokens_free(&tokens);
	ck_assert_int_eq(unlink(path), 0);
}

TEST_CASE(tokens, .setup = setup, .teardown = teardown);

/* The hash of a token, as it is in a file; valid until the fourth call. */
static const char *
hash_of(const char *secret)
{
	static char texts[4][sizeof "sha256:" + 64];
	static unsigned next;
	char *text = texts[next++ % 4];
	uint8_t digest[SHA256_DIGEST_SIZE];
	struct sha256_ctx ctx;
	size_t n;

	sha256_init(&ctx);
	sha256_update(&ctx, strlen(secret), (const uint8_t *)secret);
	sha256_digest(&ctx, sizeof digest, digest);
	n = (size_t)sprintf(text, "sha256:");
	for (size_t i = 0; i < sizeof digest; i++)
		n += (size_t)sprintf(text + n, "%02x", digest[i]);
	return text;
}

static int
load(const char *fmt, ...)
{
	FILE *f = fopen(path, "w");
	va_list ap;

	ck_assert_ptr_nonnull(f);
	va_start(ap, fmt);
	ck_assert_int_ge(vfprintf(f, fmt, ap), 0);
	va_end(ap);
	ck_assert_int_eq(fclose(f), 0);
	return tokens_load(&tokens, path, error);
}

static struct token *
find(const char *secret)
{
	return tokens_find(&tokens, secret, strlen(secret));
}

TEST(finds_each_by_its_text_and_nothing_else)
{
	ck_assert_int_eq(load("# comment\n\n a %s\n b\t%s public\n"
	                      "c %s metrics rate=5 burst=9",
	                      hash_of("one"), hash_of("two"), hash_of("three")),
	                 0);
	ck_assert_str_eq(find("one")->name, "a");
	ck_assert(find("two")->is_public && !find("one")->is_public);
	ck_assert(find("three")->for_metrics);
	ck_assert_int_eq(find("three")->rate, 5);
	ck_assert_int_eq(find("three")->burst, 9);
	ck_assert_ptr_null(find("four"));
	ck_assert_ptr_null(find(""));
	/* The hash is no token. */
	ck_assert_ptr_null(find(hash_of("one") + strlen("sha256:")));
}

TEST(reports_where_a_file_is_bad_and_keeps_the_old)
{
	const struct {
		const char *text, *word;
	} bad[] = {
	    {"x y\n", ":1: the hash must begin"},
	    {"\nx\n", ":2: the hash must begin"},
	    {"x sha256:12\n", "64 digits"},
	    {"x/y z\n", "a name has"},
	    {"", "the file has no token"},
	    {"# only a comment\n", "the file has no token"},
	};
	static const char *const options[] = {
	    "rate=0", "rate=x",     "rate=-1",       "rate=1000000001",
	    "rate=",  "burst=5",    "rate=5 burst=", "secret",
	    "Public", "public=yes", "metrics public"};

	ck_assert_int_eq(load("a %s\n", hash_of("one")), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		ck_assert_int_eq(load("%s", bad[i].text), -EINVAL);
		ck_assert_msg(strstr(error, bad[i].word), "%s", error);
	}
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		ck_assert_int_eq(load("x %s %s\n", hash_of("two"), options[i]),
		                 -EINVAL);
	ck_assert_int_eq(load("x %s\nx %s\n", hash_of("two"), hash_of("three")),
	                 -EINVAL);
	ck_assert_ptr_nonnull(strstr(error, "duplicate name"));
	ck_assert_int_eq(load("x %s\ny %s\n", hash_of("two"), hash_of("two")),
	                 -EINVAL);
	ck_assert_ptr_nonnull(strstr(error, "duplicate hash"));
	ck_assert_int_eq(load("x %s %600s\n", hash_of("two"), ""), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error, "too long"));
	ck_assert_int_eq(load("\nx %s%c rate=5\n", hash_of("two"), 0), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error, ":2: contains a NUL"));
	ck_assert_int_eq(tokens_load(&tokens, "/nonexistent", error), -ENOENT);
	ck_assert_str_eq(find("one")->name, "a");
	ck_assert_uint_eq(tokens.count, 1);
}

TEST(takes_a_thousand_and_no_more)
{
	for (int n = TOKENS_MAX; n <= TOKENS_MAX + 1; n++) {
		FILE *f = fopen(path, "w");
		char name[16];

		ck_assert_ptr_nonnull(f);
		for (int i = 0; i < n; i++) {
			(void)sprintf(name, "t%d", i);
			(void)fprintf(f, "%s %s\n", name, hash_of(name));
		}
		ck_assert_int_eq(fclose(f), 0);
		ck_assert_int_eq(tokens_load(&tokens, path, error),
		                 n <= TOKENS_MAX ? 0 : -EINVAL);
		ck_assert_str_eq(find("t999")->name, "t999");
	}
}

TEST(a_reload_keeps_counters_and_those_under_way)
{
	struct token *a, *b;

	ck_assert_int_eq(
	    load("a %s rate=5\nb %s\n", hash_of("one"), hash_of("two")), 0);
	a = find("one");
	b = token_ref(find("two")); /* a request of it is under way */
	a->events = 7;
	ck_assert(token_take(a, 5, 100));
	/* a gets another token, b is removed, c is new. */
	ck_assert_int_eq(
	    load("c %s\na %s rate=5\n", hash_of("three"), hash_of("new")), 0);
	ck_assert_ptr_null(find("one"));
	ck_assert_ptr_null(find("two"));
	ck_assert_ptr_eq(find("new"), a);
	ck_assert_uint_eq(a->events, 7);
	ck_assert(!token_take(a, 5, 100));
	ck_assert_str_eq(b->name, "b");
	b->events++;
	token_unref(b);
}

TEST(the_rate_holds_and_no_size_is_refused_for_ever)
{
	struct token *t;
	uint64_t now_ms = 1000000, taken = 0;

	ck_assert_int_eq(load("a %s rate=100 burst=50\n", hash_of("one")), 0);
	t = find("one");
	ck_assert(token_take(t, 50, now_ms)); /* the bucket was full */
	ck_assert(!token_allows(t, now_ms));
	ck_assert(!token_take(t, 1, now_ms));
	ck_assert_uint_eq(token_wait_s(t, 1, now_ms), 1);
	ck_assert(token_allows(t, now_ms + 10));
	ck_assert(token_take(t, 1, now_ms + 10));
	/* All or nothing. */
	ck_assert(!token_take(t, 11, now_ms + 110));
	ck_assert(token_take(t, 10, now_ms + 110));
	/*
	 * A request larger than the bucket is accepted when that is full, and
	 * leaves a debt.
	 */
	now_ms += 110;
	ck_assert(!token_take(t, 1050, now_ms + 499));
	ck_assert(token_take(t, 1050, now_ms + 500));
	now_ms += 500;
	ck_assert_uint_eq(token_wait_s(t, 1, now_ms), 11);
	ck_assert(!token_allows(t, now_ms + 10000));
	ck_assert(token_allows(t, now_ms + 10010));
	/*
	 * Whatever the sizes of the requests, the rate holds over a long time.
	 */
	for (uint64_t ms = 0; ms < 1000000; ms += 7)
		taken += token_take(t, 3, now_ms + 20000 + ms) ? 3 : 0;
	ck_assert_uint_le(taken, 100000 + 50);
	ck_assert_uint_ge(taken, 100000 - 50);
	/* Years pass without overflow. */
	ck_assert(token_take(t, 50, UINT64_MAX / 2));
}

/* The token of a request with this Authorization header. */
static struct token *
auth(const char *header)
{
	struct http_head head = {.field_count = 1};
	struct token *token;

	head.fields[0] =
	    (struct http_field){slice_of("authorization"), slice_of(header)};
	ck_assert(auth_find(&tokens, &head, &token));
	return token;
}

static struct token *
auth_by_url(const char *query)
{
	struct http_head head = {.query = slice_of(query)};
	struct token *token;

	ck_assert(!auth_find(&tokens, &head, &token));
	return token;
}

TEST(reads_bearer_and_basic)
{
	static const char *const bad[] = {
	    "",           "Bearer",       "Bearer ",    "Bearer two",
	    "Bearerone",  "Digest one",   "one",        "Basic",
	    "Basic one",  "Basic b25l",   "Basic dTo=", "Bearer one ",
	    "Basic ====", "Basic dTpvbmU"};
	char header[1200], packed[1100];

	ck_assert_int_eq(load("a %s\n", hash_of("one")), 0);
	ck_assert_ptr_nonnull(auth("Bearer one"));
	ck_assert_ptr_nonnull(auth("bearer  one"));
	ck_assert_ptr_nonnull(auth("Basic dTpvbmU=")); /* u:one */
	ck_assert_ptr_nonnull(auth("BASIC Om9uZQ==")); /* :one */
	ck_assert_ptr_nonnull(auth("Basic b25lOg==")); /* one: */
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(!auth(bad[i]), "%s", bad[i]);
	for (size_t n = 0; n < sizeof packed - 1; n++) {
		memset(packed, 'A', n);
		packed[n] = '\0';
		(void)snprintf(header, sizeof header, "Basic %s", packed);
		ck_assert_ptr_null(auth(header));
		(void)snprintf(header, sizeof header, "Bearer %s", packed);
		ck_assert_ptr_null(auth(header));
	}
}

TEST(only_a_public_token_may_be_in_a_url)
{
	char text[700] = "token=";

	ck_assert_int_eq(load("a %s\n", hash_of("one")), 0);
	ck_assert_ptr_null(auth_by_url("token=one"));
	ck_assert_int_eq(load("a %s public\n", hash_of("one")), 0);
	ck_assert_ptr_nonnull(auth_by_url("token=one"));
	ck_assert_ptr_nonnull(auth_by_url("a=b&token=%6fne&c"));
	ck_assert_ptr_null(auth_by_url("token=two"));
	ck_assert_ptr_null(auth_by_url("token"));
	ck_assert_ptr_null(auth_by_url("tokens=one"));
	ck_assert_ptr_null(auth_by_url(""));
	memset(text + 6, 'a', 600);
	ck_assert_ptr_null(auth_by_url(text));
}

TEST(what_is_charged_is_a_debt)
{
	struct token *t;
	uint64_t now_ms = 1000000;

	ck_assert_int_eq(load("a %s rate=100 burst=50\nb %s\n", hash_of("one"),
	                      hash_of("two")),
	                 0);
	t = find("one");
	token_charge(t, 49, now_ms);
	ck_assert(token_allows(t, now_ms));
	token_charge(t, 1001, now_ms);
	ck_assert(!token_allows(t, now_ms));
	ck_assert_uint_eq(token_wait_s(t, 1, now_ms), 11);
	ck_assert(token_allows(t, now_ms + 10010));
	/* Charging again and again neither overflows nor fills the bucket. */
	for (int i = 0; i < 1000; i++)
		token_charge(t, UINT64_MAX, now_ms + 10010);
	ck_assert(!token_allows(t, now_ms + 1000000));
	token_charge(find("two"), UINT64_MAX, now_ms); /* has no rate */
	ck_assert(token_allows(find("two"), now_ms));
}

TEST(origins_are_compared_whole)
{
	const char *list = "https://a.example  http://b.example:8080";

	ck_assert_ptr_null(cors_check(list));
	ck_assert_ptr_null(cors_check("*"));
	ck_assert_ptr_null(cors_check(""));
	ck_assert_ptr_nonnull(cors_check("a.example"));
	ck_assert_ptr_nonnull(cors_check("https://a.example/"));
	ck_assert_ptr_nonnull(cors_check("https://A.example"));
	ck_assert_ptr_nonnull(cors_check("https://*.example"));
	ck_assert_ptr_nonnull(cors_check("https://a.example *"));
	ck_assert_ptr_nonnull(cors_check("https://"));
	ck_assert(cors_find(list, slice_of("https://a.example")).data);
	ck_assert(cors_find(list, slice_of("http://b.example:8080")).data);
	ck_assert(!cors_find(list, slice_of("http://a.example")).data);
	ck_assert(!cors_find(list, slice_of("https://a.example.evil")).data);
	ck_assert(!cors_find(list, slice_of("https://a.exampl")).data);
	ck_assert(!cors_find(list, slice_of("null")).data);
	ck_assert(!cors_find(list, slice_of("")).data);
	ck_assert(cors_find("*", slice_of("https://any.example")).data);
}
