/*
 * core_dump - keep tokens, passwords, keys and events out of core dumps.
 */
#ifndef LIBBASE_CORE_DUMP_H
#define LIBBASE_CORE_DUMP_H

/*
 * Call at startup.  From now on this process leaves no core dump.  If the
 * system pipes core dumps to a program, which no limit prevents, the dump
 * contains no memory.  Logs a warning if that cannot be set.
 */
void core_dump_disable(void);

#endif
