/*
 * replay_cost - what an operator should know before events are sent to a sink
 * again.
 *
 * It reads the settings of the sink, the log and the dead letters on disk, and
 * asks no daemon.
 */
#ifndef LEAT_REPLAY_COST_H
#define LEAT_REPLAY_COST_H

#include <stdint.h>

#include "libbase/base.h"

/*
 * Return a sentence: whether a store that still has the events has them twice
 * after a replay, by the settings in force, which the sink's own program
 * prints.
 */
const char *replay_cost_doubles(const char *settings, const char *sink);

/* The segments that the log cannot delete while a range is sent again. */
struct replay_held {
	uint64_t segments, bytes;
};

/*
 * Find those that have events from `from` up to `to`.  Returns 0, or a negative
 * error when the log in dir cannot be read, which is not logged.
 */
MUST_USE int replay_cost_held(const char *dir, uint64_t from, uint64_t to,
                              struct replay_held *held);

/*
 * Count the dead letters of a stream from `from` up to `to`, of a sink that has
 * some.  Returns 0; -ENOENT when there are none where the settings have them;
 * or another -errno after logging why they cannot be read.
 */
MUST_USE int replay_cost_dead_letters(const char *settings, const char *sink,
                                      const char *stream, uint64_t from,
                                      uint64_t to, uint64_t *count);

#endif
