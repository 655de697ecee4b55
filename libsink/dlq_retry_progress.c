/* dlq_retry_progress - see dlq_retry_progress.h. */
#include "libsink/dlq_retry_progress.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libbase/directory.h"
#include "libbase/file.h"

/* Of one width, so that the line is overwritten within a sector. */
#define FORM "%020" PRIu64 "\n"
#define PROGRESS_BYTES 21

static int
name_of(const char *path, char out[PATH_MAX])
{
	int n = snprintf(out, PATH_MAX, "%s.progress", path);

	return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* Open and read it.  Returns 0 or -errno, with nothing open. */
static int
open_progress(struct dlq_retry_progress *p, const char *path, int flags)
{
	char name[PATH_MAX], text[PROGRESS_BYTES + 1] = "";
	ssize_t n;
	int rc = name_of(path, name);

	*p = (struct dlq_retry_progress){.fd = -1};
	if (rc < 0)
		return rc;
	rc = file_open(AT_FDCWD, name, flags, FILE_OWN);
	if (rc < 0)
		return rc;
	p->fd = rc;
	n = pread(p->fd, text, PROGRESS_BYTES, 0);
	if (n < 0) {
		rc = -errno;
		dlq_retry_progress_close(p);
		return rc;
	}
	/* An incomplete line was never synced, so there is no progress yet. */
	p->found =
	    n == PROGRESS_BYTES && sscanf(text, "%20" SCNu64, &p->line) == 1;
	return 0;
}

int
dlq_retry_progress_open(struct dlq_retry_progress *p, const char *dir,
                        const char *path)
{
	int rc = open_progress(p, path, O_RDWR | O_CREAT);

	if (rc == 0)
		rc = directory_sync(dir);
	if (rc < 0)
		dlq_retry_progress_close(p);
	return rc;
}

int
dlq_retry_progress_save(struct dlq_retry_progress *p, uint64_t line)
{
	char text[PROGRESS_BYTES + 1];

	(void)snprintf(text, sizeof text, FORM, line);
	return file_put(p->fd, text, PROGRESS_BYTES, 0);
}

void
dlq_retry_progress_close(struct dlq_retry_progress *p)
{
	if (p->fd >= 0)
		(void)close(p->fd); /* it is synced */
	p->fd = -1;
}

int
dlq_retry_progress_remove(const char *path)
{
	char name[PATH_MAX];
	int rc = name_of(path, name);

	if (rc == 0 && unlink(name) < 0 && errno != ENOENT)
		rc = -errno;
	return rc;
}
