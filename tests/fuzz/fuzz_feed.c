/*
 * fuzz_feed - a sink's link to batchd: the input is packets, each behind its
 * length in two bytes, that come after a welcome.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libsink/feed.h"
#include "tests/fuzz/fuzz.h"

static struct feed feed;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const struct feed_limits limits = {100, FRAME_BODY_MAX, 10,
	                                          false};

	(void)argc;
	(void)argv;
	HOLDS(feed_init(&feed, "fuzz", &limits) == 0);
	return 0;
}

/* A whole batch is what was asked for. */
static void
check_batch(void)
{
	HOLDS(feed.whole && feed.count >= 1 && feed.count <= 100);
	for (size_t i = 0; i < feed.count; i++) {
		const struct event *e = &feed.events[i];
		const uint8_t *at = (const uint8_t *)e->payload.data;

		HOLDS(at >= feed.bytes &&
		      at + e->payload.bytes <= feed.bytes + feed.used);
	}
}

static int
take_packets(struct fuzz_input *in, int peer)
{
	uint8_t answer[FRAME_HEADER_MAX];
	uint64_t commits = 0;
	int rc = 0;

	while (rc >= 0 && in->at < in->end) {
		size_t n = fuzz_u16(in);
		const uint8_t *packet = fuzz_bytes(in, &n);

		if (n == 0 || send(peer, packet, n, MSG_DONTWAIT) < 0)
			break;
		rc = feed_step(&feed);
		if (rc == FEED_WELCOME)
			rc = feed_subscribe(&feed, commits % 2, 0);
		if (rc == FEED_BATCH) {
			check_batch();
			commits++;
			rc = feed_committed(&feed, feed.offset + feed.count);
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
	feed_close(&feed);
	feed.chan.fd = pair[0];
	feed.wanted = 0;
	rc = take_packets(&in, pair[1]);
	HOLDS(rc >= 0 || rc == -EPROTO || rc == -EBADMSG || rc == -EREMOTEIO ||
	      rc == -EMSGSIZE);
	HOLDS(rc != -EREMOTEIO || strlen(feed.error_text) <= FRAME_TEXT_MAX);
	feed_close(&feed);
	(void)close(pair[1]); /* a socket: nothing to lose */
	return 0;
}
