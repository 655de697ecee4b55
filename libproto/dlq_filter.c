/* dlq_filter - see dlq_filter.h. */
#include "libproto/dlq_filter.h"

#include <errno.h>
#include <string.h>

void
dlq_filter_put(const struct dlq_filter *f, struct control_args *args)
{
	if (f->has_offset)
		control_args_add_uint(args, "offset", f->offset);
	if (f->has_code)
		control_args_add_text(args, "code", slice_of(f->code));
	if (f->has_type)
		control_args_add_text(args, "type", slice_of(f->type));
	if (f->since_us > 0)
		control_args_add_uint(args, "since_us", (uint64_t)f->since_us);
	if (f->limit > 0)
		control_args_add_uint(args, "limit", f->limit);
}

/* Read a text that may be missing into out, which has room for max bytes. */
static int
read_text(const uint8_t *map, size_t bytes, const char *key, bool *has,
          char *out, size_t max)
{
	struct slice text;
	int rc = control_args_find_text(map, bytes, key, &text);

	*has = rc == 0;
	if (rc == -ENOENT)
		return 0;
	if (rc < 0 || text.bytes > max)
		return -EBADMSG;
	memcpy(out, text.data, text.bytes);
	out[text.bytes] = '\0';
	return 0;
}

static int
read_uint(const uint8_t *map, size_t bytes, const char *key, uint64_t least,
          uint64_t *value)
{
	int rc = control_args_find_uint(map, bytes, key, value);

	if (rc == -ENOENT)
		return 0;
	return rc == 0 && *value >= least && *value <= INT64_MAX ? 0 : -EBADMSG;
}

int
dlq_filter_read(struct dlq_filter *f, const uint8_t *map, size_t bytes)
{
	uint64_t since = 0;
	int rc;

	*f = (struct dlq_filter){0};
	rc = control_args_find_uint(map, bytes, "offset", &f->offset);
	f->has_offset = rc == 0;
	if (rc == -ENOENT)
		rc = 0;
	if (rc == 0)
		rc = read_text(map, bytes, "code", &f->has_code, f->code,
		               sizeof f->code - 1);
	if (rc == 0)
		rc = read_text(map, bytes, "type", &f->has_type, f->type,
		               sizeof f->type - 1);
	if (rc == 0)
		rc = read_uint(map, bytes, "since_us", 0, &since);
	/* An order to drop none must not drop all: in f, 0 is no limit. */
	if (rc == 0)
		rc = read_uint(map, bytes, "limit", 1, &f->limit);
	f->since_us = (int64_t)since;
	return rc;
}

bool
dlq_filter_matches(const struct dlq_filter *f, const struct dlq_record *record)
{
	return (!f->has_offset || record->offset == f->offset) &&
	       (!f->has_code || slice_is(record->code, f->code)) &&
	       (!f->has_type || slice_is(record->event.type, f->type)) &&
	       record->at_us >= f->since_us;
}
