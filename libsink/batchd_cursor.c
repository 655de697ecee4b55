/* batchd_cursor - see batchd_cursor.h. */
#include "libsink/batchd_cursor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <msgpack.h>

#include "libbase/error.h"
#include "libbase/log.h"
#include "libproto/chan.h"
#include "libproto/control_request.h"
#include "libproto/status_map.h"

static int
batchd_cursor_find_sink(struct batchd_cursor *s, const msgpack_object *sinks,
                        const char *sink)
{
	for (uint32_t i = 0; i < sinks->via.array.size; i++) {
		const msgpack_object *o = &sinks->via.array.ptr[i], *name, *at;

		name = status_map_get_type(o, "name", MSGPACK_OBJECT_STR);
		at = status_map_get_type(o, "committed",
		                         MSGPACK_OBJECT_POSITIVE_INTEGER);
		if (!status_map_text_is(name, sink))
			continue;
		if (!at)
			return -EBADMSG;
		s->committed = at->via.u64;
		return 0;
	}
	return ERR_UNKNOWN_SINK;
}

static int
batchd_cursor_read_status(struct batchd_cursor *s, const msgpack_object *status,
                          const char *sink)
{
	const msgpack_object *log, *stream, *sinks;

	log = status_map_get_type(status, "log", MSGPACK_OBJECT_MAP);
	stream = status_map_get_type(log, "stream", MSGPACK_OBJECT_STR);
	sinks = status_map_get_type(status, "sinks", MSGPACK_OBJECT_ARRAY);
	if (!stream || !sinks || stream->via.str.size >= sizeof s->stream)
		return -EBADMSG;
	memcpy(s->stream, stream->via.str.ptr, stream->via.str.size);
	s->stream[stream->via.str.size] = '\0';
	return batchd_cursor_find_sink(s, sinks, sink);
}

int
batchd_cursor_ask(struct batchd_cursor *s, const char *socket, const char *sink)
{
	const struct control_request request = {.socket = socket,
	                                        .verb = "status",
	                                        .timeout_ms =
	                                            CONTROL_TIMEOUT_MS};
	struct control_reply *reply = malloc(sizeof *reply);
	msgpack_unpacked status;
	int rc;

	if (!reply)
		return -ENOMEM;
	rc = control_request(&request, reply);
	if (rc == 0) {
		msgpack_unpacked_init(&status);
		rc = msgpack_unpack_next(&status, (const char *)reply->body,
		                         reply->body_bytes,
		                         NULL) == MSGPACK_UNPACK_SUCCESS
		         ? batchd_cursor_read_status(s, &status.data, sink)
		         : -EBADMSG;
		msgpack_unpacked_destroy(&status);
	}
	free(reply);
	if (rc == 0 || rc == ERR_UNKNOWN_SINK)
		return rc;
	log_error("cannot get the sink's position from batchd socket=%s err=%s",
	          log_quote(socket), log_quote(chan_error(socket, rc)));
	return ERR_BATCHD_UNREACHABLE;
}
