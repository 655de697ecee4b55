/*
 * permissions - explain to an operator which users can use a directory, a file
 * or a socket.
 */
#ifndef LIBBASE_PERMISSIONS_H
#define LIBBASE_PERMISSIONS_H

#include <stddef.h>

#include "libbase/base.h"

/* Room for any text that is written here. */
#define PERMISSIONS_TEXT_BYTES 640

/*
 * Check that the owner of a directory can use the files that this process would
 * create in it.  If the directory does not exist, its parent is checked, in
 * which it would be created.  Returns 0 if it belongs to the user that this
 * process runs as, or to root, who may have given a group access; else
 * ERR_FOREIGN_OWNER, with a text in `why` that contains the remedy.  A
 * directory whose owner cannot be found out passes, as opening it will fail
 * with the reason.
 */
MUST_USE int permissions_check_owner(const char *dir,
                                     char why[PERMISSIONS_TEXT_BYTES]);

/*
 * Describe who may use what is at path, after -EACCES: the owner and, if the
 * mode allows it, the group of the path, or of the directory on the way to it
 * that this process cannot enter.
 */
void permissions_describe(const char *path, char out[PERMISSIONS_TEXT_BYTES]);

#endif
