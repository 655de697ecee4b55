/* startup - see startup.h. */
#include "batchd/startup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "batchd/order_steps.h"
#include "libbase/directory.h"
#include "libbase/error.h"
#include "libbase/fd_limit.h"
#include "libbase/file.h"
#include "libbase/permissions.h"

/* For each sink: its cursor, and the segment that is read for it. */
#define SINK_FDS 2

/* Descriptors other than these and connections: log, event loop. */
#define OTHER_FDS 62

#define ONLY_ROOT                                                              \
	" advice=\"only root can give the socket to another socket_owner, or " \
	"to a socket_group that batchd's user is not in\""

/*
 * Remove the cursor of a sink that is no longer in the settings, so that it
 * does not keep events in the log.
 */
static int
on_cursor_file(void *arg, const char *name)
{
	struct server *s = arg;
	char path[CURSOR_PATH_BYTES], sink_name[FRAME_NAME_MAX + 1];
	struct cursor c;
	struct slice sink;
	int rc;

	if (!cursor_name_parse(name, sink_name))
		return 0;
	sink = slice_of(sink_name);
	if (broker_find_sink(&s->broker, &sink))
		return 0;
	cursor_path(sink_name, path);
	rc = cursor_open(&c, &s->disk.disk, sink_name, s->broker.store.stream);
	if (rc == 0)
		cursor_close(&c, &s->disk.disk);
	rc = s->disk.disk.unlink(&s->disk.disk, path);
	if (rc < 0)
		return rc;
	log_warn("sink is no longer in [batchd] sinks; its cursor was removed, "
	         "and its events can be deleted sink=%s offset=%" PRIu64,
	         log_quote(sink_name), c.now.committed);
	return 0;
}

static int
open_sinks(struct server *s)
{
	const struct batchd_settings *settings = s->broker.settings;
	uint64_t lowest = UINT64_MAX, highest = 0;
	int rc = 0;

	for (size_t i = 0; i < settings->sink_count; i++) {
		struct consumer *c =
		    &s->broker.sinks[s->broker.sink_count++].consumer;

		rc =
		    consumer_open(c, &s->broker.store, settings->sink_names[i]);
		if (rc < 0)
			return rc == ERR_OTHER_LOG ? ERR_OPERATOR_NEEDED : rc;
		if (c->position.cursor.file < 0)
			continue;
		/*
		 * This sink may have been sent events up to here.  So none of
		 * these offsets may be given to new events (I4), even if the
		 * log has lost its end.
		 */
		if (cursor_max_sent_offset(&c->position.cursor.now) > highest)
			highest =
			    cursor_max_sent_offset(&c->position.cursor.now);
		if (settings->accept_gap)
			position_accept_gap(&c->position);
		if (c->position.cursor.now.committed < lowest)
			lowest = c->position.cursor.now.committed;
	}
	rc = s->disk.disk.list(&s->disk.disk, "cursors", on_cursor_file, s);
	if (rc < 0)
		return rc;
	if (highest > s->broker.store.next_offset && !settings->accept_gap) {
		log_error("a sink was sent events up to offset %" PRIu64
		          ", but the log ends at %" PRIu64
		          "; restore the newest segment, which is missing, or "
		          "start once with --accept-gap",
		          highest, s->broker.store.next_offset);
		return ERR_OPERATOR_NEEDED;
	}
	if (!store_complete(&s->broker.store, lowest)) {
		if (!settings->accept_gap) {
			log_error("events are missing; restore their segment, "
			          "or start once with --accept-gap to skip "
			          "them");
			return ERR_OPERATOR_NEEDED;
		}
		rc = store_accept_gaps(&s->broker.store);
		if (rc < 0)
			return rc;
	}
	rc = store_start(&s->broker.store, highest);
	for (size_t i = 0; rc == 0 && i < s->broker.sink_count; i++) {
		rc = consumer_start(&s->broker.sinks[i].consumer,
		                    settings->start == START_NEWEST);
		if (rc == 0)
			order_open(&s->broker.sinks[i]);
	}
	return rc;
}

/*
 * Refuse directories that belong to another user, before anything is created in
 * them.  If root started batchd by mistake, the user that batchd should run as
 * could neither open nor remove what root creates there.
 */
static int
check_owners(const struct batchd_settings *settings)
{
	bool given = settings->socket_owner[0] || settings->socket_group[0];
	char why[PERMISSIONS_TEXT_BYTES], *copy;
	int rc = permissions_check_owner(settings->dir, why);

	/* A socket of another owner or group may be in their directory. */
	if (rc == 0 && !given) {
		copy = strdup(settings->socket);
		if (!copy)
			return -ENOMEM;
		(void)directory_parent(copy);
		rc = permissions_check_owner(copy, why);
		free(copy);
	}
	if (rc == ERR_FOREIGN_OWNER)
		log_error("directory refused err=%s", log_quote(why));
	return rc;
}

static int
open_log(struct server *s)
{
	const struct batchd_settings *settings = s->broker.settings;
	struct store_conf conf = batchd_settings_store_conf(settings);
	int rc = disk_real_open(&s->disk, settings->dir);

	/*
	 * The other batchd may end by itself, as one does that has outlived its
	 * supervisord.  So this is no status after which no restart is tried.
	 */
	if (rc == -EBUSY) {
		log_error("another batchd uses the log; stop it, or set "
		          "[batchd] dir to another directory dir=%s",
		          log_quote(settings->dir));
		return EXIT_FAILURE;
	}
	if (rc < 0) {
		log_error("cannot open the log's directory dir=%s err=%s",
		          log_quote(settings->dir), log_quote(file_error(rc)));
		return rc == -ENOENT || rc == -EACCES ? EXIT_CONFIG
		                                      : EXIT_FAILURE;
	}
	if (conf.fsync != FSYNC_ALWAYS)
		log_warn("[batchd] fsync is not 'always': a power cut can "
		         "lose events that were acknowledged");
	rc = store_open(&s->broker.store, &s->disk.disk, &conf);
	if (rc == 0)
		rc = open_sinks(s);
	if (rc == 0)
		return 0;
	log_error("cannot open the log dir=%s err=%s", log_quote(settings->dir),
	          log_quote(file_error(rc)));
	return rc == ERR_OPERATOR_NEEDED ? EXIT_CONFIG : EXIT_FAILURE;
}

/* Remove the socket that an earlier batchd left; nothing else at that path. */
static int
remove_old(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	return unlink(path) < 0 ? -errno : 0;
}

/*
 * Listen at the path, unless a batchd listens there.  One that is too busy to
 * accept (-EBUSY) listens too.
 */
static int
startup_listen(const struct batchd_settings *settings, int *listener)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	const char *path = settings->socket;
	struct chan probe;
	int rc = chan_connect(&probe, path, 0);

	if (rc == 0)
		chan_close(&probe);
	if (rc == 0 || rc == -EBUSY)
		return -EADDRINUSE;
	if (rc == -ECONNREFUSED)
		rc = remove_old(path);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	if (strlen(path) >= sizeof addr.sun_path)
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path) + 1);
	*listener =
	    socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (*listener < 0)
		return -errno;
	rc = socket_access_bind(&settings->access, *listener, &addr);
	/* No process can connect before this. */
	if (rc == 0 && listen(*listener, 64) < 0)
		rc = -errno;
	return rc;
}

int
startup_open(struct server *s, const struct batchd_settings *settings)
{
	uint64_t need = broker_max_peers(settings) +
	                (uint64_t)settings->max_tails +
	                SINK_FDS * settings->sink_count + OTHER_FDS;
	uint64_t got = fd_limit_raise(need);
	int rc;

	*s = (struct server){.disk = {.dir = -1, .lock = -1}};
	rc = broker_init(&s->broker, settings);
	s->broker.store.file = -1;
	connections_init(&s->connections, &s->broker);
	if (rc < 0) {
		log_error("out of memory");
		return EXIT_FAILURE;
	}
	if (got < need) {
		log_error("too few descriptors: raise the limit (ulimit -n, "
		          "LimitNOFILE=) or lower max_connections "
		          "limit=%" PRIu64 " need=%" PRIu64,
		          got, need);
		return EXIT_CONFIG;
	}
	rc = check_owners(settings);
	if (rc < 0)
		return rc == ERR_FOREIGN_OWNER ? EXIT_CONFIG : EXIT_FAILURE;
	rc = open_log(s);
	if (rc != 0)
		return rc;
	rc = startup_listen(settings, &s->connections.listener);
	if (rc < 0) {
		log_error("cannot listen socket=%s err=%s%s",
		          log_quote(settings->socket),
		          log_quote(rc == -EACCES
		                        ? chan_error(settings->socket, rc)
		                        : error_text(rc)),
		          rc == -EPERM ? ONLY_ROOT : "");
		return EXIT_FAILURE;
	}
	return 0;
}

/* Write the cursors, so that they are on disk as the sinks committed. */
static void
write_cursors(struct server *s)
{
	for (size_t i = 0; i < s->broker.sink_count; i++) {
		struct cursor *c = &s->broker.sinks[i].consumer.position.cursor;
		int rc;

		if (c->file < 0 || !cursor_begin(c))
			continue;
		rc = cursor_write(c, &s->disk.disk);
		if (rc < 0)
			log_warn("cannot write a cursor sink=%s err=%s",
			         c->name, log_quote(error_text(rc)));
		cursor_end(c);
	}
}

/* A clean stop records where the log ends.  Returns an exit status. */
static int
finish_log(struct server *s)
{
	int rc = s->jobs.failed ? 0 : store_finish(&s->broker.store);

	if (rc < 0 && s->broker.store.unsynced) {
		log_error("the last sync failed: events that were acknowledged "
		          "since the sync before it may not be on disk dir=%s "
		          "err=%s",
		          log_quote(s->broker.settings->dir),
		          log_quote(error_text(rc)));
		return EXIT_FAILURE;
	}
	if (rc < 0)
		log_warn("cannot record the end of the log; the next start "
		         "recovers it as after a crash dir=%s err=%s",
		         log_quote(s->broker.settings->dir),
		         log_quote(error_text(rc)));
	return EXIT_SUCCESS;
}

int
startup_close(struct server *s)
{
	int rc = finish_log(s);

	write_cursors(s);
	for (size_t i = 0; i < s->broker.sink_count; i++)
		consumer_close(&s->broker.sinks[i].consumer);
	store_close(&s->broker.store);
	disk_real_close(&s->disk);
	if (s->connections.listener >= 0)
		(void)close(s->connections.listener); /* nothing is buffered */
	broker_fini(&s->broker);
	return rc;
}
