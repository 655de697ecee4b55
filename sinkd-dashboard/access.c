/* access - see access.h. */
#include "sinkd-dashboard/access.h"

#include <stdio.h>
#include <string.h>

#include "libbase/clock.h"
#include "libhttp/auth.h"
#include "libhttp/http_conf.h"
#include "sinkd-dashboard/host.h"

static const struct refusal granted;

void
access_init(struct access *a)
{
	a->refused_log = (struct log_limit){.interval_ms = 60000, .burst = 10};
}

void
access_fini(struct access *a)
{
	tokens_free(&a->tokens);
	sessions_end_all(&a->sessions);
}

int
access_load(struct access *a, struct http_tls *tls)
{
	const struct dashboard_settings *s = a->settings;
	int rc = http_conf_load(tls, s->tls_certificate, s->tls_key, &a->tokens,
	                        s->tokens_file);

	if (rc == 0) {
		sessions_end_all(&a->sessions);
		a->loads++;
	}
	return rc;
}

/* --- the parts of the check --- */

static struct refusal
check_origin(const struct access *a, const struct http_head *head,
             struct visitor *visitor)
{
	const struct slice *host = http_header(head, "Host");
	const struct slice *origin = http_header(head, "Origin");
	const char *hosts = a->settings->hosts;

	if (!host || !host_is_ours(hosts, *host))
		return (struct refusal){
		    421,
		    "the Host header is neither an address nor in [sinkd-"
		    "dashboard] hosts",
		    0};
	if (!origin)
		return slice_is(head->method, "POST")
		           ? (struct refusal){403,
		                              "a POST must come from the page "
		                              "itself and have its Origin",
		                              0}
		           : granted;
	if (!host_is_own_origin(hosts, *origin, *host, &visitor->https))
		return (struct refusal){
		    403, "the request comes from a page of another site", 0};
	return granted;
}

/* Find the value of a cookie; its data is NULL if there is none. */
static struct slice
find_cookie(const struct http_head *head, const char *name)
{
	const struct slice *header = http_header(head, "Cookie");
	const char *at = header ? header->data : NULL;
	const char *end = header ? at + header->bytes : NULL;
	size_t n = strlen(name);

	while (at && at < end) {
		const char *semicolon = memchr(at, ';', (size_t)(end - at));
		const char *stop = semicolon ? semicolon : end;

		while (at < stop && *at == ' ')
			at++;
		if ((size_t)(stop - at) > n && memcmp(at, name, n) == 0 &&
		    at[n] == '=')
			return (struct slice){at + n + 1,
			                      (uint32_t)(stop - at - n - 1)};
		at = semicolon ? semicolon + 1 : NULL;
	}
	return (struct slice){NULL, 0};
}

/* With TLS the prefix keeps other hosts of the domain from setting it. */
static const char *
cookie_name(const struct access *a)
{
	return a->settings->tls_certificate[0] ? "__Host-leat" : "leat";
}

static void
log_in(const struct access *a, struct visitor *visitor, const char *name,
       bool sees_events)
{
	enum show most = (enum show)a->settings->show;

	visitor->show = sees_events ? SHOW_EVENTS : SHOW_TYPES;
	if (visitor->show > most)
		visitor->show = most;
	visitor->logged_in = true;
	visitor->loads = a->loads;
	(void)snprintf(visitor->name, sizeof visitor->name, "%s", name);
}

static struct refusal
too_many(unsigned wait_s)
{
	return (struct refusal){429, "too many wrong tokens from this address",
	                        wait_s};
}

static struct refusal
refuse_token(struct access *a, const char *address)
{
	unsigned suppressed;

	a->failures++;
	login_limit_fail(&a->limit, login_address(address), clock_mono_ms());
	if (log_allow(&a->refused_log, &suppressed))
		log_warn("login refused address=%s suppressed=%u", address,
		         suppressed);
	return (struct refusal){401, "the token is not one of the dashboard",
	                        0};
}

/* A script sends its token with each request. */
static struct refusal
check_authorization(struct access *a, const struct http_head *head,
                    const char *address, struct visitor *visitor)
{
	unsigned wait_s = login_limit_wait_s(&a->limit, login_address(address),
	                                     clock_mono_ms());
	struct token *token;

	if (!a->settings->tokens_file[0])
		return granted;
	if (wait_s > 0)
		return too_many(wait_s);
	(void)auth_find(&a->tokens, head, &token);
	if (!token || !token->for_dashboard)
		return refuse_token(a, address);
	log_in(a, visitor, token->name, token->sees_events);
	return granted;
}

struct refusal
access_check(struct access *a, const struct http_head *head,
             const char *address, struct visitor *visitor)
{
	struct slice cookie = find_cookie(head, cookie_name(a));
	const struct session *session;
	struct refusal refusal;

	*visitor = (struct visitor){.show = SHOW_FIGURES};
	refusal = check_origin(a, head, visitor);
	if (refusal.status > 0)
		return refusal;
	if (http_header(head, "Authorization"))
		return check_authorization(a, head, address, visitor);
	session = cookie.data
	              ? session_find(&a->sessions, cookie, clock_mono_ms())
	              : NULL;
	if (session) {
		visitor->session = session->serial;
		log_in(a, visitor, session->name, session->sees_events);
	}
	return granted;
}

/* --- sessions --- */

static void
write_cookie(const struct access *a, const struct visitor *visitor,
             const char *value, int64_t seconds,
             char cookie[ACCESS_COOKIE_BYTES])
{
	bool secure = a->settings->tls_certificate[0] || visitor->https;

	(void)snprintf(cookie, ACCESS_COOKIE_BYTES,
	               "Set-Cookie: %s=%s; Path=/; Max-Age=%lld; HttpOnly; "
	               "SameSite=Strict%s\r\n",
	               cookie_name(a), value, (long long)seconds,
	               secure ? "; Secure" : "");
}

struct refusal
access_login(struct access *a, struct slice text, const struct visitor *visitor,
             const char *address, char cookie[ACCESS_COOKIE_BYTES])
{
	uint64_t now_ms = clock_mono_ms();
	uint64_t seconds = (uint64_t)a->settings->session_seconds;
	unsigned wait_s =
	    login_limit_wait_s(&a->limit, login_address(address), now_ms);
	char id[SESSION_TEXT_BYTES + 1];
	const struct token *token;

	if (!a->settings->tokens_file[0])
		return (struct refusal){
		    403, "no login is possible: tokens_file is not set", 0};
	if (wait_s > 0)
		return too_many(wait_s);
	token = text.bytes > 0 && text.bytes <= AUTH_SECRET_MAX
	            ? tokens_find(&a->tokens, text.data, text.bytes)
	            : NULL;
	if (!token || !token->for_dashboard)
		return refuse_token(a, address);
	/* A window that logs in again has no use for the former session. */
	session_end(&a->sessions, visitor->session);
	if (!session_begin(&a->sessions, token, now_ms + seconds * 1000, id))
		return (struct refusal){503, "out of random numbers", 1};
	write_cookie(a, visitor, id, (int64_t)seconds, cookie);
	explicit_bzero(id, sizeof id);
	a->logins++;
	log_info("login token=%s address=%s", token->name, address);
	return granted;
}

void
access_logout(struct access *a, const struct visitor *visitor,
              char cookie[ACCESS_COOKIE_BYTES])
{
	session_end(&a->sessions, visitor->session);
	write_cookie(a, visitor, "", 0, cookie);
}

bool
access_goes_on(const struct access *a, const struct visitor *visitor)
{
	if (visitor->session > 0)
		return session_get(&a->sessions, visitor->session,
		                   clock_mono_ms()) != NULL;
	return !visitor->logged_in || visitor->loads == a->loads;
}

size_t
access_session_count(const struct access *a)
{
	uint64_t now_ms = clock_mono_ms();
	size_t n = 0;

	for (size_t i = 0; i < SESSIONS_MAX; i++)
		n += a->sessions.list[i].serial > 0 &&
		     now_ms < a->sessions.list[i].until_ms;
	return n;
}
