/* control_args - see control_args.h. */
#include "libproto/control_args.h"

#include <assert.h>

#include "libproto/frame.h"

/* A map of no pairs; their number is added to this byte. */
#define EMPTY_MAP 0x80

void
control_args_init(struct control_args *a)
{
	static const uint8_t empty = EMPTY_MAP;

	buf_init(&a->map, FRAME_BODY_MAX);
	a->map.error = buf_add(&a->map, &empty, 1);
}

void
control_args_fini(struct control_args *a)
{
	buf_fini(&a->map);
}

/* Make room for a key and a value of at most `bytes`, and add the key. */
static uint8_t *
add_key(struct control_args *a, const char *key, size_t bytes)
{
	const struct slice name = slice_of(key);
	uint8_t *at;

	if (a->map.error == 0)
		a->map.error = buf_reserve(&a->map, name.bytes + bytes + 10);
	if (a->map.error < 0)
		return NULL;
	assert(a->map.data[0] < EMPTY_MAP + CONTROL_ARGS_MAX);
	a->map.data[0]++;
	at = a->map.data + a->map.len;
	return wire_put_str(at, &name);
}

void
control_args_add_text(struct control_args *a, const char *key,
                      struct slice text)
{
	uint8_t *at = add_key(a, key, text.bytes);

	if (at)
		a->map.len = (size_t)(wire_put_str(at, &text) - a->map.data);
}

void
control_args_add_uint(struct control_args *a, const char *key, uint64_t value)
{
	uint8_t *at = add_key(a, key, 9);

	if (at)
		a->map.len = (size_t)(wire_put_uint(at, value) - a->map.data);
}

/* Set *r to the value of `key`.  Returns 0, -ENOENT or -EBADMSG. */
static int
find(const uint8_t *map, size_t bytes, const char *key, struct wire_reader *r)
{
	struct slice name;
	uint32_t pairs;

	*r = (struct wire_reader){map, map + bytes};
	if (wire_map(r, &pairs) < 0)
		return -EBADMSG;
	while (pairs-- > 0) {
		if (wire_str(r, &name) < 0)
			return -EBADMSG;
		if (slice_is(name, key))
			return 0;
		if (wire_skip(r) < 0)
			return -EBADMSG;
	}
	return -ENOENT;
}

int
control_args_find_text(const uint8_t *map, size_t bytes, const char *key,
                       struct slice *text)
{
	struct wire_reader r;
	int rc = find(map, bytes, key, &r);

	*text = (struct slice){"", 0};
	return rc < 0 ? rc : wire_str(&r, text);
}

int
control_args_find_uint(const uint8_t *map, size_t bytes, const char *key,
                       uint64_t *value)
{
	struct wire_reader r;
	int rc = find(map, bytes, key, &r);

	*value = 0;
	return rc < 0 ? rc : wire_uint(&r, value);
}
