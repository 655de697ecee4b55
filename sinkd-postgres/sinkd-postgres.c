/* sinkd-postgres - the sink that writes events into a PostgreSQL table. */
#include "sinkd-postgres/sink.h"

int
main(int argc, char **argv)
{
	return sink_main(argc, argv, &postgres_sink);
}
