/* mask - see mask.h. */
#include "sinkd-dashboard/mask.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

int
mask_init(struct mask *m)
{
	uint8_t key[SHA256_DIGEST_SIZE];

	if (getrandom(key, sizeof key, 0) != (ssize_t)sizeof key)
		return -errno;
	hmac_sha256_set_key(&m->hmac, sizeof key, key);
	explicit_bzero(key, sizeof key);
	return 0;
}

struct slice
mask_user(struct mask *m, struct slice user)
{
	uint8_t digest[MASK_TEXT_BYTES / 2];

	hmac_sha256_update(&m->hmac, user.bytes, (const uint8_t *)user.data);
	/* This also makes the context ready for the next text. */
	hmac_sha256_digest(&m->hmac, sizeof digest, digest);
	for (size_t i = 0; i < sizeof digest; i++)
		(void)snprintf(m->text + 2 * i, 3, "%02x", digest[i]);
	return (struct slice){m->text, MASK_TEXT_BYTES};
}
