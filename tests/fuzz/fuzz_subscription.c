/*
 * fuzz_subscription - a sink's link to batchd: the input is packets, each
 * after its length in two bytes, that come after a welcome.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libbase/error.h"
#include "libsink/subscription.h"
#include "tests/fuzz/fuzz.h"

static struct subscription subscription;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const struct subscription_limits limits = {100, FRAME_BODY_MAX,
	                                                  10, false};

	(void)argc;
	(void)argv;
	HOLDS(subscription_init(&subscription, "fuzz", &limits) == 0);
	return 0;
}

/* A whole batch is what was asked for. */
static void
check_batch(void)
{
	HOLDS(subscription.whole && subscription.count >= 1 &&
	      subscription.count <= 100);
	for (size_t i = 0; i < subscription.count; i++) {
		const struct event *e = &subscription.events[i];
		const uint8_t *at = (const uint8_t *)e->payload.data;

		HOLDS(at >= subscription.bytes &&
		      at + e->payload.bytes <=
		          subscription.bytes + subscription.used);
	}
}

static int
take_packets(struct fuzz_input *in, int peer)
{
	uint8_t answer[FRAME_HEADER_MAX];
	struct frame_refused none = {0, 0};
	uint64_t commits = 0;
	int rc = 0;

	while (rc >= 0 && in->at < in->end) {
		size_t n = fuzz_u16(in);
		const uint8_t *packet = fuzz_bytes(in, &n);

		if (n == 0 || send(peer, packet, n, MSG_DONTWAIT) < 0)
			break;
		rc = subscription_step(&subscription);
		if (rc == SUBSCRIPTION_START)
			rc = subscription_start(&subscription, commits % 2, 0,
			                        &none);
		if (rc == SUBSCRIPTION_BATCH) {
			check_batch();
			commits++;
			rc = subscription_committed(
			    &subscription,
			    subscription.offset + subscription.count, &none);
		}
		while (recv(peer, answer, sizeof answer, MSG_DONTWAIT) > 0)
			;
	}
	return rc;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, data + size};
	int pair[2], type = SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, rc;

	HOLDS(socketpair(AF_UNIX, type, 0, pair) == 0);
	subscription_close(&subscription);
	subscription.chan.fd = pair[0];
	subscription.wanted = 0;
	rc = take_packets(&in, pair[1]);
	HOLDS(rc >= 0 || rc == -EPROTO || rc == -EBADMSG ||
	      rc == ERR_BATCHD_REFUSED || rc == -EMSGSIZE);
	HOLDS(rc != ERR_BATCHD_REFUSED ||
	      strlen(subscription.error_text) <= FRAME_TEXT_MAX);
	subscription_close(&subscription);
	(void)close(pair[1]); /* a socket: nothing to lose */
	return 0;
}
