/* auth - see auth.h. */
#include "ingestd/auth.h"

#include <string.h>
#include <strings.h>

#include <nettle/base64.h>

/* What follows the scheme, or NULL when it is another one. */
static const char *
after_scheme(const char *header, const char *scheme)
{
	size_t n = strlen(scheme);

	if (strncasecmp(header, scheme, n) != 0 || header[n] != ' ')
		return NULL;
	header += n;
	return header + strspn(header, " ");
}

static struct token *
find_basic(const struct tokens *tokens, const char *packed)
{
	uint8_t text[BASE64_DECODE_LENGTH(AUTH_SECRET_MAX)];
	struct base64_decode_ctx ctx;
	struct token *token = NULL;
	size_t n = sizeof text;
	const uint8_t *colon;

	if (strlen(packed) > AUTH_SECRET_MAX)
		return NULL;
	base64_decode_init(&ctx);
	if (base64_decode_update(&ctx, &n, text, strlen(packed), packed) &&
	    base64_decode_final(&ctx) && (colon = memchr(text, ':', n))) {
		const char *secret = (const char *)colon + 1;

		token =
		    tokens_find(tokens, secret, n - (size_t)(colon + 1 - text));
	}
	explicit_bzero(text, sizeof text);
	explicit_bzero(&ctx, sizeof ctx);
	return token;
}

struct token *
auth_find(const struct tokens *tokens, const char *header)
{
	const char *rest = after_scheme(header, "Bearer");

	if (rest)
		return strlen(rest) > AUTH_SECRET_MAX
		           ? NULL
		           : tokens_find(tokens, rest, strlen(rest));
	rest = after_scheme(header, "Basic");
	return rest ? find_basic(tokens, rest) : NULL;
}
