/* segment_file - see segment_file.h. */
#include "batchd/segment_file.h"

#include <errno.h>
#include <stdlib.h>

#include "libbase/compare.h"
#include "libbase/error.h"

struct segment_file_names {
	uint64_t *first_offsets;
	size_t count, cap;
};

static int
segment_file_on_name(void *arg, const char *name)
{
	struct segment_file_names *found = arg;
	uint64_t first_offset, *more;

	if (!segment_name_parse(name, &first_offset))
		return 0;
	if (found->count == found->cap) {
		found->cap = found->cap ? 2 * found->cap : 64;
		more = realloc(found->first_offsets, found->cap * sizeof *more);
		if (!more)
			return -ENOMEM;
		found->first_offsets = more;
	}
	found->first_offsets[found->count++] = first_offset;
	return 0;
}

int
segment_file_list(struct disk *d, uint64_t **first_offsets, size_t *count)
{
	struct segment_file_names found = {0};
	int rc = d->list(d, "", segment_file_on_name, &found);

	if (rc < 0) {
		free(found.first_offsets);
		found = (struct segment_file_names){0};
	}
	if (found.count > 0)
		qsort(found.first_offsets, found.count,
		      sizeof *found.first_offsets, compare_u64);
	*first_offsets = found.first_offsets;
	*count = found.count;
	return rc;
}

int
segment_file_open(struct disk *d, uint64_t first_offset)
{
	char name[SEGMENT_NAME_BYTES];

	segment_name(first_offset, name);
	return d->open(d, name, false);
}

int
segment_file_read_header(struct disk *d, int file, uint64_t first_offset,
                         struct segment_header *h)
{
	uint8_t bytes[SEGMENT_HEADER];
	ssize_t n = disk_read(d, file, bytes, sizeof bytes, 0);

	if (n < 0)
		return (int)n;
	if (n < SEGMENT_HEADER || segment_header_read(bytes, h) < 0 ||
	    h->first_offset != first_offset)
		return ERR_DAMAGED_HEADER;
	return 0;
}
