/*
 * secret - keep what is in memory in memory.
 *
 * A core dump would hold tokens, passwords, keys and events.
 */
#ifndef LIBBASE_SECRET_H
#define LIBBASE_SECRET_H

/*
 * From now on this process leaves no core dump, or one without any memory
 * where the system pipes core dumps to a program, which no limit stops.
 * Call at start.
 */
void secret_seal(void);

#endif
