/*
 * settings - the keys that every sink has, put together with the sink's own.
 */
#ifndef LIBSINK_SETTINGS_H
#define LIBSINK_SETTINGS_H

#include <stdbool.h>

#include "libbase/base.h"
#include "libsink/sink.h"

struct settings {
	struct sink_common common;
	void *conf; /* owned; the sink's own */
	bool retry_dead;

	/* What conf reads from; owned. */
	const struct sink *sink;
	struct conf_key *keys;
	struct conf_table *tables;
	size_t table_count;
};

/*
 * Handle the command line and read the file.  program is "sinkd-<name>" and
 * is kept.  Returns CONF_RUN, or the status to exit with; then, too,
 * settings_free(s).
 */
MUST_USE int settings_start(struct settings *s, const struct sink *sink,
                            const char *program, int argc, char **argv);
void settings_free(struct settings *s);

#endif
