/* message - see message.h. */
#include "sinkd-kafka/message.h"

#include <errno.h>
#include <string.h>

#include <msgpack.h>

/* msgpack's write callback.  Returns 0, or -1 if the buffer is full. */
static int
message_on_bytes(void *out, const char *bytes, size_t n)
{
	return buf_add(out, bytes, n) < 0 ? -1 : 0;
}

static int
pack_string(msgpack_packer *pk, const char *data, size_t n)
{
	int rc = msgpack_pack_str(pk, n);

	return rc < 0 ? rc : msgpack_pack_str_body(pk, data, n);
}

static int
pack_field(msgpack_packer *pk, const char *key, const struct slice *s)
{
	int rc = pack_string(pk, key, strlen(key));

	if (rc < 0)
		return rc;
	if (!s->data)
		return msgpack_pack_nil(pk);
	return pack_string(pk, s->data, s->bytes);
}

static int
pack_time(msgpack_packer *pk, const char *key, int64_t wall_us)
{
	int rc = pack_string(pk, key, strlen(key));

	return rc < 0 ? rc : msgpack_pack_int64(pk, wall_us);
}

int
message_msgpack(struct buf *out, const struct event *event)
{
	size_t before = out->len;
	msgpack_packer pk;
	int rc;

	msgpack_packer_init(&pk, out, message_on_bytes);
	rc = msgpack_pack_map(&pk, 6);
	if (rc == 0)
		rc = pack_field(&pk, "id", &event->id);
	if (rc == 0)
		rc = pack_field(&pk, "type", &event->type);
	if (rc == 0)
		rc = pack_field(&pk, "user_id", &event->user_id);
	if (rc == 0)
		rc = pack_field(&pk, "payload", &event->payload);
	if (rc == 0)
		rc = pack_time(&pk, "created_at", event->created_at_us);
	if (rc == 0)
		rc = pack_time(&pk, "received_at", event->received_at_us);
	if (rc == 0)
		return 0;
	out->len = before;
	return -EMSGSIZE;
}
