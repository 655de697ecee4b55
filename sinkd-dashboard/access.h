/*
 * access - the one check before every route: whether a request may be answered,
 * and how much its sender sees.
 *
 * A request passes these in order: its Host must be ours (host.h); if it has an
 * Origin, it must be of our own page, and a POST must have one; if it has an
 * Authorization header, the token in it must be one of the dashboard, and the
 * address must not have tried too often (login_limit.h).  The sender then sees
 * what the setting `show` allows, but at most
 *
 *	figures		without a session or a token,
 *	types		with a token that is marked `dashboard`,
 *	events		with a token that is marked `events`.
 */
#ifndef SINKD_DASHBOARD_ACCESS_H
#define SINKD_DASHBOARD_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libbase/log.h"
#include "libhttp/head.h"
#include "libhttp/tls.h"
#include "libhttp/tokens.h"
#include "sinkd-dashboard/login_limit.h"
#include "sinkd-dashboard/sessions.h"
#include "sinkd-dashboard/settings.h"

/* The most bytes of a Set-Cookie line, with its CRLF and NUL. */
#define ACCESS_COOKIE_BYTES 256

struct access {
	const struct dashboard_settings *settings;
	struct tokens tokens;
	struct sessions sessions;
	struct login_limit limit;
	struct log_limit refused_log;
	uint64_t loads;            /* of the tokens, since the start */
	uint64_t logins, failures; /* since the start */
};

/* Who sends a request; filled in by access_check. */
struct visitor {
	enum show show;
	bool logged_in;                /* by a session or a token */
	uint64_t session;              /* serial number; 0: none */
	uint64_t loads;                /* of access, when it logged in */
	bool https;                    /* the page was loaded with TLS */
	char name[TOKEN_NAME_MAX + 1]; /* of the token; "" if not logged in */
};

/* Why a request is refused. */
struct refusal {
	unsigned status;  /* 0: it is not */
	const char *why;  /* static text */
	unsigned retry_s; /* for Retry-After; 0: none */
};

/* The caller sets the settings first. */
void access_init(struct access *a);
void access_fini(struct access *a);

/*
 * Load the certificate and the tokens (http_conf_load) and, if both are valid,
 * end all logins: each of them may be of a token that is no longer valid.
 */
MUST_USE int access_load(struct access *a, struct http_tls *tls);

/* Check a request from this address (http_client_address). */
struct refusal access_check(struct access *a, const struct http_head *head,
                            const char *address, struct visitor *visitor);

/*
 * Check the token of a login form.  If it is refused, so is the request;
 * otherwise `cookie` is the line Set-Cookie of the new session.
 */
struct refusal access_login(struct access *a, struct slice token,
                            const struct visitor *visitor, const char *address,
                            char cookie[ACCESS_COOKIE_BYTES]);

/* End the session of a visitor; `cookie` is the line that removes its cookie.
 */
void access_logout(struct access *a, const struct visitor *visitor,
                   char cookie[ACCESS_COOKIE_BYTES]);

/*
 * Return true if what this visitor may see has not ended.  It ends with the
 * session or, if the visitor sent its token with the request, when the tokens
 * are loaded again.  What is for everyone does not end.
 */
bool access_goes_on(const struct access *a, const struct visitor *visitor);

size_t access_session_count(const struct access *a);

#endif
