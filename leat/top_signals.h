/*
 * top_signals - the signals of `leat top`, as flags and a descriptor.
 */
#ifndef LEAT_TOP_SIGNALS_H
#define LEAT_TOP_SIGNALS_H

#include <stdbool.h>

#include "libbase/base.h"

/*
 * Catch the signals that end, suspend or resize the program.  Returns a
 * descriptor that can be read after one of them, or -errno.  If the program is
 * to end and does not, because the terminal takes no output, the next such
 * signal sets the terminal's modes back and ends the process at once.
 */
MUST_USE int top_signals_catch(void);

/* Make the descriptor wait for the next signal.  Returns true after one. */
bool top_signals_clear(void);

/* The signal that ends the program, or 0. */
int top_signals_end(void);

/* Stop the process if SIGTSTP (Ctrl-Z) came.  Calls `before` then. */
void top_signals_suspend(void (*before)(void));

/* End as after the signal, which was caught: SIGINT is a normal end. */
MUST_USE int top_signals_exit(int signo);

#endif
