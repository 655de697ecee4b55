/* top_page - see top_page.h. */
#include "leat/top_page.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "leat/cell.h"
#include "leat/units.h"

/* Enough for a page of the largest size, each cell of which is escaped. */
#define PAGE_BYTES (8 * MIB)

#define NAME_COLUMNS 16
#define NAME_COLUMNS_WIDE 32
#define STATE_COLUMNS 13
#define NOTE_COLUMNS_MIN 20

/* From this width on the names get more room, if they need it. */
#define WIDE 120

#define LINE_BYTES (REPORT_TEXT_MAX + 512)

/* --- lines --- */

static void
begin_line(struct top_page *p, enum top_style style)
{
	p->lines[p->line_count] =
	    (struct top_line){.style = style, .at = p->text.len};
}

static void
end_line(struct top_page *p)
{
	int rc = buf_add(&p->text, "", 1);

	/* What does not fit into memory is not shown. */
	if (rc == 0)
		p->line_count++;
	else
		p->text.len = p->lines[p->line_count].at;
}

static bool
is_full(const struct top_page *p)
{
	return p->line_count == p->end;
}

/* Add a line, which is cut if it is too long. */
static void
add_line(struct top_page *p, enum top_style style, const char *text)
{
	if (is_full(p))
		return;
	begin_line(p, style);
	(void)cell_add(&p->text, slice_of(text), p->width);
	end_line(p);
}

static void add_linef(struct top_page *p, enum top_style style, const char *fmt,
                      ...) PRINTF_LIKE(3, 4);

static void
add_linef(struct top_page *p, enum top_style style, const char *fmt, ...)
{
	char text[LINE_BYTES];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	add_line(p, style, text);
}

/* Add a text as lines, of which the last one on the page may be cut. */
static void
add_wrapped(struct top_page *p, enum top_style style, const char *text)
{
	struct slice rest = slice_of(text);

	while (rest.bytes > 0 && !is_full(p)) {
		struct slice s = rest;

		if (p->line_count + 1 < p->end)
			s.bytes = cell_fit(rest, p->width);
		if (s.bytes == 0)
			break;
		begin_line(p, style);
		(void)cell_add(&p->text, s, p->width);
		end_line(p);
		rest.data += s.bytes;
		rest.bytes -= s.bytes;
	}
}

/* --- the table of sinks --- */

enum column {
	COLUMN_RATE,
	COLUMN_LAG,
	COLUMN_BYTES,
	COLUMN_TIME,
	COLUMN_CATCH_UP,
	COLUMN_DEAD,
	COLUMN_RETRIES,
	COLUMN_COMMITTED,
	COLUMNS
};

static const struct {
	const char *title;
	unsigned width;
} columns[COLUMNS] = {
    [COLUMN_RATE] = {"EVENTS/S", 8},     [COLUMN_LAG] = {"LAG", 6},
    [COLUMN_BYTES] = {"BYTES", 7},       [COLUMN_TIME] = {"TIME", 7},
    [COLUMN_CATCH_UP] = {"CATCH-UP", 8}, [COLUMN_DEAD] = {"DEAD", 7},
    [COLUMN_RETRIES] = {"RETRIES", 8},   [COLUMN_COMMITTED] = {"COMMITTED", 15},
};

/* The columns in the order in which they get room. */
static const enum column importance[COLUMNS] = {
    COLUMN_LAG,      COLUMN_TIME,  COLUMN_DEAD,    COLUMN_RATE,
    COLUMN_CATCH_UP, COLUMN_BYTES, COLUMN_RETRIES, COLUMN_COMMITTED};

struct layout {
	unsigned name, state, note; /* their widths; 0: they are not shown */
	bool shown[COLUMNS];
};

static unsigned
longest_name(const struct top_model *m)
{
	size_t longest = 0;

	for (size_t i = 0; i < m->sink_count; i++) {
		size_t n = strlen(m->sinks[i].name);

		longest = n > longest ? n : longest;
	}
	return (unsigned)longest;
}

static struct layout
layout_of(const struct top_model *m, unsigned width)
{
	struct layout l = {.name = NAME_COLUMNS, .state = STATE_COLUMNS};
	unsigned used, longest = longest_name(m);

	if (width >= WIDE && longest > NAME_COLUMNS)
		l.name =
		    longest < NAME_COLUMNS_WIDE ? longest : NAME_COLUMNS_WIDE;
	/* A mark, the name, a space, the state. */
	used = 1 + l.name + 1 + l.state;
	if (used > width) {
		l.name = width > 2 ? (width - 2 + 1) / 2 : 0;
		l.state = width > 2 + l.name ? width - 2 - l.name : 0;
		return l;
	}
	for (size_t i = 0; i < COLUMNS; i++) {
		unsigned more = 1 + columns[importance[i]].width;

		if (used + more > width)
			break;
		l.shown[importance[i]] = true;
		used += more;
	}
	if (width >= used + 1 + NOTE_COLUMNS_MIN)
		l.note = width - used - 1;
	return l;
}

/* Add a text on the left of its cell, or a figure on the right. */
static void
add_left(struct top_page *p, const char *text, unsigned width)
{
	cell_add_column(&p->text, slice_of(text), width, 0);
}

static void
add_right(struct top_page *p, const char *text, unsigned width)
{
	struct slice s = slice_of(text);

	cell_add_spaces(&p->text, s.bytes < width ? width - s.bytes : 0);
	(void)cell_add(&p->text, s, width);
}

/* The texts of a row's cells, of which the layout shows some. */
struct row {
	enum top_style style;
	bool selected;
	const char *name, *state, *figures[COLUMNS], *note;
};

static void
add_row(struct top_page *p, const struct layout *l, const struct row *row)
{
	if (is_full(p))
		return;
	begin_line(p, row->style);
	p->lines[p->line_count].selected = row->selected;
	add_left(p, row->selected ? ">" : "", p->width > 0);
	add_left(p, row->name, l->name);
	cell_add_spaces(&p->text, l->state > 0);
	add_left(p, row->state, l->state);
	for (size_t i = 0; i < COLUMNS; i++) {
		if (!l->shown[i])
			continue;
		cell_add_spaces(&p->text, 1);
		add_right(p, row->figures[i], columns[i].width);
	}
	cell_add_spaces(&p->text, l->note > 0);
	add_left(p, row->note, l->note);
	end_line(p);
}

static void
add_header(struct top_page *p, const struct top_model *m,
           const struct top_view *v, const struct layout *l)
{
	char name[64] = "SINK";
	struct row row = {.style = TOP_HEADER,
	                  .name = name,
	                  .state = "STATE",
	                  .note = "NOTE"};

	if (v->page_rows < m->sink_count)
		(void)snprintf(name, sizeof name, "%s%zu-%zu/%zu",
		               l->name < NAME_COLUMNS ? "" : "SINK ",
		               v->first_row + 1, v->first_row + v->page_rows,
		               m->sink_count);
	for (size_t i = 0; i < COLUMNS; i++)
		row.figures[i] = columns[i].title;
	add_row(p, l, &row);
}

static const char *
catch_up_text(const struct top_sink *s, char out[UNITS_TEXT_BYTES])
{
	switch (s->catch_up) {
	case TOP_CATCH_UP_NONE:
		return "-";
	case TOP_CATCH_UP_NEVER:
		return "never";
	case TOP_CATCH_UP_PAUSED:
		return "paused";
	case TOP_CATCH_UP_IN:
		return units_duration(s->catch_up_ms, out);
	case TOP_CATCH_UP_UNKNOWN:
		break;
	}
	return "?";
}

static const char *
figure_text(const struct top_sink *s, enum column column,
            char out[UNITS_TEXT_BYTES])
{
	switch (column) {
	case COLUMN_RATE:
		return s->has_rate ? units_count(s->events_per_s, out) : "?";
	case COLUMN_LAG:
		return units_count(s->lag_events, out);
	case COLUMN_BYTES:
		return units_bytes(s->lag_bytes, out);
	case COLUMN_TIME:
		return units_duration(s->lag_ms, out);
	case COLUMN_CATCH_UP:
		return catch_up_text(s, out);
	case COLUMN_DEAD:
		return units_count(s->dead_letters, out);
	case COLUMN_RETRIES:
		return units_count(s->retries, out);
	case COLUMN_COMMITTED:
		(void)snprintf(out, UNITS_TEXT_BYTES, "%" PRIu64, s->committed);
		return out;
	case COLUMNS:
		break;
	}
	return "";
}

/* "paused since ... until ... by uid 0: WHY" */
static void
pause_text(const struct top_sink *s, char out[LINE_BYTES])
{
	char since[UNITS_TEXT_BYTES], until[UNITS_TEXT_BYTES];

	(void)snprintf(
	    out, LINE_BYTES, "paused%s%s since %s by uid %" PRIu64 "%s%s",
	    s->pause.until_us > 0 ? " until " : "",
	    s->pause.until_us > 0 ? units_time(s->pause.until_us, until) : "",
	    units_time(s->pause.since_us, since), s->pause.uid,
	    s->pause.why[0] ? ": " : "", s->pause.why);
}

static enum top_style
sink_style(const struct top_sink *s)
{
	if (s->pause.paused)
		return TOP_PAUSED;
	return s->error[0] || strcmp(s->state, "disconnected") == 0 ||
	               strcmp(s->state, "misconfigured") == 0
	           ? TOP_BAD
	           : TOP_PLAIN;
}

static void
add_sink(struct top_page *p, const struct top_view *v, const struct layout *l,
         const struct top_sink *s)
{
	char figures[COLUMNS][UNITS_TEXT_BYTES], note[LINE_BYTES];
	struct row row = {.style = v->trouble[0] ? TOP_OLD : sink_style(s),
	                  .selected = strcmp(s->name, v->selected) == 0,
	                  .name = s->name,
	                  .state = s->order[0] ? s->order : s->state,
	                  .note = s->error};

	for (size_t i = 0; i < COLUMNS; i++)
		row.figures[i] = figure_text(s, (enum column)i, figures[i]);
	if (s->pause.paused) {
		pause_text(s, note);
		row.note = note;
	}
	add_row(p, l, &row);
}

/* --- above the table --- */

static void
add_title(struct top_page *p, const struct top_model *m)
{
	char now[UNITS_TEXT_BYTES], up[UNITS_TEXT_BYTES];

	add_linef(p, TOP_STRONG, "leat %s  %s  batchd pid %" PRIu64 " up %s",
	          m->version, units_time(m->now_us, now), m->pid,
	          units_duration(m->uptime_ms, up));
}

static void
add_log(struct top_page *p, const struct top_model *m)
{
	char bytes[UNITS_TEXT_BYTES], max[UNITS_TEXT_BYTES];

	add_linef(p, m->reason[0] ? TOP_BAD : TOP_PLAIN,
	          "log  %s%s%s of %s, %" PRIu64 " segments, offsets %" PRIu64
	          " .. %" PRIu64 ", fsync %s",
	          m->reason[0] ? m->reason : "open", ", ",
	          units_bytes(m->bytes, bytes), units_bytes(m->max_bytes, max),
	          m->segments, m->first_offset, m->next_offset, m->fsync);
}

static void
add_ingest(struct top_page *p, const struct top_model *m)
{
	char rate[UNITS_TEXT_BYTES], bytes[UNITS_TEXT_BYTES];

	add_linef(p, m->ingest_processes > 0 ? TOP_PLAIN : TOP_BAD,
	          "in   %s events/s, %s/s, rejected %" PRIu64 "/s; %" PRIu64
	          " ingestd, pending %" PRIu64 " requests, 503 %" PRIu64,
	          m->has_rate ? units_count(m->events_per_s, rate) : "?",
	          m->has_rate ? units_bytes(m->bytes_per_s, bytes) : "?",
	          m->rejected_per_s, m->ingest_processes, m->pending_requests,
	          m->responses_503);
}

static void
add_problems(struct top_page *p, const struct top_model *m, size_t lines)
{
	size_t n = m->problems_kept < lines ? m->problems_kept : lines;
	size_t more = m->problem_count - n;

	for (size_t i = 0; i < n; i++) {
		if (i == n - 1 && more > 0)
			add_linef(p, TOP_BAD, "PROBLEM (and %zu more) %s", more,
			          m->problems[i]);
		else
			add_linef(p, TOP_BAD, "PROBLEM %s", m->problems[i]);
	}
}

/* Add what is above the table. */
static void
add_head(struct top_page *p, const struct top_model *m,
         const struct top_view *v)
{
	size_t lines, most = p->height / 8 + 1;

	if (v->trouble[0])
		add_line(p, TOP_BAD, v->trouble);
	if (!m->known)
		return;
	add_title(p, m);
	add_log(p, m);
	add_ingest(p, m);
	lines = p->end - p->line_count;
	add_problems(p, m, lines < most ? lines : most);
}

/* --- below the table --- */

/* Add more about the selected sink. */
static void
add_detail(struct top_page *p, const struct top_model *m,
           const struct top_view *v)
{
	int at = top_model_find(m, v->selected);
	const struct top_sink *s = &m->sinks[at < 0 ? 0 : at];
	char text[LINE_BYTES], since[UNITS_TEXT_BYTES];

	if (at < 0)
		return;
	add_linef(p, TOP_STRONG,
	          "%s: committed %" PRIu64 ", skipped %" PRIu64
	          ", replayed %" PRIu64 ", dead letters %" PRIu64
	          ", dropped %" PRIu64 ", retries %" PRIu64,
	          s->name, s->committed, s->skipped_events, s->replayed_events,
	          s->dead_letters, s->dropped_events, s->retries);
	if (s->pause.paused) {
		pause_text(s, text);
		add_line(p, TOP_PAUSED, text);
	}
	if (!s->error[0])
		return;
	(void)snprintf(text, sizeof text, "since %s: %s",
	               units_time(s->error_since_us, since), s->error);
	add_wrapped(p, TOP_BAD, text);
}

static void
add_keys(struct top_page *p, const struct top_view *v)
{
	if (v->question == TOP_PAUSE)
		add_linef(p, TOP_STRONG,
		          "y/n: pause %s?  It gets no events until it is "
		          "resumed.",
		          v->order_sink);
	else if (v->question == TOP_RESUME)
		add_linef(p, TOP_STRONG, "y/n: resume %s?", v->order_sink);
	else if (v->message[0])
		add_line(p, TOP_STRONG, v->message);
	else
		add_linef(
		    p, TOP_PLAIN,
		    "q quit  s sort: %s  p pause, resume  up, down select",
		    top_sort_name(v->sort));
}

/* --- the page --- */

void
top_page_init(struct top_page *p)
{
	*p = (struct top_page){0};
	buf_init(&p->text, PAGE_BYTES);
}

void
top_page_fini(struct top_page *p)
{
	buf_fini(&p->text);
}

const char *
top_page_line(const struct top_page *p, size_t i)
{
	return (const char *)p->text.data + p->lines[i].at;
}

/* Scroll so that the selected sink is among the rows shown. */
static void
scroll(struct top_view *v, const struct top_model *m,
       const size_t order[TOP_SINKS_MAX])
{
	size_t at = 0;

	while (at + 1 < m->sink_count &&
	       strcmp(m->sinks[order[at]].name, v->selected) != 0)
		at++;
	if (v->first_row + v->page_rows > m->sink_count)
		v->first_row = m->sink_count - v->page_rows;
	if (at < v->first_row)
		v->first_row = at;
	else if (at >= v->first_row + v->page_rows)
		v->first_row = at - v->page_rows + 1;
}

/* Add the rows that fit above the last `below` lines of the page. */
static void
add_table(struct top_page *p, const struct top_model *m, struct top_view *v,
          size_t below)
{
	size_t order[TOP_SINKS_MAX] = {0};
	size_t used = p->line_count + 1 + below;
	struct layout l = layout_of(m, p->width);

	v->page_rows = p->height > used ? p->height - used : 0;
	if (v->page_rows > m->sink_count)
		v->page_rows = m->sink_count;
	top_model_order(m, v->sort, order);
	if (v->page_rows > 0)
		scroll(v, m, order);
	add_header(p, m, v, &l);
	for (size_t i = 0; i < v->page_rows; i++)
		add_sink(p, v, &l, &m->sinks[order[v->first_row + i]]);
}

void
top_page_make(struct top_page *p, const struct top_model *m, struct top_view *v)
{
	/* The head leaves room for the header, two sinks and the keys. */
	size_t head, detail, rows = m->sink_count < 2 ? m->sink_count : 2;

	p->width = p->width < TOP_WIDTH_MAX ? p->width : TOP_WIDTH_MAX;
	p->height = p->height < TOP_HEIGHT_MAX ? p->height : TOP_HEIGHT_MAX;
	p->line_count = 0;
	buf_clear(&p->text);
	top_view_follow(v, m);
	head = p->height > rows + 2 ? p->height - rows - 2 : 0;
	detail = p->height >= 12 ? p->height / 5 : 0;
	p->end = head;
	add_head(p, m, v);
	p->end = p->height;
	if (m->known)
		add_table(p, m, v, detail + 1);
	if (m->known && p->line_count + 1 + detail <= p->height) {
		p->end = p->line_count + detail;
		add_detail(p, m, v);
		p->end = p->height;
	}
	while (p->line_count + 1 < p->height)
		add_line(p, TOP_PLAIN, "");
	add_keys(p, v);
}
