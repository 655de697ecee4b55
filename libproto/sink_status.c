/* sink_status - see sink_status.h. */
#include "libproto/sink_status.h"

#include <string.h>

#include "libproto/status_map.h"

const msgpack_object *
sink_status_find(const msgpack_object *status, const char *name)
{
	const msgpack_object_array all = status_map_array(status, "sinks");

	for (uint32_t i = 0; i < all.size; i++) {
		const msgpack_object *sink = all.ptr + i;

		if (status_map_text_is(status_map_get(sink, "name"), name))
			return sink;
	}
	return NULL;
}

void
sink_status_pause(const msgpack_object *sink, struct sink_pause *out)
{
	*out = (struct sink_pause){.paused = status_map_bool(sink, "paused")};
	if (!out->paused)
		return;
	out->since_us = status_map_uint(sink, "paused_since_us");
	out->until_us = status_map_uint(sink, "paused_until_us");
	out->uid = status_map_uint(sink, "paused_uid");
	status_map_copy_text(status_map_get(sink, "paused_why"), out->why,
	                     sizeof out->why);
}

void
sink_status_state(const msgpack_object *sink, char *out, uint32_t size)
{
	const msgpack_object *own =
	    status_map_get(status_map_get(sink, "stats"), "state");

	status_map_copy_text(status_map_get(sink, "state"), out, size);
	if (strcmp(out, "paused") != 0 && own &&
	    own->type == MSGPACK_OBJECT_STR && own->via.str.size > 0)
		status_map_copy_text(own, out, size);
}
