/* dlq_retry_progress - see dlq_retry_progress.h. */
#include "libsink/dlq_retry_progress.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libbase/directory.h"
#include "libbase/file.h"

/* Of one width, so that the line is overwritten within a sector. */
#define FORM "%020" PRIu64 "\n"
#define PROGRESS_BYTES 21

int
dlq_retry_progress_open(struct dlq_retry_progress *p, const char *dir,
                        const char *path)
{
	char text[PROGRESS_BYTES + 1] = "";
	ssize_t got;
	int rc = file_open(AT_FDCWD, path, O_RDWR | O_CREAT, FILE_OWN);

	*p = (struct dlq_retry_progress){.fd = -1};
	if (rc < 0)
		return rc;
	p->fd = rc;
	got = pread(p->fd, text, PROGRESS_BYTES, 0);
	rc = got < 0 ? -errno : directory_sync(dir);
	/* An incomplete line was never synced, so there is no progress yet. */
	if (got != PROGRESS_BYTES || sscanf(text, "%20" SCNu64, &p->line) != 1)
		p->line = 0;
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
