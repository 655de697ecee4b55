/* top_screen - see top_screen.h. */
#include "leat/top_screen.h"

#include <curses.h>
#include <errno.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* A key that sends an escape sequence sends all of it within this time. */
#define ESCAPE_MS 25

static SCREEN *screen;
static attr_t styles[TOP_STYLES];

static void
choose_styles(void)
{
	styles[TOP_STRONG] = A_BOLD;
	styles[TOP_HEADER] = A_REVERSE;
	styles[TOP_BAD] = A_BOLD;
	styles[TOP_OLD] = A_DIM;
	if (start_color() == ERR || use_default_colors() == ERR)
		return;
	(void)init_pair(1, COLOR_RED, -1);
	(void)init_pair(2, COLOR_CYAN, -1);
	styles[TOP_BAD] |= COLOR_PAIR(1);
	styles[TOP_PAUSED] = COLOR_PAIR(2);
}

int
top_screen_open(void)
{
	screen = newterm(NULL, stdout, stdin);
	if (!screen)
		return -ENOTSUP;
	/* These cannot fail in a way that matters. */
	(void)set_escdelay(ESCAPE_MS);
	(void)cbreak();
	(void)noecho();
	(void)nonl();
	(void)nodelay(stdscr, TRUE);
	(void)keypad(stdscr, TRUE);
	(void)curs_set(0);
	choose_styles();
	return 0;
}

void
top_screen_close(void)
{
	if (!screen)
		return;
	(void)endwin();
	delscreen(screen);
	screen = NULL;
}

void
top_screen_suspend(void)
{
	(void)endwin();
}

void
top_screen_resize(struct top_page *page)
{
	struct winsize size = {0};

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 &&
	    size.ws_col > 0)
		(void)resize_term(size.ws_row, size.ws_col);
	page->height = (unsigned)getmaxy(stdscr);
	page->width = (unsigned)getmaxx(stdscr);
}

void
top_screen_redraw(void)
{
	(void)clearok(stdscr, TRUE);
}

void
top_screen_draw(const struct top_page *page)
{
	(void)erase();
	for (size_t i = 0; i < page->line_count; i++) {
		const struct top_line *line = &page->lines[i];
		attr_t attributes = styles[line->style];

		if (line->selected)
			attributes |= A_REVERSE;
		(void)attrset((int)attributes);
		/* ERR is also the result of filling the last cell. */
		(void)mvaddstr((int)i, 0, top_page_line(page, i));
	}
	(void)attrset(0);
	(void)refresh();
}

int
top_screen_key(void)
{
	int key = getch();

	switch (key) {
	case ERR:
		return -1;
	case KEY_UP:
		return TOP_KEY_UP;
	case KEY_DOWN:
		return TOP_KEY_DOWN;
	case KEY_PPAGE:
		return TOP_KEY_PAGE_UP;
	case KEY_NPAGE:
		return TOP_KEY_PAGE_DOWN;
	case KEY_HOME:
		return TOP_KEY_FIRST;
	case KEY_END:
		return TOP_KEY_LAST;
	default:
		return key;
	}
}
