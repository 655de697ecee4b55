/*
 * fuzz - what the targets share.  Each fuzz_X.c is linked with libFuzzer by
 * `make fuzz`, and with replay.c, which gives it its seeds, for `make test`.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Like assert, but prints nothing itself: the fuzzer reports the input. */
#define HOLDS(what)                                                            \
	do {                                                                   \
		if (!(what))                                                   \
			abort();                                               \
	} while (0)

/* The input as a source of small numbers; zeros after its end. */
struct fuzz_input {
	const uint8_t *at, *end;
};

static inline uint8_t
fuzz_u8(struct fuzz_input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static inline uint32_t
fuzz_u16(struct fuzz_input *in)
{
	uint32_t high = fuzz_u8(in);

	return high << 8 | fuzz_u8(in);
}

/* Return up to *n bytes of the input, and set *n to how many there are. */
static inline const uint8_t *
fuzz_bytes(struct fuzz_input *in, size_t *n)
{
	const uint8_t *at = in->at;

	if (*n > (size_t)(in->end - in->at))
		*n = (size_t)(in->end - in->at);
	in->at += *n;
	return at;
}

/* A copy of exactly n bytes, so that a read past its end is found. */
static inline void *
fuzz_copy(const void *bytes, size_t n)
{
	void *copy = malloc(n > 0 ? n : 1);

	HOLDS(copy);
	if (n > 0)
		memcpy(copy, bytes, n);
	return copy;
}

#endif
