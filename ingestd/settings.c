/* settings - see settings.h. */
#include "ingestd/settings.h"

#include <errno.h>

#include "libhttp/cors.h"
#include "libhttp/http_conf.h"
#include "libproto/event.h"

/* Most bytes by which a packed event can be longer than its JSON. */
#define EVENT_EXTRA_BYTES 64

static const char *const unknown_fields[] = {"reject", "ignore", NULL};

#define AT(field) offsetof(struct ingestd_settings, field)

static const struct conf_key leat_keys[] = {
    {"socket", CONF_TEXT, AT(socket), "/run/leat/batchd.sock", 1, 107, NULL,
     "Unix socket on which batchd listens."},
    {0},
};

static const struct conf_key ingestd_keys[] = {
    {"listen", CONF_TEXT, AT(listen), "127.0.0.1", 2, 45, NULL,
     "IP address to listen on, not a name; :: or 0.0.0.0 for all."},
    {"port", CONF_INT, AT(port), "8080", 0, 65535, NULL,
     "TCP port; 0 takes a free port, which is logged."},
    {"tokens_file", CONF_TEXT, AT(tokens_file), "", 0, 1000, NULL,
     "File with the tokens that may send. If empty, any client that reaches "
     "the port may send, and the address must be a loopback one."},
    {"allow_anonymous", CONF_BOOL, AT(allow_anonymous), "no", 0, 0, NULL,
     "Accept events without a token on any address."},
    {"metrics_open", CONF_BOOL, AT(metrics_open), "no", 0, 0, NULL,
     "Show /metrics without a token even if there are tokens."},
    {"cors_origins", CONF_TEXT, AT(cors_origins), "", 0, 1000, NULL,
     "Origins of the web pages that may send, separated by spaces; * for all; "
     "empty: no CORS."},
    {"tls_certificate", CONF_TEXT, AT(tls_certificate), "", 0, 1000, NULL,
     "PEM file with the certificate and its chain; empty: plain HTTP."},
    {"tls_key", CONF_TEXT, AT(tls_key), "", 0, 1000, NULL,
     "PEM file with the certificate's private key."},
    {"max_body_bytes", CONF_SIZE, AT(max_body_bytes), "8M", 1024, 64 << 20,
     NULL, "Largest request body, before and after unpacking."},
    {"max_event_bytes", CONF_SIZE, AT(max_event_bytes), "64K", 256,
     EVENT_PACKED_MAX, NULL, "Largest event, packed."},
    {"max_request_events", CONF_INT, AT(max_request_events), "100000", 1,
     1000000, NULL, "Most events in one request."},
    {"max_pending_bytes", CONF_SIZE, AT(max_pending_bytes), "32M", 64 << 10,
     INT64_C(4) << 30, NULL,
     "Most bytes held for all requests together; beyond it senders get 503."},
    {"max_header_bytes", CONF_SIZE, AT(max_header_bytes), "16K", 1024, 1 << 20,
     NULL, "Largest request line and headers together."},
    {"max_connections", CONF_INT, AT(max_connections), "10000", 1, 1000000,
     NULL, "Most open connections; further ones wait in the backlog."},
    {"address_share_percent", CONF_INT, AT(address_share_percent), "25", 1, 100,
     NULL,
     "When connections run short, an address that holds more than this share "
     "of max_connections loses its oldest ones first."},
    {"idle_timeout_ms", CONF_INT, AT(idle_timeout_ms), "75000", 100, 86400000,
     NULL, "Close a connection that has had no request for this long."},
    {"header_timeout_ms", CONF_INT, AT(header_timeout_ms), "10000", 100,
     86400000, NULL,
     "Longest time for a TLS handshake, and for receiving a request line and "
     "headers."},
    {"request_timeout_ms", CONF_INT, AT(request_timeout_ms), "60000", 100,
     86400000, NULL,
     "Longest time for receiving a body, and for the client to read an "
     "answer."},
    {"append_timeout_ms", CONF_INT, AT(append_timeout_ms), "10000", 10, 600000,
     NULL,
     "Longest wait until events are durable; after it the answer is 504."},
    {"drain_ms", CONF_INT, AT(drain_ms), "5000", 0, 600000, NULL,
     "At SIGTERM, longest wait for answers that are due."},
    {"unknown_fields", CONF_CHOICE, AT(unknown_fields), "reject", 0, 0,
     unknown_fields, "What to do with an event that has an unknown field."},
    {"partial", CONF_BOOL, AT(partial), "no", 0, 0, NULL,
     "Accept the good events of a request that also has bad ones."},
    {0},
};

/* Other machines may send without a token only if allow_anonymous is set. */
static int
check_tokens(const struct conf_source *source, const struct ingestd_settings *s,
             bool loopback)
{
	if (http_conf_check_tokens(source, "ingestd", s->tokens_file) < 0)
		return -EINVAL;
	if (s->tokens_file[0])
		return 0;
	if (s->allow_anonymous || loopback)
		return 0;
	return conf_refuse(
	    source, "ingestd", "listen", s->listen,
	    "any client that reaches it could send; set tokens_file "
	    "(`leat token NAME` makes a token), or listen = "
	    "127.0.0.1, or allow_anonymous = yes");
}

static int
check_cors(const struct conf_source *source, const struct ingestd_settings *s)
{
	const char *why = cors_check(s->cors_origins);

	return why ? conf_refuse(source, "ingestd", "cors_origins",
	                         s->cors_origins, "%s", why)
	           : 0;
}

/* Return the bytes of the events of the largest request, packed. */
static int64_t
largest_request(const struct ingestd_settings *s)
{
	return s->max_body_bytes + EVENT_EXTRA_BYTES * s->max_request_events;
}

size_t
ingestd_settings_max_received_bytes(const struct ingestd_settings *s)
{
	return (size_t)(s->max_pending_bytes - largest_request(s));
}

/* The largest request must fit the budget, or it would always get 503. */
static int
check_budget(const struct conf_source *source, const struct ingestd_settings *s)
{
	char value[CONF_SIZE_TEXT], least[CONF_SIZE_TEXT];
	int64_t need = s->max_body_bytes + largest_request(s);

	if (s->max_pending_bytes >= need)
		return 0;
	need = (need + (int64_t)KIB - 1) / (int64_t)KIB * (int64_t)KIB;
	return conf_refuse(source, "ingestd", "max_pending_bytes",
	                   conf_size_text(s->max_pending_bytes, value),
	                   "must be at least %s, twice max_body_bytes and %d "
	                   "for each of max_request_events",
	                   conf_size_text(need, least), EVENT_EXTRA_BYTES);
}

static int
validate(const struct conf_source *source, void *arg)
{
	const struct ingestd_settings *s = arg;
	bool loopback = false;
	int rc;

	conf_warn_sections(source);
	rc = http_conf_check_listen(source, "ingestd", s->listen, &loopback);
	if (rc == 0)
		rc = check_tokens(source, s, loopback);
	if (http_conf_check_tls(source, "ingestd", s->tls_certificate,
	                        s->tls_key) < 0)
		rc = -EINVAL;
	else if (s->tokens_file[0] && !s->tls_certificate[0] && !loopback)
		conf_warn(
		    source, "ingestd", "tokens_file", NULL,
		    "without tls_certificate and tls_key, tokens and "
		    "events can be read on the way; a proxy with TLS "
		    "should be the only client that reaches this address");
	if (check_cors(source, s) < 0)
		rc = -EINVAL;
	if (check_budget(source, s) < 0)
		rc = -EINVAL;
	return rc;
}

void
ingestd_settings_init(struct ingestd_settings *s,
                      struct conf_table tables[INGESTD_SETTINGS_TABLES],
                      struct conf_program *program)
{
	*s = (struct ingestd_settings){0};
	tables[0] = (struct conf_table){
	    .section = "leat", .keys = leat_keys, .into = s};
	tables[1] = (struct conf_table){
	    .section = "ingestd", .keys = ingestd_keys, .into = s};
	*program = (struct conf_program){
	    .name = "ingestd",
	    .summary =
		"Receives events over HTTP and answers once they are durable.",
	    .tables = tables,
	    .table_count = INGESTD_SETTINGS_TABLES,
	    .validate = validate,
	    .arg = s,
	};
}
