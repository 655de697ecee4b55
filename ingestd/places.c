/* places - see places.h. */
#include "ingestd/places.h"

#include <assert.h>
#include <stddef.h>
#include <sys/socket.h>

/* Places that are kept free, so that there is always one to be taken. */
#define ROOM_MAX 64

static struct place_row *
row_of(struct places *ps, enum place_phase phase)
{
	return phase == PLACE_IDLE || phase == PLACE_BUSY ? &ps->rows[phase]
	                                                  : NULL;
}

static void
leave_row(struct places *ps, struct place *p)
{
	struct place_row *row = row_of(ps, p->phase);

	if (!row)
		return;
	if (p->prev)
		p->prev->next = p->next;
	else
		row->first = p->next;
	if (p->next)
		p->next->prev = p->prev;
	else
		row->last = p->prev;
	p->prev = p->next = NULL;
}

static void
join_row(struct places *ps, struct place *p)
{
	struct place_row *row = row_of(ps, p->phase);

	if (!row)
		return;
	p->deadline_ms = uv_now(ps->loop) + row->timeout_ms;
	p->prev = row->last;
	p->next = NULL;
	if (row->last)
		row->last->next = p;
	else
		row->first = p;
	row->last = p;
}

static void
make_go(struct places *ps, struct place *p)
{
	leave_row(ps, p);
	p->phase = PLACE_GOING;
	(void)shutdown(p->fd, SHUT_RDWR); /* gone already: fine too */
}

static void
make_room(struct places *ps)
{
	uint64_t room = ps->max / 4 < ROOM_MAX ? ps->max / 4 : ROOM_MAX;
	struct place *p = ps->rows[PLACE_IDLE].first;

	if (ps->count < ps->max - room)
		return;
	if (!p)
		p = ps->rows[PLACE_BUSY].first;
	if (!p)
		return; /* all wait for batchd, which has its own limit */
	ps->evicted++;
	make_go(ps, p);
}

void
places_init(struct places *ps, const uv_loop_t *loop, uint64_t max,
            uint64_t idle_timeout_ms, uint64_t request_timeout_ms)
{
	*ps = (struct places){.loop = loop, .max = max};
	ps->rows[PLACE_IDLE].timeout_ms = idle_timeout_ms + request_timeout_ms;
	ps->rows[PLACE_BUSY].timeout_ms = request_timeout_ms;
}

void
places_add(struct places *ps, struct place *p, int fd)
{
	if (ps->max >= 4)
		make_room(ps);
	*p = (struct place){.phase = PLACE_IDLE, .fd = fd};
	ps->count++;
	join_row(ps, p);
}

void
places_remove(struct places *ps, struct place *p)
{
	assert(ps->count > 0);
	leave_row(ps, p);
	p->phase = PLACE_GOING;
	ps->count--;
}

void
places_move(struct places *ps, struct place *p, enum place_phase phase)
{
	if (p->phase == PLACE_GOING)
		return;
	leave_row(ps, p);
	p->phase = phase;
	join_row(ps, p);
}

void
places_press(struct places *ps)
{
	struct place_row *row = &ps->rows[PLACE_BUSY];
	struct place *p = row->first;

	if (!p || p->deadline_ms - row->timeout_ms + row->timeout_ms / 10 >
	              uv_now(ps->loop))
		return;
	ps->evicted++;
	make_go(ps, p);
}

void
places_sweep(struct places *ps)
{
	uint64_t now_ms = uv_now(ps->loop);

	for (size_t i = 0; i < 2; i++) {
		struct place *p;

		while ((p = ps->rows[i].first) && p->deadline_ms <= now_ms) {
			ps->overdue++;
			make_go(ps, p);
		}
	}
}
