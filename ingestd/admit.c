/* admit - see admit.h. */
#include "ingestd/admit.h"

#include <netdb.h>
#include <netinet/in.h>
#include <string.h>

#include "ingestd/auth.h"
#include "ingestd/headers.h"

/* The token in the URL, for pages; only of those that are public. */
static struct token *
token_of_url(const struct tokens *tokens, struct MHD_Connection *c)
{
	const char *secret =
	    MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "token");
	struct token *token;

	if (!secret || strlen(secret) > AUTH_SECRET_MAX)
		return NULL;
	token = tokens_find(tokens, secret, strlen(secret));
	return token && token->is_public ? token : NULL;
}

static void
log_unauthorized(struct admission *a, struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	char address[64] = "?";
	unsigned held;

	(*a->unauthorized)++;
	if (!log_allow(&a->log, &held))
		return;
	if (info && info->client_addr)
		(void)getnameinfo(info->client_addr,
		                  sizeof(struct sockaddr_in6), address,
		                  sizeof address, NULL, 0, NI_NUMERICHOST);
	log_warn("unauthorized address=%s held=%u", address, held);
}

enum fixed_reply
admit(struct admission *a, struct MHD_Connection *c, bool metrics,
      struct token **token)
{
	const struct settings *s = a->settings;
	const char *given = headers_get(c, MHD_HTTP_HEADER_AUTHORIZATION);
	struct token *found;

	if (!s->tokens_file[0] || (metrics && s->metrics_open))
		return REPLY_OK;
	found =
	    given ? auth_find(a->tokens, given) : token_of_url(a->tokens, c);
	if (!found) {
		if (!given && !metrics && s->allow_anonymous)
			return REPLY_OK;
		log_unauthorized(a, c);
		return REPLY_UNAUTHORIZED;
	}
	*token = token_ref(found);
	found->requests++;
	return found->for_metrics == metrics ? REPLY_OK : REPLY_FORBIDDEN;
}
