/*
 * admit - who sends a request, and whether that one may.
 */
#ifndef INGESTD_ADMIT_H
#define INGESTD_ADMIT_H

#include <stdbool.h>
#include <stdint.h>

#include <microhttpd.h>

#include "ingestd/replies.h"
#include "ingestd/settings.h"
#include "ingestd/tokens.h"
#include "libbase/base.h"
#include "libbase/log.h"

struct admission {
	const struct settings *settings;
	const struct tokens *tokens;
	uint64_t *unauthorized; /* counts requests without a good token */
	struct log_limit log;
};

/*
 * Whether c's request, for /metrics or to send events, is let in.  Returns
 * REPLY_OK, or why not.  *token gets a reference to the token it came with,
 * also when that is not for this; it stays NULL when there is none.
 */
MUST_USE enum fixed_reply admit(struct admission *a, struct MHD_Connection *c,
                                bool metrics, struct token **token);

#endif
