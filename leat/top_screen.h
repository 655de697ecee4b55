/*
 * top_screen - the terminal of `leat top`, drawn with ncursesw.
 *
 * There is one screen, of standard input and output.  Keys and sizes come from
 * the terminal without waiting; the caller waits for standard input.
 */
#ifndef LEAT_TOP_SCREEN_H
#define LEAT_TOP_SCREEN_H

#include "leat/top_page.h"
#include "libbase/base.h"

/*
 * Take over the terminal.  Returns 0, or -ENOTSUP if $TERM names none that can
 * be drawn on.
 */
MUST_USE int top_screen_open(void);

/* Give the terminal back, as it was.  Harmless if the screen is not open. */
void top_screen_close(void);

/* Give it back for a time, until top_screen_draw. */
void top_screen_suspend(void);

/* Set the page's size to that of the terminal, which may have changed. */
void top_screen_resize(struct top_page *page);

/* Draw all lines again, also those that have not changed. */
void top_screen_redraw(void);

void top_screen_draw(const struct top_page *page);

/* The next key (enum top_key, or a character), or -1 if none was pressed. */
int top_screen_key(void);

#endif
