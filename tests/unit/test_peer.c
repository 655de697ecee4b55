/*
 * test_peer - the states of a connection to batchd: which frames a peer may
 * send in each, and what batchd sends to it.
 *
 * There is no event loop and no socket.  chan_send and chan_recv, which are
 * defined here in place of libproto's, put frames into a list and take packets
 * from another one.
 */
#include <errno.h>
#include <string.h>

#include "batchd/order_steps.h"
#include "batchd/peer.h"
#include "batchd/peer_input.h"
#include "libbase/log.h"
#include "libproto/control_args.h"
#include "tests/support/sim/simdisk.h"
#include "tests/support/test.h"

#define SENT_MAX 64
#define BODY_MAX 16384

static struct simdisk sim;
static struct broker broker;
static struct batchd_settings settings;
static struct peer peer, other;

/* What batchd has sent, to any peer. */
static struct sent {
	struct frame frame; /* its slices and its body point below */
	uint8_t body[BODY_MAX];
	char text[FRAME_TEXT_MAX + 1];
} sent[SENT_MAX];
static size_t sent_count;
static int send_rc; /* what chan_send returns instead of sending; or 0 */

/* The packet that the peer sends next; no bytes: none. */
static uint8_t packet[FRAME_MAX];
static size_t packet_bytes;

int
chan_send(struct chan *c, const struct frame *frame)
{
	struct sent *s = &sent[sent_count];
	uint8_t header[FRAME_HEADER_MAX];
	struct slice text = {0};

	(void)c;
	if (send_rc < 0)
		return send_rc;
	ck_assert_uint_lt(sent_count, SENT_MAX);
	ck_assert_int_gt(frame_put_header(frame, header), 0);
	ck_assert_uint_le(frame->body_bytes, BODY_MAX);
	sent_count++;
	s->frame = *frame;
	if (frame->body_bytes > 0)
		memcpy(s->body, frame->body, frame->body_bytes);
	if (frame->type == FRAME_ERROR)
		text = frame->error.text;
	if (frame->type == FRAME_REPLY)
		text = frame->reply.text;
	if (frame->type == FRAME_INTAKE)
		text = frame->intake.reason;
	if (text.bytes > 0)
		memcpy(s->text, text.data, text.bytes);
	s->text[text.bytes] = '\0';
	return 0;
}

int
chan_recv(struct chan *c, void *buf, size_t cap)
{
	size_t n = packet_bytes;

	(void)c;
	if (n == 0)
		return -EAGAIN;
	ck_assert_uint_le(n, cap);
	memcpy(buf, packet, n);
	packet_bytes = 0;
	return (int)n;
}

static void
setup(void)
{
	static const struct store_conf conf = {
	    .max_bytes = 256 * MIB,
	    .segment_bytes = 2 * MIB,
	    .group_max_bytes = 1 * MIB,
	};
	static const char *const names[] = {"one", "two"};

	log_set_level((enum log_level)(LOG_ERROR + 1));
	sim_init(&sim, 1);
	settings =
	    (struct batchd_settings){.max_connections = 2, .max_tails = 1};
	ck_assert_int_eq(broker_init(&broker, &settings), 0);
	ck_assert_int_eq(store_open(&broker.store, &sim.disk, &conf), 0);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		ck_assert_int_eq(consumer_open(&broker.sinks[i].consumer,
		                               &broker.store, names[i]),
		                 0);
	broker.sink_count = ARRAY_LEN(names);
	ck_assert_int_eq(store_start(&broker.store, 0), 0);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		ck_assert_int_eq(
		    consumer_start(&broker.sinks[i].consumer, false), 0);
	broker.intake_open = true;
	sent_count = packet_bytes = 0;
	send_rc = 0;
	peer_init(&peer, &broker, -1, 0);
	peer_init(&other, &broker, -1, 0);
}

static void
teardown(void)
{
	peer_close(&peer, -EPIPE);
	peer_fini(&peer);
	peer_close(&other, -EPIPE);
	peer_fini(&other);
	for (size_t i = 0; i < broker.sink_count; i++)
		consumer_close(&broker.sinks[i].consumer);
	store_close(&broker.store);
	broker_fini(&broker);
	sim_fini(&sim);
}

/* --- what a peer sends --- */

/* The peer sends the frame, in a turn of its own.  Returns peer_read's. */
static int
receive(struct peer *p, const struct frame *f)
{
	int n = frame_put_header(f, packet);

	ck_assert_int_gt(n, 0);
	if (f->body_bytes > 0)
		memcpy(packet + n, f->body, f->body_bytes);
	packet_bytes = (size_t)n + f->body_bytes;
	p->done_this_turn = false;
	return peer_read(p);
}

static int
hello(struct peer *p, enum frame_role role, const char *name)
{
	struct frame f = {.type = FRAME_HELLO};

	f.hello.version = FRAME_VERSION;
	f.hello.role = role;
	f.hello.name = slice_of(name);
	f.hello.pid = 7;
	return receive(p, &f);
}

static int
append(struct peer *p, uint64_t seq, uint32_t count)
{
	struct event e = {.id = slice_of("id"),
	                  .type = slice_of("t"),
	                  .payload = slice_of("{}"),
	                  .created_at_us = 1,
	                  .received_at_us = 1};
	struct frame f = {.type = FRAME_APPEND};
	struct buf body;
	int rc;

	buf_init(&body, FRAME_BODY_MAX);
	for (uint32_t i = 0; i < count; i++)
		ck_assert_int_eq(event_pack(&body, &e), 0);
	f.append.seq = seq;
	f.append.count = count;
	f.body = body.data;
	f.body_bytes = body.len;
	rc = receive(p, &f);
	buf_fini(&body);
	return rc;
}

static int
subscribe(struct peer *p)
{
	struct frame f = {.type = FRAME_SUBSCRIBE};

	f.subscribe.max_events = 100;
	f.subscribe.max_bytes = 1 * MIB;
	return receive(p, &f);
}

static int
committed(struct peer *p, uint64_t next_offset)
{
	struct frame f = {.type = FRAME_COMMITTED};

	f.committed.next_offset = next_offset;
	return receive(p, &f);
}

static int
flush(struct peer *p)
{
	const struct frame f = {.type = FRAME_FLUSH};

	return receive(p, &f);
}

static int
control(struct peer *p, const char *verb)
{
	static const uint8_t no_arguments[] = {0x80};
	struct frame f = {
	    .type = FRAME_CONTROL, .body = no_arguments, .body_bytes = 1};

	f.control.id = 5;
	f.control.verb = slice_of(verb);
	return receive(p, &f);
}

static int
stats(struct peer *p, enum frame_role role, size_t figure, uint64_t value)
{
	struct frame f = {.type = FRAME_STATS};
	static uint8_t map[REPORT_PACKED_MAX];
	static struct report r;

	r = (struct report){0};
	report_set(&r, figure, value);
	f.body = map;
	f.body_bytes = report_pack(role, &r, map);
	return receive(p, &f);
}

static int
watch(struct peer *p, uint64_t from)
{
	struct frame f = {.type = FRAME_WATCH};

	f.watch.has_from = true;
	f.watch.from = from;
	return receive(p, &f);
}

/* Send frame number i of all kinds that a peer can send. */
#define FRAME_KINDS 8
static int
send_kind(struct peer *p, int i)
{
	switch (i) {
	case 0:
		return hello(p, ROLE_INGEST, "again");
	case 1:
		return append(p, 1, 1);
	case 2:
		return subscribe(p);
	case 3:
		return committed(p, 1);
	case 4:
		return flush(p);
	case 5:
		return stats(p, p->role, 0, 1);
	case 6:
		return watch(p, 0);
	default:
		return control(p, "status");
	}
}

/* --- what batchd does --- */

/* Take the group that is being filled to the disk, as disk_jobs does. */
static void
begin_write(void)
{
	ck_assert(store_append_begin(&broker.store, 1));
	ack_queue_write_begins(&peer.acks);
}

static void
end_write(void)
{
	ck_assert_int_eq(store_append_run(&broker.store), 0);
	ck_assert_int_eq(store_append_end(&broker.store, 1), 0);
	ack_queue_write_ends(&peer.acks);
	for (size_t i = 0; i < broker.sink_count; i++)
		consumer_log_grew(&broker.sinks[i].consumer, 1);
}

/* The frames that batchd sends now.  Returns their number. */
static size_t
flushed(struct peer *p)
{
	sent_count = 0;
	p->status_due = false;
	ck_assert_int_eq(peer_flush(p), 0);
	return sent_count;
}

/* The peer was refused with this error, and nothing else was sent to it. */
static void
check_refused(struct peer *p, int rc, enum frame_error code)
{
	ck_assert_int_eq(rc, -ECONNABORTED);
	ck_assert_uint_eq(sent_count, 1);
	ck_assert_int_eq(sent[0].frame.type, FRAME_ERROR);
	ck_assert_int_eq(sent[0].frame.error.code, code);
	ck_assert_str_ne(sent[0].text, "");
	peer_close(p, rc);
	ck_assert_int_eq(p->state, PEER_CLOSING);
	ck_assert(!peer_may_read(p));
}

/* An ingestd is connected and has been sent the state of the intake. */
static void
connect_ingest(struct peer *p)
{
	ck_assert_int_eq(hello(p, ROLE_INGEST, "ingestd"), 0);
	ck_assert_uint_eq(flushed(p), 1);
	sent_count = 0;
}

/* A sink is connected and has been started. */
static void
connect_sink(struct peer *p)
{
	ck_assert_int_eq(hello(p, ROLE_SINK, "one"), 0);
	ck_assert_uint_eq(flushed(p), 1);
	ck_assert_int_eq(sent[0].frame.type, FRAME_START);
	ck_assert_int_eq(p->state, PEER_STARTED);
	sent_count = 0;
}

TEST_CASE(peer, .setup = setup, .teardown = teardown);

TEST_LOOP(hello_decides_the_state, 4)
{
	static const struct {
		enum frame_role role;
		enum peer_state state;
		size_t daemons, tails;
		bool stream; /* a stream frame follows welcome */
	} cases[] = {{ROLE_INGEST, PEER_INGEST, 1, 0, false},
	             {ROLE_SINK, PEER_SINK, 1, 0, true},
	             {ROLE_CONTROL, PEER_CONTROL, 0, 0, false},
	             {ROLE_TAIL, PEER_TAIL, 0, 1, true}};

	ck_assert_int_eq(peer.state, PEER_HELLO);
	ck_assert_int_eq(hello(&peer, cases[_i].role, "one"), 0);
	ck_assert_int_eq(peer.state, cases[_i].state);
	ck_assert_uint_eq(broker.daemon_count, cases[_i].daemons);
	ck_assert_uint_eq(broker.tail_count, cases[_i].tails);
	ck_assert_int_eq(sent[0].frame.type, FRAME_WELCOME);
	ck_assert_uint_eq(sent_count, cases[_i].stream ? 2 : 1);
	if (cases[_i].stream)
		ck_assert_int_eq(sent[1].frame.type, FRAME_STREAM);
	peer_close(&peer, -EPIPE);
	ck_assert_uint_eq(broker.daemon_count, 0);
	ck_assert_uint_eq(broker.tail_count, 0);
}

TEST_LOOP(only_hello_may_come_first, FRAME_KINDS - 1)
{
	check_refused(&peer, send_kind(&peer, _i + 1), ERROR_PROTOCOL);
}

TEST(a_second_hello_is_refused)
{
	connect_ingest(&peer);
	check_refused(&peer, send_kind(&peer, 0), ERROR_PROTOCOL);
}

TEST(a_hello_of_another_version_is_refused)
{
	struct frame f = {.type = FRAME_HELLO};

	f.hello.version = FRAME_VERSION + 1;
	f.hello.role = ROLE_INGEST;
	f.hello.name = slice_of("x");
	check_refused(&peer, receive(&peer, &f), ERROR_VERSION);
	ck_assert_uint_eq(broker.daemon_count, 0);
}

TEST(a_sink_that_is_not_in_the_settings_is_refused)
{
	check_refused(&peer, hello(&peer, ROLE_SINK, "three"), ERROR_UNKNOWN);
	ck_assert_uint_eq(broker.daemon_count, 0);
}

TEST(one_sink_of_a_name_is_connected)
{
	ck_assert_int_eq(hello(&other, ROLE_SINK, "one"), 0);
	sent_count = 0;
	check_refused(&peer, hello(&peer, ROLE_SINK, "one"), ERROR_BUSY);
	ck_assert_ptr_eq(broker.sinks[0].peer, &other);
	/* When it has gone, the next one may come. */
	peer_close(&other, -EPIPE);
	ck_assert_ptr_null(broker.sinks[0].peer);
	peer_fini(&peer);
	peer_init(&peer, &broker, -1, 0);
	ck_assert_int_eq(hello(&peer, ROLE_SINK, "one"), 0);
	ck_assert_ptr_eq(broker.sinks[0].peer, &peer);
}

TEST(more_daemons_than_max_connections_are_refused)
{
	settings.max_connections = 1;
	ck_assert_int_eq(hello(&other, ROLE_SINK, "one"), 0);
	sent_count = 0;
	check_refused(&peer, hello(&peer, ROLE_INGEST, "x"), ERROR_FULL);
	ck_assert_uint_eq(broker.daemon_count, 1);
	/* Commands are no daemons. */
	peer_fini(&peer);
	peer_init(&peer, &broker, -1, 0);
	ck_assert_int_eq(hello(&peer, ROLE_CONTROL, "x"), 0);
}

/* Tails have a number of their own: they take no place of a daemon. */
TEST(more_tails_than_max_tails_are_refused)
{
	settings.max_connections = 0;
	ck_assert_int_eq(hello(&other, ROLE_TAIL, "tail"), 0);
	sent_count = 0;
	check_refused(&peer, hello(&peer, ROLE_TAIL, "tail"), ERROR_FULL);
	ck_assert_uint_eq(broker.tail_count, 1);
	peer_close(&other, -EPIPE);
	peer_fini(&peer);
	peer_init(&peer, &broker, -1, 0);
	ck_assert_int_eq(hello(&peer, ROLE_TAIL, "tail"), 0);
}

/* Which frames are accepted after the hello of each role. */
TEST_LOOP(a_frame_of_another_role_is_refused, 5 * FRAME_KINDS)
{
	/* The second sink has not been started. */
	static const enum frame_role roles[] = {
	    ROLE_INGEST, ROLE_SINK, ROLE_SINK, ROLE_CONTROL, ROLE_TAIL};
	static const bool accepted[5][FRAME_KINDS] = {
	    /* hello, append, subscribe, committed, flush, stats, watch,
	     * control */
	    {false, true, false, false, false, true, false, true},
	    {false, false, true, false, false, true, false, true},
	    {false, false, false, false, false, true, false, true},
	    {false, false, false, false, false, true, false, true},
	    {false, false, false, false, false, true, true, true},
	};
	int rc;

	if (_i / FRAME_KINDS == 1)
		connect_sink(&peer);
	else
		ck_assert_int_eq(hello(&peer, roles[_i / FRAME_KINDS], "one"),
		                 0);
	sent_count = 0;
	rc = send_kind(&peer, _i % FRAME_KINDS);
	if (accepted[_i / FRAME_KINDS][_i % FRAME_KINDS])
		ck_assert_int_eq(rc, 0);
	else
		check_refused(&peer, rc, ERROR_PROTOCOL);
}

TEST_LOOP(bytes_that_are_no_frame_are_refused, 2)
{
	static const uint8_t bytes[] = {0x93, 0x03, 0xc1};

	ck_assert_int_eq(hello(&peer, _i == 0 ? ROLE_INGEST : ROLE_SINK, "one"),
	                 0);
	sent_count = 0;
	memcpy(packet, bytes, sizeof bytes);
	packet_bytes = sizeof bytes;
	check_refused(&peer, peer_read(&peer), ERROR_PROTOCOL);
}

/* --- ingestd --- */

TEST_LOOP(appends_have_the_numbers_1_2_3, 3)
{
	static const uint64_t wrong[] = {0, 1, 3};

	connect_ingest(&peer);
	ck_assert_int_eq(append(&peer, 1, 1), 0);
	check_refused(&peer, append(&peer, wrong[_i], 1), ERROR_PROTOCOL);
	ck_assert_uint_eq(broker.store.next_offset, 1);
}

TEST(an_append_whose_events_are_malformed_is_refused)
{
	struct frame f = {.type = FRAME_APPEND,
	                  .body = (const uint8_t *)"\xc1",
	                  .body_bytes = 1};

	connect_ingest(&peer);
	f.append.seq = f.append.count = 1;
	check_refused(&peer, receive(&peer, &f), ERROR_PROTOCOL);
	ck_assert_uint_eq(broker.store.next_offset, 0);
}

TEST(only_durable_appends_are_acknowledged)
{
	struct wire_reader r;
	uint64_t offset = 0;

	connect_ingest(&peer);
	ck_assert_int_eq(append(&peer, 1, 10), 0);
	ck_assert_int_eq(append(&peer, 2, 1), 0);
	ck_assert_uint_eq(flushed(&peer), 0);
	begin_write();
	ck_assert_int_eq(append(&peer, 3, 1), 0);
	ck_assert_uint_eq(flushed(&peer), 0);
	end_write();
	ck_assert_uint_eq(flushed(&peer), 1);
	ck_assert_int_eq(sent[0].frame.type, FRAME_APPENDED);
	ck_assert_uint_eq(sent[0].frame.appended.seq, 2);
	ck_assert_uint_eq(sent[0].frame.appended.count, 2);
	r = (struct wire_reader){sent[0].body,
	                         sent[0].body + sent[0].frame.body_bytes};
	ck_assert_int_eq(wire_uint(&r, &offset), 0);
	ck_assert_uint_eq(offset, 0);
	ck_assert_int_eq(wire_uint(&r, &offset), 0);
	ck_assert_uint_eq(offset, 10);
	ck_assert_ptr_eq(r.at, r.end);
	/* Nothing is acknowledged twice, and the third one is not lost. */
	ck_assert_uint_eq(flushed(&peer), 0);
	begin_write();
	end_write();
	ck_assert_uint_eq(flushed(&peer), 1);
	ck_assert_uint_eq(sent[0].frame.appended.seq, 3);
	ck_assert_uint_eq(sent[0].frame.appended.count, 1);
}

TEST(a_full_socket_delays_acknowledgements)
{
	connect_ingest(&peer);
	ck_assert_int_eq(append(&peer, 1, 1), 0);
	begin_write();
	end_write();
	send_rc = -EAGAIN;
	ck_assert_int_eq(peer_flush(&peer), -EAGAIN);
	send_rc = 0;
	ck_assert_uint_eq(flushed(&peer), 1);
	ck_assert_uint_eq(sent[0].frame.appended.seq, 1);
}

TEST(many_acknowledgements_take_several_frames)
{
	uint64_t n = 2 * FRAME_APPENDED_MAX + 3, seq = 0;

	connect_ingest(&peer);
	for (uint64_t i = 1; i <= n; i++)
		ck_assert_int_eq(append(&peer, i, 1), 0);
	begin_write();
	end_write();
	ck_assert_uint_eq(flushed(&peer), 3);
	for (size_t i = 0; i < 3; i++) {
		seq += sent[i].frame.appended.count;
		ck_assert_uint_eq(sent[i].frame.appended.seq, seq);
	}
	ck_assert_uint_eq(seq, n);
}

/* As many as peer.c's UNACKNOWLEDGED_MAX, whichever stage they are in. */
TEST(a_peer_with_too_many_appends_is_not_read)
{
	uint64_t seq = 0;

	connect_ingest(&peer);
	while (seq < 8000)
		ck_assert_int_eq(append(&peer, ++seq, 1), 0);
	begin_write();
	while (seq < 16383)
		ck_assert_int_eq(append(&peer, ++seq, 1), 0);
	ck_assert(peer_may_read(&peer));
	ck_assert_int_eq(append(&peer, ++seq, 1), 0);
	ck_assert(!peer_may_read(&peer));
	end_write();
	ck_assert(!peer_may_read(&peer));
	ck_assert_uint_gt(flushed(&peer), 0);
	ck_assert(peer_may_read(&peer));
	ck_assert_uint_eq(ack_queue_count(&peer.acks), 16384 - 8000);
}

TEST(an_ingestd_learns_whether_the_intake_is_open)
{
	ck_assert_int_eq(hello(&peer, ROLE_INGEST, "ingestd"), 0);
	ck_assert_uint_eq(flushed(&peer), 1);
	ck_assert_int_eq(sent[0].frame.type, FRAME_INTAKE);
	ck_assert(sent[0].frame.intake.open);
	ck_assert_uint_eq(flushed(&peer), 0);
	broker.intake_open = false;
	ck_assert_uint_eq(flushed(&peer), 1);
	ck_assert_int_eq(sent[0].frame.type, FRAME_INTAKE);
	ck_assert(!sent[0].frame.intake.open);
	ck_assert_uint_eq(flushed(&peer), 0);
}

/* What an ingestd sent before it learns of the stop is accepted. */
TEST(a_stop_refuses_new_peers_and_finishes_the_others)
{
	connect_ingest(&peer);
	broker.stopping = true;
	broker.intake_open = false;
	ck_assert_int_eq(append(&peer, 1, 1), 0);
	begin_write();
	end_write();
	ck_assert_uint_eq(flushed(&peer), 2);
	ck_assert_int_eq(sent[0].frame.type, FRAME_APPENDED);
	ck_assert_int_eq(sent[1].frame.type, FRAME_INTAKE);
	ck_assert_str_eq(sent[1].text, "batchd is stopping");
	sent_count = 0;
	check_refused(&other, hello(&other, ROLE_CONTROL, "x"), ERROR_STOPPING);
}

TEST(counters_of_reports_add_up)
{
	connect_ingest(&peer);
	/* The first report of a connection is where counting begins. */
	ck_assert_int_eq(stats(&peer, ROLE_INGEST, INGEST_REQUESTS, 100), 0);
	ck_assert_uint_eq(broker.ingest.values[INGEST_REQUESTS], 0);
	ck_assert_int_eq(stats(&peer, ROLE_INGEST, INGEST_REQUESTS, 130), 0);
	ck_assert_uint_eq(broker.ingest.values[INGEST_REQUESTS], 30);
	ck_assert(peer.done_this_turn);
	ck_assert(!peer_may_read(&peer));
}

/* --- sinks --- */

TEST(a_sink_takes_batches_and_commits_them)
{
	struct consumer *c = &broker.sinks[0].consumer;
	uint64_t wake_ms;

	connect_ingest(&other);
	ck_assert_int_eq(append(&other, 1, 3), 0);
	begin_write();
	end_write();
	connect_sink(&peer);
	ck_assert_int_eq(subscribe(&peer), 0);
	ck_assert_int_eq(peer.state, PEER_SUBSCRIBED);
	sent_count = 0;
	while (consumer_step(c, 1, &wake_ms) == 1)
		;
	ck_assert_uint_eq(sent_count, 1);
	ck_assert_int_eq(sent[0].frame.type, FRAME_BATCH);
	ck_assert_uint_eq(sent[0].frame.batch.count, 3);
	ck_assert_int_eq(committed(&peer, 3), 0);
	ck_assert_uint_eq(c->position.cursor.now.committed, 3);
	ck_assert_int_eq(flush(&peer), 0);
	ck_assert(c->flush_requested);
	/* The other sink has had nothing of this. */
	ck_assert_uint_eq(
	    broker.sinks[1].consumer.position.cursor.now.committed, 0);
	sent_count = 0;
	check_refused(&peer, committed(&peer, 4), ERROR_PROTOCOL);
	ck_assert_int_eq(c->state, CONSUMER_DISCONNECTED);
}

TEST(a_tail_is_sent_what_it_watches)
{
	uint64_t wake_ms;

	connect_ingest(&other);
	ck_assert_int_eq(append(&other, 1, 3), 0);
	begin_write();
	ack_queue_write_begins(&other.acks);
	end_write();
	ck_assert_int_eq(hello(&peer, ROLE_TAIL, "tail"), 0);
	sent_count = 0;
	ck_assert_int_eq(tail_step(peer.tail, 1, 1, true, &wake_ms), 0);
	ck_assert_int_eq(watch(&peer, 1), 0);
	ck_assert(peer.done_this_turn);
	ck_assert_int_eq(tail_step(peer.tail, 1, 1, true, &wake_ms), 1);
	ck_assert_int_eq(tail_step(peer.tail, 1, 1, true, &wake_ms), 0);
	ck_assert_uint_eq(sent_count, 1);
	ck_assert_int_eq(sent[0].frame.type, FRAME_BATCH);
	ck_assert_uint_eq(sent[0].frame.batch.offset, 1);
	ck_assert_uint_eq(sent[0].frame.batch.count, 2);
	/* Its statistics are ignored, and it may ask for the status. */
	ck_assert_int_eq(stats(&peer, ROLE_TAIL, 0, 1), 0);
	ck_assert_int_eq(control(&peer, "status"), 0);
	ck_assert_int_eq(peer.reply, PEER_REPLY_STATUS);
	sent_count = 0;
	check_refused(&peer, committed(&peer, 3), ERROR_PROTOCOL);
}

TEST(a_sink_subscribes_once)
{
	connect_sink(&peer);
	ck_assert_int_eq(subscribe(&peer), 0);
	sent_count = 0;
	check_refused(&peer, subscribe(&peer), ERROR_PROTOCOL);
}

TEST(a_sink_whose_position_is_past_the_end_is_refused)
{
	struct frame f = {.type = FRAME_SUBSCRIBE};

	f.subscribe.has_position = true;
	f.subscribe.position = 1;
	connect_sink(&peer);
	check_refused(&peer, receive(&peer, &f), ERROR_AHEAD);
	ck_assert_int_eq(broker.sinks[0].consumer.state, CONSUMER_DISCONNECTED);
	ck_assert_ptr_null(broker.sinks[0].peer);
}

TEST(there_is_one_stream)
{
	struct frame f = {.type = FRAME_SUBSCRIBE};

	f.subscribe.stream_no = 1;
	connect_sink(&peer);
	check_refused(&peer, receive(&peer, &f), ERROR_PROTOCOL);
}

/* --- commands --- */

/* With _i == 1 there was no memory for the status. */
TEST_LOOP(a_status_is_replied_to_at_the_end_of_the_turn, 2)
{
	static const char map[] = "\x80";

	ck_assert_int_eq(hello(&peer, ROLE_CONTROL, "leat"), 0);
	sent_count = 0;
	ck_assert_int_eq(control(&peer, "status"), 0);
	ck_assert_uint_eq(sent_count, 0);
	ck_assert_int_eq(peer.reply, PEER_REPLY_STATUS);
	/* It has one request at most, even in the next turn. */
	peer.done_this_turn = false;
	ck_assert(!peer_may_read(&peer));
	if (_i == 0)
		ck_assert_int_eq(buf_add(&broker.status, map, 1), 0);
	ck_assert_uint_eq(flushed(&peer), 1);
	ck_assert_int_eq(sent[0].frame.type, FRAME_REPLY);
	ck_assert_uint_eq(sent[0].frame.reply.id, 5);
	ck_assert_int_eq(sent[0].frame.reply.ok, _i == 0);
	ck_assert_uint_eq(sent[0].frame.body_bytes, _i == 0 ? 1 : 0);
	ck_assert_str_eq(sent[0].text, _i == 0 ? "" : "out of memory");
	ck_assert(peer_may_read(&peer));
	ck_assert_uint_eq(flushed(&peer), 0);
}

TEST(a_reply_waits_for_room_in_the_socket)
{
	ck_assert_int_eq(hello(&peer, ROLE_CONTROL, "leat"), 0);
	ck_assert_int_eq(control(&peer, "turn"), 0);
	send_rc = -EAGAIN;
	ck_assert_int_eq(peer_flush(&peer), -EAGAIN);
	ck_assert(!peer_may_read(&peer));
	send_rc = 0;
	ck_assert_uint_eq(flushed(&peer), 1);
	ck_assert(!sent[0].frame.reply.ok);
	ck_assert_str_eq(sent[0].text, "unknown verb");
}

/* --- orders --- */

/* Send a verb of the sink "one" with these arguments, which are freed. */
static int
send_args(struct peer *p, const char *verb, struct control_args *args)
{
	const struct slice name = slice_of("one");
	struct frame f = {.type = FRAME_CONTROL};
	int rc;

	control_args_add_text(args, "sink", name);
	f.control.id = 5;
	f.control.verb = slice_of(verb);
	f.body = args->map.data;
	f.body_bytes = args->map.len;
	rc = receive(p, &f);
	control_args_fini(args);
	return rc;
}

/* With up to two integers. */
static int
send_order(struct peer *p, const char *verb, const char *key, uint64_t value,
           const char *key2, uint64_t value2)
{
	struct control_args args;

	control_args_init(&args);
	if (key)
		control_args_add_uint(&args, key, value);
	if (key2)
		control_args_add_uint(&args, key2, value2);
	return send_args(p, verb, &args);
}

static int
halted(struct peer *p, bool has_position, uint64_t position)
{
	struct frame f = {.type = FRAME_HALTED};

	f.halted.has_position = has_position;
	f.halted.position = position;
	return receive(p, &f);
}

/* Write the cursors, and take the steps of the orders. */
static void
turn(void)
{
	struct broker_sink *sink = &broker.sinks[0];
	struct cursor *c = &sink->consumer.position.cursor;

	order_step(sink, 1);
	if (cursor_begin(c)) {
		ck_assert_int_eq(cursor_write(c, &sim.disk), 0);
		cursor_end(c);
	}
	order_step(sink, 1);
}

/* Three events are durable, and a sink has subscribed. */
static void
connect_subscribed(void)
{
	struct peer ingest;

	peer_init(&ingest, &broker, -1, 0);
	connect_ingest(&ingest);
	ck_assert_int_eq(append(&ingest, 1, 3), 0);
	ck_assert(store_append_begin(&broker.store, 1));
	ack_queue_write_begins(&ingest.acks);
	ck_assert_int_eq(store_append_run(&broker.store), 0);
	ck_assert_int_eq(store_append_end(&broker.store, 1), 0);
	peer_close(&ingest, -EPIPE);
	peer_fini(&ingest);
	connect_sink(&peer);
	ck_assert_int_eq(subscribe(&peer), 0);
	ck_assert_int_eq(hello(&other, ROLE_CONTROL, "leat"), 0);
	sent_count = 0;
}

static void
check_reply(bool ok, const char *text)
{
	ck_assert_uint_eq(flushed(&other), 1);
	ck_assert_int_eq(sent[0].frame.type, FRAME_REPLY);
	ck_assert_int_eq(sent[0].frame.reply.ok, ok);
	ck_assert_msg(strstr(sent[0].text, text) != NULL, "%s", sent[0].text);
}

/* The cursor first, then halt, then the reply. */
TEST(a_pause_is_on_disk_before_the_sink_is_halted)
{
	struct consumer *c = &broker.sinks[0].consumer;
	uint64_t wake_ms;

	connect_subscribed();
	while (consumer_step(c, 1, &wake_ms) == 1)
		;
	ck_assert_int_eq(c->state, CONSUMER_IN_FLIGHT);
	ck_assert_int_eq(send_order(&other, "pause", NULL, 0, NULL, 0), 0);
	ck_assert(!peer_may_read(&other));
	ck_assert(order_awaits_cursor(&broker.sinks[0].order));
	ck_assert_uint_eq(flushed(&peer), 0);
	turn();
	ck_assert(c->position.cursor.durable.pause.since_us > 0);
	ck_assert_uint_eq(flushed(&peer), 1);
	ck_assert_int_eq(sent[0].frame.type, FRAME_HALT);
	ck_assert_int_eq(peer.state, PEER_HALTING);
	/* The write in progress ends, and a flush crosses the halt. */
	ck_assert_int_eq(committed(&peer, 3), 0);
	ck_assert_int_eq(flush(&peer), 0);
	ck_assert_uint_eq(flushed(&other), 0);
	ck_assert_int_eq(halted(&peer, true, 3), 0);
	ck_assert_int_eq(peer.state, PEER_SINK);
	ck_assert_int_eq(c->state, CONSUMER_DISCONNECTED);
	turn();
	check_reply(true, "");
	ck_assert_uint_eq(flushed(&peer), 0);
	ck_assert_int_eq(send_order(&other, "resume", NULL, 0, NULL, 0), 0);
	ck_assert_uint_eq(flushed(&peer), 0);
	turn();
	check_reply(true, "");
	ck_assert_uint_eq(flushed(&peer), 1);
	ck_assert_int_eq(sent[0].frame.type, FRAME_START);
}

TEST(a_halted_sink_may_have_stored_a_part_of_its_batch)
{
	struct consumer *c = &broker.sinks[0].consumer;
	uint64_t wake_ms;

	connect_subscribed();
	while (consumer_step(c, 1, &wake_ms) == 1)
		;
	ck_assert_int_eq(send_order(&other, "pause", NULL, 0, NULL, 0), 0);
	turn();
	ck_assert_uint_eq(flushed(&peer), 1);
	ck_assert_int_eq(halted(&peer, true, 2), 0);
	ck_assert_uint_eq(c->position.cursor.now.committed, 2);
}

/* With _i == 1 the command disconnects meanwhile, and its order goes on. */
TEST_LOOP(a_seek_takes_its_steps, 2)
{
	struct consumer *c = &broker.sinks[0].consumer;
	const struct cursor *cursor = &c->position.cursor;
	uint64_t wake_ms;

	connect_subscribed();
	while (consumer_step(c, 1, &wake_ms) == 1)
		;
	ck_assert_int_eq(committed(&peer, 3), 0);
	ck_assert_int_eq(send_order(&other, "seek", "from", 3, "to", 1), 0);
	turn();
	ck_assert_uint_eq(cursor->now.seek_to, CURSOR_NO_SEEK);
	ck_assert_uint_eq(flushed(&peer), 1);
	ck_assert_int_eq(sent[0].frame.type, FRAME_HALT);
	if (_i == 1)
		peer_close(&other, -EPIPE);
	ck_assert_int_eq(halted(&peer, true, 3), 0);
	turn();
	ck_assert_uint_eq(cursor->durable.seek_to, 1);
	ck_assert_uint_eq(flushed(&peer), 1);
	ck_assert_int_eq(sent[0].frame.type, FRAME_SEEK);
	ck_assert_uint_eq(sent[0].frame.seek.from, 3);
	ck_assert_uint_eq(sent[0].frame.seek.to, 1);
	ck_assert_int_eq(halted(&peer, true, 1), 0);
	ck_assert_uint_eq(flushed(&peer), 0);
	turn();
	ck_assert_uint_eq(cursor->durable.seek_to, CURSOR_NO_SEEK);
	ck_assert_uint_eq(cursor->durable.committed, 1);
	ck_assert_uint_eq(cursor->durable.generation, 1);
	ck_assert_uint_eq(cursor->durable.replayed_events, 2);
	if (_i == 0)
		check_reply(true, "");
	ck_assert_uint_eq(flushed(&peer), 1);
	ck_assert_int_eq(sent[0].frame.type, FRAME_START);
	ck_assert_int_eq(subscribe(&peer), 0);
	sent_count = 0;
	while (consumer_step(c, 1, &wake_ms) == 1)
		;
	ck_assert_uint_eq(sent[0].frame.batch.offset, 1);
	ck_assert_uint_eq(sent[0].frame.batch.generation, 1);
}

/* An operator moves the position while the sink has a batch: it is to halt. */
static void
seek_with_a_batch_in_flight(uint64_t to)
{
	uint64_t wake_ms;

	connect_subscribed();
	while (consumer_step(&broker.sinks[0].consumer, 1, &wake_ms) == 1)
		;
	ck_assert_int_eq(send_order(&other, "seek", "from", 0, "to", to), 0);
	turn();
	ck_assert_uint_eq(flushed(&peer), 1);
}

/* It halts without a position, is sent seek, and has another position. */
static void
answer_seek(uint64_t position)
{
	ck_assert_int_eq(halted(&peer, false, 0), 0);
	turn();
	ck_assert_uint_eq(flushed(&peer), 1);
	ck_assert_int_eq(sent[0].frame.type, FRAME_SEEK);
	ck_assert_int_eq(halted(&peer, true, position), 0);
	turn();
}

/*
 * The sink was killed after its store had taken a batch, so the store's
 * position is not the cursor's.  With _i == 1 it is another one even then.
 */
TEST_LOOP(a_seek_starts_where_the_store_is, 2)
{
	struct consumer *c = &broker.sinks[0].consumer;

	seek_with_a_batch_in_flight(0);
	answer_seek(3);
	ck_assert_uint_eq(flushed(&peer), 1);
	ck_assert_int_eq(sent[0].frame.type, FRAME_SEEK);
	ck_assert_uint_eq(sent[0].frame.seek.from, 3);
	ck_assert_int_eq(halted(&peer, true, _i == 0 ? 0 : 2), 0);
	turn();
	check_reply(_i == 0, _i == 0 ? "" : "another writer");
	ck_assert_uint_eq(c->position.cursor.durable.committed,
	                  _i == 0 ? 0 : 3);
	ck_assert_uint_eq(c->position.cursor.durable.seek_to, CURSOR_NO_SEEK);
}

static void
check_position_was_kept(uint64_t at)
{
	const struct cursor *cursor = &broker.sinks[0].consumer.position.cursor;

	ck_assert_uint_eq(cursor->durable.committed, at);
	ck_assert_uint_eq(cursor->durable.seek_to, CURSOR_NO_SEEK);
	ck_assert_uint_eq(cursor->durable.generation, 0);
	ck_assert_uint_eq(cursor_skipped(cursor), 0);
	ck_assert_uint_eq(flushed(&peer), 1);
	ck_assert_int_eq(sent[0].frame.type, FRAME_START);
}

/* A skip must not send again what the store has beyond its end. */
TEST(a_skip_does_not_go_back)
{
	seek_with_a_batch_in_flight(1);
	answer_seek(3);
	check_reply(false, "past that offset already, at 3");
	check_position_was_kept(3);
}

/* The store was restored from a copy: a replay must not skip what it lacks. */
TEST(a_replay_does_not_skip)
{
	uint64_t wake_ms;

	connect_subscribed();
	while (consumer_step(&broker.sinks[0].consumer, 1, &wake_ms) == 1)
		;
	ck_assert_int_eq(committed(&peer, 3), 0);
	ck_assert_int_eq(send_order(&other, "seek", "from", 3, "to", 2), 0);
	turn();
	ck_assert_uint_eq(flushed(&peer), 1);
	answer_seek(1);
	check_reply(false, "gone back to 1");
	check_position_was_kept(1);
}

/* The sink commits more before it halts: there is nothing to skip any more. */
TEST(a_seek_is_checked_again_when_the_sink_is_halted)
{
	struct consumer *c = &broker.sinks[0].consumer;

	seek_with_a_batch_in_flight(1);
	ck_assert_int_eq(halted(&peer, true, 3), 0);
	turn();
	check_reply(false, "past that offset already, at 3");
	ck_assert_uint_eq(c->position.cursor.now.committed, 3);
	ck_assert_uint_eq(c->position.cursor.now.generation, 0);
}

/* A retention job that runs may delete what is to be sent again. */
TEST(a_seek_waits_for_a_retention_job)
{
	connect_subscribed();
	ck_assert_int_eq(send_order(&other, "seek", "from", 0, "to", 2), 0);
	turn();
	ck_assert_uint_eq(flushed(&peer), 1);
	broker.store.retention_running = true;
	ck_assert_int_eq(halted(&peer, true, 0), 0);
	turn();
	turn();
	ck_assert_uint_eq(flushed(&peer), 0);
	broker.store.retention_running = false;
	turn();
	ck_assert_uint_eq(flushed(&peer), 1);
	ck_assert_int_eq(sent[0].frame.type, FRAME_SEEK);
}

/* With fsync = interval, a power cut may remove what is not synced. */
TEST(a_seek_waits_until_the_events_before_it_are_synced)
{
	const struct cursor *cursor = &broker.sinks[0].consumer.position.cursor;

	connect_subscribed();
	broker.store.synced_offset = 2;
	ck_assert_int_eq(send_order(&other, "seek", "from", 0, "to", 3), 0);
	turn();
	ck_assert_uint_eq(flushed(&peer), 1);
	ck_assert_int_eq(sent[0].frame.type, FRAME_HALT);
	ck_assert_int_eq(halted(&peer, true, 0), 0);
	turn();
	turn();
	ck_assert_uint_eq(flushed(&peer), 0);
	ck_assert_uint_eq(cursor->now.seek_to, CURSOR_NO_SEEK);
	broker.store.synced_offset = 3;
	turn();
	ck_assert_uint_eq(flushed(&peer), 1);
	ck_assert_int_eq(sent[0].frame.type, FRAME_SEEK);
	ck_assert_uint_eq(sent[0].frame.seek.to, 3);
}

/* After a crash the sink that connects is sent seek before start. */
TEST(a_seek_in_the_cursor_is_taken_up)
{
	struct broker_sink *sink = &broker.sinks[0];

	connect_subscribed();
	peer_close(&peer, -EPIPE);
	peer_fini(&peer);
	peer_init(&peer, &broker, -1, 0);
	cursor_set_seek(&sink->consumer.position.cursor, 2);
	order_open(sink);
	turn();
	ck_assert_str_eq(order_name(&sink->order), "seeking");
	ck_assert_int_eq(hello(&peer, ROLE_SINK, "one"), 0);
	ck_assert_uint_eq(flushed(&peer), 1);
	ck_assert_int_eq(sent[0].frame.type, FRAME_SEEK);
	ck_assert_uint_eq(sent[0].frame.seek.to, 2);
	/* A store without positions. */
	ck_assert_int_eq(halted(&peer, false, 0), 0);
	turn();
	ck_assert_uint_eq(sink->consumer.position.cursor.durable.committed, 2);
	ck_assert_uint_eq(cursor_skipped(&sink->consumer.position.cursor), 2);
	ck_assert_uint_eq(flushed(&peer), 1);
	ck_assert_int_eq(sent[0].frame.type, FRAME_START);
}

/* --- orders about dead letters --- */

/* The sink has committed three events, and is to retry dead letters. */
static void
order_dead(const char *action)
{
	const struct slice text = slice_of(action);
	struct control_args args;
	uint64_t wake_ms;

	connect_subscribed();
	while (consumer_step(&broker.sinks[0].consumer, 1, &wake_ms) == 1)
		;
	ck_assert_int_eq(committed(&peer, 3), 0);
	sent_count = 0;
	control_args_init(&args);
	control_args_add_text(&args, "action", text);
	ck_assert_int_eq(send_args(&other, "dead", &args), 0);
}

static int
retried(uint64_t id, bool ok, const char *text, const char *map)
{
	struct frame f = {.type = FRAME_RETRIED};

	f.retried.id = id;
	f.retried.ok = ok;
	f.retried.text = slice_of(text);
	f.body = (const uint8_t *)map;
	f.body_bytes = strlen(map);
	return receive(&peer, &f);
}

/* With _i == 1 they are dropped. */
TEST_LOOP(dead_letters_are_retried_below_a_position_on_disk, 2)
{
	const struct dead_order *o = &broker.sinks[0].dead_order;
	const struct cursor *cursor = &broker.sinks[0].consumer.position.cursor;

	order_dead(_i == 0 ? "retry" : "drop");
	ck_assert(dead_order_awaits_cursor(o, cursor));
	ck_assert_uint_eq(flushed(&peer), 0);
	turn();
	ck_assert(!dead_order_awaits_cursor(o, cursor));
	ck_assert_uint_eq(flushed(&peer), 1);
	ck_assert_int_eq(sent[0].frame.type, FRAME_RETRY);
	ck_assert_int_eq(sent[0].frame.retry.action,
	                 _i == 0 ? RETRY_STORE : RETRY_DROP);
	ck_assert_uint_eq(sent[0].frame.retry.committed, 3);
	ck_assert_str_eq(dead_order_name(o), _i == 0 ? "retrying" : "dropping");
	ck_assert_uint_eq(flushed(&peer), 0);
	ck_assert_int_eq(retried(o->id, true, "", "\x80"), 0);
	check_reply(true, "");
	ck_assert_str_eq(dead_order_name(o), "");
}

/* With _i == 1 it is halted, and with 2 the command has gone before. */
TEST_LOOP(an_order_about_dead_letters_ends_with_the_work, 3)
{
	order_dead("retry");
	turn();
	ck_assert_uint_eq(flushed(&peer), 1);
	if (_i == 2)
		peer_close(&other, -EPIPE);
	if (_i == 1) {
		peer_change_state(&peer, PEER_HALTING);
		ck_assert_int_eq(halted(&peer, true, 3), 0);
	} else {
		peer_close(&peer, -EPIPE);
	}
	if (_i != 2)
		check_reply(false, "goes on when it works again");
	ck_assert_str_eq(dead_order_name(&broker.sinks[0].dead_order), "");
}

/* A faulty sink: with _i == 0 it answers what it was not sent. */
TEST_LOOP(answers_about_dead_letters_are_checked, 5)
{
	const uint64_t *id = &broker.sinks[0].dead_order.id;

	order_dead("retry");
	if (_i > 0) {
		turn();
		ck_assert_uint_eq(flushed(&peer), 1);
	}
	sent_count = 0;
	check_refused(&peer,
	              _i == 0   ? retried(*id, true, "", "\x80")
	              : _i == 1 ? retried(*id + 1, true, "", "\x80")
	              : _i == 2 ? retried(*id, true, "", "")
	              : _i == 3 ? retried(*id, true, "", "\x80\x80")
	                        : retried(*id, false, "", ""),
	              ERROR_PROTOCOL);
	check_reply(false, "goes on when it works again");
}

TEST(orders_are_refused_with_a_reason)
{
	connect_subscribed();
	ck_assert_int_eq(send_order(&other, "resume", NULL, 0, NULL, 0), 0);
	check_reply(false, "not paused");
	ck_assert_int_eq(send_order(&other, "seek", "from", 0, "to", 4), 0);
	check_reply(false, "log ends at offset 3");
	ck_assert_int_eq(send_order(&other, "seek", "from", 9, "to", 1), 0);
	check_reply(false, "gone back to 0");
	ck_assert_int_eq(send_order(&other, "seek", "from", 0, NULL, 0), 0);
	check_reply(false, "must be integers");
	ck_assert_int_eq(control(&other, "pause"), 0);
	check_reply(false, "sink must be a text");
	/* One at a time; and none over a connection that is not for orders. */
	ck_assert_int_eq(send_order(&peer, "pause", NULL, 0, NULL, 0), 0);
	ck_assert_uint_eq(flushed(&peer), 1);
	ck_assert(!sent[0].frame.reply.ok);
}

TEST(a_pause_ends_by_itself)
{
	struct broker_sink *sink = &broker.sinks[0];

	connect_subscribed();
	ck_assert_int_eq(send_order(&other, "pause", "for_ms", 60000, NULL, 0),
	                 0);
	turn();
	ck_assert_uint_eq(flushed(&peer), 1);
	ck_assert_int_eq(halted(&peer, true, 0), 0);
	turn();
	ck_assert_int_eq(
	    order_task(&sink->order, &sink->consumer.position.cursor.now),
	    TASK_HALT);
	order_step(sink, sink->consumer.position.cursor.now.pause.until_us);
	turn();
	ck_assert_int_eq(
	    order_task(&sink->order, &sink->consumer.position.cursor.now),
	    TASK_WORK);
	ck_assert(sink->consumer.position.cursor.durable.pause.since_us == 0);
}
