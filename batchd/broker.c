/* broker - see broker.h. */
#include "batchd/broker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/clock.h"

int
broker_init(struct broker *b, const struct batchd_settings *settings)
{
	*b = (struct broker){.settings = settings};
	b->started_ms = clock_mono_ms();
	b->refusals = (struct log_limit){.interval_ms = 10000, .burst = 20};
	b->arrivals = (struct log_limit){.interval_ms = 10000, .burst = 100};
	buf_init(&b->status, FRAME_BODY_MAX);
	b->scratch = malloc(FRAME_MAX);
	b->peers = calloc(broker_max_peers(settings), sizeof(struct peer *));
	return b->scratch && b->peers ? 0 : -ENOMEM;
}

void
broker_fini(struct broker *b)
{
	for (size_t i = 0; i < b->sink_count; i++)
		dead_order_fini(&b->sinks[i].dead_order);
	free(b->scratch);
	free(b->peers);
	buf_fini(&b->status);
}

struct broker_sink *
broker_find_sink(struct broker *b, const struct slice *name)
{
	for (size_t i = 0; i < b->sink_count; i++) {
		if (slice_is(*name, b->sinks[i].consumer.position.cursor.name))
			return &b->sinks[i];
	}
	return NULL;
}

const char *
broker_closed_reason(const struct broker *b)
{
	if (b->stopping)
		return "batchd is stopping";
	return store_accepts_requests(&b->store) ? "" : b->store.full_reason;
}
