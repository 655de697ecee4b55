/* auth - see auth.h. */
#include "libhttp/auth.h"

#include <string.h>
#include <strings.h>

#include <nettle/base64.h>

/*
 * Remove the scheme and the spaces after it from a value.  Returns false if
 * the value has another scheme.
 */
static bool
skip_scheme(struct slice *value, const char *scheme)
{
	uint32_t n = (uint32_t)strlen(scheme);

	if (value->bytes <= n || strncasecmp(value->data, scheme, n) != 0 ||
	    value->data[n] != ' ')
		return false;
	while (n < value->bytes && value->data[n] == ' ')
		n++;
	*value = (struct slice){value->data + n, value->bytes - n};
	return true;
}

/* Find the token in Basic credentials, which are base64 of USER:PASSWORD. */
static struct token *
find_basic(const struct tokens *tokens, struct slice packed)
{
	uint8_t text[BASE64_DECODE_LENGTH(AUTH_SECRET_MAX)];
	struct base64_decode_ctx ctx;
	struct token *token = NULL;
	size_t n = sizeof text;
	const uint8_t *colon;

	if (packed.bytes > AUTH_SECRET_MAX)
		return NULL;
	base64_decode_init(&ctx);
	if (base64_decode_update(&ctx, &n, text, packed.bytes, packed.data) &&
	    base64_decode_final(&ctx) && (colon = memchr(text, ':', n))) {
		const uint8_t *secret = colon + 1;
		size_t bytes = n - (size_t)(secret - text);

		/* Without a password the token is the user name. */
		if (text[n - 1] == ':') {
			secret = text;
			bytes = n - 1;
		}
		token = tokens_find(tokens, (const char *)secret, bytes);
	}
	explicit_bzero(text, sizeof text);
	explicit_bzero(&ctx, sizeof ctx);
	return token;
}

static struct token *
find_in_header(const struct tokens *tokens, struct slice value)
{
	if (skip_scheme(&value, "Bearer"))
		return value.bytes > AUTH_SECRET_MAX
		           ? NULL
		           : tokens_find(tokens, value.data, value.bytes);
	return skip_scheme(&value, "Basic") ? find_basic(tokens, value) : NULL;
}

static struct token *
find_in_url(const struct tokens *tokens, const struct http_head *head)
{
	char secret[AUTH_SECRET_MAX + 1];
	int n = http_query(head, "token", secret, sizeof secret);
	struct token *token;

	if (n < 0)
		return NULL;
	token = tokens_find(tokens, secret, (size_t)n);
	explicit_bzero(secret, sizeof secret);
	return token && token->is_public ? token : NULL;
}

bool
auth_find(const struct tokens *tokens, const struct http_head *head,
          struct token **token)
{
	const struct slice *value = http_header(head, "Authorization");

	*token =
	    value ? find_in_header(tokens, *value) : find_in_url(tokens, head);
	return value != NULL;
}
