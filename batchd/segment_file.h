/*
 * segment_file - open a segment's file, and read and check its header.
 *
 * segment.h has the bytes; this is their way from the disk.
 */
#ifndef BATCHD_SEGMENT_FILE_H
#define BATCHD_SEGMENT_FILE_H

#include "batchd/disk.h"
#include "batchd/segment.h"

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
