/* ask - see ask.h. */
#include "leat/ask.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leat/json.h"
#include "libbase/log.h"
#include "libproto/chan.h"
#include "libproto/sink_status.h"
#include "libproto/status_map.h"

static struct control_reply reply;

/* Send the request.  Returns as control_request, or -EBADMSG. */
static int
ask_send(const struct control_request *request, const msgpack_object **map)
{
	static msgpack_unpacked unpacked;
	int rc = control_request(request, &reply);
	size_t at = 0;

	if (rc < 0)
		return rc;
	/* This frees the answer before. */
	if (msgpack_unpack_next(&unpacked, (const char *)reply.body,
	                        reply.body_bytes,
	                        &at) != MSGPACK_UNPACK_SUCCESS ||
	    unpacked.data.type != MSGPACK_OBJECT_MAP)
		return -EBADMSG;
	*map = &unpacked.data;
	return 0;
}

static int
ask_no_answer(const char *socket, int rc)
{
	if (rc == -EBADMSG)
		log_error("batchd's answer is malformed: run leat and batchd "
		          "of one release socket=%s",
		          log_quote(socket));
	else
		log_error("batchd does not answer socket=%s err=%s",
		          log_quote(socket), log_quote(chan_error(socket, rc)));
	return EXIT_FAILURE;
}

int
ask_status(const char *socket, const msgpack_object **status)
{
	const struct control_request request = {
	    .socket = socket,
	    .verb = "status",
	    .timeout_ms = CONTROL_TIMEOUT_MS,
	};
	int rc = ask_send(&request, status);

	return rc < 0 ? ask_no_answer(socket, rc) : 0;
}

int
ask_order(const char *socket, const char *verb, const struct control_args *args,
          uint64_t timeout_ms, const msgpack_object **result)
{
	const struct control_request request = {
	    .socket = socket,
	    .verb = verb,
	    .args = args,
	    .timeout_ms = timeout_ms,
	};
	int rc = ask_send(&request, result);

	if (rc == 0)
		return 0;
	if (rc == -EOPNOTSUPP) {
		log_error("refused: %s", reply.text);
		return EXIT_NOT_WELL;
	}
	if (rc == -ETIMEDOUT) {
		log_error("not done after %" PRIu64
		          " s; the order goes on: leat status shows how far "
		          "it is (--timeout waits longer)",
		          timeout_ms / 1000);
		return EXIT_NOT_WELL;
	}
	return ask_no_answer(socket, rc);
}

const msgpack_object *
ask_find_sink(const msgpack_object *status, const char *name)
{
	const msgpack_object_array all = status_map_array(status, "sinks");
	const msgpack_object *found = sink_status_find(status, name);
	char names[512] = "";

	if (found)
		return found;
	for (uint32_t i = 0; i < all.size; i++) {
		size_t n = strlen(names);

		(void)snprintf(names + n, sizeof names - n, " %s",
		               json_get_text(&all.ptr[i], "name"));
	}
	log_error("batchd has no sink of this name sink=%s; it has:%s",
	          log_quote(name), names[0] ? names : " none");
	return NULL;
}
