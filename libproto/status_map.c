/* status_map - see status_map.h. */
#include "libproto/status_map.h"

#include <string.h>

#include "libbase/printable.h"
#include "libbase/slice.h"

bool
status_map_text_is(const msgpack_object *value, const char *text)
{
	return value && value->type == MSGPACK_OBJECT_STR &&
	       slice_is((struct slice){value->via.str.ptr, value->via.str.size},
	                text);
}

const msgpack_object *
status_map_get(const msgpack_object *map, const char *key)
{
	if (!map || map->type != MSGPACK_OBJECT_MAP)
		return NULL;
	for (uint32_t i = 0; i < map->via.map.size; i++) {
		const msgpack_object_kv *kv = &map->via.map.ptr[i];

		if (status_map_text_is(&kv->key, key))
			return &kv->val;
	}
	return NULL;
}

const msgpack_object *
status_map_get_type(const msgpack_object *map, const char *key,
                    msgpack_object_type type)
{
	const msgpack_object *value = status_map_get(map, key);

	return value && value->type == type ? value : NULL;
}

msgpack_object_array
status_map_array(const msgpack_object *map, const char *key)
{
	const msgpack_object *value =
	    status_map_get_type(map, key, MSGPACK_OBJECT_ARRAY);

	return value ? value->via.array : (msgpack_object_array){0};
}

uint64_t
status_map_uint(const msgpack_object *map, const char *key)
{
	const msgpack_object *value =
	    status_map_get_type(map, key, MSGPACK_OBJECT_POSITIVE_INTEGER);

	return value ? value->via.u64 : 0;
}

bool
status_map_bool(const msgpack_object *map, const char *key)
{
	const msgpack_object *value =
	    status_map_get_type(map, key, MSGPACK_OBJECT_BOOLEAN);

	return value && value->via.boolean;
}

void
status_map_copy_text(const msgpack_object *value, char *out, uint32_t size)
{
	struct slice text = {"", 0};

	if (value && value->type == MSGPACK_OBJECT_STR)
		text = printable_cut(
		    (struct slice){value->via.str.ptr, value->via.str.size},
		    size - 1);
	if (text.bytes > 0)
		memcpy(out, text.data, text.bytes);
	out[text.bytes] = '\0';
}
