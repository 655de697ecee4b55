/* event_json - see event_json.h. */
#include "libproto/event_json.h"

#include <string.h>

#include "libbase/clock.h"

/* `key` opens the field: `{"id":` or `,"type":`. */
static int
event_json_add_string(struct buf *out, const char *key, const struct slice *s)
{
	int rc = buf_add(out, key, strlen(key));

	if (rc < 0)
		return rc;
	if (!s->data)
		return buf_add(out, "null", 4);
	return buf_add_json_string(out, s->data, s->bytes);
}

static int
event_json_add_payload(struct buf *out, const struct slice *payload,
                       bool as_string)
{
	static const char key[] = ",\"payload\":";
	int rc;

	if (as_string)
		return event_json_add_string(out,
		                             ",\"payload_text\":", payload);
	rc = buf_add(out, key, sizeof key - 1);
	return rc < 0 ? rc : buf_add(out, payload->data, payload->bytes);
}

int
event_json_add(struct buf *out, const struct event *event, bool as_string)
{
	char created[CLOCK_TEXT_BYTES + 1], received[CLOCK_TEXT_BYTES + 1];
	size_t before = out->len;
	int rc = event_json_add_string(out, "{\"id\":", &event->id);

	if (rc == 0)
		rc = event_json_add_string(out, ",\"type\":", &event->type);
	if (rc == 0)
		rc = event_json_add_string(out,
		                           ",\"user_id\":", &event->user_id);
	if (rc == 0)
		rc = event_json_add_payload(out, &event->payload, as_string);
	clock_format_us(event->created_at_us, created);
	clock_format_us(event->received_at_us, received);
	if (rc == 0)
		rc = buf_addf(out,
		              ",\"created_at\":\"%s\",\"received_at\":\"%s\"}",
		              created, received);
	if (rc < 0)
		out->len = before;
	return rc;
}
