/* offset_set - see offset_set.h. */
#include "sinkd-kafka/offset_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WORD_BITS 64
#define CHUNK_WORDS (OFFSET_CHUNK / WORD_BITS)

/* The table of chunks has at most 16 MiB, for 2^36 offsets. */
#define CHUNKS_MAX ((size_t)1 << 20)

struct offset_chunk {
	uint64_t *words; /* NULL: it has no offset, or all of them */
	uint32_t count;
};

static int
offset_set_grow(struct offset_set *set, size_t index)
{
	size_t count = set->count ? set->count : 16;
	struct offset_chunk *chunks;

	if (index >= CHUNKS_MAX)
		return -EOVERFLOW;
	while (count <= index)
		count *= 2;
	chunks = realloc(set->chunks, count * sizeof *chunks);
	if (!chunks)
		return -ENOMEM;
	memset(chunks + set->count, 0, (count - set->count) * sizeof *chunks);
	set->chunks = chunks;
	set->count = count;
	return 0;
}

/* Give a chunk its bits. */
static int
offset_set_allocate(struct offset_set *set, struct offset_chunk *chunk)
{
	uint64_t *words;

	if (set->partial == OFFSET_PARTIAL_MAX)
		return -EOVERFLOW;
	words = calloc(CHUNK_WORDS, sizeof *words);
	if (!words)
		return -ENOMEM;
	chunk->words = words;
	set->partial++;
	return 0;
}

int
offset_set_add(struct offset_set *set, uint64_t offset, bool *was_there)
{
	uint64_t index = offset / OFFSET_CHUNK, bit = offset % OFFSET_CHUNK;
	uint64_t mask = UINT64_C(1) << bit % WORD_BITS;
	struct offset_chunk *chunk;

	if (index >= set->count) {
		int rc = offset_set_grow(set, index);

		if (rc < 0)
			return rc;
	}
	chunk = &set->chunks[index];
	*was_there = chunk->count == OFFSET_CHUNK;
	if (*was_there)
		return 0;
	if (!chunk->words) {
		int rc = offset_set_allocate(set, chunk);

		if (rc < 0)
			return rc;
	}
	*was_there = (chunk->words[bit / WORD_BITS] & mask) != 0;
	if (*was_there)
		return 0;
	chunk->words[bit / WORD_BITS] |= mask;
	if (++chunk->count == OFFSET_CHUNK) {
		free(chunk->words);
		chunk->words = NULL;
		set->partial--;
	}
	return 0;
}

/* Count the offsets below `end` in one chunk; `end` may be OFFSET_CHUNK. */
static uint64_t
count_below(const struct offset_chunk *chunk, uint64_t end)
{
	uint64_t n = 0, last = end % WORD_BITS;

	if (!chunk->words)
		return chunk->count ? end : 0;
	for (uint64_t i = 0; i < end / WORD_BITS; i++)
		n += (uint64_t)__builtin_popcountll(chunk->words[i]);
	if (last > 0)
		n += (uint64_t)__builtin_popcountll(
		    chunk->words[end / WORD_BITS] &
		    ((UINT64_C(1) << last) - 1));
	return n;
}

static uint64_t
count_all_below(const struct offset_set *set, uint64_t end)
{
	uint64_t n = 0;

	for (size_t i = 0; i < set->count && i * OFFSET_CHUNK < end; i++) {
		uint64_t rest = end - i * OFFSET_CHUNK;

		n += count_below(&set->chunks[i],
		                 rest < OFFSET_CHUNK ? rest : OFFSET_CHUNK);
	}
	return n;
}

uint64_t
offset_set_count(const struct offset_set *set, uint64_t from, uint64_t upto)
{
	return from < upto
	           ? count_all_below(set, upto) - count_all_below(set, from)
	           : 0;
}

void
offset_set_free(struct offset_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		free(set->chunks[i].words);
	free(set->chunks);
	*set = (struct offset_set){.count = 0};
}
