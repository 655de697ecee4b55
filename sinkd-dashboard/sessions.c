/* sessions - see sessions.h. */
#include "sinkd-dashboard/sessions.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "libbase/hex.h"

/* An unused slot, or that of the oldest session. */
static struct session *
session_slot(struct sessions *s)
{
	struct session *oldest = &s->list[0];

	for (size_t i = 1; i < SESSIONS_MAX; i++) {
		if (s->list[i].serial < oldest->serial)
			oldest = &s->list[i];
	}
	return oldest;
}

const struct session *
session_begin(struct sessions *s, const struct token *token, uint64_t until_ms,
              char out[SESSION_TEXT_BYTES + 1])
{
	struct session *slot = session_slot(s);
	uint8_t id[SESSION_ID_BYTES];

	if (getrandom(id, sizeof id, 0) != (ssize_t)sizeof id)
		return NULL;
	*slot = (struct session){.serial = ++s->last_serial,
	                         .until_ms = until_ms,
	                         .sees_events = token->sees_events};
	memcpy(slot->id, id, sizeof id);
	(void)snprintf(slot->name, sizeof slot->name, "%s", token->name);
	for (size_t i = 0; i < sizeof id; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", id[i]);
	explicit_bzero(id, sizeof id);
	return slot;
}

static bool
read_id(struct slice text, uint8_t id[SESSION_ID_BYTES])
{
	if (text.bytes != SESSION_TEXT_BYTES)
		return false;
	for (size_t i = 0; i < SESSION_ID_BYTES; i++) {
		int high = hex_digit(text.data[2 * i]);
		int low = hex_digit(text.data[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		id[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

const struct session *
session_find(const struct sessions *s, struct slice text, uint64_t now_ms)
{
	uint8_t id[SESSION_ID_BYTES];
	const struct session *found = NULL;

	if (!read_id(text, id))
		return NULL;
	/* All are compared whole, so that the time reveals nothing of an id. */
	for (size_t i = 0; i < SESSIONS_MAX; i++) {
		const struct session *session = &s->list[i];
		uint8_t differ = 0;

		for (size_t b = 0; b < SESSION_ID_BYTES; b++)
			differ |= session->id[b] ^ id[b];
		if (differ == 0 && session->serial > 0 &&
		    now_ms < session->until_ms)
			found = session;
	}
	return found;
}

const struct session *
session_get(const struct sessions *s, uint64_t serial, uint64_t now_ms)
{
	for (size_t i = 0; serial > 0 && i < SESSIONS_MAX; i++) {
		if (s->list[i].serial == serial && now_ms < s->list[i].until_ms)
			return &s->list[i];
	}
	return NULL;
}

void
session_end(struct sessions *s, uint64_t serial)
{
	for (size_t i = 0; serial > 0 && i < SESSIONS_MAX; i++) {
		if (s->list[i].serial == serial)
			explicit_bzero(&s->list[i], sizeof s->list[i]);
	}
}

void
sessions_end_all(struct sessions *s)
{
	explicit_bzero(s->list, sizeof s->list);
}
