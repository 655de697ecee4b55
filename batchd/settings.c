/* settings - see settings.h. */
#include "batchd/settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libbase/log.h"

static const char *const start_choices[] = {"oldest", "newest", NULL};
static const char *const fsync_choices[] = {"always", "interval", "never",
                                            NULL};

#define AT(field) offsetof(struct settings, field)

static const struct conf_key leat_keys[] = {
    {"socket", CONF_TEXT, AT(socket), "/run/leat/batchd.sock", 1, 107, NULL,
     "Path of batchd's socket, which all daemons share."},
    {0},
};

static const struct conf_key batchd_keys[] = {
    {"dir", CONF_TEXT, AT(dir), "/var/lib/leat/log", 1, 4000, NULL,
     "Folder of the log; its last part is created."},
    {"socket_owner", CONF_TEXT, AT(socket_owner), "", 0, 64, NULL,
     "User who owns the socket and may connect, beside batchd's own and root; "
     "empty: batchd's own. Only root can give it to another."},
    {"socket_group", CONF_TEXT, AT(socket_group), "", 0, 64, NULL,
     "Group whose processes may connect, beside batchd's own user and root; "
     "empty: the group that batchd runs with."},
    {"sinks", CONF_TEXT, AT(sinks), "postgres", 0, 1000, NULL,
     "Names of the sinks that events are kept for, with spaces between; one "
     "that has never connected holds its events back, one that is removed "
     "here releases them."},
    {"start", CONF_CHOICE, AT(start), "oldest", 0, 0, start_choices,
     "Where a sink without a cursor starts: at the oldest event kept, or at "
     "the newest."},
    {"fsync", CONF_CHOICE, AT(fsync), "always", 0, 0, fsync_choices,
     "When events are synced to disk: always, before they are acknowledged; "
     "interval and never acknowledge events that a power cut can lose."},
    {"fsync_interval_ms", CONF_INT, AT(fsync_interval_ms), "200", 10, 60000,
     NULL, "With fsync = interval: time between syncs."},
    {"max_bytes", CONF_SIZE, AT(max_bytes), "8G", INT64_C(4) << 20,
     INT64_C(1) << 50, NULL,
     "Budget of the log on disk; when it is used up, senders get 503."},
    {"segment_bytes", CONF_SIZE, AT(segment_bytes), "64M", INT64_C(1) << 20,
     INT64_C(4) << 30, NULL,
     "Size of a segment file; at most a quarter of max_bytes is used."},
    {"min_free_bytes", CONF_SIZE, AT(min_free_bytes), "256M", 0,
     INT64_C(1) << 50, NULL,
     "Bytes of the file system that the log leaves free."},
    {"retain_seconds", CONF_INT, AT(retain_seconds), "3600", 0, 31536000, NULL,
     "How long events that every sink has are kept, if max_bytes allows: for "
     "a store that goes back."},
    {"group_max_bytes", CONF_SIZE, AT(group_max_bytes), "2M", 262144, 67108864,
     NULL, "Most bytes of events that one sync makes durable."},
    {"max_connections", CONF_INT, AT(max_connections), "64", 4, 1000, NULL,
     "Most daemons connected at once; two more places are kept for commands."},
    {"drain_ms", CONF_INT, AT(drain_ms), "5000", 0, 600000, NULL,
     "At SIGTERM: how long to wait for batches in flight."},
    {0},
};

/* Split names at spaces.  Returns 0 or -EINVAL after saying why. */
static int
split_sinks(struct settings *s)
{
	const char *p = s->sinks;

	s->sink_count = 0;
	for (;;) {
		char *name;
		size_t n;

		p += strspn(p, " \t");
		n = strcspn(p, " \t");
		if (n == 0)
			return 0;
		if (s->sink_count == SINKS_MAX) {
			log_error("[batchd] sinks: at most %d names",
			          SINKS_MAX);
			return -EINVAL;
		}
		if (n > FRAME_NAME_MAX ||
		    strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789-") < n) {
			log_error("[batchd] sinks: %s: a name has 1 to %d of "
			          "a-z, 0-9 and -",
			          log_quote(p), FRAME_NAME_MAX);
			return -EINVAL;
		}
		name = s->sink_names[s->sink_count];
		memcpy(name, p, n);
		name[n] = '\0';
		for (size_t i = 0; i < s->sink_count; i++) {
			if (strcmp(s->sink_names[i], name) == 0) {
				log_error("[batchd] sinks: %s stands twice",
				          name);
				return -EINVAL;
			}
		}
		s->sink_count++;
		p += n;
	}
}

static int
validate(void *arg)
{
	struct settings *s = arg;

	if (s->segment_bytes > s->max_bytes / 4)
		s->segment_bytes = s->max_bytes / 4 / 4096 * 4096;
	if (access_set_owner(&s->access, s->socket_owner) < 0) {
		log_error("settings refused: [batchd] socket_owner = %s: no "
		          "such user",
		          s->socket_owner);
		return -EINVAL;
	}
	if (access_set_group(&s->access, s->socket_group) < 0) {
		log_error("settings refused: [batchd] socket_group = %s: no "
		          "such group",
		          s->socket_group);
		return -EINVAL;
	}
	return split_sinks(s);
}

int
settings_load(struct settings *settings, int argc, char **argv)
{
	const struct conf_table tables[] = {
	    {.section = "leat", .keys = leat_keys, .into = settings},
	    {.section = "batchd", .keys = batchd_keys, .into = settings},
	};
	const struct conf_flag flags[] = {
	    {"--accept-gap", "go on although events that a sink wants are gone",
	     &settings->accept_gap},
	};
	const struct conf_program program = {
	    .name = "batchd",
	    .summary = "leat's log: keeps events on disk and feeds the sinks.",
	    .tables = tables,
	    .table_count = ARRAY_LEN(tables),
	    .flags = flags,
	    .flag_count = ARRAY_LEN(flags),
	    .validate = validate,
	    .arg = settings,
	};

	return conf_start(&program, argc, argv);
}

void
settings_free(struct settings *settings)
{
	const struct conf_table tables[] = {
	    {.section = "leat", .keys = leat_keys, .into = settings},
	    {.section = "batchd", .keys = batchd_keys, .into = settings},
	};

	conf_free(tables, ARRAY_LEN(tables));
}

struct store_conf
settings_store(const struct settings *settings)
{
	return (struct store_conf){
	    .max_bytes = (uint64_t)settings->max_bytes,
	    .segment_bytes = (uint64_t)settings->segment_bytes,
	    .min_free_bytes = (uint64_t)settings->min_free_bytes,
	    .retain_us = settings->retain_seconds * 1000000,
	    .group_max_bytes = (uint64_t)settings->group_max_bytes,
	    .fsync = (enum store_fsync)settings->fsync,
	    .fsync_interval_us = settings->fsync_interval_ms * 1000,
	};
}
