/*
 * sink_conf - the keys that every sink has, put together with the sink's own.
 */
#ifndef LIBSINK_SINK_CONF_H
#define LIBSINK_SINK_CONF_H

#include <stdbool.h>

#include "libbase/base.h"
#include "libsink/sink.h"

struct sink_conf {
	struct sink_common common;
	void *conf; /* owned; the sink's own */
	/* Look at the store only (inspect.h); count is NULL without --count. */
	bool check_store;
	const char *stream, *count;

	/* What conf reads from; owned. */
	const struct sink *sink;
	const char *section; /* and program */
	struct conf_key *keys;
	struct conf_table *tables;
	size_t table_count;
};

/*
 * Handle the command line and read the file.  program is "sinkd-<name>" and
 * is kept.  Returns CONF_RUN, or the status to exit with; then, too,
 * sink_conf_free(s).
 */
MUST_USE int sink_conf_start(struct sink_conf *s, const struct sink *sink,
                             const char *program, int argc, char **argv);
void sink_conf_free(struct sink_conf *s);

#endif
