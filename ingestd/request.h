/*
 * request - one HTTP request: where it goes, its body, its answer.
 *
 * A body is read to its end, or thrown away as it comes, before the answer
 * goes out, also when the answer is no: so the connection stays usable.
 * There are two ends to this patience.  A body announced as larger than twice
 * max_body_bytes is answered at once, and one without an announced length is
 * cut when it has passed that; both close the connection.
 */
#ifndef INGESTD_REQUEST_H
#define INGESTD_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include <microhttpd.h>

#include "ingestd/accept.h"
#include "ingestd/admit.h"
#include "ingestd/budget.h"
#include "ingestd/http.h"
#include "ingestd/metrics.h"
#include "ingestd/replies.h"
#include "ingestd/settings.h"
#include "ingestd/upstream.h"

struct request;

/* What requests share. */
struct requests {
	const struct settings *settings;
	struct http *http;
	struct upstream *upstream;
	struct accept *accept;
	struct metrics *metrics;
	struct budget *budget;
	struct counters *counters;
	struct admission admission;
	bool stopping; /* no further events are taken */

	struct MHD_Response *fixed[REPLY_COUNT];
	struct request *spare; /* with the memory of their bodies */
	unsigned spare_count;
	size_t spare_bytes;
	unsigned suspended;
};

/* Fill in the pointers first.  Returns 0 or -ENOMEM; close even so. */
MUST_USE int requests_open(struct requests *rs);
void requests_close(struct requests *rs);

/* Hooks for http and upstream. */
enum MHD_Result requests_on_request(void *arg, struct MHD_Connection *c,
                                    const char *url, const char *method,
                                    const char *version, const char *upload,
                                    size_t *upload_bytes, void **request);
void requests_on_completed(void *arg, void *request);
void request_on_done(void *owner, int rc, uint64_t offset);

#endif
