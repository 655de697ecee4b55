/*
 * core_dump - keep what is in memory out of core dumps, which would hold
 * tokens, passwords, keys and events.
 */
#ifndef LIBBASE_CORE_DUMP_H
#define LIBBASE_CORE_DUMP_H

/*
 * From now on this process leaves no core dump, or one without any memory
 * where the system pipes core dumps to a program, which no limit stops.
 * Call at start.
 */
void core_dump_disable(void);

#endif
