/*
 * settings - section [sinkd-dashboard], and [leat] for what all daemons share.
 */
#ifndef SINKD_DASHBOARD_SETTINGS_H
#define SINKD_DASHBOARD_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "libbase/conf.h"

/* What a viewer sees; each level includes those before it. */
enum show {
	SHOW_FIGURES, /* rates, lags, states, errors */
	SHOW_TYPES,   /* also the names of types */
	SHOW_EVENTS,  /* also users and events */
};

struct dashboard_settings {
	char *socket;                    /* batchd's */
	char *listen;                    /* address, numeric */
	int64_t port;                    /* 0: any free one */
	char *tls_certificate, *tls_key; /* both empty: plain HTTP */
	char *tokens_file;               /* empty: no login */
	int show; /* enum show: the most that any viewer sees */
	bool mask_users;
	char *hosts; /* separated by spaces */
	int64_t max_viewers;
	int64_t session_seconds;
	char *ingest_url; /* empty: the page shows no example */
};

#define DASHBOARD_SETTINGS_TABLES 2

/*
 * Initialize the settings, the tables that fill them, and the program.  They
 * point to each other, so the caller must not move them.
 */
void
dashboard_settings_init(struct dashboard_settings *s,
                        struct conf_table tables[DASHBOARD_SETTINGS_TABLES],
                        struct conf_program *program);

/* Return the name of a level: "figures", "types" or "events". */
const char *show_name(enum show show);

#endif
