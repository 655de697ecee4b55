/* settings - see settings.h. */
#include "libsink/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/log.h"
#include "libproto/frame.h"

static const struct conf_key leat_keys[] = {
    {.name = "socket",
     .type = CONF_TEXT,
     .offset = offsetof(struct sink_common, socket),
     .initial = "/run/leat/batchd.sock",
     .min = 1,
     .max = 107,
     .help = "The Unix socket of batchd."},
    {0},
};

#define NUMBER(field, kind, low, high, start, text)                            \
	{                                                                      \
		.name = #field, .type = kind,                                  \
		.offset = offsetof(struct sink_common, field),                 \
		.initial = start, .min = low, .max = high, .help = text        \
	}

/* The first two have the sink's defaults. */
static const struct conf_key common_keys[] = {
    NUMBER(batch_events, CONF_INT, 1, 1000000, NULL,
           "Most events in one batch."),
    NUMBER(batch_wait_ms, CONF_INT, 0, 60000, NULL,
           "A batch is sent when its first event is this old, full or not."),
    NUMBER(batch_bytes, CONF_SIZE, FRAME_BODY_MAX, 16 << 20, "16M",
           "Most bytes in one batch."),
    NUMBER(timeout_ms, CONF_INT, 1000, 600000, "30000",
           "How long one operation on the store may take."),
    NUMBER(retry_min_ms, CONF_INT, 1, 60000, "100",
           "First wait before a retry; each further one is twice as long."),
    NUMBER(retry_max_ms, CONF_INT, 1, 600000, "30000",
           "Longest wait before a retry."),
    {.name = "dead_dir",
     .type = CONF_TEXT,
     .offset = offsetof(struct sink_common, dead_dir),
     .initial = "/var/lib/leat/dead",
     .min = 1,
     .max = 1000,
     .help = "Folder of the dead letters: events that the store rejects."},
    NUMBER(dead_max_bytes, CONF_SIZE, 1 << 20, INT64_C(1) << 40, "1G",
           "Most bytes of dead letters; when they are there the sink waits."),
    NUMBER(drain_ms, CONF_INT, 0, 600000, "5000",
           "At SIGTERM, how long to go on with what the log has."),
    {0},
};

static int
on_validate(void *arg)
{
	const struct settings *s = arg;

	if (s->common.retry_min_ms > s->common.retry_max_ms) {
		log_error("retry_min_ms is above retry_max_ms: lower it, or "
		          "raise the other");
		return -EINVAL;
	}
	return s->sink->check ? s->sink->check(s->conf) : 0;
}

static int
build_tables(struct settings *s)
{
	const struct sink *sink = s->sink;

	s->conf = calloc(1, sink->conf_bytes + 1);
	s->keys = calloc(ARRAY_LEN(common_keys), sizeof *s->keys);
	s->tables = calloc(3 + sink->more_count, sizeof *s->tables);
	if (!s->conf || !s->keys || !s->tables)
		return -ENOMEM;
	memcpy(s->keys, common_keys, sizeof common_keys);
	s->keys[0].initial = sink->batch_events;
	s->keys[1].initial = sink->batch_wait_ms;
	return 0;
}

int
settings_start(struct settings *s, const struct sink *sink, const char *program,
               int argc, char **argv)
{
	struct conf_flag retry_dead = {
	    .name = "--retry-dead",
	    .help = "write the dead letters to the store again, exit",
	};
	struct conf_program conf = {.name = program,
	                            .summary = sink->summary,
	                            .flags = &retry_dead,
	                            .flag_count = 1,
	                            .validate = on_validate,
	                            .arg = s};
	size_t n = 0;

	*s = (struct settings){.sink = sink};
	retry_dead.set = &s->retry_dead;
	if (build_tables(s) < 0) {
		log_error("out of memory");
		return EXIT_FAILURE;
	}
	s->tables[n++] = (struct conf_table){
	    .section = "leat", .keys = leat_keys, .into = &s->common};
	s->tables[n++] = (struct conf_table){
	    .section = program, .keys = s->keys, .into = &s->common};
	if (sink->keys)
		s->tables[n++] = (struct conf_table){
		    .section = program, .keys = sink->keys, .into = s->conf};
	for (size_t i = 0; i < sink->more_count; i++) {
		s->tables[n] = sink->more[i];
		s->tables[n++].into = s->conf;
	}
	s->table_count = n;
	conf.tables = s->tables;
	conf.table_count = n;
	return conf_start(&conf, argc, argv);
}

void
settings_free(struct settings *s)
{
	if (s->tables)
		conf_free(s->tables, s->table_count);
	free(s->conf);
	free(s->keys);
	free(s->tables);
}
