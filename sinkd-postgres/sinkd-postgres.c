/* sinkd-postgres - writes the events into a table of PostgreSQL. */
#include "sinkd-postgres/postgres.h"

int
main(int argc, char **argv)
{
	return sink_main(argc, argv, &postgres_sink);
}
