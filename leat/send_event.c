/* send_event - see send_event.h. */
#include "leat/send_event.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leat/splitter.h"

#define PLACE_TEXT 24

int
send_event_init(struct send_event *s)
{
	*s = (struct send_event){
	    .rules = {.max_events = 1, .ignore_unknown = true}};
	s->reader.rules = &s->rules;
	s->structure = json_structure_new();
	s->text = malloc(SPLITTER_PIECE_MAX + JSON_STRUCTURE_PADDING);
	return s->structure && s->text ? 0 : -ENOMEM;
}

void
send_event_fini(struct send_event *s)
{
	json_structure_free(s->structure);
	free(s->text);
	s->structure = NULL;
	s->text = NULL;
}

/* A field is named if the text is JSON, and that field is not allowed. */
static int
reject(const struct send_event *s, enum json_found found,
       struct send_event_fault *fault)
{
	fault->reason = s->reader.walk.why;
	fault->field = found == JSON_REFUSED ? s->reader.field
	                                     : (struct json_span){NULL, NULL};
	return -EINVAL;
}

/* Read the event.  Returns 0, -EINVAL with *fault, or -ENOMEM. */
static int
check(struct send_event *s, size_t bytes, struct event *e,
      struct send_event_fault *fault)
{
	struct json_walk *w = &s->reader.walk;
	enum json_found found;
	int rc;

	*w = (struct json_walk){
	    .text = s->text, .end = s->text + bytes, .backslash = s->text};
	rc = json_structure_find(s->structure, s->text, bytes, &w->next,
	                         &w->why);
	if (rc == -EBADMSG)
		return reject(s, JSON_BROKEN, fault);
	if (rc < 0)
		return rc;
	found = json_event_read(&s->reader, e);
	if (found != JSON_GOOD)
		return reject(s, found, fault);
	if (json_walk_at_end(w))
		return 0;
	w->why = "unexpected data after the event";
	return reject(s, JSON_BROKEN, fault);
}

static bool
is_id(const struct json_span *name)
{
	char plain[2 + JSON_ESCAPE_SPARE];

	/* Escapes were checked, and "id" with escapes is longer than this. */
	return json_span_bytes(name) >= 2 &&
	       json_escape_remove(name->at, name->end, plain, 2) == 2 &&
	       memcmp(plain, "id", 2) == 0;
}

/*
 * Return the null that an event without an id has as its id, or NULL.  The walk
 * begins at the first position, and the event is valid.
 */
static const char *
find_null_id(struct json_walk *w)
{
	struct json_span name;

	w->next++; /* the brace */
	do {
		const char *value;

		if (json_walk_name(w, &name) != JSON_GOOD)
			return NULL;
		value = w->text + *w->next;
		if (is_id(&name))
			return value;
		if (json_walk_value(w, JSON_DEPTH_MAX) != JSON_GOOD)
			return NULL;
	} while (w->text[*w->next++] == ',');
	return NULL;
}

static void
make_id(const struct send_event *s, size_t bytes, uint64_t at,
        char out[UUID_TEXT_BYTES + 1])
{
	uint8_t id[UUID_BYTES];
	char place[PLACE_TEXT];
	int n = snprintf(place, sizeof place, "%" PRIu64 ":", at);

	uuid5_make(s->key, place, (size_t)n, s->text, bytes, id);
	(void)uuid5_text(id, out);
}

int
send_event_put(struct send_event *s, const char *text, size_t bytes,
               uint64_t at, struct buf *out, struct send_event_fault *fault)
{
	struct json_walk *w = &s->reader.walk;
	char id[UUID_TEXT_BYTES + 1];
	const char *open, *end, *null;
	struct event e;
	int rc;

	memcpy(s->text, text, bytes);
	memset(s->text + bytes, 0, JSON_STRUCTURE_PADDING);
	rc = check(s, bytes, &e, fault);
	if (rc < 0)
		return rc;
	end = s->text + w->next[-1] + 1;
	rc = buf_reserve(out, bytes + SEND_EVENT_GROWTH);
	if (rc < 0)
		return rc;
	open = memchr(s->text, '{', bytes);
	if (e.id.data)
		return buf_add(out, open, (size_t)(end - open));
	make_id(s, bytes, at, id);
	/* Go back to the first position. */
	while (w->text + *w->next != open)
		w->next--;
	w->backslash = s->text;
	null = find_null_id(w);
	if (null) {
		rc = buf_add(out, open, (size_t)(null - open));
		(void)buf_addf(out, "\"%s\"", id);
		open = null + 4;
	} else {
		(void)buf_addf(out, "{\"id\":\"%s\",", id);
		open++;
	}
	return rc < 0 ? rc : buf_add(out, open, (size_t)(end - open));
}
