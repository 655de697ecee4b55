/*
 * page - the files of the page, which are compiled into the program.
 */
#ifndef SINKD_DASHBOARD_PAGE_H
#define SINKD_DASHBOARD_PAGE_H

#include <stddef.h>

#include "libbase/slice.h"

struct page_file {
	const char *path; /* of the URL */
	const char *type; /* Content-Type */
	const void *data;
	size_t bytes;
};

/* Return the file that is served at this path, or NULL. */
const struct page_file *page_find(struct slice path);

#endif
