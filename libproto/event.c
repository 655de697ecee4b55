/* event - see event.h. */
#include "libproto/event.h"

#include <errno.h>
#include <string.h>

/* The longest headers of an event: array, four strings, two times. */
#define EVENT_OVERHEAD_MAX (1 + 4 * 5 + 2 * 9)

const char *
event_field_name(enum event_field field)
{
	static const char *const names[FIELD_COUNT] = {
	    [FIELD_ID] = "id",
	    [FIELD_TYPE] = "type",
	    [FIELD_USER_ID] = "user_id",
	    [FIELD_PAYLOAD] = "payload",
	    [FIELD_CREATED_AT] = "created_at",
	    [FIELD_RECEIVED_AT] = "received_at",
	};

	return names[field];
}

int
event_pack(struct buf *out, const struct event *event)
{
	uint8_t *p;
	int rc;

	rc = buf_reserve(out, EVENT_OVERHEAD_MAX + event_text_bytes(event));
	if (rc < 0)
		return rc;
	p = out->data + out->len;
	*p++ = 0x90 | FIELD_COUNT;
	p = wire_put_str(p, &event->id);
	p = wire_put_str(p, &event->type);
	if (event->user_id.data)
		p = wire_put_str(p, &event->user_id);
	else
		p = wire_put_nil(p);
	p = wire_put_str(p, &event->payload);
	p = wire_put_u64(p, (uint64_t)event->created_at_us);
	p = wire_put_u64(p, (uint64_t)event->received_at_us);
	out->len = (size_t)(p - out->data);
	return 0;
}

static int
read_bounded(struct wire_reader *r, struct slice *s, uint32_t min, uint32_t max)
{
	int rc = wire_str(r, s);

	if (rc < 0)
		return rc;
	return s->bytes < min || s->bytes > max ? -EBADMSG : 0;
}

static int
event_read_time(struct wire_reader *r, int64_t *us)
{
	int rc = wire_int(r, us);

	if (rc < 0)
		return rc;
	return *us < EVENT_TIME_MIN_US || *us > EVENT_TIME_MAX_US ? -EBADMSG
	                                                          : 0;
}

int
event_read(struct wire_reader *r, struct event *event)
{
	const uint8_t *start = r->at;
	uint32_t fields;
	int rc;

	rc = wire_array(r, &fields);
	if (rc < 0 || fields != FIELD_COUNT)
		return -EBADMSG;
	rc = read_bounded(r, &event->id, 1, EVENT_ID_MAX);
	if (rc == 0)
		rc = read_bounded(r, &event->type, 1, EVENT_TYPE_MAX);
	if (rc == 0 && wire_nil(r))
		event->user_id = (struct slice){0};
	else if (rc == 0)
		rc = read_bounded(r, &event->user_id, 0, EVENT_USER_ID_MAX);
	if (rc == 0)
		rc = read_bounded(r, &event->payload, 2, EVENT_PACKED_MAX);
	if (rc == 0)
		rc = event_read_time(r, &event->created_at_us);
	if (rc == 0)
		rc = event_read_time(r, &event->received_at_us);
	if (rc == 0 && r->at - start > EVENT_PACKED_MAX)
		rc = -EBADMSG;
	return rc;
}

int
event_skip(struct wire_reader *r, uint64_t count)
{
	struct event ignored;
	int rc = 0;

	while (rc == 0 && count-- > 0)
		rc = event_read(r, &ignored);
	return rc;
}
