/* help - `leat help`: list the verbs, or describe one of them. */
#ifndef LEAT_HELP_H
#define LEAT_HELP_H

#include <stdio.h>

/*
 * Print the usage of the command, and a line for each verb of this noun, or of
 * all verbs if noun is NULL or no noun.
 */
void help_print_verbs(FILE *out, const char *noun);

/*
 * Log that args, which end with NULL, begin with no verb, and print the verbs
 * that may be meant to standard error.
 */
void help_print_unknown(const char *const *args);

#endif
