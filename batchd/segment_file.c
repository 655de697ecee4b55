/* segment_file - see segment_file.h. */
#include "batchd/segment_file.h"

#include "libbase/error.h"

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
