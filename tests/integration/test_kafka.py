"""sinkd-kafka with the real daemons and a real broker.

What counts is what a read_committed consumer sees: kcat reads it.
LEAT_ROUNDS sets the kills of a test (4; a broker takes its time to start).
"""
import contextlib
import json
import os
import random
import signal
import subprocess
import time

from events import body, event_id, fields, small
from kafka import kafka
from leat import Leat, build_tree, fact, free_port, limit, wait_until
from load import Load

ROUNDS = int(os.environ.get("LEAT_ROUNDS", "4"))


@contextlib.contextmanager
def stack(mode="asan", options=None, ingestd=None, **settings):
    """A broker and a leat that writes into its topic `events`."""
    sink = {"create_topic": "yes", "partitions": 3, "retry_max_ms": 200,
            **settings}
    with kafka() as broker:
        sink["brokers"] = broker.brokers
        with Leat(mode, sinks=("kafka",), postgres=False,
                  settings={"sinkd-kafka": sink,
                            "sinkd-kafka.rdkafka": options or {},
                            "ingestd": ingestd or {}}) as leat:
            yield broker, leat


def ids(broker):
    return [json.loads(m.value)["id"] for m in broker.messages()]


def check_exactly_once(broker, leat, load):
    leat.caught_up()
    stored = ids(broker)
    once = set(stored)
    assert len(once) == len(stored), \
        f"{len(stored) - len(once)} events are stored twice"
    missing = [i for i in load.acked if i not in once]
    assert not missing, \
        f"{len(missing)} of {len(load.acked)} accepted events are missing"
    assert leat.dead_letters("kafka") == []
    return len(stored)


@limit(180)
def test_every_field_of_100000_events():
    n = int(os.environ.get("LEAT_KAFKA_EVENTS", "100000"))
    rows = [fields("k", i) for i in range(n)]
    with stack("release") as (broker, leat):
        stream = leat.status()["log"]["stream"]
        for i in range(0, n, 500):
            leat.accept(body(rows[i:i + 500]))
        leat.caught_up()
        left = {r[0]: r for r in rows}
        offsets = set()
        last = {}
        for m in broker.messages():
            got = json.loads(m.value)
            id_, type_, user, text, created_ms = left.pop(got["id"])
            assert list(got) == ["id", "type", "user_id", "payload",
                                 "created_at", "received_at"]
            assert (got["type"], got["user_id"]) == (type_, user)
            # The payload's own text is in the middle, to the byte.
            assert f',"payload":{text},"created_at":"'.encode() in m.value
            assert got["created_at"].endswith(
                f".{created_ms % 1000:03d}000Z"), got["created_at"]
            assert m.timestamp_ms == created_ms
            assert m.key == (None if user is None else user.encode())
            assert m.headers["leat-stream"] == stream
            offset = int(m.headers["leat-offset"])
            offsets.add(offset)
            # Events of one key keep the order of the log.
            if user is not None:
                assert last.get(m.key, -1) < offset
                last[m.key] = offset
        assert not left, f"{len(left)} events are missing"
        assert offsets == set(range(n))


def moving(leat):
    """Wait until the sink stores something, so that a kill can hit it."""
    before = leat.status()["sinks"][0]["committed"]
    wait_until(lambda: (leat.sink_status("kafka") or {}).get("committed", 0)
               > before, "the sink stores events", 60, 0.05)


def rounds(kill_and_restart, count=ROUNDS, **settings):
    seed = int(os.environ.get("LEAT_SEED", random.randrange(1 << 32)))
    print(f"LEAT_SEED={seed}")
    moment = random.Random(seed)
    with stack(ingestd={"port": free_port()}, **settings) as (broker, leat):
        with Load(leat, rate=3000) as load:
            for _ in range(count):
                moving(leat)
                load.more(200)
                time.sleep(moment.uniform(0, 0.2))  # any moment
                kill_and_restart(broker, leat)
            load.more(200)
            load.stop()
            stored = check_exactly_once(broker, leat, load)
            fact(f"{count} kills, {len(load.acked)} accepted, "
                 f"{stored} stored")


@limit(300)
def test_kill_the_sink():
    def kill(_, leat):
        leat.sink["kafka"].kill()
        leat.sink["kafka"].start()
    rounds(kill)


@limit(480)
def test_kill_the_broker():
    def kill(broker, _):
        broker.kill()
        broker.start()
    # A broker takes ten seconds to be back: fewer, unless asked for.
    rounds(kill, ROUNDS if "LEAT_ROUNDS" in os.environ else 6)


@limit(300)
def test_kill_batchd():
    def kill(_, leat):
        leat.batchd.kill()
        leat.batchd.start()
    rounds(kill)


@limit(300)
def test_restart_the_sink_under_load():
    def restart(_, leat):
        leat.sink["kafka"].stop()
        leat.sink["kafka"].start()
    rounds(restart)


@limit(180)
def test_a_sink_stopped_for_longer_than_its_transaction():
    """The broker gives the transaction up and fences the sink."""
    with stack(timeout_ms=2000) as (broker, leat), \
            Load(leat, rate=3000) as load:
        for _ in range(3):
            load.more(500)
            leat.sink["kafka"].signal(signal.SIGSTOP)
            time.sleep(4)
            leat.sink["kafka"].signal(signal.SIGCONT)
        load.more(500)
        load.stop()
        check_exactly_once(broker, leat, load)


@limit(180)
def test_broker_errors_and_twins_at_a_real_broker():
    """The unit test's second half: fencing, aborts, both deliveries."""
    with kafka() as broker:
        done = subprocess.run(
            [str(build_tree("asan") / "tests/unit/test_kafka"),
             "stores_events_with_their_position",
             "moves_the_position_without_events",
             "writes_two_streams_in_turn_with_one_producer",
             "names_the_event_that_is_too_large",
             "delivers_at_least_once_and_then_moves_the_position",
             "a_stale_twin_is_fenced_and_never_doubles"],
            env=dict(os.environ, LEAT_KAFKA_BROKERS=broker.brokers),
            capture_output=True, text=True, timeout=150)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Checks: 6," in done.stdout, done.stdout


@limit(120)
def test_a_second_sink_of_the_name_is_refused():
    with stack() as (broker, leat):
        leat.accept(small("a", 10))
        leat.caught_up()
        twin = leat.daemon("sinkd-kafka", r" ready\b")
        twin.start(wait=False)
        twin.wait_line("batchd refuses code=busy")
        leat.accept(small("a", 10, 10))
        leat.caught_up()
        twin.stop()
        assert sorted(ids(broker)) == \
            sorted(event_id("a", i) for i in range(20))


@limit(120)
def test_an_event_that_is_too_large_is_dead_lettered():
    limits = {"message.max.bytes": 20000}
    with stack(options=limits) as (broker, leat):
        events = small("p", 500)
        events[321]["payload"] = {"x": "y" * 30000}
        leat.accept(events)
        leat.caught_up()
        assert len(ids(broker)) == 499
        dead_letter, = leat.dead_letters("kafka")
        assert dead_letter["event"]["id"] == event_id("p", 321)
        assert "Message size too large" in dead_letter["reason"], dead_letter
        # With a higher limit it is stored; its own stream keeps its place.
        leat.settings["sinkd-kafka.rdkafka"] = {}
        leat.write_conf()
        leat.sink["kafka"].stop()
        leat.sink["kafka"].start()
        done = leat.retry_dead("kafka")
        assert done.returncode == 0, done.stderr
        assert sorted(ids(broker)) == \
            sorted(event_id("p", i) for i in range(500))
        assert leat.dead_letters("kafka") == []


@limit(120)
def test_a_missing_topic_is_reported_and_waited_for():
    with kafka() as broker:
        sink = {"brokers": broker.brokers, "retry_max_ms": 200}
        with Leat(sinks=("kafka",), postgres=False, start=False,
                  settings={"sinkd-kafka": sink}) as leat:
            leat.batchd.start()
            leat.sink["kafka"].start(wait=False)
            leat.sink["kafka"].wait_line("the topic does not exist")
            wait_until(lambda: leat.sink_status("kafka")["stats"]["state"] ==
                       "misconfigured", "the status shows it")
            leat.settings["sinkd-kafka"]["create_topic"] = "yes"
            leat.write_conf()
            leat.sink["kafka"].stop()
            leat.sink["kafka"].start()
            leat.ingestd.start()
            leat.intake_open()
            leat.accept(small("m", 10))
            leat.caught_up()
            assert len(ids(broker)) == 10


@limit(120)
def test_a_new_topic_is_written_from_the_oldest_event():
    with stack(topic="one") as (broker, leat):
        leat.accept(small("t", 30))
        leat.caught_up()
        assert len(list(broker.messages("one"))) == 30
        leat.sink["kafka"].stop()
        leat.settings["sinkd-kafka"]["topic"] = "two"
        leat.write_conf()
        leat.sink["kafka"].start()
        # It has no position, and would begin where batchd's cursor is.
        done = leat.run("leat", "replay", "kafka", "--from", "oldest",
                        "--execute")
        assert done.returncode == 0, done
        leat.accept(small("v", 5))
        leat.caught_up()
        stored = [json.loads(m.value)["id"] for m in broker.messages("two")]
        assert sorted(stored) == sorted(
            [event_id("t", i) for i in range(30)] +
            [event_id("v", i) for i in range(5)]), stored


@limit(120)
def test_the_broker_is_unreachable_for_a_while():
    with stack(timeout_ms=2000) as (broker, leat):
        leat.accept(small("w", 100))
        leat.caught_up()
        broker.kill()
        for i in range(100, 2000, 100):
            leat.accept(small("w", 100, i))
        leat.sink["kafka"].wait_line("store unreachable")
        broker.start()
        leat.caught_up()
        assert sorted(ids(broker)) == \
            sorted(event_id("w", i) for i in range(2000))


@limit(120)
def test_at_least_once():
    with stack(delivery="at_least_once", key="none") as (broker, leat):
        leat.accept(small("l", 500))
        leat.caught_up()
        leat.sink["kafka"].kill()
        leat.sink["kafka"].start()
        leat.accept(small("l", 500, 500))
        leat.caught_up()
        assert set(ids(broker)) == {event_id("l", i) for i in range(1000)}


@limit(180)
def test_a_set_of_messages_that_the_broker_refuses_whole_is_split():
    """Above the topic's max.message.bytes together, and none of them bad."""
    limits = {"compression.codec": "none", "linger.ms": 200,
              "batch.size": 8000000, "message.max.bytes": 8000000}
    with stack(options=limits, key="none", partitions=1) as (broker, leat):
        leat.accept(small("s", 1))
        leat.caught_up()
        leat.sink["kafka"].stop()
        events = small("s", 40, 1)
        for e in events:
            e["payload"] = {"x": "y" * 60000}
        for i in range(0, 40, 5):
            leat.accept(events[i:i + 5])
        leat.sink["kafka"].start()
        leat.caught_up()
        leat.sink["kafka"].wait_line("Message size too large")
        assert leat.dead_letters("kafka") == []
        assert sorted(ids(broker)) == \
            sorted(event_id("s", i) for i in range(41))


@limit(120)
def test_a_compacted_topic_names_the_missing_key():
    with kafka({"log.cleanup.policy": "compact"}) as broker, \
            Leat(sinks=("kafka",), postgres=False, settings={
                "sinkd-kafka": {"brokers": broker.brokers, "retry_max_ms": 200,
                                "create_topic": "yes"}}) as leat:
        events = small("c", 10)
        for e in events:
            e["user_id"] = "ann"
        del events[4]["user_id"]
        leat.accept(events)
        leat.caught_up()
        (dead,) = leat.dead_letters("kafka")
        assert dead["offset"] == 4, dead
        assert "the event has no user_id, so its message has no key" in \
            dead["reason"], dead
        assert len(ids(broker)) == 9


@limit(120)
def test_a_broker_that_hangs_bounds_a_stop():
    """The end of a transaction is waited for, and no longer than it lasts."""
    with stack(timeout_ms=2000, drain_ms=500) as (broker, leat), \
            Load(leat, rate=2000) as load:
        load.more(500)
        moving(leat)
        broker.signal(signal.SIGSTOP)
        try:
            load.more(500)
            leat.sink["kafka"].signal(signal.SIGTERM)
            before = time.monotonic()
            assert leat.sink["kafka"].wait(20) == 0
            fact(f"{time.monotonic() - before:.1f} s")
        finally:
            broker.signal(signal.SIGCONT)
        leat.sink["kafka"].start()
        load.more(500)
        load.stop()
        check_exactly_once(broker, leat, load)
