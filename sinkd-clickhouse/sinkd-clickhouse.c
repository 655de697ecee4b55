/* sinkd-clickhouse - the sink that writes events into a ClickHouse table. */
#include "libsink/sink.h"
#include "sinkd-clickhouse/sink.h"

int
main(int argc, char **argv)
{
	return sink_main(argc, argv, &clickhouse_sink);
}
