/* dlq_rewrite - see dlq_rewrite.h. */
#include "libsink/dlq_rewrite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libbase/directory.h"
#include "libbase/file.h"

#define WRITE_BYTES (256 * KIB)

void
dlq_rewrite_init(struct dlq_rewrite *w, struct dlq_file *dlq)
{
	*w = (struct dlq_rewrite){.dlq = dlq, .from = -1, .to = -1};
	buf_init(&w->out, WRITE_BYTES + DLQ_RECORD_MAX + 1);
}

static void
rewrite_close(struct dlq_rewrite *w)
{
	if (w->from >= 0)
		(void)close(w->from); /* read only */
	if (w->to >= 0)
		(void)close(w->to); /* it is synced, or of no use */
	w->from = w->to = -1;
	dlq_lines_fini(&w->lines);
	buf_fini(&w->out);
	w->bytes = 0;
}

void
dlq_rewrite_abort(struct dlq_rewrite *w)
{
	if (w->to >= 0)
		(void)unlink(w->path); /* the next one truncates it */
	rewrite_close(w);
}

int
dlq_rewrite_begin(struct dlq_rewrite *w)
{
	int n = snprintf(w->path, sizeof w->path, "%s.new", w->dlq->path), rc;

	if (n < 0 || (size_t)n >= sizeof w->path)
		return -ENAMETOOLONG;
	rewrite_close(w);
	rc = file_open(AT_FDCWD, w->dlq->path, O_RDONLY, FILE_OWN);
	if (rc < 0)
		return rc;
	w->from = rc;
	rc = file_open(AT_FDCWD, w->path, O_WRONLY | O_CREAT, FILE_OWN);
	if (rc < 0)
		return rc;
	w->to = rc;
	if (ftruncate(w->to, 0) < 0)
		return -errno;
	return dlq_lines_init(&w->lines, w->from, 0);
}

int
dlq_rewrite_next(struct dlq_rewrite *w, char **line, size_t *bytes)
{
	return dlq_lines_next(&w->lines, line, bytes);
}

static int
rewrite_write(struct dlq_rewrite *w)
{
	int rc = file_write(w->to, w->out.data, w->out.len, w->bytes);

	if (rc == 0)
		w->bytes += w->out.len;
	buf_clear(&w->out);
	return rc;
}

int
dlq_rewrite_put(struct dlq_rewrite *w, const char *line, size_t bytes)
{
	int rc = buf_add(&w->out, line, bytes);

	if (rc == 0)
		rc = buf_add(&w->out, "\n", 1);
	if (rc == 0 && w->out.len >= WRITE_BYTES)
		rc = rewrite_write(w);
	return rc;
}

int
dlq_rewrite_sync(struct dlq_rewrite *w)
{
	int rc = rewrite_write(w);

	return rc == 0 && fdatasync(w->to) < 0 ? -errno : rc;
}

/* Return true if the file that was read is still the one at its path. */
static bool
is_still_there(const struct dlq_rewrite *w)
{
	struct stat read, now;

	return fstat(w->from, &read) == 0 && lstat(w->dlq->path, &now) == 0 &&
	       read.st_dev == now.st_dev && read.st_ino == now.st_ino;
}

int
dlq_rewrite_end(struct dlq_rewrite *w)
{
	int rc = rewrite_write(w);

	if (rc == 0 && fsync(w->to) < 0)
		rc = -errno;
	if (rc == 0 && !is_still_there(w))
		rc = -ESTALE;
	if (rc == 0 && w->bytes > 0 && rename(w->path, w->dlq->path) < 0)
		rc = -errno;
	if (rc == 0 && w->bytes == 0 && unlink(w->dlq->path) < 0)
		rc = -errno;
	if (rc < 0 || w->bytes == 0)
		(void)unlink(w->path); /* the next one truncates it */
	rewrite_close(w);
	dlq_file_replaced(w->dlq);
	return rc < 0 ? rc : directory_sync(w->dlq->dir);
}
