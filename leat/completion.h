/*
 * completion - `leat completion`: scripts that complete the command line.
 *
 * The scripts are short and the same for every version.  They run
 * `leat --complete WORD...`, which prints what can stand for the last of its
 * arguments, one a line: the text, a tab, and what it means.  The line ":files"
 * stands for the names of files.
 */
#ifndef LEAT_COMPLETION_H
#define LEAT_COMPLETION_H

#include <stddef.h>

/*
 * Print what can stand for the last of the words, which follow "leat" on a
 * command line.  Nothing is logged.
 */
void completion_print_candidates(const char *const *words, size_t count);

#endif
