/* damage - damage a record of a log on a simulated disk, in a test. */
#ifndef TESTS_SUPPORT_SIM_DAMAGE_H
#define TESTS_SUPPORT_SIM_DAMAGE_H

#include <string.h>

#include "batchd/segment.h"
#include "tests/support/sim/simdisk.h"
#include "tests/support/test.h"

/* Change a byte in the body of record n of the first segment. */
static inline void
sim_damage(struct simdisk *s, int n)
{
	static uint8_t bytes[64 * KIB];
	uint8_t *at = bytes;
	int file = s->disk.open(&s->disk, "00000000000000000000.seg", false);

	ck_assert_int_ge(file, 0);
	ck_assert_int_gt(disk_read(&s->disk, file, bytes, sizeof bytes, 0), 0);
	for (int i = 0; i <= n; i++) {
		at = memmem(at + 1, (size_t)(bytes + sizeof bytes - at - 1),
		            "LREC", 4);
		ck_assert_ptr_nonnull(at);
	}
	at[RECORD_HEADER] ^= 1;
	ck_assert_int_eq(disk_write(&s->disk, file, at + RECORD_HEADER, 1,
	                            (uint64_t)(at + RECORD_HEADER - bytes)),
	                 0);
	s->disk.close(&s->disk, file);
}

#endif
