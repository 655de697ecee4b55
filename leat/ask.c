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

int
ask_init(struct ask *a)
{
	*a = (struct ask){.reply = malloc(sizeof *a->reply)};
	msgpack_unpacked_init(&a->unpacked);
	if (a->reply)
		return 0;
	log_error("out of memory");
	return -ENOMEM;
}

void
ask_fini(struct ask *a)
{
	msgpack_unpacked_destroy(&a->unpacked);
	free(a->reply);
	a->reply = NULL;
	a->map = NULL;
}

/* Send the request.  Returns as control_request, or -EBADMSG. */
static int
ask_send(struct ask *a, const struct control_request *request)
{
	int rc = control_request(request, a->reply);
	size_t at = 0;

	a->map = NULL;
	if (rc < 0)
		return rc;
	msgpack_unpacked_destroy(&a->unpacked);
	msgpack_unpacked_init(&a->unpacked);
	if (msgpack_unpack_next(&a->unpacked, (const char *)a->reply->body,
	                        a->reply->body_bytes,
	                        &at) != MSGPACK_UNPACK_SUCCESS ||
	    a->unpacked.data.type != MSGPACK_OBJECT_MAP)
		return -EBADMSG;
	a->map = &a->unpacked.data;
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
ask_status(struct ask *a, const char *socket)
{
	const struct control_request request = {
	    .socket = socket,
	    .verb = "status",
	    .timeout_ms = CONTROL_TIMEOUT_MS,
	};
	int rc = ask_send(a, &request);

	return rc < 0 ? ask_no_answer(socket, rc) : 0;
}

int
ask_order(struct ask *a, const char *socket, const char *verb,
          const struct control_args *args, uint64_t timeout_ms)
{
	const struct control_request request = {
	    .socket = socket,
	    .verb = verb,
	    .args = args,
	    .timeout_ms = timeout_ms,
	};
	int rc = ask_send(a, &request);

	if (rc == 0)
		return 0;
	if (rc == -EOPNOTSUPP) {
		log_error("refused: %s", a->reply->text);
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
ask_find_sink(const struct ask *status, const char *name)
{
	const msgpack_object_array all = status_map_array(status->map, "sinks");
	const msgpack_object *found = sink_status_find(status->map, name);
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
