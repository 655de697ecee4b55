/* json - see json.h. */
#include "leat/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int
put_text(struct buf *out, const char *text)
{
	return buf_add(out, text, strlen(text));
}

static int
put_map(struct buf *out, const msgpack_object_map *map)
{
	int rc = put_text(out, "{");

	for (uint32_t i = 0; rc == 0 && i < map->size; i++) {
		const msgpack_object_kv *kv = &map->ptr[i];

		if (kv->key.type != MSGPACK_OBJECT_STR)
			return -EBADMSG;
		if (i > 0)
			rc = put_text(out, ",");
		if (rc == 0)
			rc = json_put(out, &kv->key);
		if (rc == 0)
			rc = put_text(out, ":");
		if (rc == 0)
			rc = json_put(out, &kv->val);
	}
	return rc < 0 ? rc : put_text(out, "}");
}

static int
put_array(struct buf *out, const msgpack_object_array *array)
{
	int rc = put_text(out, "[");

	for (uint32_t i = 0; rc == 0 && i < array->size; i++) {
		if (i > 0)
			rc = put_text(out, ",");
		if (rc == 0)
			rc = json_put(out, &array->ptr[i]);
	}
	return rc < 0 ? rc : put_text(out, "]");
}

int
json_put(struct buf *out, const msgpack_object *value)
{
	switch (value->type) {
	case MSGPACK_OBJECT_BOOLEAN:
		return put_text(out, value->via.boolean ? "true" : "false");
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		return buf_addf(out, "%" PRIu64, value->via.u64);
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		return buf_addf(out, "%" PRId64, value->via.i64);
	case MSGPACK_OBJECT_STR:
		return buf_add_json_string(out, value->via.str.ptr,
		                           value->via.str.size);
	case MSGPACK_OBJECT_MAP:
		return put_map(out, &value->via.map);
	case MSGPACK_OBJECT_ARRAY:
		return put_array(out, &value->via.array);
	case MSGPACK_OBJECT_NIL:
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
	case MSGPACK_OBJECT_BIN:
	case MSGPACK_OBJECT_EXT:
		break;
	}
	return put_text(out, "null");
}

const msgpack_object *
json_get(const msgpack_object *map, const char *key)
{
	if (!map || map->type != MSGPACK_OBJECT_MAP)
		return NULL;
	for (uint32_t i = 0; i < map->via.map.size; i++) {
		const msgpack_object_kv *kv = &map->via.map.ptr[i];

		if (kv->key.type == MSGPACK_OBJECT_STR &&
		    kv->key.via.str.size == strlen(key) &&
		    memcmp(kv->key.via.str.ptr, key, strlen(key)) == 0)
			return &kv->val;
	}
	return NULL;
}

uint64_t
json_get_uint(const msgpack_object *map, const char *key)
{
	const msgpack_object *v = json_get(map, key);

	return v && v->type == MSGPACK_OBJECT_POSITIVE_INTEGER ? v->via.u64 : 0;
}

const char *
json_text(const msgpack_object *v)
{
	static char texts[8][512];
	static unsigned next;
	char *out = texts[next++ % 8];
	int n = 0;

	if (v && v->type == MSGPACK_OBJECT_STR)
		n = snprintf(out, sizeof texts[0], "%.*s", (int)v->via.str.size,
		             v->via.str.ptr);
	/* Somebody else's text on a terminal: no control bytes. */
	for (int i = 0; i < n && out[i]; i++) {
		if ((unsigned char)out[i] < ' ' || out[i] == 0x7f)
			out[i] = '?';
	}
	out[n > 0 ? sizeof texts[0] - 1 : 0] = '\0';
	return out;
}

const char *
json_get_text(const msgpack_object *map, const char *key)
{
	return json_text(json_get(map, key));
}
