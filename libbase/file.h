/* file - write what outlasts a power cut. */
#ifndef LIBBASE_FILE_H
#define LIBBASE_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"

/*
 * Write all of data at the byte `at` (a file opened to append: at its end) and
 * sync it.  Returns 0, or -errno with any part of it written.
 */
MUST_USE int file_put(int fd, const void *data, size_t bytes, uint64_t at);

#endif
