/*
 * sinkd-file - events as lines of JSON in a file, each exactly once.
 *
 * The example of docs/adding-a-sink.md, which a test builds and runs.  Copied
 * beside the other sinks this folder is a whole sink.
 *
 * The position lives in the file itself: behind the events of a batch stands
 * a line {"leat_position":{"stream":"..","next_offset":N}}, written when the
 * events are on disk.  Whatever stands behind the last such line is from a
 * batch that was cut short, and is cut off when the file is opened.
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
	struct buf rows; /* of one batch */
};

static const struct conf_key file_keys[] = {
    {"path", CONF_TEXT, offsetof(struct file_conf, path),
     "/var/lib/leat/events.ndjson", 1, 1000, NULL, "The file to append to."},
    {0},
};

/* For all that goes wrong here: the disk, so it may work later. */
static enum sink_result
away(struct sink_error *error, const char *what)
{
	(void)snprintf(error->text, sizeof error->text, "%s: %s", what,
	               strerror(errno));
	return SINK_UNREACHABLE;
}

/*
 * Read the file's position lines: the last of `stream` (which may be NULL),
 * and where the last of any ends.  Returns 0 or -errno.
 */
static int
scan(FILE *in, const char *stream, bool *found, uint64_t *next_offset,
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
	int fd;

	buf_init(&f->rows, 4 * (size_t)common->batch_bytes + MIB);
	fd = open(conf->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	if (fd < 0)
		return away(error, conf->path);
	f->in = fdopen(fd, "r+");
	if (!f->in) {
		(void)close(fd); /* nothing was written */
		return away(error, "fdopen");
	}
	/* A second writer would write between our lines. */
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return away(error, "another process writes this file");
	if (scan(f->in, NULL, &found, &ignored, &end) < 0)
		return away(error, "cannot read the file");
	if (ftruncate(fd, end) < 0)
		return away(error, "cannot cut the file");
	return SINK_DONE;
}

static enum sink_result
file_position(void *state, const char *stream, bool *found,
              uint64_t *next_offset, struct sink_error *error)
{
	struct file *f = state;
	off_t end;

	if (scan(f->in, stream, found, next_offset, &end) < 0)
		return away(error, "cannot read the file");
	return SINK_DONE;
}

/* Append all of rows and wait until they are on disk. */
static int
append(struct file *f)
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
add_row(struct buf *b, const struct event *e)
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
	/* Between tokens only: a string in JSON has no raw line break. */
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
		rc = add_row(&f->rows, &batch->events[i]);
	if (rc == -EMSGSIZE) /* the runtime writes it in two halves */
		return SINK_REJECT;
	if (rc == 0)
		rc = append(f);
	/* The position only when the events are safe; then it commits them. */
	buf_clear(&f->rows);
	if (rc == 0)
		rc = buf_addf(&f->rows,
		              MARK "%s\",\"next_offset\":%" PRIu64 "}}\n",
		              batch->stream, batch->next_offset);
	if (rc == 0)
		rc = append(f);
	if (rc == 0)
		return SINK_DONE;
	errno = -rc;
	return away(error, "cannot write the file");
}

static void
file_close(void *state)
{
	struct file *f = state;

	if (f->in)
		(void)fclose(f->in); /* all that counts was synced */
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
