/* dlq_rewrite - see dlq_rewrite.h. */
#include "libsink/dlq_rewrite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libbase/directory.h"
#include "libbase/file.h"

void
dlq_rewrite_init(struct dlq_rewrite *w, struct dlq_file *dlq)
{
	*w = (struct dlq_rewrite){
	    .dlq = dlq, .from = -1, .to = -1, .kept_fd = -1};
	dlq_lines_writer_init(&w->out);
}

static void
rewrite_close(struct dlq_rewrite *w)
{
	if (w->from >= 0)
		(void)close(w->from); /* read only */
	if (w->to >= 0)
		(void)close(w->to); /* it is synced, or of no use */
	if (w->kept_fd >= 0)
		(void)close(w->kept_fd); /* read only */
	w->from = w->to = w->kept_fd = -1;
	dlq_lines_fini(&w->lines);
	dlq_lines_fini(&w->kept_lines);
	buf_fini(&w->out.buf);
}

void
dlq_rewrite_abort(struct dlq_rewrite *w)
{
	if (w->to >= 0)
		(void)unlink(w->path); /* the next one truncates it */
	rewrite_close(w);
}

bool
dlq_rewrite_is_open(const struct dlq_rewrite *w)
{
	return w->from >= 0;
}

/* Read the next of the dead letters that were refused again. */
static int
next_kept(struct dlq_rewrite *w)
{
	int rc;

	w->kept_bytes = 0;
	if (w->kept_fd < 0)
		return 0;
	rc = dlq_lines_next(&w->kept_lines, &w->kept_line, &w->kept_bytes);
	return rc < 0 ? rc : 0;
}

static int
open_kept(struct dlq_rewrite *w, const char *path)
{
	int rc = file_open(AT_FDCWD, path, O_RDONLY, FILE_OWN);

	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	w->kept_fd = rc;
	return dlq_lines_init(&w->kept_lines, w->kept_fd, 0);
}

/* Open the old and the new file, and that of the new reasons. */
static int
open_files(struct dlq_rewrite *w, const char *kept_path)
{
	int rc = file_open(AT_FDCWD, w->dlq->path, O_RDONLY, FILE_OWN);

	if (rc < 0)
		return rc;
	w->from = rc;
	rc = dlq_lines_init(&w->lines, w->from, 0);
	if (rc == 0)
		rc = file_open(AT_FDCWD, w->path, O_WRONLY | O_CREAT, FILE_OWN);
	if (rc < 0)
		return rc;
	w->to = rc;
	rc = dlq_lines_writer_begin(&w->out, w->to);
	if (rc < 0)
		return rc;
	/* An edited event is not kept; the one that it was made from is. */
	rc = w->is_kept && !w->selection->is_edited ? open_kept(w, kept_path)
	                                            : 0;
	return rc == 0 ? next_kept(w) : rc;
}

int
dlq_rewrite_begin(struct dlq_rewrite *w, const struct dlq_selection *selection,
                  const bool *is_kept, const char *kept_path)
{
	int n = snprintf(w->path, sizeof w->path, "%s.new", w->dlq->path), rc;

	if (n < 0 || (size_t)n >= sizeof w->path)
		return -ENAMETOOLONG;
	rewrite_close(w);
	w->selection = selection;
	w->is_kept = is_kept;
	rc = open_files(w, kept_path);
	if (rc < 0)
		dlq_rewrite_abort(w);
	return rc;
}

/*
 * Keep a dead letter that was refused again, with the new reason.  Both files
 * have them in the same order, unless the file was edited; then the old reason
 * stays.
 */
static int
put_kept(struct dlq_rewrite *w, const char *line, size_t bytes,
         const struct slice *stream, uint64_t offset)
{
	struct slice kept;
	uint64_t kept_offset;
	int rc;

	if (w->kept_bytes == 0 ||
	    dlq_record_peek(w->kept_line, w->kept_bytes, &kept, &kept_offset) <
	        0 ||
	    kept_offset != offset || kept.bytes != stream->bytes ||
	    memcmp(kept.data, stream->data, kept.bytes) != 0)
		return dlq_lines_writer_add(&w->out, line, bytes);
	rc = dlq_lines_writer_add(&w->out, w->kept_line, w->kept_bytes);
	return rc < 0 ? rc : next_kept(w);
}

static int
rewrite_line(struct dlq_rewrite *w, const char *line, size_t bytes)
{
	struct slice stream;
	uint64_t offset;
	size_t i = SIZE_MAX;

	if (dlq_record_peek(line, bytes, &stream, &offset) == 0)
		i = dlq_selection_find(w->selection, &stream, offset);
	if (i == SIZE_MAX)
		return dlq_lines_writer_add(&w->out, line, bytes);
	if (w->is_kept && w->is_kept[i])
		return put_kept(w, line, bytes, &stream, offset);
	return 0;
}

/* All lines of the old file were read: replace it. */
static int
rewrite_end(struct dlq_rewrite *w)
{
	int rc = dlq_lines_writer_sync(&w->out);
	bool is_empty = w->out.bytes == 0;

	if (rc == 0 && !file_is_at(w->from, w->dlq->path))
		rc = -ESTALE;
	if (rc == 0 && !is_empty && rename(w->path, w->dlq->path) < 0)
		rc = -errno;
	if (rc == 0 && is_empty && unlink(w->dlq->path) < 0)
		rc = -errno;
	if (rc < 0 || is_empty)
		(void)unlink(w->path); /* the next one truncates it */
	rewrite_close(w);
	dlq_file_close(w->dlq);
	return rc < 0 ? rc : directory_sync(w->dlq->dir);
}

int
dlq_rewrite_step(struct dlq_rewrite *w, uint64_t most)
{
	const uint64_t end = w->lines.at + most;
	char *line;
	size_t bytes;
	int rc;

	while (w->lines.at < end) {
		rc = dlq_lines_next(&w->lines, &line, &bytes);
		if (rc == 0)
			return rewrite_end(w);
		if (rc > 0)
			rc = rewrite_line(w, line, bytes);
		if (rc < 0)
			return rc;
	}
	/* What is synced now need not be synced at the end. */
	rc = dlq_lines_writer_sync(&w->out);
	return rc < 0 ? rc : 1;
}
