/* error_class - see error_class.h. */
#include "sinkd-kafka/error_class.h"

#include <stdio.h>
#include <string.h>

/*
 * The first version that returns the SCRAM nonce in the form that Kafka 4
 * requires.
 */
#define SCRAM_WORKS 0x020601ff

enum sink_result
kafka_error_class(rd_kafka_resp_err_t err)
{
	switch (err) {
	case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
	case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
	case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
	case RD_KAFKA_RESP_ERR_INVALID_RECORD:
	case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
		return SINK_REJECT;
	case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
	case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
	case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
	case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
	case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
	case RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE:
	case RD_KAFKA_RESP_ERR_SECURITY_DISABLED:
	case RD_KAFKA_RESP_ERR__AUTHENTICATION:
	case RD_KAFKA_RESP_ERR__SSL:
	case RD_KAFKA_RESP_ERR__INVALID_ARG:
	case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE:
	case RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION:
	case RD_KAFKA_RESP_ERR_UNSUPPORTED_COMPRESSION_TYPE:
	case RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT:
	case RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT:
	case RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS:
	case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
	case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
	case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
	case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
		return SINK_MISCONFIGURED;
	default:
		return SINK_UNREACHABLE;
	}
}

/*
 * Return true if the store may have failed because of the size of the batch:
 * the batch or its transaction did not finish within timeout_ms.  The
 * coordinator aborts such a transaction and fences its producer.
 */
static bool
fewer_may_pass(rd_kafka_resp_err_t err)
{
	switch (err) {
	case RD_KAFKA_RESP_ERR__TIMED_OUT:
	case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
	case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
	case RD_KAFKA_RESP_ERR__FENCED:
	case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
	case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
	case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
	case RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED:
		return true;
	default:
		return false;
	}
}

/*
 * What an operator can do, where librdkafka's message does not tell or
 * misleads.
 */
static const char *
error_advice(rd_kafka_resp_err_t err, const char *text)
{
	switch (err) {
	case RD_KAFKA_RESP_ERR__AUTHENTICATION:
		return strstr(text, "SCRAM") && rd_kafka_version() < SCRAM_WORKS
		           ? "librdkafka before 2.6.1 cannot log in to Kafka 4 "
		             "by SCRAM, whatever the password: "
		           : "";
	case RD_KAFKA_RESP_ERR__SSL:
		if (strstr(text, KAFKA_TLS_ALERT))
			return "the broker refuses our TLS or certificate: ";
		return strstr(text, "certificate verify failed")
		           ? "the broker's certificate is for another host "
		             "name, or not by an authority that is trusted: "
		           : "";
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
		return "needs Read and Write on the topic, Create to create "
		       "it: ";
	case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
		return "needs Write on the transactional id leat-kafka-*: ";
	case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
		return "needs Read on the group leat-kafka-*: ";
	default:
		return "";
	}
}

enum sink_result
kafka_error_report(struct sink_error *error, const char *what,
                   rd_kafka_resp_err_t err, const char *text)
{
	if (!text || !text[0])
		text = rd_kafka_err2str(err);
	error->too_much = fewer_may_pass(err);
	(void)snprintf(error->code, sizeof error->code, "%d", (int)err);
	return sink_fail(error, kafka_error_class(err), "%s: %s%s (%s)", what,
	                 error_advice(err, text), text, rd_kafka_err2name(err));
}
