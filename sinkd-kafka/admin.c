/* admin - see admin.h. */
#include "sinkd-kafka/admin.h"

#include "sinkd-kafka/client.h"

void
admin_init(struct admin *r, struct kafka *k, rd_kafka_admin_op_t op,
           uint64_t deadline_ms)
{
	int left = client_left_ms(deadline_ms);
	char text[64];

	r->options = rd_kafka_AdminOptions_new(k->rk, op);
	r->queue = rd_kafka_queue_new(k->rk);
	r->result = NULL;
	/*
	 * This fails only if the value is out of range.  Then the default is
	 * used.
	 */
	(void)rd_kafka_AdminOptions_set_request_timeout(
	    r->options, left > 0 ? left : 1, text, sizeof text);
}

rd_kafka_resp_err_t
admin_wait(struct admin *r, uint64_t deadline_ms, const char **text)
{
	/*
	 * librdkafka itself ends the request at its deadline; this limit is a
	 * second one.
	 */
	int left = client_left_ms(deadline_ms) + 1000;

	r->result = rd_kafka_queue_poll(r->queue, left);
	*text = NULL;
	if (!r->result)
		return RD_KAFKA_RESP_ERR__TIMED_OUT;
	*text = rd_kafka_event_error_string(r->result);
	return rd_kafka_event_error(r->result);
}

void
admin_fini(struct admin *r)
{
	if (r->result)
		rd_kafka_event_destroy(r->result);
	rd_kafka_queue_destroy(r->queue);
	rd_kafka_AdminOptions_destroy(r->options);
}
