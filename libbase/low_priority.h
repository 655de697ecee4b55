/*
 * low_priority - let the other processes of the machine go first.
 */
#ifndef LIBBASE_LOW_PRIORITY_H
#define LIBBASE_LOW_PRIORITY_H

/*
 * For a process that only shows something.  It gets less of a busy processor,
 * and when it wakes up it does not interrupt another process (SCHED_BATCH in
 * sched(7)).  An event passes through several processes, so an interruption of
 * one of them holds up all.  Children inherit this.
 */
void low_priority_set(void);

#endif
