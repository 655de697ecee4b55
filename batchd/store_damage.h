/* store_damage - report lost events, and keep a copy of the damaged bytes. */
#ifndef BATCHD_STORE_DAMAGE_H
#define BATCHD_STORE_DAMAGE_H

#include "batchd/store_state.h"

/*
 * Log, once, that the events from..to of a segment are lost, and copy bytes
 * at..end of its file into quarantine/.  `what` names what is damaged.  With
 * from == to only bytes are damaged, and no event that is still to be stored is
 * lost.
 */
void store_damage_report(struct store *s, uint64_t segment_first, int file,
                         uint64_t at, uint64_t end, uint64_t from, uint64_t to,
                         const char *what);

#endif
