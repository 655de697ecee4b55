/*
 * permissions - whose a directory or a socket is, and what that means for this
 * process, in words for an operator.
 */
#ifndef LIBBASE_PERMISSIONS_H
#define LIBBASE_PERMISSIONS_H

#include <stddef.h>

#include "libbase/base.h"

/* Room for any text that is written here. */
#define PERMISSIONS_TEXT_BYTES 640

/*
 * Check that the owner of a directory can use the files that this process
 * would make in it.  When it is not there, its parent is looked at, in which
 * it would be made.  Returns 0 when it belongs to the user that this process
 * runs as, or to root, who may have opened it to a group; else
 * ERR_FOREIGN_OWNER, with what to do in why.  A directory that cannot be looked
 * at passes: whoever opens it is told the reason.
 */
MUST_USE int permissions_check_owner(const char *dir,
                                     char why[PERMISSIONS_TEXT_BYTES]);

/*
 * Write who may use what is at path, after -EACCES: the owner and, if the mode
 * says so, the group of the path or of the directory that cannot be passed.
 */
void permissions_describe(const char *path, char out[PERMISSIONS_TEXT_BYTES]);

#endif
