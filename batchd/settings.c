/* settings - see settings.h. */
#include "batchd/settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libbase/installed.h"

static const char *const start_choices[] = {"oldest", "newest", NULL};
static const char *const fsync_choices[] = {"always", "interval", "never",
                                            NULL};

#define AT(field) offsetof(struct batchd_settings, field)

static const struct conf_key leat_keys[] = {
    {"socket", CONF_TEXT, AT(socket), "/run/leat/batchd.sock", 1, 107, NULL,
     "Unix socket on which batchd listens."},
    {0},
};

static const struct conf_key batchd_keys[] = {
    {"dir", CONF_TEXT, AT(dir), "/var/lib/leat/log", 1, 4000, NULL,
     "Directory of the log; the last part of the path is created."},
    {"socket_owner", CONF_TEXT, AT(socket_owner), "", 0, 64, NULL,
     "User that owns the socket and may connect, besides batchd's own user and "
     "root; empty: batchd's own. Only root can give the socket to another "
     "user."},
    {"socket_group", CONF_TEXT, AT(socket_group), "", 0, 64, NULL,
     "Group whose processes may connect, besides batchd's own user and root; "
     "empty: the group that batchd runs with."},
    {"sinks", CONF_TEXT, AT(sinks), "postgres", 0, 1000, NULL,
     "Names of the sinks for which events are kept, separated by spaces. The "
     "log keeps all events for a sink that has never connected; removing a "
     "name here releases its events."},
    {"start", CONF_CHOICE, AT(start), "oldest", 0, 0, start_choices,
     "Where a sink without a cursor starts: at the oldest event kept, or at "
     "the newest."},
    {"fsync", CONF_CHOICE, AT(fsync), "always", 0, 0, fsync_choices,
     "When events are synced to disk: always, before they are acknowledged; "
     "interval and never acknowledge events that a power cut can lose."},
    {"fsync_interval_ms", CONF_INT, AT(fsync_interval_ms), "200", 10, 60000,
     NULL, "With fsync = interval, time between syncs."},
    {"max_bytes", CONF_SIZE, AT(max_bytes), "8G", INT64_C(4) << 20,
     INT64_C(1) << 50, NULL,
     "Most bytes of the log on disk; when they are used up, senders get 503."},
    {"segment_bytes", CONF_SIZE, AT(segment_bytes), "64M", INT64_C(1) << 20,
     INT64_C(4) << 30, NULL,
     "Size of a segment file; at most a quarter of max_bytes is used."},
    {"min_free_bytes", CONF_SIZE, AT(min_free_bytes), "256M", 0,
     INT64_C(1) << 50, NULL,
     "Bytes of the file system that the log leaves free."},
    {"retain_seconds", CONF_INT, AT(retain_seconds), "3600", 0, 31536000, NULL,
     "How long events are kept after every sink has them, if max_bytes allows: "
     "for a store that goes back."},
    {"group_max_bytes", CONF_SIZE, AT(group_max_bytes), "2M", 262144, 67108864,
     NULL, "Most bytes of events that one sync makes durable."},
    {"max_connections", CONF_INT, AT(max_connections), "64", 4, 1000, NULL,
     "Most daemons connected at once; two more connections are reserved for "
     "commands."},
    {"max_tails", CONF_INT, AT(max_tails), "8", 0, TAILS_MAX, NULL,
     "Most connections, besides these, that watch events as they come: leat "
     "tail and the dashboard."},
    {"drain_ms", CONF_INT, AT(drain_ms), "5000", 0, 600000, NULL,
     "At SIGTERM, longest wait for batches in flight."},
    {0},
};

/*
 * Warn if the program of a sink is not installed.  A sink that never connects
 * keeps its events in the log until that is full, so a misspelt name must be
 * noticed.
 */
static void
warn_of_sink(const struct conf_source *source, const char *list,
             const char *name)
{
	char program[sizeof "sinkd-" + FRAME_NAME_MAX], sinks[512];

	(void)snprintf(program, sizeof program, "sinkd-%s", name);
	if (installed_has(program))
		return;
	installed_sinks(sinks, sizeof sinks);
	conf_warn(source, "batchd", "sinks", list,
	          "the program %s is not installed here: the log keeps all "
	          "events until a sink %s connects; the sinks that are "
	          "installed: %s",
	          program, name, sinks);
}

/* Returns 0, or -EINVAL, when the reason was logged, for a bad name. */
static int
check_sink(const struct conf_source *source, const struct batchd_settings *s,
           const char *name, size_t n)
{
	static const char prefix[] = "sinkd-", dashboard[] = "dashboard";
	int shown = (int)(n > FRAME_NAME_MAX ? FRAME_NAME_MAX : n);

	if (s->sink_count == SINKS_MAX)
		return conf_refuse(source, "batchd", "sinks", NULL,
		                   "must be at most %d names", SINKS_MAX);
	if (n > FRAME_NAME_MAX ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") < n)
		return conf_refuse(source, "batchd", "sinks", NULL,
		                   "%.*s: a name has 1 to %d of a-z, 0-9 and "
		                   "-, and names are separated by spaces",
		                   shown, name, FRAME_NAME_MAX);
	if (n == strlen(dashboard) && strncmp(name, dashboard, n) == 0)
		return conf_refuse(source, "batchd", "sinks", NULL,
		                   "dashboard: sinkd-dashboard stores no "
		                   "events, and runs without being listed: "
		                   "remove it");
	if (strncmp(name, prefix, strlen(prefix)) == 0)
		return conf_refuse(source, "batchd", "sinks", NULL,
		                   "%.*s: a sink has the name of its program "
		                   "without %s: write %.*s",
		                   shown, name, prefix,
		                   shown - (int)strlen(prefix),
		                   name + strlen(prefix));
	for (size_t i = 0; i < s->sink_count; i++) {
		if (strlen(s->sink_names[i]) == n &&
		    memcmp(s->sink_names[i], name, n) == 0)
			return conf_refuse(source, "batchd", "sinks", NULL,
			                   "%.*s is repeated", shown, name);
	}
	return 0;
}

/* Split the names.  Returns 0, or -EINVAL, when the reason was logged. */
static int
split_sinks(const struct conf_source *source, struct batchd_settings *s)
{
	const char *list = s->sinks;
	struct slice word;

	s->sink_count = 0;
	while ((word = slice_take_word(&list)).bytes > 0) {
		char *name = s->sink_names[s->sink_count];

		if (check_sink(source, s, word.data, word.bytes) < 0)
			return -EINVAL;
		memcpy(name, word.data, word.bytes);
		name[word.bytes] = '\0';
		warn_of_sink(source, s->sinks, name);
		s->sink_count++;
	}
	if (s->sink_count == 0)
		conf_warn(source, "batchd", "sinks", "",
		          "there is no sink: events are accepted, kept for "
		          "retain_seconds, and stored nowhere; name the stores "
		          "here, as in 'postgres kafka'");
	return 0;
}

static int
batchd_settings_validate(const struct conf_source *source, void *arg)
{
	struct batchd_settings *s = arg;
	int rc = 0;

	if (s->segment_bytes > s->max_bytes / 4)
		s->segment_bytes = s->max_bytes / 4 / 4096 * 4096;
	conf_warn_sections(source);
	if (socket_access_set_owner(&s->access, s->socket_owner) < 0)
		rc = conf_refuse(source, "batchd", "socket_owner",
		                 s->socket_owner, "no such user");
	if (socket_access_set_group(&s->access, s->socket_group) < 0)
		rc = conf_refuse(source, "batchd", "socket_group",
		                 s->socket_group, "no such group");
	conf_check_directory(source, "batchd", "dir", s->dir, false);
	conf_check_directory(source, "leat", "socket", s->socket, true);
	return split_sinks(source, s) < 0 ? -EINVAL : rc;
}

int
batchd_settings_load(struct batchd_settings *settings, int argc, char **argv)
{
	const struct conf_table tables[] = {
	    {.section = "leat", .keys = leat_keys, .into = settings},
	    {.section = "batchd", .keys = batchd_keys, .into = settings},
	};
	const struct conf_flag flags[] = {
	    {.name = "--accept-gap",
	     .help = "go on although events that a sink wants are gone",
	     .set = &settings->accept_gap},
	};
	const struct conf_program program = {
	    .name = "batchd",
	    .summary = "leat's log: keeps events on disk and feeds the sinks.",
	    .tables = tables,
	    .table_count = ARRAY_LEN(tables),
	    .flags = flags,
	    .flag_count = ARRAY_LEN(flags),
	    .validate = batchd_settings_validate,
	    .arg = settings,
	};

	return conf_start(&program, argc, argv);
}

void
batchd_settings_free(struct batchd_settings *settings)
{
	const struct conf_table tables[] = {
	    {.section = "leat", .keys = leat_keys, .into = settings},
	    {.section = "batchd", .keys = batchd_keys, .into = settings},
	};

	conf_free(tables, ARRAY_LEN(tables));
}

struct store_conf
batchd_settings_store_conf(const struct batchd_settings *settings)
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
