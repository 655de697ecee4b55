/* installed - see installed.h. */
#include "libbase/installed.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libbase/directory.h"

#define SINK_PREFIX "sinkd-"
#define NO_SINK "sinkd-dashboard" /* shows events, and stores none */

int
installed_directory(char out[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);

	if (n < 0)
		return -errno;
	out[n] = '\0';
	return directory_parent(out) ? 0 : -ENOENT;
}

bool
installed_has(const char *name)
{
	char directory[PATH_MAX], path[PATH_MAX];
	int n;

	if (installed_directory(directory) < 0)
		return true;
	n = snprintf(path, sizeof path, "%s/%s", directory, name);
	return n < 0 || (size_t)n >= sizeof path || access(path, X_OK) == 0;
}

static int
is_sink(const struct dirent *entry)
{
	return strncmp(entry->d_name, SINK_PREFIX, strlen(SINK_PREFIX)) == 0 &&
	       strcmp(entry->d_name, NO_SINK) != 0 &&
	       installed_has(entry->d_name);
}

void
installed_sinks(char *out, size_t size)
{
	char directory[PATH_MAX];
	struct dirent **found = NULL;
	size_t used = 0;
	int n = installed_directory(directory) == 0
	            ? scandir(directory, &found, is_sink, alphasort)
	            : 0;

	(void)snprintf(out, size, "none");
	for (int i = 0; i < n; i++) {
		const char *name = found[i]->d_name + strlen(SINK_PREFIX);
		int put = snprintf(out + used, size - used, "%s%s",
		                   i > 0 ? ", " : "", name);

		if (put >= 0 && (size_t)put < size - used)
			used += (size_t)put;
		free(found[i]);
	}
	out[used > 0 ? used : strlen(out)] = '\0';
	free(found);
}
