/*
 * sink_status - the state of a sink and its pause, from its map in batchd's
 * status.  Everything that shows a sink reads them here, so that all show the
 * same.
 *
 * The map comes from another process, so every function accepts a value of any
 * type, and NULL.
 */
#ifndef LIBPROTO_SINK_STATUS_H
#define LIBPROTO_SINK_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include <msgpack.h>

/* Find the map of a sink in the status.  Returns NULL if there is none. */
const msgpack_object *sink_status_find(const msgpack_object *status,
                                       const char *name);

#define SINK_STATUS_WHY_MAX 200 /* bytes of the reason of a pause */

struct sink_pause {
	bool paused; /* by an operator; false: the rest is 0 and "" */
	uint64_t since_us, until_us; /* until: 0 for a pause without an end */
	uint64_t uid;                /* who paused it */
	char why[SINK_STATUS_WHY_MAX + 1]; /* as it came, not escaped */
};

void sink_status_pause(const msgpack_object *sink, struct sink_pause *out);

/*
 * Copy the state to out, as status_map_copy_text does.  It is the one that the
 * sink itself reports; but "paused" is batchd's, and so is the state of a sink
 * that has not reported or is not connected.
 */
void sink_status_state(const msgpack_object *sink, char *out, uint32_t size);

#endif
