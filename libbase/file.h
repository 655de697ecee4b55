/*
 * file - read and write whole files; open files in directories to which another
 * user may have write access; and write what must survive a power failure.
 */
#ifndef LIBBASE_FILE_H
#define LIBBASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"

/* Whose file file_open may open. */
enum file_owner {
	FILE_OWN,  /* a file of the user that this process runs as */
	FILE_LOCK, /* the same, and to be locked; its mode is set to 0600,
	            * since any process that can open it could lock it */
	FILE_ANY,  /* a file of any user, which is only read */
};

/*
 * Open `name`, which is relative to the directory `dir` (or AT_FDCWD), with
 * open(2)'s flags and mode 0640, or 0600 with FILE_LOCK.  Only a regular file
 * is opened, because a link could lead to a file of the user that this process
 * runs as, and because opening a fifo could block for ever.
 *
 * Returns the descriptor, or -errno (-ELOOP when the name is a symbolic link),
 * ERR_NOT_REGULAR_FILE, or, unless FILE_ANY allows it, ERR_FOREIGN_OWNER.
 */
MUST_USE int file_open(int dir, const char *name, int flags,
                       enum file_owner owner);

/* Return true if fd is the file at path, and not one that had this path before.
 */
bool file_is_at(int fd, const char *path);

/* As error_text, with what to do about what file_open refuses. */
const char *file_error(int rc);

/*
 * Read the whole file at path, which the caller trusts: links are followed.
 * Returns 0 with *bytes bytes and a NUL after them in *out, which the caller
 * frees; or -errno, which is -EFBIG if the file has more than max_bytes.
 */
MUST_USE int file_read(const char *path, size_t max_bytes, char **out,
                       size_t *bytes);

/*
 * Write all of data at the byte `at` (or at the end of a file that was opened
 * to append) and sync it.  Returns 0, or -errno after any part was written.
 */
MUST_USE int file_put(int fd, const void *data, size_t bytes, uint64_t at);

/* The same without the sync. */
MUST_USE int file_write(int fd, const void *data, size_t bytes, uint64_t at);

#endif
