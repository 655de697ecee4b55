/* dlq_selection - see dlq_selection.h. */
#include "libsink/dlq_selection.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <xxhash.h>

#include "libbase/directory.h"
#include "libbase/file.h"
#include "libproto/dlq_lines.h"
#include "libproto/dlq_record.h"

#define FIRST_KEYS 1024
#define HEADER_MAX 256

int
dlq_selection_init(struct dlq_selection *s, const char *dir, const char *sink)
{
	int n, m;

	*s = (struct dlq_selection){.dir = dir, .sink = sink, .fd = -1};
	dlq_lines_writer_init(&s->out);
	n = snprintf(s->path, sizeof s->path, "%s/%s.retry.ndjson", dir, sink);
	m = snprintf(s->new_path, sizeof s->new_path, "%s/%s.retry.new", dir,
	             sink);
	return n < 0 || m < 0 || (size_t)n >= sizeof s->path ? -ENAMETOOLONG
	                                                     : 0;
}

static void
selection_release(struct dlq_selection *s)
{
	if (s->fd >= 0)
		(void)close(s->fd); /* what counts is synced */
	s->fd = -1;
	free(s->keys);
	s->keys = NULL;
	s->count = s->cap = 0;
}

void
dlq_selection_close(struct dlq_selection *s)
{
	selection_release(s);
	(void)unlink(s->new_path); /* there may be none */
}

void
dlq_selection_fini(struct dlq_selection *s)
{
	selection_release(s);
	buf_fini(&s->out.buf);
}

/* --- keys --- */

static uint64_t
hash_of(const struct slice *stream)
{
	return XXH3_64bits(stream->data, stream->bytes);
}

static int
compare_keys(const void *a, const void *b)
{
	const struct dlq_key *x = a, *y = b;

	if (x->stream_hash != y->stream_hash)
		return x->stream_hash < y->stream_hash ? -1 : 1;
	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	return x->line < y->line ? -1 : x->line > y->line;
}

static bool
is_same_event(const struct dlq_key *a, const struct dlq_key *b)
{
	return a->stream_hash == b->stream_hash && a->offset == b->offset;
}

static void
sort_keys(struct dlq_selection *s)
{
	if (s->count > 0)
		qsort(s->keys, s->count, sizeof *s->keys, compare_keys);
}

static int
add_key(struct dlq_selection *s, const struct slice *stream, uint64_t offset)
{
	if (s->count == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : FIRST_KEYS;
		struct dlq_key *keys = reallocarray(s->keys, cap, sizeof *keys);

		if (!keys)
			return -ENOMEM;
		s->keys = keys;
		s->cap = cap;
	}
	s->keys[s->count] =
	    (struct dlq_key){hash_of(stream), offset, (uint32_t)s->count};
	s->count++;
	return 0;
}

size_t
dlq_selection_find(const struct dlq_selection *s, const struct slice *stream,
                   uint64_t offset)
{
	const struct dlq_key sought = {hash_of(stream), offset, 0};
	size_t low = 0, high = s->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (compare_keys(&s->keys[mid], &sought) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low < s->count && is_same_event(&s->keys[low], &sought)
	           ? s->keys[low].line
	           : SIZE_MAX;
}

size_t
dlq_selection_count(const struct dlq_selection *s, const bool *lines)
{
	size_t n = 0;

	for (size_t i = 0; i < s->count; i++)
		if (i == 0 || !is_same_event(&s->keys[i], &s->keys[i - 1]))
			n += !lines || lines[s->keys[i].line];
	return n;
}

void
dlq_selection_mark_repeated(const struct dlq_selection *s, bool *lines)
{
	for (size_t i = 1; i < s->count; i++)
		if (is_same_event(&s->keys[i], &s->keys[i - 1]))
			lines[s->keys[i].line] = true;
}

const struct dlq_key *
dlq_selection_of(const struct dlq_selection *s, const char *stream, size_t *n)
{
	const struct slice name = slice_of(stream);
	const uint64_t hash = hash_of(&name);
	size_t first = 0;

	while (first < s->count && s->keys[first].stream_hash != hash)
		first++;
	for (*n = 0; first + *n < s->count; ++*n)
		if (s->keys[first + *n].stream_hash != hash)
			break;
	return s->keys + first;
}

/* --- reading --- */

static int
read_header(struct dlq_selection *s, const char *line, size_t bytes)
{
	char text[HEADER_MAX], action[8];
	int edited = 0, end = 0;

	if (bytes >= sizeof text)
		return -EBADMSG;
	memcpy(text, line, bytes);
	text[bytes] = '\0';
	if (sscanf(text,
	           "{\"action\":\"%7[a-z]\",\"stream\":\"%21[a-f0-9-]\","
	           "\"batch_events\":%" SCNu64 ",\"batch_bytes\":%" SCNu64
	           ",\"edited\":%d}%n",
	           action, s->stream, &s->batch_events, &s->batch_bytes,
	           &edited, &end) != 5 ||
	    (size_t)end != bytes || strlen(s->stream) != sizeof s->stream - 1 ||
	    s->batch_events == 0 || s->batch_events > DLQ_SELECTION_MAX)
		return -EBADMSG;
	s->action = strcmp(action, "drop") == 0 ? DLQ_DROP : DLQ_RETRY;
	s->is_edited = edited != 0;
	return 0;
}

static int
read_keys(struct dlq_selection *s)
{
	struct dlq_lines lines;
	struct slice stream;
	uint64_t offset;
	size_t bytes = 0;
	char none[1] = "", *line = none;
	int rc = dlq_lines_init(&lines, s->fd, 0);

	if (rc == 0)
		rc = dlq_lines_next(&lines, &line, &bytes);
	if (rc == 0)
		rc = -EBADMSG; /* it has no first line */
	if (rc > 0)
		rc = read_header(s, line, bytes);
	s->lines_at = lines.at;
	while (rc == 0 && (rc = dlq_lines_next(&lines, &line, &bytes)) > 0) {
		rc = dlq_record_peek(line, bytes, &stream, &offset);
		if (rc == 0 && s->count == DLQ_SELECTION_MAX)
			rc = -EFBIG;
		if (rc == 0)
			rc = add_key(s, &stream, offset);
	}
	dlq_lines_fini(&lines);
	sort_keys(s);
	return rc;
}

int
dlq_selection_open(struct dlq_selection *s)
{
	int rc;

	dlq_selection_close(s);
	rc = file_open(AT_FDCWD, s->path, O_RDONLY, FILE_OWN);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	s->fd = rc;
	rc = read_keys(s);
	if (rc < 0)
		dlq_selection_close(s);
	return rc < 0 ? rc : 1;
}

/* --- writing --- */

int
dlq_selection_begin(struct dlq_selection *s)
{
	uint64_t random;
	int rc;

	dlq_selection_close(s);
	if (getrandom(&random, sizeof random, 0) != sizeof random)
		return -errno;
	(void)snprintf(s->stream, sizeof s->stream, "dead-%016" PRIx64, random);
	rc = file_open(AT_FDCWD, s->new_path, O_RDWR | O_CREAT, FILE_OWN);
	if (rc < 0)
		return rc;
	s->fd = rc;
	rc = dlq_lines_writer_begin(&s->out, s->fd);
	if (rc < 0)
		return rc;
	rc =
	    buf_addf(&s->out.buf,
	             "{\"action\":\"%s\",\"stream\":\"%s\",\"batch_events\":"
	             "%" PRIu64 ",\"batch_bytes\":%" PRIu64 ",\"edited\":%d}\n",
	             s->action == DLQ_DROP ? "drop" : "retry", s->stream,
	             s->batch_events, s->batch_bytes, s->is_edited);
	s->lines_at = s->out.buf.len;
	return rc;
}

int
dlq_selection_add(struct dlq_selection *s, const void *line, size_t bytes,
                  const struct slice *stream, uint64_t offset)
{
	int rc = add_key(s, stream, offset);

	return rc < 0 ? rc : dlq_lines_writer_add(&s->out, line, bytes);
}

int
dlq_selection_commit(struct dlq_selection *s)
{
	int rc = dlq_lines_writer_sync(&s->out);

	if (rc == 0 && rename(s->new_path, s->path) < 0)
		rc = -errno;
	if (rc == 0)
		rc = directory_sync(s->dir);
	sort_keys(s);
	return rc;
}

int
dlq_selection_remove(struct dlq_selection *s)
{
	if (unlink(s->path) < 0 && errno != ENOENT)
		return -errno;
	return directory_sync(s->dir);
}

/*
 * Return true if the file belongs to a selection: `<sink>.dead-...`, or one of
 * `<sink>.retry.new` and `<sink>.ndjson.new`, which a crash has left.
 */
static bool
is_rest(const char *name, const char *sink)
{
	size_t n = strlen(sink);

	return strncmp(name, sink, n) == 0 &&
	       (strncmp(name + n, ".dead-", strlen(".dead-")) == 0 ||
	        strcmp(name + n, ".retry.new") == 0 ||
	        strcmp(name + n, ".ndjson.new") == 0);
}

int
dlq_selection_clean_up(const struct dlq_selection *s)
{
	DIR *dir = opendir(s->dir);
	struct dirent *e;
	int rc = 0;

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while (rc == 0 && (e = readdir(dir)))
		if (is_rest(e->d_name, s->sink) &&
		    unlinkat(dirfd(dir), e->d_name, 0) < 0)
			rc = -errno;
	(void)closedir(dir); /* read only */
	return rc;
}
