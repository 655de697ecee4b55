/*
 * loop - a libuv loop without waiting, for the targets that serve
 * connections.
 */
#ifndef TESTS_FUZZ_LOOP_H
#define TESTS_FUZZ_LOOP_H

#include <poll.h>

#include <uv.h>

#include "tests/fuzz/fuzz.h"

/* More turns than any input of a target needs. */
#define LOOP_TURNS_MAX 5000

/* Whether the next turn of the loop would do something. */
static inline bool
loop_is_busy(const uv_loop_t *loop)
{
	struct pollfd fd = {uv_backend_fd(loop), POLLIN, 0};

	return uv_backend_timeout(loop) == 0 || poll(&fd, 1, 0) > 0;
}

/*
 * Run the loop until it would wait.  A loop that never does is the fault that
 * this looks for: a connection that keeps the processor busy.
 */
static inline void
loop_settle(uv_loop_t *loop)
{
	int turns = 0, quiet = 0;

	/* What a turn has begun to watch is known to epoll in the next. */
	while (quiet < 2) {
		(void)uv_run(loop, UV_RUN_NOWAIT);
		quiet =
		    uv_loop_alive(loop) && loop_is_busy(loop) ? 0 : quiet + 1;
		HOLDS(++turns < LOOP_TURNS_MAX);
	}
}

#endif
