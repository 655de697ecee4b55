/*
 * mask - show a keyed hash in place of a user.
 *
 * The mask of a user is the beginning of HMAC-SHA-256 under a random key, which
 * lives as long as the process: it is the same wherever the user appears, and
 * a viewer cannot compute the mask of a user.
 */
#ifndef SINKD_DASHBOARD_MASK_H
#define SINKD_DASHBOARD_MASK_H

#include <nettle/hmac.h>

#include "libbase/base.h"
#include "libbase/slice.h"

#define MASK_TEXT_BYTES 8 /* hexadecimal digits */

struct mask {
	struct hmac_sha256_ctx hmac;
	char text[MASK_TEXT_BYTES + 1]; /* of the last mask_user */
};

/* Returns 0, or -errno if the kernel has no random bytes. */
MUST_USE int mask_init(struct mask *m);

/* Return the mask of a user, valid until the next call. */
struct slice mask_user(struct mask *m, struct slice user);

#endif
