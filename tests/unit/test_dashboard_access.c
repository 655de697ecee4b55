/* test_dashboard_access - who may see what: Host, Origin, tokens, sessions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sinkd-dashboard/access.h"
#include "sinkd-dashboard/host.h"
#include "tests/support/test.h"

#define HOSTS "live.example.org leat.example.org"

TEST(host_is_an_address_localhost_or_listed)
{
	static const char *const ours[] = {
	    "127.0.0.1",        "127.0.0.1:8090",      "[::1]:8090",
	    "localhost",        "LOCALHOST:80",        "10.1.2.3:1",
	    "live.example.org", "Leat.Example.org:443"};
	static const char *const not_ours[] = {"",
	                                       "evil.example.org",
	                                       "localhost.evil.example.org",
	                                       "127.0.0.1.evil.example.org",
	                                       "live.example.org.evil",
	                                       "xlive.example.org",
	                                       "127.1",
	                                       "0x7f000001",
	                                       "[::1",
	                                       ":8090"};

	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		ck_assert_msg(host_is_ours(HOSTS, slice_of(ours[i])), "%s",
		              ours[i]);
	for (size_t i = 0; i < ARRAY_LEN(not_ours); i++)
		ck_assert_msg(!host_is_ours(HOSTS, slice_of(not_ours[i])), "%s",
		              not_ours[i]);
	ck_assert(!host_is_ours("", slice_of("live.example.org")));
}

TEST(origin_is_that_of_the_host_or_listed)
{
	struct slice host = slice_of("localhost:8090");
	bool https;

	ck_assert(host_is_own_origin(HOSTS, slice_of("http://localhost:8090"),
	                             host, &https));
	ck_assert(!https);
	/* A proxy that ends TLS and passes the Host header on. */
	ck_assert(host_is_own_origin("", slice_of("https://localhost:8090"),
	                             host, &https));
	ck_assert(https);
	/* A proxy that replaces the Host header. */
	ck_assert(host_is_own_origin(
	    HOSTS, slice_of("https://live.example.org"), host, &https));
	ck_assert(!host_is_own_origin(HOSTS, slice_of("http://localhost:3000"),
	                              host, &https));
	ck_assert(!host_is_own_origin(
	    HOSTS, slice_of("https://evil.example.org"), host, &https));
	ck_assert(!host_is_own_origin(HOSTS, slice_of("null"), host, &https));
	ck_assert(!host_is_own_origin(HOSTS, slice_of("file://localhost:8090"),
	                              host, &https));
	ck_assert(
	    !host_is_own_origin(HOSTS, slice_of("http://"), host, &https));
}

TEST(the_setting_hosts_has_names_only)
{
	ck_assert_ptr_null(host_check_list(""));
	ck_assert_ptr_null(host_check_list(HOSTS));
	ck_assert_ptr_nonnull(host_check_list("https://live.example.org"));
	ck_assert_ptr_nonnull(host_check_list("live.example.org:443"));
	ck_assert_ptr_nonnull(host_check_list("Live.example.org"));
}

/* --- sessions --- */

static struct sessions sessions;

TEST(a_session_ends_at_its_time_or_when_it_is_ended)
{
	struct token token = {.name = "ann", .sees_events = true};
	char a[SESSION_TEXT_BYTES + 1], b[SESSION_TEXT_BYTES + 1];
	const struct session *s;
	uint64_t serial;

	memset(&sessions, 0, sizeof sessions);
	s = session_begin(&sessions, &token, 1000, a);
	ck_assert_ptr_nonnull(s);
	serial = s->serial;
	ck_assert_ptr_nonnull(session_begin(&sessions, &token, 2000, b));
	ck_assert_str_ne(a, b);
	s = session_find(&sessions, slice_of(a), 999);
	ck_assert_ptr_nonnull(s);
	ck_assert_str_eq(s->name, "ann");
	ck_assert(s->sees_events);
	ck_assert_ptr_eq(session_get(&sessions, serial, 999), s);
	ck_assert_ptr_null(session_find(&sessions, slice_of(a), 1000));
	ck_assert_ptr_null(session_get(&sessions, serial, 1000));
	ck_assert_ptr_nonnull(session_find(&sessions, slice_of(b), 1000));
	session_end(&sessions, serial);
	ck_assert_ptr_null(session_find(&sessions, slice_of(a), 999));
	sessions_end_all(&sessions);
	ck_assert_ptr_null(session_find(&sessions, slice_of(b), 1000));
}

TEST(what_is_no_session_id_finds_none)
{
	struct token token = {.name = "ann"};
	char text[SESSION_TEXT_BYTES + 1];

	memset(&sessions, 0, sizeof sessions);
	/* That is the id of the slots that are not used. */
	memset(text, '0', SESSION_TEXT_BYTES);
	text[SESSION_TEXT_BYTES] = '\0';
	ck_assert_ptr_null(session_find(&sessions, slice_of(text), 0));
	ck_assert_ptr_null(session_get(&sessions, 0, 0));
	ck_assert_ptr_nonnull(session_begin(&sessions, &token, 1000, text));
	text[3] ^= 1;
	ck_assert_ptr_null(session_find(&sessions, slice_of(text), 0));
	text[3] = 'x';
	ck_assert_ptr_null(session_find(&sessions, slice_of(text), 0));
	ck_assert_ptr_null(session_find(&sessions, slice_of(""), 0));
}

TEST(one_session_too_many_ends_the_oldest)
{
	struct token token = {.name = "ann"};
	char texts[SESSIONS_MAX + 1][SESSION_TEXT_BYTES + 1];

	memset(&sessions, 0, sizeof sessions);
	for (int i = 0; i <= SESSIONS_MAX; i++)
		ck_assert_ptr_nonnull(
		    session_begin(&sessions, &token, 1000, texts[i]));
	ck_assert_ptr_null(session_find(&sessions, slice_of(texts[0]), 0));
	for (int i = 1; i <= SESSIONS_MAX; i++)
		ck_assert_ptr_nonnull(
		    session_find(&sessions, slice_of(texts[i]), 0));
}

/* --- the limit of logins --- */

static struct login_limit limit;

TEST(five_failures_in_a_minute_close_an_address)
{
	uint64_t a = login_address("192.0.2.1"), b = login_address("192.0.2.2");

	memset(&limit, 0, sizeof limit);
	for (int i = 0; i < LOGIN_FAILURES_MAX; i++) {
		ck_assert_uint_eq(login_limit_wait_s(&limit, a, 100000), 0);
		login_limit_fail(&limit, a, 100000);
	}
	ck_assert_uint_eq(login_limit_wait_s(&limit, a, 100000), 60);
	ck_assert_uint_eq(login_limit_wait_s(&limit, a, 159001), 1);
	ck_assert_uint_eq(login_limit_wait_s(&limit, b, 100000), 0);
	ck_assert_uint_eq(login_limit_wait_s(&limit, a, 160000), 0);
	login_limit_fail(&limit, a, 160000); /* the first of a new minute */
	ck_assert_uint_eq(login_limit_wait_s(&limit, a, 160000), 0);
}

TEST(an_address_is_v4_or_the_first_half_of_v6)
{
	ck_assert_uint_eq(login_address("2001:db8:1:2::1"),
	                  login_address("2001:db8:1:2:ffff::2"));
	ck_assert_uint_ne(login_address("2001:db8:1:2::1"),
	                  login_address("2001:db8:1:3::1"));
	ck_assert_uint_eq(login_address("192.0.2.1"),
	                  login_address("::ffff:192.0.2.1"));
	ck_assert_uint_ne(login_address("192.0.2.1"),
	                  login_address("192.0.2.2"));
}

TEST(a_full_table_forgets_the_oldest_address)
{
	memset(&limit, 0, sizeof limit);
	for (uint64_t i = 0; i < LOGIN_ADDRESSES + 1; i++) {
		for (int n = 0; n < LOGIN_FAILURES_MAX; n++)
			login_limit_fail(&limit, 1000 + i, 100 + i);
	}
	ck_assert_uint_eq(login_limit_wait_s(&limit, 1000, 500), 0);
	for (uint64_t i = 1; i < LOGIN_ADDRESSES + 1; i++)
		ck_assert_uint_gt(login_limit_wait_s(&limit, 1000 + i, 500), 0);
}

/* --- the check --- */

static struct dashboard_settings settings;
static struct access gate;
static char path[40], no_file[] = "", no_hosts[] = "", no_tls[] = "";
static char tls_file[] = "/etc/tls.pem";
static struct http_head head;
static char head_text[2048];

static void
access_setup(void)
{
	int fd;

	memset(&gate, 0, sizeof gate);
	settings = (struct dashboard_settings){.tokens_file = no_file,
	                                       .hosts = no_hosts,
	                                       .tls_certificate = no_tls,
	                                       .show = SHOW_EVENTS,
	                                       .session_seconds = 1};
	gate.settings = &settings;
	access_init(&gate);
	(void)snprintf(path, sizeof path, "/tmp/leat-dashboard-XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(close(fd), 0);
}

static void
access_teardown(void)
{
	access_fini(&gate);
	ck_assert_int_eq(unlink(path), 0);
}

TEST_CASE(check, .setup = access_setup, .teardown = access_teardown);

static void
load_tokens(void)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	/* SHA-256 of "types", "all" and "send". */
	(void)fputs("ann sha256:8d8460221bf4eb295f964884b40a9ba6"
	            "302a9c2af2f9b1997cbed42fda139de8 dashboard\n"
	            "bob sha256:5ef5ef0364b6939c4ca61f34b393f7b3"
	            "68d1be8619647aaf83d5b395919ab629 events\n"
	            "shop sha256:27ce1d1bf4270020e1799f12e647f5cb"
	            "abda2b9eafd7202c43012a539986916b\n",
	            f);
	ck_assert_int_eq(fclose(f), 0);
	settings.tokens_file = path;
	ck_assert_int_eq(access_load(&gate, NULL), 0);
}

static struct refusal
check_request(const char *method, const char *lines, struct visitor *visitor)
{
	const char *why = "";
	int n = snprintf(head_text, sizeof head_text, "%s / HTTP/1.1\r\n%s\r\n",
	                 method, lines);

	ck_assert_int_eq(head_parse(head_text, (size_t)n, &head, &why), 0);
	return access_check(&gate, &head, "192.0.2.1", visitor);
}

#define HOST "Host: localhost:8090\r\n"
#define ORIGIN "Origin: http://localhost:8090\r\n"

TEST(without_a_token_figures_are_shown)
{
	struct visitor visitor;
	struct refusal r = check_request("GET", HOST, &visitor);

	ck_assert_uint_eq(r.status, 0);
	ck_assert_int_eq(visitor.show, SHOW_FIGURES);
	ck_assert(!visitor.logged_in);
	/* Without a tokens_file, whatever is sent changes nothing. */
	r = check_request("GET", HOST "Authorization: Bearer x\r\n", &visitor);
	ck_assert_uint_eq(r.status, 0);
	ck_assert_int_eq(visitor.show, SHOW_FIGURES);
}

TEST(other_hosts_and_origins_are_refused)
{
	struct visitor v;

	ck_assert_uint_eq(
	    check_request("GET", "Host: evil.example.org\r\n", &v).status, 421);
	ck_assert_uint_eq(
	    check_request("GET", HOST "Origin: http://evil.example.org\r\n", &v)
		.status,
	    403);
	ck_assert_uint_eq(check_request("GET", HOST ORIGIN, &v).status, 0);
	ck_assert_uint_eq(check_request("POST", HOST, &v).status, 403);
	ck_assert_uint_eq(check_request("POST", HOST ORIGIN, &v).status, 0);
}

TEST(a_token_shows_what_its_mark_allows)
{
	struct visitor v;

	load_tokens();
	ck_assert_uint_eq(
	    check_request("GET", HOST "Authorization: Bearer types\r\n", &v)
		.status,
	    0);
	ck_assert_int_eq(v.show, SHOW_TYPES);
	ck_assert_str_eq(v.name, "ann");
	(void)check_request("GET", HOST "Authorization: Bearer all\r\n", &v);
	ck_assert_int_eq(v.show, SHOW_EVENTS);
	settings.show = SHOW_FIGURES;
	(void)check_request("GET", HOST "Authorization: Bearer all\r\n", &v);
	ck_assert_int_eq(v.show, SHOW_FIGURES);
	ck_assert_uint_eq(
	    check_request("GET", HOST "Authorization: Bearer wrong\r\n", &v)
		.status,
	    401);
	ck_assert_int_eq(v.show, SHOW_FIGURES);
}

/* Log in as a page does, and return the header line with the cookie. */
static const char *
log_in_as(const char *token, const char *origin)
{
	static char line[ACCESS_COOKIE_BYTES + 16];
	char cookie[ACCESS_COOKIE_BYTES], *end;
	struct visitor v;
	struct refusal r;

	r = check_request("POST", origin, &v);
	ck_assert_uint_eq(r.status, 0);
	r = access_login(&gate, slice_of(token), &v, "192.0.2.1", cookie);
	ck_assert_uint_eq(r.status, 0);
	ck_assert_ptr_nonnull(strstr(cookie, "; HttpOnly"));
	ck_assert_ptr_nonnull(strstr(cookie, "; SameSite=Strict"));
	end = strchr(cookie, ';');
	ck_assert_ptr_nonnull(end);
	(void)snprintf(line, sizeof line, HOST "Cookie: a=b; %.*s; c=d\r\n",
	               (int)(end - cookie - (int)strlen("Set-Cookie: ")),
	               cookie + strlen("Set-Cookie: "));
	*end = ' ';
	ck_assert(
	    (strstr(end, "; Secure") != NULL) ==
	    (strstr(origin, "https:") != NULL || settings.tls_certificate[0]));
	return line;
}

TEST(a_login_is_known_by_its_cookie_until_the_logout)
{
	char cookie[ACCESS_COOKIE_BYTES];
	const char *line;
	struct visitor v;

	load_tokens();
	line = log_in_as("all", HOST ORIGIN);
	ck_assert_uint_eq(check_request("GET", line, &v).status, 0);
	ck_assert_int_eq(v.show, SHOW_EVENTS);
	ck_assert(v.logged_in);
	ck_assert(access_goes_on(&gate, &v));
	ck_assert_uint_eq(access_session_count(&gate), 1);
	access_logout(&gate, &v, cookie);
	ck_assert_ptr_nonnull(strstr(cookie, "leat=; Path=/; Max-Age=0"));
	ck_assert(!access_goes_on(&gate, &v));
	(void)check_request("GET", line, &v);
	ck_assert_int_eq(v.show, SHOW_FIGURES);
	ck_assert_uint_eq(access_session_count(&gate), 0);
}

TEST(the_cookie_is_secure_with_tls)
{
	load_tokens();
	(void)log_in_as("all", HOST "Origin: https://localhost:8090\r\n");
	settings.tls_certificate = tls_file;
	ck_assert_ptr_nonnull(
	    strstr(log_in_as("all", HOST ORIGIN), "__Host-leat="));
}

TEST(a_reload_ends_all_sessions)
{
	struct visitor v, everyone;
	const char *line;

	load_tokens();
	line = log_in_as("types", HOST ORIGIN);
	(void)check_request("GET", line, &v);
	(void)check_request("GET", HOST, &everyone);
	ck_assert(v.logged_in);
	load_tokens();
	ck_assert(!access_goes_on(&gate, &v));
	ck_assert(access_goes_on(&gate, &everyone));
	(void)check_request("GET", line, &v);
	ck_assert(!v.logged_in);
}

TEST(a_reload_ends_what_a_token_was_sent_for)
{
	static char no_such_file[] = "/nonexistent";
	struct visitor v;

	load_tokens();
	(void)check_request("GET", HOST "Authorization: Bearer all\r\n", &v);
	ck_assert_int_eq(v.show, SHOW_EVENTS);
	ck_assert(access_goes_on(&gate, &v));
	settings.tokens_file = no_such_file;
	ck_assert_int_lt(access_load(&gate, NULL), 0);
	ck_assert(access_goes_on(&gate, &v));
	settings.tokens_file = path;
	ck_assert_int_eq(access_load(&gate, NULL), 0);
	ck_assert(!access_goes_on(&gate, &v));
}

TEST(a_thousand_wrong_tokens_are_tried_five_times)
{
	char cookie[ACCESS_COOKIE_BYTES];
	unsigned tried = 0;
	struct visitor v;

	load_tokens();
	for (int i = 0; i < 1000; i++) {
		struct refusal r;

		(void)check_request("POST", HOST ORIGIN, &v);
		r = access_login(&gate, slice_of("wrong"), &v, "192.0.2.1",
		                 cookie);
		ck_assert(r.status == 401 || r.status == 429);
		tried += r.status == 401;
		ck_assert((r.retry_s > 0) == (r.status == 429));
	}
	ck_assert_uint_eq(tried, LOGIN_FAILURES_MAX);
	ck_assert_uint_eq(gate.failures, LOGIN_FAILURES_MAX);
	/* The right token has to wait as well, and so has a script. */
	ck_assert_uint_eq(
	    access_login(&gate, slice_of("all"), &v, "192.0.2.1", cookie)
		.status,
	    429);
	ck_assert_uint_eq(
	    check_request("GET", HOST "Authorization: Bearer all\r\n", &v)
		.status,
	    429);
	ck_assert_uint_eq(
	    access_login(&gate, slice_of("all"), &v, "192.0.2.9", cookie)
		.status,
	    0);
}

TEST(a_token_of_a_sender_does_not_log_in)
{
	char cookie[ACCESS_COOKIE_BYTES];
	struct visitor v;

	load_tokens();
	(void)check_request("POST", HOST ORIGIN, &v);
	ck_assert_uint_eq(
	    access_login(&gate, slice_of("send"), &v, "192.0.2.1", cookie)
		.status,
	    401);
	ck_assert_uint_eq(
	    access_login(&gate, slice_of(""), &v, "192.0.2.1", cookie).status,
	    401);
}
