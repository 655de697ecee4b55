/*
 * segment_file - find the segments' files, open one, and read and check its
 * header.
 *
 * segment.h has the bytes; this is their way from the disk.
 */
#ifndef BATCHD_SEGMENT_FILE_H
#define BATCHD_SEGMENT_FILE_H

#include "batchd/disk.h"
#include "batchd/segment.h"

/*
 * List the segments of the log: set *first_offsets to an array of their first
 * offsets in ascending order, which the caller must free, and *count to their
 * number.  Headers are not read.  Returns 0, -ENOMEM, or the -errno of the
 * listing; the array is NULL if there are no segments, and after a failure.
 */
MUST_USE int segment_file_list(struct disk *d, uint64_t **first_offsets,
                               size_t *count);

/*
 * Open the segment whose first event has this offset.  Returns a handle, which
 * the caller must close, or the open's -errno.
 */
MUST_USE int segment_file_open(struct disk *d, uint64_t first_offset);

/*
 * Read the header of an open segment.  Returns 0; ERR_DAMAGED_HEADER when
 * the file is too short, the checksum is wrong, or the header names another
 * offset than `first_offset`, which the file's name has; or the read's -errno.
 */
MUST_USE int segment_file_read_header(struct disk *d, int file,
                                      uint64_t first_offset,
                                      struct segment_header *h);

#endif
