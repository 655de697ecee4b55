/* http_conf - see http_conf.h. */
#include "libhttp/http_conf.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "libbase/log.h"
#include "libbase/secret.h"

static bool
is_loopback(const struct sockaddr *address)
{
	const struct sockaddr_in *v4 = (const void *)address;
	const struct sockaddr_in6 *v6 = (const void *)address;

	if (address->sa_family == AF_INET)
		return ntohl(v4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return address->sa_family == AF_INET6 &&
	       (IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) ||
	        (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) &&
	         v6->sin6_addr.s6_addr[12] == IN_LOOPBACKNET));
}

int
http_conf_check_listen(const struct conf_source *source, const char *section,
                       const char *listen, bool *loopback)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
	                         .ai_flags = AI_NUMERICHOST | AI_PASSIVE};
	struct addrinfo *found = NULL;

	if (getaddrinfo(listen, NULL, &hints, &found) != 0)
		return conf_refuse(source, section, "listen", listen,
		                   "must be an IP address, not a name: "
		                   "127.0.0.1 or ::1 for this machine alone, "
		                   "0.0.0.0 or :: for all");
	*loopback = is_loopback(found->ai_addr);
	freeaddrinfo(found);
	return 0;
}

int
http_conf_check_tokens(const struct conf_source *source, const char *section,
                       const char *path)
{
	char error[TOKENS_ERROR_TEXT];
	struct tokens tokens = {0};

	if (secret_check_file(source, section, "tokens_file", path) < 0)
		return -EINVAL;
	if (!path[0])
		return 0;
	if (tokens_load(&tokens, path, error) < 0)
		return conf_refuse(source, section, "tokens_file", NULL, "%s",
		                   error);
	tokens_free(&tokens);
	return 0;
}

int
http_conf_check_tls(const struct conf_source *source, const char *section,
                    const char *certificate, const char *key)
{
	const char *missing = certificate[0] ? "tls_key" : "tls_certificate";
	char error[HTTP_TLS_ERROR_TEXT] = "out of memory";
	struct http_tls *tls;
	int rc;

	if (!certificate[0] && !key[0])
		return 0;
	if (!certificate[0] || !key[0])
		return conf_refuse(source, section, missing, NULL,
		                   "tls_certificate and tls_key must be set "
		                   "together");
	rc = conf_check_file(source, section, "tls_certificate", certificate);
	if (secret_check_file(source, section, "tls_key", key) < 0 || rc < 0)
		return -EINVAL;
	tls = http_tls_new();
	rc = tls ? http_tls_load(tls, certificate, key, error) : -ENOMEM;
	http_tls_free(tls);
	return rc < 0 ? conf_refuse(source, section, "tls_certificate", NULL,
	                            "%s", error)
	              : 0;
}

int
http_conf_load(struct http_tls *tls, const char *certificate, const char *key,
               struct tokens *tokens, const char *tokens_file)
{
	char tls_error[HTTP_TLS_ERROR_TEXT], tokens_error[TOKENS_ERROR_TEXT];
	int rc = 0;

	if (tls)
		rc = http_tls_load(tls, certificate, key, tls_error);
	if (rc < 0) {
		log_error("cannot load the certificate err=%s",
		          log_quote(tls_error));
		return rc;
	}
	if (tokens_file[0])
		rc = tokens_load(tokens, tokens_file, tokens_error);
	if (rc < 0)
		log_error("cannot load the tokens err=%s",
		          log_quote(tokens_error));
	return rc;
}
