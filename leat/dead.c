/*
 * dead - `leat dead`: look at a sink's dead letters, which needs no daemon, and
 * have the sink retry or drop them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <msgpack.h>

#include "leat/ask.h"
#include "leat/cell.h"
#include "leat/dead_event.h"
#include "leat/dead_file.h"
#include "leat/options.h"
#include "leat/verb.h"
#include "leat/when.h"
#include "libbase/clock.h"
#include "libbase/json_text.h"
#include "libbase/log.h"
#include "libproto/event_json.h"
#include "libproto/status_map.h"

#define CODES_MAX 20 /* listed one by one */

/* Columns of `leat dead ls`. */
#define CODE_COLUMNS 10
#define TYPE_COLUMNS 16
#define ID_COLUMNS 36
#define REASON_COLUMNS 60

/* The options of all four verbs; each offers some of them. */
static struct dead_options {
	const char *code, *type, *since, *limit, *offset, *event;
	uint64_t timeout_ms;
	bool json, only_event, execute;
} options = {.timeout_ms = OPTIONS_TIMEOUT_MS};

#define SELECTION_FLAGS                                                        \
	VERB_TEXT(                                                             \
	    "--code", "CODE", &options.code,                                   \
	    "only those with this error code of the store, such as 22P02"),    \
	    VERB_TEXT("--type", "TYPE", &options.type,                         \
	              "only those of events of this type"),                    \
	    VERB_TEXT("--since", "WHEN", &options.since,                       \
	              "only those refused since this time "                    \
	              "(2026-11-26T14:00Z, -10m)"),                            \
	    VERB_TEXT("--offset", "N", &options.offset,                        \
	              "only the one of the event with this offset"),           \
	    VERB_TEXT("--limit", "N", &options.limit, "at most N of them")
#define ORDER_FLAGS                                                            \
	OPTIONS_TIMEOUT_FLAG(&options.timeout_ms),                             \
	    OPTIONS_EXECUTE_FLAG(&options.execute)

/* --- options --- */

static int
read_number(const char *option, const char *text, uint64_t *out)
{
	if (options_number(text, out))
		return 0;
	log_error("not a number option=%s value=%s", option, log_quote(text));
	return -EINVAL;
}

static int
read_text(const char *option, const char *text, char *out, size_t size)
{
	if (strlen(text) < size) {
		(void)snprintf(out, size, "%s", text);
		return 0;
	}
	log_error("the value is too long option=%s value=%s", option,
	          log_quote(text));
	return -EINVAL;
}

static int
read_since(const char *text, int64_t *us)
{
	struct when when;
	int rc = when_read(text, clock_wall_us(), &when);

	if (rc == 0 && when.kind == WHEN_TIME) {
		*us = when.us;
		return 0;
	}
	log_error("not a time in the past: use 2026-11-26T14:00Z or -10m "
	          "option=--since value=%s",
	          log_quote(text));
	return -EINVAL;
}

/* Returns 0, or -EINVAL after logging what is wrong. */
static int
read_filter(struct dlq_filter *f)
{
	const struct dead_options *o = &options;
	int rc = 0;

	*f = (struct dlq_filter){.has_code = o->code != NULL,
	                         .has_type = o->type != NULL,
	                         .has_offset = o->offset != NULL};
	if (o->code)
		rc = read_text("--code", o->code, f->code, sizeof f->code);
	if (rc == 0 && o->type)
		rc = read_text("--type", o->type, f->type, sizeof f->type);
	if (rc == 0 && o->since)
		rc = read_since(o->since, &f->since_us);
	if (rc == 0 && o->offset)
		rc = read_number("--offset", o->offset, &f->offset);
	if (rc == 0 && o->limit)
		rc = read_number("--limit", o->limit, &f->limit);
	/* In the filter 0 is no limit, and a limit of 0 could drop all. */
	if (rc == 0 && o->limit && f->limit == 0) {
		log_error("--limit must be at least 1 value=%s",
		          log_quote(o->limit));
		rc = -EINVAL;
	}
	return rc;
}

/* --- ls and show --- */

struct listing {
	char path[PATH_MAX];
	uint64_t count, damaged;
	struct buf row;
};

/* Print JSON, which on a terminal must not act on it. */
static void
print_json(struct slice text)
{
	struct buf out;

	if (!isatty(STDOUT_FILENO)) {
		printf("%.*s\n", (int)text.bytes, text.data);
		return;
	}
	/* The longest escape is that of one byte: \u007f. */
	buf_init(&out, (size_t)6 * DLQ_RECORD_MAX);
	(void)json_text_add_escaped(&out, text.data, text.bytes);
	printf("%.*s\n", (int)out.len, (const char *)out.data);
	buf_fini(&out);
}

static int
print_row(void *arg, const struct dlq_record *record, struct slice line)
{
	struct listing *l = arg;
	char at[CLOCK_TEXT_BYTES + 1];

	if (options.json) {
		print_json(line);
		l->count++;
		return 0;
	}
	if (l->count++ == 0)
		printf("%12s %-27s %-*s %-*s %-*s %s\n", "OFFSET",
		       "DEAD-LETTERED AT", CODE_COLUMNS, "CODE", TYPE_COLUMNS,
		       "TYPE", ID_COLUMNS, "ID", "REASON");
	clock_format_us(record->at_us, at);
	buf_clear(&l->row);
	cell_add_column(&l->row, record->code, CODE_COLUMNS, 1);
	cell_add_column(&l->row, record->event.type, TYPE_COLUMNS, 1);
	cell_add_column(&l->row, record->event.id, ID_COLUMNS, 1);
	(void)cell_add(&l->row, record->reason, REASON_COLUMNS);
	printf("%12" PRIu64 " %s %.*s%s\n", record->offset, at, (int)l->row.len,
	       (const char *)l->row.data,
	       record->without_payload ? " (no payload)" : "");
	return 0;
}

/*
 * Read the dead letters that the options select.  Returns the exit status;
 * EXIT_NOT_WELL after reporting lines that are no dead letters.
 */
static int
listing_read(struct listing *l, const struct verb_call *call,
             dead_file_on_record print)
{
	struct dlq_filter filter;
	int rc;

	if (read_filter(&filter) < 0)
		return EXIT_CONFIG;
	cell_set_locale();
	buf_init(&l->row, DLQ_RECORD_MAX);
	rc = dead_file_path(call->path, call->args[0], l->path);
	if (rc == 0)
		rc = dead_file_read(l->path, &filter, print, l, &l->damaged);
	buf_fini(&l->row);
	if (rc < 0)
		return EXIT_FAILURE;
	if (l->damaged == 0)
		return EXIT_SUCCESS;
	log_warn("some lines are no dead letters path=%s lines=%" PRIu64,
	         log_quote(l->path), l->damaged);
	return EXIT_NOT_WELL;
}

static int
dead_ls_run(const struct verb_call *call)
{
	struct listing l = {.count = 0};
	int status = listing_read(&l, call, print_row);

	if (!options.json &&
	    (status == EXIT_SUCCESS || status == EXIT_NOT_WELL))
		printf("%s%" PRIu64 " dead letter%s in %s\n",
		       l.count > 0 ? "\n" : "", l.count,
		       l.count == 1 ? "" : "s", l.path);
	return conf_finish_output(status);
}

static int
print_whole(void *arg, const struct dlq_record *record, struct slice line)
{
	struct listing *l = arg;
	int rc = 0;

	if (options.only_event && record->without_payload) {
		log_warn("this dead letter has no payload offset=%" PRIu64,
		         record->offset);
		return 0;
	}
	buf_clear(&l->row);
	if (options.only_event) {
		rc = event_json_add(&l->row, &record->event, false);
		/* A sender does not set received_at, which is the last. */
		l->row.len -=
		    sizeof ",\"received_at\":\"\"}" - 1 + CLOCK_TEXT_BYTES;
		if (rc == 0)
			rc = buf_add(&l->row, "}", 1);
		line = buf_slice(&l->row);
	}
	if (rc == 0)
		print_json(line);
	l->count++;
	return rc;
}

static int
dead_show_run(const struct verb_call *call)
{
	struct listing l = {.count = 0};
	int status = listing_read(&l, call, print_whole);

	if (status != EXIT_SUCCESS || l.count > 0)
		return conf_finish_output(status);
	log_warn("no dead letter matches path=%s", log_quote(l.path));
	return EXIT_NOT_WELL;
}

/* --- retry and drop --- */

/* What an order would do. */
struct preview {
	uint64_t count, without_payload;
	struct {
		char code[DLQ_CODE_MAX + 1];
		uint64_t count;
	} codes[CODES_MAX];
	size_t code_count;
	/* With --event: the event that is replaced, packed. */
	struct buf old;
};

static int
preview_record(void *arg, const struct dlq_record *record, struct slice line)
{
	struct preview *p = arg;
	size_t i = 0;

	(void)line;
	p->count++;
	p->without_payload += record->without_payload;
	while (i < p->code_count && !slice_is(record->code, p->codes[i].code))
		i++;
	if (i == p->code_count && i < CODES_MAX) {
		(void)snprintf(p->codes[i].code, sizeof p->codes[i].code,
		               "%.*s", (int)record->code.bytes,
		               record->code.data);
		p->code_count++;
	}
	if (i < CODES_MAX)
		p->codes[i].count++;
	buf_clear(&p->old);
	return options.event ? event_pack(&p->old, &record->event) : 0;
}

static void
print_preview(const struct preview *p, const char *sink, bool is_drop)
{
	printf("%-10s %" PRIu64 " dead letter%s would be %s\n", sink, p->count,
	       p->count == 1 ? "" : "s",
	       is_drop ? "dropped: their events would be lost for this store"
	               : "written to the store again");
	for (size_t i = 0; i < p->code_count; i++)
		printf("           %" PRIu64 " with the code %s\n",
		       p->codes[i].count,
		       p->codes[i].code[0] ? log_quote(p->codes[i].code)
		                           : "\"\"");
	if (p->without_payload > 0 && !is_drop && !options.event)
		printf("           %" PRIu64 " of them cannot be: they have "
		       "no payload\n",
		       p->without_payload);
	printf("           Those whose events the sink has not passed would "
	       "be left.\n"
	       "           Nothing was changed. Add --execute to do it.\n");
}

/* Add the event of --event to the arguments.  Returns 0 or -errno. */
static int
add_event(struct control_args *args, const struct preview *p)
{
	struct wire_reader old = {p->old.data, p->old.data + p->old.len};
	struct event event;
	struct buf packed;
	int rc;

	if (p->count != 1) {
		log_error("--event is for one dead letter: name it with "
		          "--offset dead_letters=%" PRIu64,
		          p->count);
		return -EINVAL;
	}
	rc = event_read(&old, &event);
	if (rc < 0)
		return rc;
	buf_init(&packed, DEAD_EVENT_MAX);
	rc = dead_event_read(options.event, &event, &packed);
	if (rc == 0)
		control_args_add_text(args, "event", buf_slice(&packed));
	buf_fini(&packed);
	return rc;
}

/* Print what has become of the order.  Returns the exit status. */
static int
print_result(const char *sink, const msgpack_object *map, bool is_drop)
{
	static const struct {
		const char *key, *text;
	} others[] = {
	    {"waiting", "left, whose events the sink has not passed yet"},
	    {"without_payload", "left, which have no payload"},
	    {"more", "left, which are beyond the limit: run it again"},
	    {"damaged", "lines are no dead letters: correct the file"},
	};
	bool is_all = status_map_uint(map, "kept") == 0;

	if (is_drop)
		printf("%-10s dropped %" PRIu64 "\n", sink,
		       status_map_uint(map, "dropped"));
	else
		printf("%-10s retried %" PRIu64 ", stored %" PRIu64
		       ", kept %" PRIu64 "\n",
		       sink, status_map_uint(map, "selected"),
		       status_map_uint(map, "stored"),
		       status_map_uint(map, "kept"));
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		uint64_t n = status_map_uint(map, others[i].key);

		if (n > 0)
			printf("           %" PRIu64 " %s\n", n,
			       others[i].text);
		is_all = is_all && n == 0;
	}
	return is_all ? EXIT_SUCCESS : EXIT_NOT_WELL;
}

static int
order_execute(const struct verb_call *call, const struct dlq_filter *filter,
              const struct preview *p, bool is_drop)
{
	struct control_args args;
	const msgpack_object *result;
	int rc = EXIT_CONFIG;

	control_args_init(&args);
	control_args_add_text(&args, "sink", slice_of(call->args[0]));
	control_args_add_text(&args, "action",
	                      slice_of(is_drop ? "drop" : "retry"));
	dlq_filter_put(filter, &args);
	if (!options.event || add_event(&args, p) == 0)
		rc = ask_order(call->socket, "dead", &args, options.timeout_ms,
		               &result);
	if (rc == 0)
		rc = print_result(call->args[0], result, is_drop);
	control_args_fini(&args);
	return rc;
}

static int
order_run(const struct verb_call *call, bool is_drop)
{
	struct preview p = {0};
	struct dlq_filter filter;
	char path[PATH_MAX];
	uint64_t damaged;
	int rc = read_filter(&filter), status = EXIT_SUCCESS;

	if (rc < 0)
		return EXIT_CONFIG;
	buf_init(&p.old, EVENT_PACKED_MAX);
	/* Who executes the order need not be able to read the file. */
	if (!options.execute || options.event) {
		rc = dead_file_path(call->path, call->args[0], path);
		if (rc == 0)
			rc = dead_file_read(path, &filter, preview_record, &p,
			                    &damaged);
	}
	if (rc < 0)
		status = EXIT_FAILURE;
	else if (options.execute)
		status = order_execute(call, &filter, &p, is_drop);
	else
		print_preview(&p, call->args[0], is_drop);
	buf_fini(&p.old);
	return conf_finish_output(status);
}

static int
dead_retry_run(const struct verb_call *call)
{
	return order_run(call, false);
}

static int
dead_drop_run(const struct verb_call *call)
{
	return order_run(call, true);
}

/* --- the verbs --- */

const struct verb dead_ls_verb = {
    .noun = "dead",
    .name = "ls",
    .arguments = "SINK",
    .summary = "Lists the dead letters of a sink: events that its store "
	       "refused.",
    .details = "It reads the file in the sink's dead_dir, and needs no "
	       "daemon.",
    .flags = VERB_FLAGS(SELECTION_FLAGS,
                        VERB_SWITCH("--json", &options.json,
                                    "print the dead letters as JSON, one on a "
                                    "line, as the file has them")),
    .examples = VERB_EXAMPLES(
	{"leat dead ls postgres --since -1h", "those of the last hour"}),
    .run = dead_ls_run,
};

const struct verb dead_show_verb = {
    .noun = "dead",
    .name = "show",
    .arguments = "SINK",
    .summary = "Shows the dead letters of a sink as JSON, one on a line.",
    .flags = VERB_FLAGS(SELECTION_FLAGS,
                        VERB_SWITCH("--only-event", &options.only_event,
                                    "print the event alone, to be corrected")),
    .examples = VERB_EXAMPLES(
	{"leat dead show kafka --offset 131072 --only-event >event.json",
         "write an event that is to be corrected to a file"}),
    .run = dead_show_run,
};

const struct verb dead_retry_verb = {
    .noun = "dead",
    .name = "retry",
    .arguments = "SINK",
    .summary = "Has a sink write its dead letters to the store again.",
    .details =
	"The sink retries the dead letters between two batches of the log.  "
	"What the store refuses again stays a dead letter.",
    .flags = VERB_FLAGS(SELECTION_FLAGS,
                        VERB_TEXT("--event", "FILE", &options.event,
                                  "retry with the event in FILE, of at most "
                                  "120 KiB, in place of the original one"),
                        ORDER_FLAGS),
    .examples = VERB_EXAMPLES(
	{"leat dead retry postgres --code 22P02 --execute",
         "after the column's type was changed"},
	{"leat dead retry kafka --offset 131072 --event event.json --execute",
         "store a corrected event; without an id it gets that of the "
         "original"}),
    .run = dead_retry_run,
};

const struct verb dead_drop_verb = {
    .noun = "dead",
    .name = "drop",
    .arguments = "SINK",
    .summary = "Has a sink remove dead letters, whose events are then lost "
	       "for its store.",
    .details = "The events then count as dropped.",
    .flags = VERB_FLAGS(SELECTION_FLAGS, ORDER_FLAGS),
    .examples = VERB_EXAMPLES({"leat dead drop postgres --type ping --execute",
                               "give up the events of one type"}),
    .run = dead_drop_run,
};
