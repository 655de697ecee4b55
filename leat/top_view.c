/* top_view - see top_view.h. */
#include "leat/top_view.h"

#include <stdio.h>
#include <string.h>

void
top_view_follow(struct top_view *v, const struct top_model *m)
{
	size_t order[TOP_SINKS_MAX];

	if (m->sink_count == 0 || top_model_find(m, v->selected) >= 0)
		return;
	top_model_order(m, v->sort, order);
	(void)snprintf(v->selected, sizeof v->selected, "%s",
	               m->sinks[order[0]].name);
}

/* Select the sink that is `by` rows below; above if it is negative. */
static void
move_selection(struct top_view *v, const struct top_model *m, long by)
{
	size_t order[TOP_SINKS_MAX];
	long count = (long)m->sink_count, at = 0;

	if (count == 0)
		return;
	top_model_order(m, v->sort, order);
	while (at < count - 1 &&
	       strcmp(m->sinks[order[at]].name, v->selected) != 0)
		at++;
	at += by;
	at = at < 0 ? 0 : at >= count ? count - 1 : at;
	(void)snprintf(v->selected, sizeof v->selected, "%s",
	               m->sinks[order[at]].name);
}

static void
ask(struct top_view *v, const struct top_model *m)
{
	int at = top_model_find(m, v->selected);

	if (at < 0)
		return;
	v->question = m->sinks[at].pause.paused ? TOP_RESUME : TOP_PAUSE;
	memcpy(v->order_sink, v->selected, sizeof v->order_sink);
}

static enum top_action
answer(struct top_view *v, int key)
{
	v->order = v->question;
	v->question = TOP_NO_QUESTION;
	if (key == 'y' || key == 'Y')
		return TOP_ORDER;
	v->order = TOP_NO_QUESTION;
	return TOP_NOTHING;
}

enum top_action
top_view_on_key(struct top_view *v, const struct top_model *m, int key)
{
	long page = v->page_rows > 1 ? (long)v->page_rows - 1 : 1;

	top_view_follow(v, m);
	v->message[0] = '\0';
	if (v->question != TOP_NO_QUESTION)
		return answer(v, key);
	switch (key) {
	case 'q':
	case 'Q':
		return TOP_QUIT;
	case 's':
		v->sort = (v->sort + 1) % TOP_SORTS;
		break;
	case 'p':
		ask(v, m);
		break;
	case TOP_KEY_UP:
	case 'k':
		move_selection(v, m, -1);
		break;
	case TOP_KEY_DOWN:
	case 'j':
		move_selection(v, m, 1);
		break;
	case TOP_KEY_PAGE_UP:
		move_selection(v, m, -page);
		break;
	case TOP_KEY_PAGE_DOWN:
		move_selection(v, m, page);
		break;
	case TOP_KEY_FIRST:
		move_selection(v, m, -TOP_SINKS_MAX);
		break;
	case TOP_KEY_LAST:
		move_selection(v, m, TOP_SINKS_MAX);
		break;
	default:
		break;
	}
	return TOP_NOTHING;
}
