/*
 * replay - gives a fuzz target its seeds, without libFuzzer: each file as it
 * is, cut short, and with bytes changed, the same ones in every run.
 *
 * The seeds of test_fuzz_X are tests/fuzz/seeds/X, or the files named on the
 * command line.  MUTATIONS=N changes each so many times (64 by default).
 */
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "libbase/log.h"
#include "tests/fuzz/fuzz.h"

#define SEED_MAX (4 * MIB)
#define MUTATIONS "64"

static uint64_t random_state;
static unsigned seeds, runs;

static size_t
below(size_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (size_t)(random_state % n);
}

static void
run(const uint8_t *bytes, size_t n)
{
	uint8_t *copy = fuzz_copy(bytes, n);

	(void)LLVMFuzzerTestOneInput(copy, n);
	free(copy);
	runs++;
}

static void
mutate(uint8_t *bytes, size_t n, unsigned long times)
{
	for (unsigned long i = 0; n > 0 && i < times; i++) {
		size_t at = below(n), other = below(n), cut = below(n);
		uint8_t byte = bytes[at], second = bytes[other];

		bytes[at] = (uint8_t)below(256);
		if (i % 2)
			bytes[other] = (uint8_t)(second ^ 1 << below(8));
		run(bytes, i % 4 == 3 ? cut : n);
		bytes[other] = second;
		bytes[at] = byte;
	}
}

static int
replay(const char *path)
{
	const char *times = getenv("MUTATIONS");
	FILE *f = fopen(path, "rb");
	uint8_t *bytes = malloc(SEED_MAX);
	int rc = -1;

	if (f && bytes) {
		size_t n = fread(bytes, 1, SEED_MAX, f);

		random_state = 88172645463325252U;
		run(bytes, n);
		mutate(bytes, n, strtoul(times ? times : MUTATIONS, NULL, 10));
		seeds++;
		rc = 0;
	}
	if (rc < 0)
		perror(path);
	if (f)
		(void)fclose(f); /* read only */
	free(bytes);
	return rc;
}

static int
replay_directory(const char *directory)
{
	struct dirent **names;
	char path[1024];
	int rc = 0, n = scandir(directory, &names, NULL, alphasort);

	if (n < 0) {
		perror(directory);
		return -1;
	}
	for (int i = 0; i < n; i++) {
		(void)snprintf(path, sizeof path, "%s/%s", directory,
		               names[i]->d_name);
		if (rc == 0 && names[i]->d_name[0] != '.')
			rc = replay(path);
		free(names[i]);
	}
	free(names);
	return rc;
}

int
main(int argc, char **argv)
{
	char directory[256];
	const char *name = strrchr(argv[0], '/');
	int rc = 0;

	name = strstr(name ? name : argv[0], "test_fuzz_");
	(void)snprintf(directory, sizeof directory, "tests/fuzz/seeds/%s",
	               name ? name + strlen("test_fuzz_") : "");
	(void)LLVMFuzzerInitialize(&argc, &argv);
	run(NULL, 0);
	for (int i = 1; rc == 0 && i < argc; i++)
		rc = replay(argv[i]);
	if (argc < 2)
		rc = replay_directory(directory);
	if (rc < 0)
		return EXIT_FAILURE;
	/* In the form that check prints: tests/run counts each seed as a test.
	 */
	printf("%u inputs\n100%%: Checks: %u, Failures: 0, Errors: 0\n", runs,
	       seeds);
	return EXIT_SUCCESS;
}
