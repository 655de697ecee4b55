/* inspect - see inspect.h. */
#include "libsink/inspect.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/log.h"
#include "libsink/finding.h"

/* A check of a store that does not respond ends after this time. */
#define CHECK_TIMEOUT_MS 10000

/* Returns the state of the sink, which the caller frees, or NULL. */
static void *
inspect_start(const struct sink_conf *settings)
{
	void *state = calloc(1, settings->sink->state_bytes + 1);

	if (!state)
		log_error("out of memory");
	/* What a client library logs is in the findings as well. */
	log_set_level(LOG_ERROR);
	(void)signal(SIGPIPE, SIG_IGN);
	return state;
}

static int
inspect_end(const struct sink_conf *settings, void *state, int status)
{
	settings->sink->close(state);
	free(state);
	return conf_finish_output(status);
}

int
inspect_check(const struct sink_conf *settings)
{
	const struct sink *sink = settings->sink;
	struct sink_common common = settings->common;
	void *state = inspect_start(settings);

	if (!state)
		return EXIT_FAILURE;
	if (common.timeout_ms > CHECK_TIMEOUT_MS)
		common.timeout_ms = CHECK_TIMEOUT_MS;
	if (sink->check_store)
		sink->check_store(state, &common, settings->conf,
		                  settings->stream);
	else
		finding_print(FINDING_WARNING,
		              "%s has no check of its store: start it and look "
		              "at its log",
		              settings->section);
	return inspect_end(settings, state, EXIT_SUCCESS);
}

/* Parse STREAM:UPTO:SECONDS. */
static int
parse_request(struct sink_count *count, const char *text, int64_t *timeout_ms)
{
	size_t n = strcspn(text, ":");
	char *end;
	unsigned long seconds;

	if (n == 0 || n >= sizeof count->stream || text[n] != ':')
		return -EINVAL;
	memcpy(count->stream, text, n);
	errno = 0;
	count->upto = strtoull(text + n + 1, &end, 10);
	if (errno != 0 || *end != ':')
		return -EINVAL;
	seconds = strtoul(end + 1, &end, 10);
	if (errno != 0 || *end || seconds == 0 || seconds > 86400)
		return -EINVAL;
	*timeout_ms = (int64_t)seconds * 1000;
	return 0;
}

static void
print_count(const struct sink_count *count)
{
	printf("rows %" PRIu64 "\n", count->rows);
	if (count->has & COUNT_DISTINCT)
		printf("distinct %" PRIu64 "\n", count->distinct);
	if (count->has & COUNT_BELOW)
		printf("below %" PRIu64 "\nfrom %" PRIu64 "\n", count->below,
		       count->from);
	if (count->has & COUNT_POSITION)
		printf("position %" PRIu64 "\n", count->position);
	if (count->others > 0)
		printf("others %" PRIu64 "\n", count->others);
	if (count->unique_ids)
		printf("unique_ids 1\n");
	if (count->note[0])
		finding_print(FINDING_WARNING, "%s", count->note);
}

int
inspect_count(const struct sink_conf *settings)
{
	const struct sink *sink = settings->sink;
	struct sink_common common = settings->common;
	struct sink_count count = {.rows = 0};
	struct sink_error error = {.bad_event = 0};
	int status = EXIT_SUCCESS;
	void *state;

	if (parse_request(&count, settings->count, &common.timeout_ms) < 0) {
		log_error("--count takes STREAM:OFFSET:SECONDS");
		return EXIT_CONFIG;
	}
	if (!sink->count) {
		log_error("%s cannot count what its store has",
		          settings->section);
		return EXIT_CONFIG;
	}
	state = inspect_start(settings);
	if (!state)
		return EXIT_FAILURE;
	if (sink->count(state, &common, settings->conf, &count, &error) ==
	    SINK_DONE) {
		print_count(&count);
	} else {
		finding_print(FINDING_ERROR, "%s", error.text);
		status = EXIT_FAILURE;
	}
	return inspect_end(settings, state, status);
}
