/*
 * back_off - how long a sink waits before it tries again what failed, and what
 * it logs and reports meanwhile.
 */
#ifndef LIBSINK_BACK_OFF_H
#define LIBSINK_BACK_OFF_H

#include "libsink/delivery.h"

/* The store has accepted something: end the back-off and log it. */
void back_off_end(struct deliver *d);

/* Log and report what is wrong, and wait.  Returns as delivery_calls.wait. */
MUST_USE int back_off_wait(struct deliver *d, enum sink_result result,
                           const struct sink_error *error);

/*
 * The same for a file that cannot be used, for the reason rc; `what` is how the
 * report begins.
 */
MUST_USE int back_off_wait_for_file(struct deliver *d, const char *what,
                                    const char *path, int rc);

/* Return the n-th delay in a row, by the sink's settings; see retry_delay.h. */
uint64_t back_off_delay_ms(const struct sink_common *common, unsigned n);

#endif
