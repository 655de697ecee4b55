/*
 * sinkd-file - append events to a file, one line of JSON each, exactly once.
 *
 * This is the example of docs/adding-a-sink.md.  A test builds and runs it.
 * Copied beside the other sinks, this directory is a complete sink.
 *
 * The position is in the file itself.  After the events of a batch are on disk,
 * the sink writes the line {"leat_position":{"stream":"..","next_offset":N}}.
 * Only this line commits the batch.  Whatever follows the last such line is
 * from a batch that was interrupted.  It is removed when the file is opened,
 * and the runtime sends the batch again.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "libbase/buf.h"
#include "libbase/clock.h"
#include "libsink/sink.h"

#define MARK "{\"leat_position\":{\"stream\":\""
#define MARK_BYTES (sizeof MARK - 1)

struct file_conf {
	char *path;
};

struct file {
	FILE *in;        /* NULL when closed; owns the descriptor */
	struct buf rows; /* the rows of one batch */
};

static const struct conf_key file_keys[] = {
    {"path", CONF_TEXT, offsetof(struct file_conf, path),
     "/var/lib/leat/events.ndjson", 1, 1000, NULL, "The file to append to."},
    {0},
};

/*
 * Report a failure.  Everything that can fail here is the disk or the file
 * system, and that may work again later, so the result is SINK_UNREACHABLE.
 * The runtime then calls close, waits, and calls open again.
 */
static enum sink_result
file_failed(struct sink_error *error, const char *what, int rc)
{
	(void)snprintf(error->text, sizeof error->text, "%s: %s", what,
	               strerror(-rc));
	return SINK_UNREACHABLE;
}

/*
 * Read the position lines of the file.  Sets *next_offset from the last one of
 * `stream` (which may be NULL), and *end to the end of the last one of any
 * stream.  Returns 0 or -errno.
 */
static int
file_scan(FILE *in, const char *stream, bool *found, uint64_t *next_offset,
          off_t *end)
{
	char *line = NULL;
	size_t cap = 0;
	off_t at = 0;
	ssize_t n;
	int rc;

	*found = false;
	*end = 0;
	if (fseeko(in, 0, SEEK_SET) < 0)
		return -errno;
	while ((n = getline(&line, &cap, in)) > 0) {
		char *name = line + MARK_BYTES, *quote;

		at += n;
		if (strncmp(line, MARK, MARK_BYTES) != 0 || line[n - 1] != '\n')
			continue;
		*end = at;
		quote = strchr(name, '"');
		if (!stream || !quote)
			continue;
		*quote = '\0';
		if (strcmp(name, stream) != 0)
			continue;
		*next_offset =
		    strtoull(quote + strlen("\",\"next_offset\":"), NULL, 10);
		*found = true;
	}
	rc = ferror(in) ? -EIO : 0;
	free(line);
	return rc;
}

static enum sink_result
file_open(void *state, const struct sink_common *common, const void *vconf,
          struct sink_error *error)
{
	const struct file_conf *conf = vconf;
	struct file *f = state;
	uint64_t ignored;
	bool found;
	off_t end;
	int fd, rc;

	buf_init(&f->rows, 4 * (size_t)common->batch_bytes + MIB);
	fd = open(conf->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	if (fd < 0)
		return file_failed(error, conf->path, -errno);
	f->in = fdopen(fd, "r+");
	if (!f->in) {
		rc = -errno;
		(void)close(fd); /* nothing was written */
		return file_failed(error, "cannot open the file", rc);
	}
	/* A second writer would write between the lines of this one. */
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return file_failed(
		    error, "another process has locked the file; stop it",
		    -errno);
	rc = file_scan(f->in, NULL, &found, &ignored, &end);
	if (rc < 0)
		return file_failed(error, "cannot read the file", rc);
	if (ftruncate(fd, end) < 0)
		return file_failed(error, "cannot truncate the file", -errno);
	return SINK_DONE;
}

static enum sink_result
file_position(void *state, const char *stream, bool *found,
              uint64_t *next_offset, struct sink_error *error)
{
	struct file *f = state;
	off_t end;
	int rc = file_scan(f->in, stream, found, next_offset, &end);

	return rc < 0 ? file_failed(error, "cannot read the file", rc)
	              : SINK_DONE;
}

/* Write all of `rows` and wait until it is on disk.  Returns 0 or -errno. */
static int
file_append(struct file *f)
{
	size_t done = 0;

	while (done < f->rows.len) {
		ssize_t n = write(fileno(f->in), f->rows.data + done,
		                  f->rows.len - done);

		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return fdatasync(fileno(f->in)) < 0 ? -errno : 0;
}

static int
file_add_row(struct buf *b, const struct event *e)
{
	char time[CLOCK_TEXT_BYTES + 1];
	size_t payload;
	int rc = buf_addf(b, "{\"id\":");

	if (rc == 0)
		rc = buf_add_json_string(b, e->id.data, e->id.bytes);
	if (rc == 0)
		rc = buf_addf(b, ",\"type\":");
	if (rc == 0)
		rc = buf_add_json_string(b, e->type.data, e->type.bytes);
	if (rc == 0)
		rc = buf_addf(b, ",\"user_id\":");
	if (rc == 0 && !e->user_id.data)
		rc = buf_addf(b, "null");
	else if (rc == 0)
		rc = buf_add_json_string(b, e->user_id.data, e->user_id.bytes);
	if (rc == 0)
		rc = buf_addf(b, ",\"payload\":");
	payload = b->len;
	if (rc == 0)
		rc = buf_add(b, e->payload.data, e->payload.bytes);
	/*
	 * A payload may have line breaks between its tokens, but not inside a
	 * string.  Replace them, since a line of the file is one event.
	 */
	for (size_t i = payload; i < b->len; i++)
		if (b->data[i] == '\n' || b->data[i] == '\r')
			b->data[i] = ' ';
	clock_format_us(e->created_at_us, time);
	if (rc == 0)
		rc = buf_addf(b, ",\"created_at\":\"%s\"}\n", time);
	return rc;
}

static enum sink_result
file_write(void *state, const struct batch *batch, struct sink_error *error)
{
	struct file *f = state;
	int rc = 0;

	buf_clear(&f->rows);
	for (size_t i = 0; rc == 0 && i < batch->count; i++)
		rc = file_add_row(&f->rows, &batch->events[i]);
	if (rc == -EMSGSIZE) /* the runtime splits the batch in two */
		return SINK_REJECT;
	if (rc == 0)
		rc = file_append(f);
	/* The position is written only after the events are on disk. */
	buf_clear(&f->rows);
	if (rc == 0)
		rc = buf_addf(&f->rows,
		              MARK "%s\",\"next_offset\":%" PRIu64 "}}\n",
		              batch->stream, batch->next_offset);
	if (rc == 0)
		rc = file_append(f);
	if (rc == 0)
		return SINK_DONE;
	return file_failed(error, "cannot write the file", rc);
}

static void
file_close(void *state)
{
	struct file *f = state;

	if (f->in)
		(void)fclose(f->in); /* everything that matters was synced */
	f->in = NULL;
	buf_fini(&f->rows);
}

static const struct sink file_sink = {
    .name = "file",
    .summary = "Appends events to a file, one line of JSON each.",
    .keys = file_keys,
    .conf_bytes = sizeof(struct file_conf),
    .state_bytes = sizeof(struct file),
    .batch_events = "10000",
    .batch_wait_ms = "100",
    .open = file_open,
    .position = file_position,
    .write = file_write,
    .close = file_close,
};

int
main(int argc, char **argv)
{
	return sink_main(argc, argv, &file_sink);
}
