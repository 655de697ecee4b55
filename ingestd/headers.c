/* headers - see headers.h. */
#include "ingestd/headers.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "libbase/base.h"

const char *
headers_get(struct MHD_Connection *c, const char *name)
{
	return MHD_lookup_connection_value(c, MHD_HEADER_KIND, name);
}

/* JSON when absent; text/plain is what a browser's sendBeacon sends. */
bool
headers_events_type(struct MHD_Connection *c, bool *ndjson)
{
	const char *type = headers_get(c, MHD_HTTP_HEADER_CONTENT_TYPE);
	static const struct {
		const char *name;
		bool ndjson;
	} known[] = {
	    {"application/json", false},     {"text/plain", false},
	    {"application/x-ndjson", true},  {"application/ndjson", true},
	    {"application/jsonlines", true},
	};
	size_t n;

	*ndjson = false;
	if (!type)
		return true;
	n = strcspn(type, "; \t");
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (strlen(known[i].name) != n ||
		    strncasecmp(type, known[i].name, n) != 0)
			continue;
		*ndjson = known[i].ndjson;
		return true;
	}
	return false;
}

uint64_t
headers_body_bytes(struct MHD_Connection *c)
{
	const char *text = headers_get(c, MHD_HTTP_HEADER_CONTENT_LENGTH);

	if (!text || headers_get(c, MHD_HTTP_HEADER_TRANSFER_ENCODING))
		return 0;
	/* libmicrohttpd has refused what is no number or overflows. */
	return strtoull(text, NULL, 10);
}

struct framing {
	unsigned lengths, codings;
};

static enum MHD_Result
count_framing(void *arg, enum MHD_ValueKind kind, const char *name,
              const char *value)
{
	struct framing *f = arg;

	(void)kind;
	(void)value;
	f->lengths += strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0;
	f->codings += strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0;
	return MHD_YES;
}

bool
headers_framing_sound(struct MHD_Connection *c)
{
	const char *coding = headers_get(c, MHD_HTTP_HEADER_TRANSFER_ENCODING);
	struct framing f = {0};

	/* Two of either, or one of each, smuggle requests in. */
	(void)MHD_get_connection_values(c, MHD_HEADER_KIND, count_framing, &f);
	if (coding)
		return f.lengths == 0 && f.codings == 1 &&
		       strcasecmp(coding, "chunked") == 0;
	return f.lengths <= 1;
}
