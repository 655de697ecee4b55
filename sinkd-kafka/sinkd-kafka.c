/* sinkd-kafka - the sink that writes events to a Kafka topic. */
#include "libsink/sink.h"
#include "sinkd-kafka/sink.h"

int
main(int argc, char **argv)
{
	return sink_main(argc, argv, &kafka_sink);
}
