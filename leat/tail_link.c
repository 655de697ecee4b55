/* tail_link - see tail_link.h. */
#include "leat/tail_link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libbase/clock.h"
#include "libbase/error.h"

/* Time for batchd to accept the connection, and to report the log. */
#define OPEN_TIMEOUT_MS 5000

/* Read the frame of n bytes; n may be an error.  Returns as tail_link_next. */
static int
tail_link_read(struct tail_link *l, int n, struct frame *f)
{
	int rc = n < 0 ? n : frame_read(l->bytes, (size_t)n, f);

	if (rc < 0 || f->type != FRAME_ERROR)
		return rc;
	l->error_code = f->error.code;
	frame_copy_text(l->error_text, &f->error.text);
	return ERR_BATCHD_REFUSED;
}

static int
tail_link_receive(struct tail_link *l, struct frame *f)
{
	return tail_link_read(l, chan_recv(&l->chan, l->bytes, sizeof l->bytes),
	                      f);
}

/* Wait for a frame of this type. */
static int
tail_link_expect(struct tail_link *l, enum frame_type type, uint64_t until_ms,
                 struct frame *f)
{
	int n = chan_recv_until(&l->chan, l->bytes, sizeof l->bytes, until_ms);
	int rc = tail_link_read(l, n, f);

	return rc == 0 && f->type != type ? -EPROTO : rc;
}

/*
 * batchd may have closed the connection before all that was to be sent was
 * sent.  The frame with its reason can then still be received.
 */
static int
tail_link_final_error(struct tail_link *l, int rc)
{
	struct frame f;

	for (int tries = 0; rc == -EPIPE && tries < 2; tries++) {
		if (tail_link_receive(l, &f) == ERR_BATCHD_REFUSED)
			rc = ERR_BATCHD_REFUSED;
	}
	return rc;
}

int
tail_link_open(struct tail_link *l, const char *socket)
{
	const struct frame hello = frame_hello(ROLE_TAIL, "leat");
	uint64_t until_ms = clock_mono_ms() + OPEN_TIMEOUT_MS;
	struct frame f;
	int rc = chan_connect(&l->chan, socket, OPEN_TIMEOUT_MS);

	if (rc == 0)
		rc = tail_link_final_error(l, chan_send(&l->chan, &hello));
	if (rc == 0)
		rc = tail_link_expect(l, FRAME_WELCOME, until_ms, &f);
	if (rc == 0 && f.welcome.version != FRAME_VERSION)
		rc = -EPROTO;
	if (rc == 0)
		rc = tail_link_expect(l, FRAME_STREAM, until_ms, &f);
	if (rc != 0) {
		tail_link_close(l);
		return rc;
	}
	memcpy(l->stream, f.stream.name.data, f.stream.name.bytes);
	l->stream[f.stream.name.bytes] = '\0';
	l->first_offset = f.stream.first_offset;
	l->next_offset = f.stream.next_offset;
	return 0;
}

int
tail_link_watch(struct tail_link *l, uint64_t from, uint64_t events, bool live,
                uint64_t bytes_per_s)
{
	struct frame watch = {.type = FRAME_WATCH};

	watch.watch.has_from = true;
	watch.watch.from = from;
	watch.watch.events = events;
	watch.watch.live = live;
	watch.watch.bytes_per_s = bytes_per_s;
	return tail_link_final_error(l, chan_send(&l->chan, &watch));
}

int
tail_link_next(struct tail_link *l, struct frame *f)
{
	int rc = tail_link_receive(l, f);

	if (rc == 0 && f->type != FRAME_BATCH && f->type != FRAME_SKIPPED)
		return -EPROTO;
	return tail_link_final_error(l, rc);
}

void
tail_link_close(struct tail_link *l)
{
	chan_close(&l->chan);
}

const char *
tail_link_error(const struct tail_link *l, const char *socket, int rc)
{
	static char text[FRAME_TEXT_MAX + 64];

	if (rc == -EBADMSG || rc == -EPROTO)
		return "batchd sent a frame that is not understood: run leat "
		       "and batchd of one release";
	if (rc != ERR_BATCHD_REFUSED)
		return chan_error(socket, rc);
	(void)snprintf(text, sizeof text, "batchd refused (%s): %s",
	               frame_error_name(l->error_code), l->error_text);
	return text;
}
