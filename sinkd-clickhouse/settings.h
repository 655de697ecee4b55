/* settings - the section [sinkd-clickhouse]: its keys and their checks. */
#ifndef SINKD_CLICKHOUSE_SETTINGS_H
#define SINKD_CLICKHOUSE_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "libbase/conf.h"
#include "libbase/conf_source.h"
#include "sinkd-clickhouse/client.h"

#define CLICKHOUSE_PASSWORD_MAX 256
#define CLICKHOUSE_PASSWORD_ENV "LEAT_CLICKHOUSE_PASSWORD"

enum clickhouse_compression { COMPRESSION_NONE, COMPRESSION_GZIP };

struct clickhouse_conf {
	char *url; /* one or more, separated by spaces */
	char *database;
	char *table;
	char *user;
	char *password_file;
	char *ca_file;
	bool create_table;
	int compression; /* enum clickhouse_compression */
	int64_t connect_timeout_ms;
};

/* The keys of the section, into struct clickhouse_conf. */
extern const struct conf_key clickhouse_keys[];

/* Implements struct sink's check. */
int clickhouse_check(const struct conf_source *source, const void *conf);

/*
 * Copy the index-th URL of the list to `out`, with one '/' at its end.  Returns
 * its length, 0 if the list has no more, or -EINVAL if it is not a URL that can
 * be used.
 */
int clickhouse_nth_url(const char *list, unsigned index,
                       char out[CH_CLIENT_URL_MAX]);

#endif
