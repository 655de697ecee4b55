/* settings - the section [sinkd-postgres]: its keys and their checks. */
#ifndef SINKD_POSTGRES_SETTINGS_H
#define SINKD_POSTGRES_SETTINGS_H

#include <stdbool.h>

#include "libbase/conf.h"
#include "libbase/conf_source.h"

#define PASSWORD_MAX 256

struct postgres_settings {
	char *conninfo, *host, *port, *dbname, *user, *password_file;
	char *sslrootcert;
	int sslmode; /* index into postgres_sslmodes */
	char *table, *position_table;
	bool create_table, dedup_by_id;
};

/*
 * The values of sslmode, ending with NULL.  The first one is empty and means
 * the default of libpq, or the value in conninfo.
 */
extern const char *const postgres_sslmodes[];

/* The keys of the section, into struct postgres_settings. */
extern const struct conf_key postgres_keys[];

/* Implements struct sink's check. */
int postgres_check(const struct conf_source *source, const void *conf);

#endif
