/* rowbinary - see rowbinary.h. */
#include "sinkd-clickhouse/rowbinary.h"

#include <errno.h>
#include <string.h>

#include "libbase/hex.h"

/* Room for the null flag and the length of a string, or for any other value. */
#define VALUE_ROOM 24

#define US_PER_S INT64_C(1000000)
#define US_PER_MS INT64_C(1000)

/* DateTime has 32 bits of seconds and ends on 2106-02-07. */
#define DATETIME_MAX_US (INT64_C(0xffffffff) * US_PER_S + US_PER_S - 1)

/*
 * DateTime64 ends with the year 2299.  With nine digits its 64 bits end in
 * 2262.
 */
#define DATETIME64_MAX_US INT64_C(10413791999999999)
#define DATETIME64_9_MAX_US (INT64_MAX / 1000)

static uint8_t *
rowbinary_put_le(uint8_t *p, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		*p++ = (uint8_t)(v >> (8 * i));
	return p;
}

uint8_t *
rowbinary_put_length(uint8_t *p, uint32_t n)
{
	while (n >= 0x80) {
		*p++ = (uint8_t)(n | 0x80);
		n >>= 7;
	}
	*p++ = (uint8_t)n;
	return p;
}

/* Parse 32 hexadecimal digits, with hyphens only where a UUID has them. */
static bool
parse_uuid(struct slice text, uint64_t half[2])
{
	bool dashes = text.bytes == 36;
	unsigned digits = 0;

	if (text.bytes != 32 && text.bytes != 36)
		return false;
	half[0] = half[1] = 0;
	for (uint32_t i = 0; i < text.bytes; i++) {
		uint64_t *h = &half[digits / 16 % 2];
		int v = hex_digit(text.data[i]);

		if (dashes && (i == 8 || i == 13 || i == 18 || i == 23)) {
			if (text.data[i] != '-')
				return false;
			continue;
		}
		if (v < 0)
			return false;
		*h = *h << 4 | (uint64_t)v;
		digits++;
	}
	return true;
}

/*
 * Write a text.  Returns the end of the value, or NULL with the reason in *why.
 */
static uint8_t *
rowbinary_put_text(uint8_t *p, const struct column_type *type,
                   struct slice text, const char **why)
{
	uint64_t half[2] = {0, 0};

	if (type->kind == COLUMN_UUID) {
		/* A null becomes the type's default, all zeros. */
		if (text.data && !parse_uuid(text, half)) {
			*why = "is not a UUID";
			return NULL;
		}
		return rowbinary_put_le(rowbinary_put_le(p, half[0], 8),
		                        half[1], 8);
	}
	if (type->kind == COLUMN_FIXED_STRING) {
		if (text.bytes > type->fixed_bytes) {
			*why = "is too long for FixedString";
			return NULL;
		}
		if (text.bytes > 0)
			memcpy(p, text.data, text.bytes);
		memset(p + text.bytes, 0, type->fixed_bytes - text.bytes);
		return p + type->fixed_bytes;
	}
	p = rowbinary_put_length(p, text.bytes);
	if (text.bytes > 0)
		memcpy(p, text.data, text.bytes);
	return p + text.bytes;
}

/* Convert to ticks of 10^-precision seconds, rounded down. */
static int64_t
ticks_of(int64_t us, unsigned precision)
{
	static const int64_t power[] = {1,     10,     100,    1000,
	                                10000, 100000, 1000000};

	if (precision <= 6)
		return us / power[6 - precision];
	return us * power[precision - 6];
}

static uint8_t *
rowbinary_put_time(uint8_t *p, const struct column_type *type, int64_t us,
                   const char **why)
{
	switch (type->kind) {
	case COLUMN_DATETIME:
		if (us > DATETIME_MAX_US) {
			*why = "is after 2106, the end of DateTime";
			return NULL;
		}
		return rowbinary_put_le(p, (uint64_t)(us / US_PER_S), 4);
	case COLUMN_DATETIME64:
		if (us > DATETIME64_MAX_US ||
		    (type->precision == 9 && us > DATETIME64_9_MAX_US)) {
			*why = "is after the end of DateTime64";
			return NULL;
		}
		return rowbinary_put_le(
		    p, (uint64_t)ticks_of(us, type->precision), 8);
	default:
		return rowbinary_put_le(p, (uint64_t)(us / US_PER_MS), 8);
	}
}

static struct slice
rowbinary_text_of(const struct event *event, enum event_field field)
{
	switch (field) {
	case FIELD_ID:
		return event->id;
	case FIELD_TYPE:
		return event->type;
	case FIELD_USER_ID:
		return event->user_id;
	default:
		return event->payload;
	}
}

static uint8_t *
rowbinary_put_value(uint8_t *p, const struct column_type *type,
                    const struct event *event, enum event_field field,
                    const char **why)
{
	bool null = field == FIELD_USER_ID && !event->user_id.data;

	if (type->nullable) {
		*p++ = null;
		if (null)
			return p;
	}
	if (field == FIELD_CREATED_AT)
		return rowbinary_put_time(p, type, event->created_at_us, why);
	if (field == FIELD_RECEIVED_AT)
		return rowbinary_put_time(p, type, event->received_at_us, why);
	return rowbinary_put_text(p, type, rowbinary_text_of(event, field),
	                          why);
}

int
rowbinary_add(struct buf *out, const struct column_type *types,
              const struct event *event, enum event_field *field,
              const char **why)
{
	size_t room = FIELD_COUNT * VALUE_ROOM + event_text_bytes(event);
	uint8_t *p;
	int rc;

	for (int f = 0; f < FIELD_COUNT; f++)
		if (types[f].kind == COLUMN_FIXED_STRING)
			room += types[f].fixed_bytes;
	rc = buf_reserve(out, room);
	if (rc < 0)
		return rc;
	p = out->data + out->len;
	for (int f = 0; f < FIELD_COUNT; f++) {
		p = rowbinary_put_value(p, &types[f], event,
		                        (enum event_field)f, why);
		if (!p) {
			*field = (enum event_field)f;
			return -EINVAL;
		}
	}
	out->len = (size_t)(p - out->data);
	return 0;
}
