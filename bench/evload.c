/*
 * evload - the load generator.
 *
 * It sends events to ingestd, counts the responses, and records which events
 * were acknowledged.
 *
 * Exit status: 0 if all went well.  1 if the server sent any status other than
 * 202, 503 and 504, or acknowledged nothing; --allow-errors prevents this one.
 * 2 for invalid options or a run that could not start.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "bench/gen.h"
#include "bench/load.h"

#define ACKED_BUFFER_BYTES ((size_t)1 << 20)
#define MEMORY_MAX_BYTES ((uint64_t)4 << 30) /* of the requests' buffers */

struct evload_settings {
	struct load_options load;
	uint64_t seed;
	const char *id_prefix;
	const char *acked_path;
	bool events_given, seconds_given;
	bool json, allow_errors;
};

static const char usage[] =
    "usage: evload [option value]...\n"
    "Sends events to ingestd, counts the responses, and prints the figures.\n"
    "  --host NAME               default 127.0.0.1\n"
    "  --port N                  default 8080\n"
    "  --connections N           default 64\n"
    "  --events-per-request N    default 100\n"
    "  --events N                stop after N events (10000000)\n"
    "  --requests N              stop after N requests\n"
    "  --seconds N               stop after N seconds (10; with --events or\n"
    "                            --requests 600)\n"
    "  --rate N                  send N events per second, and count latency\n"
    "                            from the time a request was due; 0: send as\n"
    "                            fast as responses arrive (default)\n"
    "  --acked FILE              write the ids of acknowledged events to FILE\n"
    "  --seed N                  seed of the ids (1); two runs into one store\n"
    "                            need two seeds\n"
    "  --id-prefix TEXT          ids are TEXT and a number instead of UUIDs\n"
    "  --timeout-ms N            time to wait for one response (30000)\n"
    "  --drain-ms N              time to wait for the last responses (5000)\n"
    "  --retry                   send refused or lost events again, with the\n"
    "                            same ids, until they are acknowledged\n"
    "  --retry-503               after a 503 wait as long as Retry-After\n"
    "                            requires, at most 1 s; without --retry the\n"
    "                            next request has new events\n"
    "  --allow-errors            exit with 0 whatever the server responds\n"
    "  --json                    print the result as one JSON object\n";

enum option_id {
	OPT_HOST = 1,
	OPT_PORT,
	OPT_CONNECTIONS,
	OPT_EVENTS_PER_REQUEST,
	OPT_EVENTS,
	OPT_REQUESTS,
	OPT_SECONDS,
	OPT_RATE,
	OPT_ACKED,
	OPT_SEED,
	OPT_ID_PREFIX,
	OPT_TIMEOUT,
	OPT_DRAIN,
	OPT_RETRY,
	OPT_RETRY_503,
	OPT_ALLOW_ERRORS,
	OPT_JSON,
	OPT_HELP,
};

static const struct option options[] = {
    {"host", required_argument, NULL, OPT_HOST},
    {"port", required_argument, NULL, OPT_PORT},
    {"connections", required_argument, NULL, OPT_CONNECTIONS},
    {"events-per-request", required_argument, NULL, OPT_EVENTS_PER_REQUEST},
    {"events", required_argument, NULL, OPT_EVENTS},
    {"requests", required_argument, NULL, OPT_REQUESTS},
    {"seconds", required_argument, NULL, OPT_SECONDS},
    {"rate", required_argument, NULL, OPT_RATE},
    {"acked", required_argument, NULL, OPT_ACKED},
    {"seed", required_argument, NULL, OPT_SEED},
    {"id-prefix", required_argument, NULL, OPT_ID_PREFIX},
    {"timeout-ms", required_argument, NULL, OPT_TIMEOUT},
    {"drain-ms", required_argument, NULL, OPT_DRAIN},
    {"retry", no_argument, NULL, OPT_RETRY},
    {"retry-503", no_argument, NULL, OPT_RETRY_503},
    {"allow-errors", no_argument, NULL, OPT_ALLOW_ERRORS},
    {"json", no_argument, NULL, OPT_JSON},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

/*
 * Read optarg as a number of min..max.  Prints what is wrong and exits
 * otherwise.
 */
static uint64_t
evload_number(uint64_t min, uint64_t max)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(optarg, &end, 10);
	if (errno != 0 || *end != '\0' || *optarg < '0' || *optarg > '9' ||
	    value < min || value > max) {
		fprintf(stderr, "evload: %s: want %" PRIu64 " to %" PRIu64 "\n",
		        optarg, min, max);
		exit(2);
	}
	return value;
}

static void
set_limit(struct evload_settings *s, int option)
{
	struct load_options *l = &s->load;

	switch (option) {
	case OPT_CONNECTIONS:
		l->connections =
		    (unsigned)evload_number(1, LOAD_CONNECTIONS_MAX);
		break;
	case OPT_EVENTS_PER_REQUEST:
		l->events_per_request =
		    (uint32_t)evload_number(1, LOAD_EVENTS_PER_REQUEST_MAX);
		break;
	case OPT_EVENTS:
		l->events = evload_number(1, 1000000000000);
		s->events_given = true;
		break;
	case OPT_REQUESTS:
		l->requests = evload_number(1, 1000000000000);
		s->events_given = true;
		break;
	case OPT_SECONDS:
		l->seconds = (int64_t)evload_number(1, 86400);
		s->seconds_given = true;
		break;
	case OPT_RATE:
		l->rate = evload_number(0, 10000000);
		break;
	case OPT_TIMEOUT:
		l->timeout_ms = (int64_t)evload_number(1, 3600000);
		break;
	case OPT_DRAIN:
		l->drain_ms = (int64_t)evload_number(0, 3600000);
		break;
	}
}

static void
set_option(struct evload_settings *s, int option)
{
	switch (option) {
	case OPT_HOST:
		s->load.host = optarg;
		break;
	case OPT_PORT:
		(void)evload_number(1, 65535);
		s->load.port = optarg;
		break;
	case OPT_ACKED:
		s->acked_path = optarg;
		break;
	case OPT_SEED:
		s->seed = evload_number(0, UINT64_MAX);
		break;
	case OPT_ID_PREFIX:
		s->id_prefix = optarg;
		break;
	case OPT_RETRY:
		s->load.retry = true;
		break;
	case OPT_RETRY_503:
		s->load.retry_503 = true;
		break;
	case OPT_ALLOW_ERRORS:
		s->allow_errors = true;
		break;
	case OPT_JSON:
		s->json = true;
		break;
	case OPT_HELP:
		fputs(usage, stdout);
		exit(0);
	case '?':
		fputs(usage, stderr);
		exit(2);
	default:
		set_limit(s, option);
	}
}

static int
read_options(struct evload_settings *s, int argc, char **argv)
{
	struct load_options *l = &s->load;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		set_option(s, option);
	if (optind < argc) {
		fputs(usage, stderr);
		return -EINVAL;
	}
	if (!s->seconds_given && s->events_given)
		l->seconds = 600;
	if ((uint64_t)l->connections * l->events_per_request * GEN_TEXT_MAX >
	    MEMORY_MAX_BYTES) {
		fputs("evload: use fewer connections or fewer events per "
		      "request\n",
		      stderr);
		return -EINVAL;
	}
	return 0;
}

static double
cpu_seconds(void)
{
	struct rusage u;

	if (getrusage(RUSAGE_SELF, &u) < 0)
		return 0;
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double
per_second(uint64_t n, const struct load_totals *t)
{
	return t->seconds > 0 ? (double)n / t->seconds : 0;
}

static void
evload_print_json(const struct load_totals *t)
{
	const char *comma = "";

	printf("{\"acked_events\":%" PRIu64 ",\"refused_events\":%" PRIu64
	       ",\"unknown_events\":%" PRIu64 ",\"error_events\":%" PRIu64
	       ",\"requests\":%" PRIu64 ",\"due_unsent\":%" PRIu64,
	       t->acked_events, t->refused_events, t->unknown_events,
	       t->error_events, t->requests, t->due_unsent);
	printf(",\"mismatches\":%" PRIu64 ",\"malformed\":%" PRIu64
	       ",\"connects\":%" PRIu64 ",\"connect_failures\":%" PRIu64
	       ",\"lost_connections\":%" PRIu64 ",\"timeouts\":%" PRIu64,
	       t->mismatches, t->malformed, t->connects, t->connect_failures,
	       t->lost_connections, t->timeouts);
	printf(",\"statuses\":{");
	for (int i = 0; i < 600; i++) {
		if (t->statuses[i] == 0)
			continue;
		printf("%s\"%d\":%" PRIu64, comma, i, t->statuses[i]);
		comma = ",";
	}
	printf("},\"seconds\":%.6f,\"events_per_s\":%.1f,"
	       "\"requests_per_s\":%.1f,\"cpu_s\":%.3f,\"interrupted\":%s",
	       t->seconds, per_second(t->acked_events, t),
	       per_second(t->latency.total, t), cpu_seconds(),
	       t->interrupted ? "true" : "false");
	printf(",\"latency_us\":{\"p50\":%" PRIu64 ",\"p90\":%" PRIu64
	       ",\"p99\":%" PRIu64 ",\"p999\":%" PRIu64 ",\"max\":%" PRIu64
	       "}}\n",
	       hist_quantile(&t->latency, 0.5), hist_quantile(&t->latency, 0.9),
	       hist_quantile(&t->latency, 0.99),
	       hist_quantile(&t->latency, 0.999), t->latency.max_us);
}

static void
print_text(const struct load_totals *t)
{
	const struct hist *h = &t->latency;

	printf("acknowledged  %" PRIu64 " events in %.2f s: %.0f events/s, "
	       "%.0f requests/s\n",
	       t->acked_events, t->seconds, per_second(t->acked_events, t),
	       per_second(h->total, t));
	printf("refused       %" PRIu64 "   unknown %" PRIu64
	       "   errors %" PRIu64 "   due but not sent %" PRIu64
	       " requests\n",
	       t->refused_events, t->unknown_events, t->error_events,
	       t->due_unsent);
	printf("responses    ");
	for (int i = 0; i < 600; i++)
		if (t->statuses[i] > 0)
			printf(" %d: %" PRIu64, i, t->statuses[i]);
	printf("   connections: %" PRIu64 " made, %" PRIu64 " failed, %" PRIu64
	       " lost\n",
	       t->connects, t->connect_failures, t->lost_connections);
	printf("latency ms    P50 %.2f  P90 %.2f  P99 %.2f  P99.9 %.2f  "
	       "max %.2f\n",
	       (double)hist_quantile(h, 0.5) / 1000,
	       (double)hist_quantile(h, 0.9) / 1000,
	       (double)hist_quantile(h, 0.99) / 1000,
	       (double)hist_quantile(h, 0.999) / 1000,
	       (double)h->max_us / 1000);
	printf("own CPU       %.2f s\n", cpu_seconds());
}

/*
 * Run the load with the --acked file open, if there is one.  Returns 0 or
 * -errno.
 */
static int
evload_run(struct evload_settings *s, const struct gen *gen,
           struct load_totals *t)
{
	FILE *f = NULL;
	int rc;

	if (s->acked_path) {
		f = fopen(s->acked_path, "we");
		if (!f || setvbuf(f, NULL, _IOFBF, ACKED_BUFFER_BYTES) != 0) {
			rc = -errno;
			fprintf(stderr, "evload: %s: %s\n", s->acked_path,
			        strerror(-rc));
			if (f)
				(void)fclose(f); /* nothing was written to it */
			return rc;
		}
		s->load.acked = f;
	}
	rc = load_run(&s->load, gen, t);
	if (rc < 0)
		fprintf(stderr, "evload: cannot run: %s\n", strerror(-rc));
	if (f && (ferror(f) | fclose(f))) {
		fprintf(stderr, "evload: %s: not all ids were written\n",
		        s->acked_path);
		rc = rc < 0 ? rc : -EIO;
	}
	return rc;
}

int
main(int argc, char **argv)
{
	static struct load_totals totals;
	struct evload_settings s = {.load = {.host = "127.0.0.1",
	                                     .port = "8080",
	                                     .connections = 64,
	                                     .events_per_request = 100,
	                                     .events = 10000000,
	                                     .seconds = 10,
	                                     .timeout_ms = 30000,
	                                     .drain_ms = 5000},
	                            .seed = 1,
	                            .id_prefix = ""};
	struct gen gen;

	if (read_options(&s, argc, argv) < 0)
		return 2;
	if (gen_init(&gen, s.seed, s.id_prefix) < 0) {
		fprintf(stderr,
		        "evload: --id-prefix: at most %d of "
		        "[A-Za-z0-9_.:-]\n",
		        GEN_PREFIX_MAX);
		return 2;
	}
	if (evload_run(&s, &gen, &totals) < 0)
		return 2;
	if (s.json)
		evload_print_json(&totals);
	else
		print_text(&totals);
	if (s.allow_errors)
		return 0;
	return totals.error_events > 0 || totals.malformed > 0 ||
	               totals.acked_events == 0
	           ? 1
	           : 0;
}
