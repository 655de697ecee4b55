/* settings - see settings.h. */
#include "sinkd-dashboard/settings.h"

#include <errno.h>
#include <stddef.h>

#include "libhttp/http_conf.h"
#include "sinkd-dashboard/host.h"

#define SECTION "sinkd-dashboard"
#define AT(field) offsetof(struct dashboard_settings, field)

static const char *const show_names[] = {
    [SHOW_FIGURES] = "figures",
    [SHOW_TYPES] = "types",
    [SHOW_EVENTS] = "events",
    NULL,
};

static const struct conf_key leat_keys[] = {
    {"socket", CONF_TEXT, AT(socket), "/run/leat/batchd.sock", 1, 107, NULL,
     "Unix socket on which batchd listens."},
    {0},
};

static const struct conf_key dashboard_keys[] = {
    {"listen", CONF_TEXT, AT(listen), "127.0.0.1", 2, 45, NULL,
     "IP address to listen on, not a name; :: or 0.0.0.0 for all."},
    {"port", CONF_INT, AT(port), "8090", 0, 65535, NULL,
     "TCP port; 0 takes a free port, which is logged."},
    {"tls_certificate", CONF_TEXT, AT(tls_certificate), "", 0, 1000, NULL,
     "PEM file with the certificate and its chain; empty: plain HTTP."},
    {"tls_key", CONF_TEXT, AT(tls_key), "", 0, 1000, NULL,
     "PEM file with the certificate's private key."},
    {"tokens_file", CONF_TEXT, AT(tokens_file), "", 0, 1000, NULL,
     "File with the tokens that may log in. If empty, no login is possible, "
     "the "
     "page shows figures only, and the address must be a loopback one."},
    {"show", CONF_CHOICE, AT(show), "events", 0, 0, show_names,
     "The most that the page shows after a login."},
    {"mask_users", CONF_BOOL, AT(mask_users), "no", 0, 0, NULL,
     "Show a keyed hash in place of each user_id."},
    {"hosts", CONF_TEXT, AT(hosts), "", 0, 1000, NULL,
     "Host names under which browsers reach the page, separated by spaces; "
     "localhost and IP addresses are always accepted."},
    {"max_viewers", CONF_INT, AT(max_viewers), "128", 1, 1000, NULL,
     "Most windows that show the page at the same time."},
    {"session_seconds", CONF_INT, AT(session_seconds), "43200", 1, 2592000,
     NULL, "How long a login lasts."},
    {"ingest_url", CONF_TEXT, AT(ingest_url), "http://127.0.0.1:8080/v1/events",
     0, 300, NULL,
     "URL that the page shows in its example of how to send an event; empty: "
     "no example."},
    {0},
};

const char *
show_name(enum show show)
{
	return show_names[show];
}

/* Other machines see nothing before the operator has chosen who may log in. */
static int
check_tokens(const struct conf_source *source,
             const struct dashboard_settings *s, bool loopback)
{
	if (http_conf_check_tokens(source, SECTION, s->tokens_file) < 0)
		return -EINVAL;
	if (s->tokens_file[0] || loopback)
		return 0;
	return conf_refuse(source, SECTION, "listen", s->listen,
	                   "any client that reaches it could see the figures; "
	                   "set tokens_file (`leat token NAME` makes a token), "
	                   "or listen = 127.0.0.1");
}

static int
dashboard_validate(const struct conf_source *source, void *arg)
{
	const struct dashboard_settings *s = arg;
	const char *why = host_check_list(s->hosts);
	bool loopback = false;
	int rc = http_conf_check_listen(source, SECTION, s->listen, &loopback);

	conf_warn_sections(source);
	if (rc == 0)
		rc = check_tokens(source, s, loopback);
	if (http_conf_check_tls(source, SECTION, s->tls_certificate,
	                        s->tls_key) < 0)
		rc = -EINVAL;
	if (why)
		rc = conf_refuse(source, SECTION, "hosts", s->hosts, "%s", why);
	return rc;
}

void
dashboard_settings_init(struct dashboard_settings *s,
                        struct conf_table tables[DASHBOARD_SETTINGS_TABLES],
                        struct conf_program *program)
{
	*s = (struct dashboard_settings){0};
	tables[0] = (struct conf_table){
	    .section = "leat", .keys = leat_keys, .into = s};
	tables[1] = (struct conf_table){
	    .section = SECTION, .keys = dashboard_keys, .into = s};
	*program = (struct conf_program){
	    .name = SECTION,
	    .summary = "Serves a web page that shows the events and the "
		       "pipeline as they are now.",
	    .tables = tables,
	    .table_count = DASHBOARD_SETTINGS_TABLES,
	    .validate = dashboard_validate,
	    .arg = s,
	};
}
