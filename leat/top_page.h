/*
 * top_page - the page of `leat top` as lines of text that fit the terminal.
 *
 * It is made from the figures and the choices alone, so that tests compare it
 * with the text that is expected; top_screen draws it.
 */
#ifndef LEAT_TOP_PAGE_H
#define LEAT_TOP_PAGE_H

#include <stdbool.h>

#include "leat/top_model.h"
#include "leat/top_view.h"
#include "libbase/buf.h"

#define TOP_WIDTH_MAX 1000
#define TOP_HEIGHT_MAX 500

enum top_style {
	TOP_PLAIN,
	TOP_STRONG,
	TOP_HEADER, /* the names of the columns */
	TOP_BAD,
	TOP_PAUSED,
	TOP_OLD, /* figures from before batchd became unreachable */
	TOP_STYLES
};

struct top_line {
	enum top_style style;
	bool selected;
	size_t at; /* where its text, which ends with a NUL, is in `text` */
};

struct top_page {
	unsigned width, height; /* of the terminal, set by the owner */
	struct buf text;
	size_t line_count;
	size_t end; /* for the part that is being made: its last line */
	struct top_line lines[TOP_HEIGHT_MAX];
};

void top_page_init(struct top_page *p);
void top_page_fini(struct top_page *p);

/* Make the lines.  v->first_row changes so that the selected sink is shown. */
void top_page_make(struct top_page *p, const struct top_model *m,
                   struct top_view *v);

/* The text of a line; it has no unsafe characters and is not too wide. */
const char *top_page_line(const struct top_page *p, size_t i);

#endif
