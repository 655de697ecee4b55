/*
 * sessions - who is logged in.
 *
 * A session is known by 256 random bits in a cookie.  Sessions are in memory
 * only, so a restart ends all of them.  There is room for SESSIONS_MAX; one
 * more takes the room of the oldest.
 */
#ifndef SINKD_DASHBOARD_SESSIONS_H
#define SINKD_DASHBOARD_SESSIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libbase/slice.h"
#include "libhttp/tokens.h"

#define SESSIONS_MAX 128
#define SESSION_ID_BYTES 32
#define SESSION_TEXT_BYTES (2 * SESSION_ID_BYTES) /* the id in hexadecimal */

struct session {
	uint64_t serial; /* from 1, in the order of the logins; 0: unused */
	uint64_t until_ms;
	uint8_t id[SESSION_ID_BYTES];
	char name[TOKEN_NAME_MAX + 1]; /* of the token */
	bool sees_events;
};

/* All zero: none. */
struct sessions {
	uint64_t last_serial;
	struct session list[SESSIONS_MAX];
};

/*
 * Begin a session of this token, which ends at until_ms, and write the text
 * for its cookie with a NUL to out.  Returns the session, which the next call
 * may end, or NULL if the kernel has no random bytes.
 */
const struct session *session_begin(struct sessions *s,
                                    const struct token *token,
                                    uint64_t until_ms,
                                    char out[SESSION_TEXT_BYTES + 1]);

/* Return the session whose cookie has this text, or NULL if it is over. */
const struct session *session_find(const struct sessions *s, struct slice text,
                                   uint64_t now_ms);

/* Return the session of this serial number, or NULL if it is over. */
const struct session *session_get(const struct sessions *s, uint64_t serial,
                                  uint64_t now_ms);

void session_end(struct sessions *s, uint64_t serial);
void sessions_end_all(struct sessions *s);

#endif
