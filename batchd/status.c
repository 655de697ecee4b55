/* status - the map of `leat status`; its keys are in docs/protocol.md. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <msgpack.h>

#include "batchd/server.h"
#include "libbase/clock.h"

static int
on_write(void *data, const char *bytes, size_t len)
{
	return buf_add(data, bytes, len);
}

/* What these return is on_write's: out is looked at in the end. */

static void
put_key(msgpack_packer *pk, const char *key)
{
	(void)msgpack_pack_str_with_body(pk, key, strlen(key));
}

static void
put_uint(msgpack_packer *pk, const char *key, uint64_t value)
{
	put_key(pk, key);
	(void)msgpack_pack_uint64(pk, value);
}

static void
put_text(msgpack_packer *pk, const char *key, const char *value)
{
	put_key(pk, key);
	put_key(pk, value);
}

static void
put_bool(msgpack_packer *pk, const char *key, bool value)
{
	put_key(pk, key);
	(void)(value ? msgpack_pack_true(pk) : msgpack_pack_false(pk));
}

static void
put_stats(msgpack_packer *pk, const struct peer *p)
{
	put_key(pk, "stats");
	/* It was checked when it came: one whole map. */
	if (p && p->stats.len > 0)
		(void)pk->callback(pk->data, (const char *)p->stats.data,
		                   p->stats.len);
	else
		(void)msgpack_pack_map(pk, 0);
}

static void
put_batchd(msgpack_packer *pk, const struct server *s, uint64_t now_ms)
{
	put_key(pk, "batchd");
	(void)msgpack_pack_map(pk, 4);
	put_uint(pk, "pid", (uint64_t)getpid());
	put_uint(pk, "uptime_ms", now_ms - s->started_ms);
	put_uint(pk, "connections", s->peer_count);
	put_text(pk, "state", s->stopping ? "stopping" : "running");
}

static void
put_log(msgpack_packer *pk, const struct server *s)
{
	static const char *const fsync_names[] = {"always", "interval",
	                                          "never"};
	const struct store *store = &s->store;

	put_key(pk, "log");
	(void)msgpack_pack_map(pk, 14);
	put_text(pk, "stream", store->stream_text);
	put_uint(pk, "first_offset", store_first_offset(store));
	put_uint(pk, "durable_offset", store->durable_offset);
	put_uint(pk, "next_offset", store->next_offset);
	put_uint(pk, "bytes", store->bytes);
	put_uint(pk, "max_bytes", store->conf.max_bytes);
	put_uint(pk, "segments", store->segment_count);
	put_bool(pk, "open", s->intake_open);
	put_text(pk, "reason", server_closed_reason(s));
	put_uint(pk, "lost_events", store->lost_events);
	put_text(pk, "fsync", fsync_names[store->conf.fsync]);
	put_uint(pk, "appended_events", store->appended_events);
	put_uint(pk, "appended_bytes", store->appended_bytes);
	put_uint(pk, "syncs", store->syncs);
}

static void
put_daemons(msgpack_packer *pk, const struct server *s, uint64_t now_ms)
{
	size_t n = 0;

	for (size_t i = 0; i < s->peer_count; i++)
		n += s->peers[i]->state != PEER_HELLO;
	put_key(pk, "daemons");
	(void)msgpack_pack_array(pk, n);
	for (size_t i = 0; i < s->peer_count; i++) {
		const struct peer *p = s->peers[i];

		if (p->state == PEER_HELLO)
			continue;
		(void)msgpack_pack_map(pk, 5);
		put_text(pk, "role", frame_role_name(p->role));
		put_text(pk, "name", p->name);
		put_uint(pk, "pid", p->pid);
		put_uint(pk, "connected_ms", now_ms - p->connected_ms);
		put_stats(pk, p);
	}
}

static const struct peer *
peer_of(const struct server *s, const struct fanout *f)
{
	for (size_t i = 0; i < s->peer_count; i++) {
		if (s->peers[i]->fanout == f)
			return s->peers[i];
	}
	return NULL;
}

static void
put_sinks(msgpack_packer *pk, const struct server *s, uint64_t now_ms,
          int64_t now_us)
{
	put_key(pk, "sinks");
	(void)msgpack_pack_array(pk, s->fanout_count);
	for (size_t i = 0; i < s->fanout_count; i++) {
		const struct fanout *f = &s->fanouts[i];
		const struct peer *p = peer_of(s, f);
		bool in_flight = f->state == FANOUT_IN_FLIGHT;

		(void)msgpack_pack_map(pk, 12);
		put_text(pk, "name", f->cursor.name);
		put_bool(pk, "connected", p != NULL);
		put_uint(pk, "pid", p ? p->pid : 0);
		put_text(pk, "state", fanout_state_name(f->state));
		put_uint(pk, "committed", f->cursor.now.committed);
		put_uint(pk, "in_flight_events",
		         in_flight ? f->end - f->begin : 0);
		put_uint(pk, "stored_events", fanout_stored_events(f));
		put_uint(pk, "set_aside_events", f->cursor.now.set_aside);
		put_uint(pk, "skipped_events", f->cursor.now.skipped);
		put_uint(pk, "lag_events", fanout_lag_events(f));
		put_uint(pk, "lag_ms", fanout_lag_ms(f, now_ms, now_us));
		put_stats(pk, p);
	}
}

int
server_status(struct server *s, struct buf *out)
{
	uint64_t now_ms = clock_mono_ms();
	int64_t now_us = clock_wall_us();
	msgpack_packer pk;

	buf_clear(out);
	msgpack_packer_init(&pk, out, on_write);
	(void)msgpack_pack_map(&pk, 6);
	put_text(&pk, "version", LEAT_VERSION);
	put_uint(&pk, "now_us", (uint64_t)now_us);
	put_batchd(&pk, s, now_ms);
	put_log(&pk, s);
	put_daemons(&pk, s, now_ms);
	put_sinks(&pk, s, now_ms, now_us);
	/* 64 connections with full statistics would not fit one frame. */
	return out->len + PEER_STATS_MAX > out->max_bytes ? -EMSGSIZE : 0;
}
