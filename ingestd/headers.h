/*
 * headers - what a request's headers say.
 */
#ifndef INGESTD_HEADERS_H
#define INGESTD_HEADERS_H

#include <stdbool.h>
#include <stdint.h>

#include <microhttpd.h>

/* A header's value, as long as the request lives; NULL when there is none. */
const char *headers_get(struct MHD_Connection *c, const char *name);

/* Whether the body may hold events by its type, and in which form. */
bool headers_events_type(struct MHD_Connection *c, bool *ndjson);

/* The announced length of the body; 0 when there is none or it is unknown. */
uint64_t headers_body_bytes(struct MHD_Connection *c);

/* Whether the framing of the body is sound; if not, the connection is not. */
bool headers_framing_sound(struct MHD_Connection *c);

#endif
