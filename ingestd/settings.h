/*
 * settings - section [ingestd], and [leat] for what all daemons share.
 */
#ifndef INGESTD_SETTINGS_H
#define INGESTD_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/conf.h"

enum unknown_fields { UNKNOWN_REJECT, UNKNOWN_IGNORE };

struct ingestd_settings {
	char *socket;      /* batchd's */
	char *listen;      /* address, numeric */
	int64_t port;      /* 0: any free one */
	char *tokens_file; /* empty: no tokens */
	bool allow_anonymous;
	bool metrics_open;
	char *cors_origins;
	char *tls_certificate, *tls_key; /* both empty: plain HTTP */
	int64_t max_body_bytes;
	int64_t max_event_bytes;
	int64_t max_request_events;
	int64_t max_pending_bytes;
	int64_t max_header_bytes;
	int64_t max_connections;
	int64_t address_share_percent;
	int64_t idle_timeout_ms;
	int64_t header_timeout_ms;
	int64_t request_timeout_ms;
	int64_t append_timeout_ms;
	int64_t drain_ms;
	int unknown_fields; /* enum unknown_fields */
	bool partial;
};

#define INGESTD_SETTINGS_TABLES 2

/*
 * Return the part of max_pending_bytes that requests may fill while they are
 * received.  The rest is reserved for the events of one request of the largest
 * size, so that slow senders cannot use up all of it.
 */
size_t ingestd_settings_max_received_bytes(const struct ingestd_settings *s);

/*
 * Initialize the settings, the tables that fill them, and the program.  They
 * point to each other, so the caller must not move them.
 */
void ingestd_settings_init(struct ingestd_settings *s,
                           struct conf_table tables[INGESTD_SETTINGS_TABLES],
                           struct conf_program *program);

#endif
