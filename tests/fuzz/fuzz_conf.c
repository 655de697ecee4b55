/*
 * fuzz_conf - fuzz the settings file as ingestd, the dashboard and the sinks
 * read it. Each accepted value must be within the limits of its table.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ingestd/settings.h"
#include "libbase/log.h"
#include "libsink/sink_conf.h"
#include "sinkd-clickhouse/sink.h"
#include "sinkd-dashboard/settings.h"
#include "sinkd-kafka/sink.h"
#include "sinkd-postgres/sink.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_set_level((enum log_level)(LOG_ERROR + 1));
	return 0;
}

static void
check_value(const struct conf_key *key, const void *field)
{
	const char *text;
	int64_t number;

	switch (key->type) {
	case CONF_INT:
	case CONF_SIZE:
		number = *(const int64_t *)field;
		HOLDS(number >= key->min && number <= key->max);
		break;
	case CONF_TEXT:
		text = *(char *const *)field;
		HOLDS(text && (int64_t)strlen(text) >= key->min &&
		      (int64_t)strlen(text) <= key->max);
		break;
	case CONF_CHOICE:
		HOLDS(*(const int *)field >= 0);
		break;
	case CONF_BOOL:
		break;
	}
}

static void
check_tables(const struct conf_table *tables, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct conf_key *k = tables[i].keys;

		for (; k && k->name; k++)
			check_value(k,
			            (const char *)tables[i].into + k->offset);
	}
}

static void
read_ingestd(char **argv)
{
	struct conf_table tables[INGESTD_SETTINGS_TABLES];
	struct conf_program program;
	struct ingestd_settings settings;

	ingestd_settings_init(&settings, tables, &program);
	if (conf_start(&program, 3, argv) == CONF_RUN)
		check_tables(tables, INGESTD_SETTINGS_TABLES);
	conf_free(tables, INGESTD_SETTINGS_TABLES);
}

static void
read_dashboard(char **argv)
{
	struct conf_table tables[DASHBOARD_SETTINGS_TABLES];
	struct conf_program program;
	struct dashboard_settings settings;

	dashboard_settings_init(&settings, tables, &program);
	if (conf_start(&program, 3, argv) == CONF_RUN)
		check_tables(tables, DASHBOARD_SETTINGS_TABLES);
	conf_free(tables, DASHBOARD_SETTINGS_TABLES);
}

static void
read_sink(const struct sink *sink, const char *program, char **argv)
{
	struct sink_conf conf;

	if (sink_conf_start(&conf, sink, program, 3, argv) == CONF_RUN)
		check_tables(conf.tables, conf.table_count);
	sink_conf_free(&conf);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64], option[] = "--config", name[] = "fuzz";
	char *argv[] = {name, option, path, NULL};
	int fd;

	if (size == 0)
		return 0;
	fd = memfd_create("fuzz", MFD_CLOEXEC);
	HOLDS(fd >= 0 && write(fd, data + 1, size - 1) == (ssize_t)(size - 1));
	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	switch (data[0] % 5) {
	case 0:
		read_ingestd(argv);
		break;
	case 1:
		read_sink(&postgres_sink, "sinkd-postgres", argv);
		break;
	case 2:
		read_sink(&kafka_sink, "sinkd-kafka", argv);
		break;
	case 3:
		read_sink(&clickhouse_sink, "sinkd-clickhouse", argv);
		break;
	default:
		read_dashboard(argv);
		break;
	}
	(void)close(fd); /* memory */
	return 0;
}
