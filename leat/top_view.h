/*
 * top_view - what the operator of `leat top` has chosen: the order of the
 * sinks, the selected one, and the question that waits for an answer.
 *
 * A sink is selected by its name, so that it stays selected when the order of
 * the rows changes, and so that the answer to a question concerns the sink that
 * the question names.
 */
#ifndef LEAT_TOP_VIEW_H
#define LEAT_TOP_VIEW_H

#include "leat/top_model.h"

/* Keys that are not characters. */
enum top_key {
	TOP_KEY_UP = 0x110000, /* beyond all characters */
	TOP_KEY_DOWN,
	TOP_KEY_PAGE_UP,
	TOP_KEY_PAGE_DOWN,
	TOP_KEY_FIRST,
	TOP_KEY_LAST,
};

enum top_question { TOP_NO_QUESTION, TOP_PAUSE, TOP_RESUME };

enum top_action {
	TOP_NOTHING, /* but to draw the page again */
	TOP_QUIT,
	TOP_ORDER, /* carry out view->order for the sink view->order_sink */
};

struct top_view {
	enum top_sort sort;
	char selected[FRAME_NAME_MAX + 1];
	size_t page_rows; /* set by top_page_make: rows of sinks on the page */
	size_t first_row; /* the first one that is shown */

	enum top_question question; /* about the sink order_sink */
	enum top_question order;    /* confirmed */
	char order_sink[FRAME_NAME_MAX + 1];
	/* Why there are no figures, or why they are old; "": they are new. */
	char trouble[FRAME_TEXT_MAX + 100];
	/* What became of the last order; until the next key. */
	char message[FRAME_TEXT_MAX + 100];
};

/* Select a sink that exists. */
void top_view_follow(struct top_view *v, const struct top_model *m);

/* Act on a key. */
enum top_action top_view_on_key(struct top_view *v, const struct top_model *m,
                                int key);

#endif
