/*
 * token - `leat token`: make a token for ingestd's tokens_file.
 *
 * The token is kept nowhere, so it cannot be shown again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <nettle/base64.h>
#include <nettle/sha2.h>

#include "leat/verb.h"
#include "libbase/error.h"
#include "libbase/log.h"

#define NAME_MAX_BYTES 64 /* the limit of ingestd */
#define PREFIX "leat_"    /* so that scanners for leaked secrets find it */
#define RANDOM_BYTES 32

/* The prefix, the bytes in base64, and NUL. */
#define TOKEN_BYTES (sizeof PREFIX + BASE64_ENCODE_RAW_LENGTH(RANDOM_BYTES))

static int
make_secret(char out[TOKEN_BYTES])
{
	uint8_t bytes[RANDOM_BYTES];
	char packed[BASE64_ENCODE_RAW_LENGTH(RANDOM_BYTES)];
	struct base64_encode_ctx ctx;
	size_t n;

	if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
		return -errno;
	base64url_encode_init(&ctx);
	n = base64_encode_update(&ctx, packed, sizeof bytes, bytes);
	n += base64_encode_final(&ctx, packed + n);
	while (n > 0 && packed[n - 1] == '=')
		n--; /* the padding carries no information */
	(void)snprintf(out, TOKEN_BYTES, PREFIX "%.*s", (int)n, packed);
	explicit_bzero(bytes, sizeof bytes);
	explicit_bzero(packed, sizeof packed);
	return 0;
}

static void
print_line(const char *name, const char *secret)
{
	uint8_t digest[SHA256_DIGEST_SIZE];
	struct sha256_ctx ctx;

	sha256_init(&ctx);
	sha256_update(&ctx, strlen(secret), (const uint8_t *)secret);
	sha256_digest(&ctx, sizeof digest, digest);
	printf("%s sha256:", name);
	for (size_t i = 0; i < sizeof digest; i++)
		printf("%02x", digest[i]);
	printf("\n");
}

static int
token_run(const struct verb_call *call)
{
	const char *name = call->args[0];
	char secret[TOKEN_BYTES];
	size_t n = strlen(name);
	int rc;

	if (n < 1 || n > NAME_MAX_BYTES ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                 "0123456789._-") < n) {
		log_error(
		    "invalid name: it must have 1 to %d characters of a-z, "
		    "A-Z, 0-9, '.', '_' and '-' name=%s",
		    NAME_MAX_BYTES, log_quote(name));
		return EXIT_CONFIG;
	}
	rc = make_secret(secret);
	if (rc < 0) {
		log_error("cannot get random bytes err=%s",
		          log_quote(error_text(rc)));
		return EXIT_FAILURE;
	}
	print_line(name, secret);
	rc = fflush(stdout) == 0 && !ferror(stdout) ? EXIT_SUCCESS
	                                            : EXIT_FAILURE;
	/* Without its line in the file, a token is useless. */
	if (rc == EXIT_SUCCESS)
		(void)fprintf(stderr,
		              "token for %s, shown only this once:\n%s\n", name,
		              secret);
	else
		log_error("cannot write the token's line to standard output");
	explicit_bzero(secret, sizeof secret);
	return rc;
}

const struct verb token_verb = {
    .name = "token",
    .arguments = "NAME",
    .summary = "Makes a token for a sender.",
    .details =
	"Prints a line for ingestd's tokens_file to standard output.  It "
	"prints the token itself, which is not shown again, to standard error.",
    .settings = VERB_NO_SETTINGS,
    .examples = VERB_EXAMPLES({"leat token shop >>/etc/leat/tokens",
                               "make a token for the sender \"shop\", which "
                               "needs the text on the terminal"}),
    .run = token_run,
};
