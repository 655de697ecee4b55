/* settings - see settings.h. */
#include "ingestd/settings.h"

#include <errno.h>
#include <inttypes.h>

#include "libbase/log.h"
#include "libproto/event.h"

/* A packed event with nothing in it: what each may add to its JSON. */
#define EVENT_EXTRA_BYTES 64

static const char *const unknown_fields[] = {"reject", "ignore", NULL};

#define AT(field) offsetof(struct settings, field)

static const struct conf_key leat_keys[] = {
    {"socket", CONF_TEXT, AT(socket), "/run/leat/batchd.sock", 1, 107, NULL,
     "Unix socket where batchd listens."},
    {0},
};

static const struct conf_key ingestd_keys[] = {
    {"listen", CONF_TEXT, AT(listen), "127.0.0.1", 2, 45, NULL,
     "Address to listen at; :: or 0.0.0.0 for all."},
    {"port", CONF_INT, AT(port), "8080", 0, 65535, NULL,
     "TCP port; 0 takes a free one and says which."},
    {"max_body_bytes", CONF_SIZE, AT(max_body_bytes), "8M", 1024, 64 << 20,
     NULL, "Largest request body, also after unpacking."},
    {"max_event_bytes", CONF_SIZE, AT(max_event_bytes), "64K", 256,
     EVENT_PACKED_MAX, NULL, "Largest event, packed."},
    {"max_request_events", CONF_INT, AT(max_request_events), "100000", 1,
     1000000, NULL, "Most events in one request."},
    {"max_pending_bytes", CONF_SIZE, AT(max_pending_bytes), "32M", 64 << 10,
     INT64_C(4) << 30, NULL,
     "Most bytes held for requests at once; beyond it senders get 503."},
    {"max_header_bytes", CONF_SIZE, AT(max_header_bytes), "16K", 1024, 1 << 20,
     NULL, "Longest request line and headers together."},
    {"max_connections", CONF_INT, AT(max_connections), "10000", 1, 1000000,
     NULL, "Most connections at once; further ones wait in the backlog."},
    {"idle_timeout_ms", CONF_INT, AT(idle_timeout_ms), "75000", 1000, 86400000,
     NULL,
     "Close a connection that sends nothing for so long (whole seconds)."},
    {"append_timeout_ms", CONF_INT, AT(append_timeout_ms), "10000", 10, 600000,
     NULL, "Longest wait for durability; after it the answer is 503."},
    {"drain_ms", CONF_INT, AT(drain_ms), "5000", 0, 600000, NULL,
     "At SIGTERM, longest wait for answers that are due."},
    {"unknown_fields", CONF_CHOICE, AT(unknown_fields), "reject", 0, 0,
     unknown_fields, "What becomes of an event with an unknown field."},
    {"partial", CONF_BOOL, AT(partial), "no", 0, 0, NULL,
     "Take the good events of a request that has bad ones too."},
    {0},
};

/* The largest request must fit the budget, or it could never be taken. */
static int
validate(void *arg)
{
	const struct settings *s = arg;
	int64_t need =
	    2 * s->max_body_bytes + EVENT_EXTRA_BYTES * s->max_request_events;

	if (s->max_pending_bytes >= need)
		return 0;
	log_error("settings refused: [ingestd] max_pending_bytes = %" PRId64
	          ": must be at least %" PRId64
	          ", twice max_body_bytes and %d for each of "
	          "max_request_events",
	          s->max_pending_bytes, need, EVENT_EXTRA_BYTES);
	return -EINVAL;
}

void
settings_init(struct settings *s, struct conf_table tables[SETTINGS_TABLES],
              struct conf_program *program)
{
	*s = (struct settings){0};
	tables[0] = (struct conf_table){"leat", leat_keys, s, NULL};
	tables[1] = (struct conf_table){"ingestd", ingestd_keys, s, NULL};
	*program = (struct conf_program){
	    .name = "ingestd",
	    .summary = "Takes events over HTTP and answers when they are kept.",
	    .tables = tables,
	    .table_count = SETTINGS_TABLES,
	    .validate = validate,
	    .arg = s,
	};
}
