/* json - see json.h. */
#include "leat/json.h"

#include <errno.h>
#include <inttypes.h>

#include "libbase/json_text.h"
#include "libbase/printable.h"
#include "libproto/status_map.h"

/* The most bytes of a string that json_text returns. */
#define TEXT_MAX 1023

static void
json_put_map(struct buf *out, const msgpack_object_map *map)
{
	buf_add_text(out, "{");
	for (uint32_t i = 0; i < map->size; i++) {
		const msgpack_object_kv *kv = &map->ptr[i];

		if (kv->key.type != MSGPACK_OBJECT_STR)
			out->error = -EBADMSG;
		if (i > 0)
			buf_add_text(out, ",");
		json_put(out, &kv->key);
		buf_add_text(out, ":");
		json_put(out, &kv->val);
	}
	buf_add_text(out, "}");
}

static void
json_put_array(struct buf *out, const msgpack_object_array *array)
{
	buf_add_text(out, "[");
	for (uint32_t i = 0; i < array->size; i++) {
		if (i > 0)
			buf_add_text(out, ",");
		json_put(out, &array->ptr[i]);
	}
	buf_add_text(out, "]");
}

void
json_put(struct buf *out, const msgpack_object *value)
{
	switch (value->type) {
	case MSGPACK_OBJECT_BOOLEAN:
		buf_add_text(out, value->via.boolean ? "true" : "false");
		return;
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		buf_add_u64(out, value->via.u64);
		return;
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		buf_addf(out, "%" PRId64, value->via.i64);
		return;
	case MSGPACK_OBJECT_STR:
		json_text_add(out, (struct slice){value->via.str.ptr,
		                                  value->via.str.size});
		return;
	case MSGPACK_OBJECT_MAP:
		json_put_map(out, &value->via.map);
		return;
	case MSGPACK_OBJECT_ARRAY:
		json_put_array(out, &value->via.array);
		return;
	case MSGPACK_OBJECT_NIL:
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
	case MSGPACK_OBJECT_BIN:
	case MSGPACK_OBJECT_EXT:
		buf_add_text(out, "null");
	}
}

const char *
json_text(const msgpack_object *v)
{
	static char texts[8][PRINTABLE_GROWTH * TEXT_MAX + 1];
	static unsigned next;
	char *out = texts[next++ % 8];
	size_t n = 0;

	if (v && v->type == MSGPACK_OBJECT_STR)
		n = v->via.str.size < TEXT_MAX ? v->via.str.size : TEXT_MAX;
	(void)printable_put(out, n > 0 ? v->via.str.ptr : "", n, "");
	return out;
}

const char *
json_get_text(const msgpack_object *map, const char *key)
{
	return json_text(status_map_get(map, key));
}
