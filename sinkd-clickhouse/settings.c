/* settings - see settings.h. */
#include "sinkd-clickhouse/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/secret.h"
#include "sinkd-clickhouse/http.h"

#define SECTION "sinkd-clickhouse"
#define URLS_MAX 16

static const char *const compressions[] = {"none", "gzip", NULL};

#define KEY(field) offsetof(struct clickhouse_conf, field)
const struct conf_key clickhouse_keys[] = {
    {"url", CONF_TEXT, KEY(url), "http://127.0.0.1:8123", 1, 4096, NULL,
     "HTTP interface of the server; several, separated by spaces, are tried in "
     "turn and must be replicas of one table."},
    {"database", CONF_TEXT, KEY(database), "default", 1, 128, NULL,
     "Database of the table."},
    {"table", CONF_TEXT, KEY(table), "events", 1, 128, NULL,
     "Table to insert into, without its database."},
    {"user", CONF_TEXT, KEY(user), "default", 1, 128, NULL,
     "User to insert as."},
    {"password_file", CONF_TEXT, KEY(password_file), "", 0, 1024, NULL,
     "File whose first line is the password; empty: environment variable "
     "LEAT_CLICKHOUSE_PASSWORD, or none."},
    {"ca_file", CONF_TEXT, KEY(ca_file), "", 0, 1024, NULL,
     "Certificates with which an https server is checked; empty: the "
     "system's."},
    {"create_table", CONF_BOOL, KEY(create_table), "no", 0, 0, NULL,
     "Create the table if it does not exist."},
    {"compression", CONF_CHOICE, KEY(compression), "none", 0, 0, compressions,
     "How to compress the rows that are sent."},
    {"connect_timeout_ms", CONF_INT, KEY(connect_timeout_ms), "2000", 10, 60000,
     NULL, "Time to connect to one server before the next is tried."},
    {0},
};
#undef KEY

int
clickhouse_nth_url(const char *list, unsigned index,
                   char out[CH_CLIENT_URL_MAX])
{
	size_t n;

	for (;;) {
		list += strspn(list, " \t");
		n = strcspn(list, " \t");
		if (n == 0)
			return 0;
		if (index-- == 0)
			break;
		list += n;
	}
	if (strncmp(list, "http://", 7) != 0 &&
	    strncmp(list, "https://", 8) != 0)
		return -EINVAL;
	/*
	 * The sink adds a query of its own.  A user or password in the URL
	 * would appear in logs.
	 */
	if (memchr(list, '?', n) || memchr(list, '#', n) ||
	    memchr(list, '@', n))
		return -EINVAL;
	while (n > 0 && list[n - 1] == '/')
		n--;
	if (n + 2 > CH_CLIENT_URL_MAX)
		return -EINVAL;
	memcpy(out, list, n);
	out[n] = '/';
	out[n + 1] = '\0';
	return (int)n + 1;
}

/* Warn if others on the network can read the password. */
static void
clickhouse_warn_of_settings(const struct conf_source *source,
                            const struct clickhouse_conf *conf)
{
	static const char plain[] = "http://";
	char url[CH_CLIENT_URL_MAX];

	if (!conf->password_file[0] && !getenv(CLICKHOUSE_PASSWORD_ENV))
		return;
	for (unsigned i = 0; clickhouse_nth_url(conf->url, i, url) > 0; i++) {
		char *host = url + sizeof plain - 1;

		if (strncmp(url, plain, sizeof plain - 1) != 0)
			continue;
		host[strcspn(host, "/")] = '\0';
		if (!secret_stays_local(host))
			conf_warn(source, SECTION, "url", url,
			          "the password is sent over a connection "
			          "that is not encrypted; use https://");
	}
}

static int
check_urls(const struct conf_source *source, const char *list)
{
	char url[CH_CLIENT_URL_MAX];
	unsigned count = 0;
	int rc;

	while ((rc = clickhouse_nth_url(list, count, url)) > 0) {
		const char *why = ch_http_check_url(url);

		if (why)
			return conf_refuse(source, SECTION, "url", url, "%s",
			                   why);
		conf_warn_quotes(source, SECTION, "url", url);
		count++;
	}
	if (rc == 0 && count > 0 && count <= URLS_MAX)
		return 0;
	/* The value is not shown, since it may contain a password. */
	return conf_refuse(source, SECTION, "url", NULL,
	                   "must be 1 to %d of http://host:port or "
	                   "https://host:port, separated by spaces, without "
	                   "quotes, user, password or query",
	                   URLS_MAX);
}

int
clickhouse_check(const struct conf_source *source, const void *vconf)
{
	const struct clickhouse_conf *conf = vconf;
	int rc = check_urls(source, conf->url);

	if (rc == 0)
		clickhouse_warn_of_settings(source, conf);
	if (strchr(conf->table, '.'))
		rc = conf_refuse(source, SECTION, "table", conf->table,
		                 "must be a name without a dot: database is "
		                 "a key of its own");
	if (secret_check_password(source, SECTION, conf->password_file,
	                          CLICKHOUSE_PASSWORD_MAX) < 0)
		rc = -EINVAL;
	if (conf_check_file(source, SECTION, "ca_file", conf->ca_file) < 0)
		rc = -EINVAL;
	return rc;
}
