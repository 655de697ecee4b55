/* stats - see stats.h. */
#include "libsink/stats.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <msgpack.h>

#include "libbase/clock.h"

struct map {
	uint8_t *out;
	size_t used;
};

static int
on_write(void *data, const char *bytes, size_t len)
{
	struct map *m = data;

	/* All that goes in is bounded by struct stats. */
	assert(len <= STATS_MAP_MAX - m->used);
	memcpy(m->out + m->used, bytes, len);
	m->used += len;
	return 0;
}

static void
put_text(msgpack_packer *pk, const char *key, const char *value)
{
	(void)msgpack_pack_str_with_body(pk, key, strlen(key));
	(void)msgpack_pack_str_with_body(pk, value, strlen(value));
}

static void
put_number(msgpack_packer *pk, const char *key, uint64_t value)
{
	(void)msgpack_pack_str_with_body(pk, key, strlen(key));
	(void)msgpack_pack_uint64(pk, value);
}

static const char *
state_name(enum stats_state state)
{
	switch (state) {
	case STATS_STARTING:
		return "starting";
	case STATS_IDLE:
		return "idle";
	case STATS_WRITING:
		return "writing";
	case STATS_RETRYING:
		return "retrying";
	case STATS_SETUP:
		return "setup";
	case STATS_FENCED:
		return "fenced";
	}
	return "?";
}

void
stats_error(struct stats *s, enum stats_state state, const char *text)
{
	if (s->error[0] == '\0')
		s->error_since_us = clock_wall_us();
	s->state = state;
	(void)snprintf(s->error, sizeof s->error, "%s", text);
	if (s->error[0] == '\0')
		(void)snprintf(s->error, sizeof s->error, "unknown");
}

void
stats_well(struct stats *s, enum stats_state state)
{
	s->state = state;
	s->error[0] = '\0';
	s->error_since_us = 0;
}

size_t
stats_pack(const struct stats *s, uint8_t out[STATS_MAP_MAX])
{
	struct map m = {.out = out};
	msgpack_packer pk;

	msgpack_packer_init(&pk, &m, on_write);
	(void)msgpack_pack_map(&pk, 9);
	put_text(&pk, "state", state_name(s->state));
	put_number(&pk, "events", s->events);
	put_number(&pk, "batches", s->batches);
	put_number(&pk, "bytes", s->bytes);
	put_number(&pk, "retries", s->retries);
	put_number(&pk, "dead_letters", s->dead_letters);
	put_number(&pk, "set_aside", s->set_aside);
	put_text(&pk, "error", s->error);
	put_number(&pk, "error_since_us", (uint64_t)s->error_since_us);
	return m.used;
}
