/* sink_conf - see sink_conf.h. */
#include "libsink/sink_conf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/log.h"
#include "libproto/frame.h"

#define AT(field) offsetof(struct sink_common, field)

/* As in enum sink_dead_full. */
static const char *const dead_full_names[] = {"count", "wait", NULL};

static const struct conf_key leat_keys[] = {
    {"socket", CONF_TEXT, AT(socket), "/run/leat/batchd.sock", 1, 107, NULL,
     "Unix socket on which batchd listens."},
    {0},
};

/* The first two get the sink's defaults. */
static const struct conf_key common_keys[] = {
    {"batch_events", CONF_INT, AT(batch_events), NULL, 1, SINK_BATCH_EVENTS_MAX,
     NULL, "Most events in one batch."},
    {"batch_wait_ms", CONF_INT, AT(batch_wait_ms), NULL, 0, 60000, NULL,
     "A batch that is not full starts at least this long after the one before "
     "it: after a pause the first event is sent at once."},
    {"batch_bytes", CONF_SIZE, AT(batch_bytes), "16M", FRAME_BODY_MAX,
     SINK_BATCH_BYTES_MAX, NULL, "Most bytes in one batch."},
    {"timeout_ms", CONF_INT, AT(timeout_ms), "30000", 1000, 600000, NULL,
     "Longest time for one operation on the store."},
    {"retry_min_ms", CONF_INT, AT(retry_min_ms), "100", 1, 60000, NULL,
     "Wait before the first retry; each further wait is about twice as long."},
    {"retry_max_ms", CONF_INT, AT(retry_max_ms), "30000", 1, 600000, NULL,
     "Longest wait before a retry."},
    {"dead_dir", CONF_TEXT, AT(dead_dir), "/var/lib/leat/dead", 1, 1000, NULL,
     "Directory of the dead letters, events that the store refused; the last "
     "part of the path is created."},
    {"dead_max_bytes", CONF_SIZE, AT(dead_max_bytes), "1G", 1 << 20,
     INT64_C(1) << 40, NULL,
     "Most bytes of dead letters. Dead letters with their payload may use half "
     "of it, and those of one type an eighth; the others are kept without "
     "payload."},
    {"dead_full", CONF_CHOICE, AT(dead_full), "count", 0, 0, dead_full_names,
     "When dead_max_bytes are used up: count the events that the store "
     "refuses, or wait until there is room."},
    {"drain_ms", CONF_INT, AT(drain_ms), "5000", 0, 600000, NULL,
     "At SIGTERM, longest time for storing what is in the log."},
    {0},
};

static int
on_validate(const struct conf_source *source, void *arg)
{
	const struct sink_conf *s = arg;
	char value[32];
	int rc = 0;

	conf_warn_sections(source);
	conf_check_directory(source, s->section, "dead_dir", s->common.dead_dir,
	                     false);
	if (s->common.retry_min_ms > s->common.retry_max_ms) {
		(void)snprintf(value, sizeof value, "%" PRId64,
		               s->common.retry_min_ms);
		rc = conf_refuse(source, s->section, "retry_min_ms", value,
		                 "must be at most retry_max_ms, which is "
		                 "%" PRId64,
		                 s->common.retry_max_ms);
	}
	if (s->sink->check && s->sink->check(source, s->conf) < 0)
		rc = -EINVAL;
	return rc;
}

static int
build_tables(struct sink_conf *s)
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
sink_conf_start(struct sink_conf *s, const struct sink *sink,
                const char *program, int argc, char **argv)
{
	const struct conf_flag flags[] = {
	    {.name = "--check-store",
	     .help = "look at the store for `leat check`, write nothing, exit",
	     .set = &s->check_store},
	    {.name = "--stream",
	     .argument = "UUID",
	     .help = "with --check-store: of the log",
	     .value = &s->stream},
	    {.name = "--count",
	     .argument = "STREAM:OFFSET:SECONDS",
	     .help = "count the store's events for `leat account`, exit",
	     .value = &s->count},
	};
	struct conf_program conf = {.name = program,
	                            .summary = sink->summary,
	                            .flags = flags,
	                            .flag_count = ARRAY_LEN(flags),
	                            .validate = on_validate,
	                            .arg = s};
	size_t n = 0;

	*s = (struct sink_conf){.sink = sink, .section = program};
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
sink_conf_free(struct sink_conf *s)
{
	if (s->tables)
		conf_free(s->tables, s->table_count);
	free(s->conf);
	free(s->keys);
	free(s->tables);
}
