/* fuzz_conf_batchd - the settings file, as batchd reads it. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "batchd/settings.h"
#include "libbase/log.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_set_level((enum log_level)(LOG_ERROR + 1));
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64], option[] = "--config", name[] = "fuzz";
	char *argv[] = {name, option, path, NULL};
	struct batchd_settings s = {0};
	struct store_conf conf;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	HOLDS(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (batchd_settings_load(&s, 3, argv) == CONF_RUN) {
		conf = batchd_settings_store_conf(&s);
		HOLDS(s.sink_count <= SINKS_MAX);
		/* A segment holds any record, and a budget some segments. */
		HOLDS(conf.segment_bytes >
		      SEGMENT_HEADER + record_size(FRAME_BODY_MAX));
		HOLDS(conf.segment_bytes <= conf.max_bytes / 4);
		HOLDS(conf.group_max_bytes >= FRAME_BODY_MAX);
	}
	batchd_settings_free(&s);
	(void)close(fd); /* memory */
	return 0;
}
