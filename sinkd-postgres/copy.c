/* copy - see copy.h. */
#include "sinkd-postgres/copy.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "libbase/hex.h"
#include "sinkd-postgres/jsonb_number.h"

/* 2000-01-01, PostgreSQL's epoch, in microseconds since 1970. */
#define POSTGRES_EPOCH_US INT64_C(946684800000000)
#define JSONB_VERSION 1

int
copy_parse_uuid(const struct slice *text, uint8_t out[16])
{
	const char *at = text->data, *end = text->data + text->bytes;
	bool braces = at < end && *at == '{';

	at += braces;
	for (int i = 0; i < 16; i++) {
		int high, low;

		if (end - at < 2)
			return -EINVAL;
		high = hex_digit(at[0]);
		low = hex_digit(at[1]);
		if (high < 0 || low < 0)
			return -EINVAL;
		out[i] = (uint8_t)(high << 4 | low);
		at += 2;
		if (i % 2 == 1 && i < 15 && at < end && *at == '-')
			at++;
	}
	if (braces && (at == end || *at++ != '}'))
		return -EINVAL;
	return at == end ? 0 : -EINVAL;
}

size_t
copy_check(const struct copy_columns *columns, const struct event *events,
           size_t count, enum event_field *field)
{
	bool id = columns->kind[FIELD_ID] == COPY_UUID;
	bool user_id = columns->kind[FIELD_USER_ID] == COPY_UUID;
	bool jsonb = columns->kind[FIELD_PAYLOAD] == COPY_JSONB;
	uint8_t ignored[16];

	if (!id && !user_id && !jsonb)
		return count;
	for (size_t i = 0; i < count; i++) {
		if (id && copy_parse_uuid(&events[i].id, ignored) < 0) {
			*field = FIELD_ID;
			return i;
		}
		if (user_id && events[i].user_id.data &&
		    copy_parse_uuid(&events[i].user_id, ignored) < 0) {
			*field = FIELD_USER_ID;
			return i;
		}
		if (jsonb && !jsonb_numbers_fit(events[i].payload)) {
			*field = FIELD_PAYLOAD;
			return i;
		}
	}
	return count;
}

static uint8_t *
copy_put_u32(uint8_t *out, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(out, &v, sizeof v);
	return out + sizeof v;
}

static uint8_t *
copy_put_u64(uint8_t *out, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(out, &v, sizeof v);
	return out + sizeof v;
}

static uint8_t *
copy_put_string(uint8_t *out, enum copy_kind kind, const struct slice *s)
{
	bool jsonb = kind == COPY_JSONB;

	if (!s->data)
		return copy_put_u32(out, UINT32_MAX); /* NULL */
	if (kind == COPY_UUID) {
		int rc;

		out = copy_put_u32(out, 16);
		rc = copy_parse_uuid(s, out);
		assert(rc == 0); /* copy_check has accepted it */
		(void)rc;
		return out + 16;
	}
	out = copy_put_u32(out, s->bytes + jsonb);
	if (jsonb)
		*out++ = JSONB_VERSION;
	memcpy(out, s->data, s->bytes);
	return out + s->bytes;
}

static uint8_t *
copy_put_time(uint8_t *out, enum copy_kind kind, int64_t us)
{
	int64_t v = kind == COPY_INT8_MS ? us / 1000 : us - POSTGRES_EPOCH_US;

	return copy_put_u64(copy_put_u32(out, 8), (uint64_t)v);
}

int
copy_add_header(struct buf *out)
{
	/* The signature, no flags, and no extension. */
	static const char header[COPY_HEADER_BYTES + 1] =
	    "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0";

	return buf_add(out, header, COPY_HEADER_BYTES);
}

int
copy_add_row(struct buf *out, const struct copy_columns *columns,
             const struct event *event, const uint64_t *n)
{
	const enum copy_kind *kind = columns->kind;
	uint8_t *p;
	int rc;

	rc = buf_reserve(out, COPY_ROW_EXTRA + event_text_bytes(event));
	if (rc < 0)
		return rc;
	p = out->data + out->len;
	*p++ = 0;
	*p++ = FIELD_COUNT + (n != NULL);
	if (n)
		p = copy_put_u64(copy_put_u32(p, 8), *n);
	p = copy_put_string(p, kind[FIELD_ID], &event->id);
	p = copy_put_string(p, kind[FIELD_TYPE], &event->type);
	p = copy_put_string(p, kind[FIELD_USER_ID], &event->user_id);
	p = copy_put_string(p, kind[FIELD_PAYLOAD], &event->payload);
	p = copy_put_time(p, kind[FIELD_CREATED_AT], event->created_at_us);
	p = copy_put_time(p, kind[FIELD_RECEIVED_AT], event->received_at_us);
	out->len = (size_t)(p - out->data);
	return 0;
}

int
copy_add_trailer(struct buf *out)
{
	return buf_add(out, "\377\377", COPY_TRAILER_BYTES);
}
