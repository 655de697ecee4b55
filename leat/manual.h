/*
 * manual - `leat --manual`: the manual page leat(1), made from the table of
 * verbs.
 */
#ifndef LEAT_MANUAL_H
#define LEAT_MANUAL_H

/* Print the page to standard output, in the language of man(7). */
void manual_print(void);

#endif
