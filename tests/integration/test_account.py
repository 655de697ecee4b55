"""leat account: the stores are counted, and compared with batchd's counts.

A row that was deleted by hand and one that was doubled by hand are found in
each store, and events that come meanwhile are no false alarm.
"""
import contextlib
import re
import subprocess

from clickhouse import clickhouse
from events import small
from kafka import kafka
from leat import Leat, limit, wait_until
from load import Load
from test_check import kafka_configs
from test_dead import BAD, DROP, SLOW, TEXT, bad


def account(leat, *args):
    """The lines as {sink: [(mark, text)]}, and the exit status."""
    done = leat.run("leat", "account", *args, env={"LC_ALL": "C.UTF-8"},
                    timeout_s=100)
    lines = {}
    for line in done.stdout.splitlines():
        mark, sink, text = re.fullmatch(r"(\S+) +(\S+) +(.*)", line).groups()
        lines.setdefault(sink, []).append((mark, text))
    return lines, done.returncode


def equal(leat, *args):
    lines, status = account(leat, *args)
    assert status == 0 and not [m for found in lines.values()
                                for m, _ in found if m == "✗"], lines
    return lines


def differs(leat, sink, text):
    lines, status = account(leat, "--sink", sink)
    (mark, line), *_ = lines[sink]
    assert status == 3 and mark == "✗" and text in line, lines


@contextlib.contextmanager
def stores(**settings):
    with clickhouse() as ch, Leat(
            sinks=("postgres", "clickhouse"),
            settings={"sinkd-clickhouse": {
                "url": ch.url, "create_table": "yes", "batch_wait_ms": 20},
                "sinkd-postgres": settings}) as leat:
        yield leat, ch


@limit(180)
def test_postgres_and_clickhouse():
    with stores() as (leat, ch):
        equal(leat)
        leat.accept(small("a", 100))
        leat.caught_up()
        lines = equal(leat)
        for sink in ("postgres", "clickhouse"):
            assert lines[sink] == [
                ("✔", "100 accepted = 100 stored + 0 dead letters + 0 dropped "
                 "+ 0 skipped + 0 waiting; the store has 100, as expected")], \
                lines
        leat.pg.query("create table all_rows as table events")
        leat.pg.query("delete from events where id = (select min(id) from "
                      "events)")
        differs(leat, "postgres", "has 99 instead of 100: 1 MISSING")
        leat.pg.query("truncate events; insert into events table all_rows; "
                      "insert into events select * from all_rows limit 1")
        differs(leat, "postgres", "1 are there TWICE")
        # One missing and one twice: the sum is right, and no excuse.
        leat.pg.query("delete from events where id = (select max(id) from "
                      "events)")
        differs(leat, "postgres", "1 MISSING")
        leat.pg.query("truncate events; insert into events table all_rows")
        equal(leat)
        leat.pg.query("insert into events (id, type, payload, created_at, "
                      "received_at) values ('x', 'x', '{}', now(), now())")
        differs(leat, "postgres", "1 that this log has not stored")
        ch.query("INSERT INTO events SELECT * FROM events LIMIT 1")
        differs(leat, "clickhouse", "1 are there TWICE")
        ch.query("CREATE TABLE fewer ENGINE = MergeTree ORDER BY id AS "
                 "SELECT * FROM (SELECT DISTINCT * FROM events) LIMIT 99")
        ch.query("RENAME TABLE events TO before, fewer TO events")
        differs(leat, "clickhouse", "has 99 instead of 100: 1 MISSING")
        # Both are counted together, and nothing was changed by counting.
        assert account(leat)[1] == 3
        assert leat.pg.number("select count(*) from events") == 101


@limit(120)
def test_dead_letters_and_waiting_events_are_not_missing():
    table = """create table events (id uuid, type text, user_id text,
        payload jsonb, created_at timestamptz, received_at timestamptz)"""
    with Leat(table=table) as leat:
        events = small("d", 50)
        events[7]["id"] = "no uuid"
        leat.accept(events)
        leat.caught_up()
        lines = equal(leat)
        assert "50 accepted = 49 stored + 1 dead letters" in \
            lines["postgres"][0][1], lines
        leat.sink["postgres"].stop()
        leat.accept(small("d", 10, 50))
        lines = equal(leat)
        assert "+ 10 waiting" in lines["postgres"][0][1], lines
        leat.sink["postgres"].start()
        leat.caught_up()
        # Without the right to read, the line has the statement to run.
        leat.pg.query("create role app login; grant insert on events to app; "
                      "grant all on leat_position to app")
        leat.settings["sinkd-postgres"]["user"] = "app"
        leat.write_conf()
        lines, status = account(leat)
        (mark, text), = lines["postgres"]
        assert status == 3 and mark == "✗", lines
        leat.pg.query(re.search("run: (GRANT .*)", text)[1])
        equal(leat)
        leat.batchd.stop()
        lines, status = account(leat)
        assert status == 1 and lines == {}, lines
        for wrong in ("0", "2d"):
            assert account(leat, "--timeout", wrong)[1] == 2
        assert account(leat, "--sink", "nosuch")[1] == 2


@limit(120)
def test_dead_letters_that_are_being_retried_are_no_surplus():
    """Stored, and dead letters until the end; also without an order."""
    table = TEXT.format(BAD)
    with Leat(table=table, settings={"sinkd-postgres": {
            "batch_events": 20}}) as leat:
        leat.accept(bad(600))
        leat.caught_up()
        equal(leat)
        leat.pg.query(DROP + "; " + SLOW.replace("0.002", "0.02"))
        assert leat.retry_dead("postgres", "--timeout", "1s").returncode == 3
        order = leat.status()["sinks"][0]["order"]
        assert order == "retrying", order
        equal(leat)
        leat.sink["postgres"].kill()
        assert 0 < leat.pg.number("select count(*) from events") < 600
        order = leat.status()["sinks"][0]["order"]
        assert order == "", order
        lines = equal(leat)
        assert "+ 600 dead letters" in lines["postgres"][0][1], lines
        leat.sink["postgres"].start()
        wait_until(lambda: not leat.status()["sinks"][0]
                   ["pending_dead_letters"], "all are stored", 60)
        lines = equal(leat)
        assert "the store has 600, as expected" in lines["postgres"][0][1], \
            lines


@limit(120)
def test_repeated_ids_and_other_logs():
    with Leat(settings={"sinkd-postgres": {"dedup_by_id": "yes"}}) as leat:
        leat.accept(small("r", 20))
        leat.accept(small("r", 20))
        leat.accept(small("r", 5, 20))
        leat.caught_up()
        assert leat.pg.number("select count(*) from events") == 25
        equal(leat)
        leat.pg.query("insert into leat_position values ('another', "
                      "'postgres', 7)")
        lines = equal(leat)
        assert any(m == "!" and "up to 7 rows may be of other logs" in t
                   for m, t in lines["postgres"]), lines


@limit(300)
def test_during_load():
    with stores() as (leat, _):
        with Load(leat, threads=3, rate=2000) as load:
            load.more(1000)
            for _ in range(8):
                equal(leat)
            load.more(100)
        leat.caught_up()
        equal(leat)


@limit(300)
def test_kafka():
    with kafka() as broker, Leat(
            sinks=("kafka",), postgres=False,
            settings={"sinkd-kafka": {
                "brokers": broker.brokers, "create_topic": "yes",
                "partitions": 3}}) as leat:
        stream = leat.status()["log"]["stream"]
        with Load(leat, threads=2, rate=1000) as load:
            load.more(500)
            for _ in range(4):
                equal(leat)
        leat.caught_up()
        lines = equal(leat)
        assert "as expected" in lines["kafka"][0][1], lines
        # Messages of other programs make no difference; a repeated one does.
        subprocess.run(["kcat", "-b", broker.brokers, "-P", "-t", "events"],
                       input=b"of another\n", check=True, timeout=60)
        equal(leat)
        subprocess.run(["kcat", "-b", broker.brokers, "-P", "-t", "events",
                        "-H", f"leat-stream={stream}", "-H", "leat-offset=3"],
                       input=b"{}\n", check=True, timeout=60)
        differs(leat, "kafka", "1 are there TWICE")
        # A topic that was deleted, and made again with a message too few.
        last = leat.status()["log"]["durable_offset"]
        leat.sink["kafka"].stop()
        leat.settings["sinkd-kafka"]["topic"] = "again"
        leat.write_conf()
        leat.sink["kafka"].start()
        differs(leat, "kafka", f"has 0 instead of {last}: {last} MISSING")
        leat.accept(small("k", 20))
        leat.caught_up()
        differs(leat, "kafka", f"has 20 instead of {last + 20}: {last} "
                "MISSING")


@limit(240)
def test_a_trimmed_topic_is_compared_as_far_as_it_goes():
    """Retention has removed the oldest messages: the rest is still compared."""
    with kafka({"log.retention.check.interval.ms": 500,
                "log.segment.bytes": 1048576,
                "log.initial.task.delay.ms": 500}) as broker, Leat(
            sinks=("kafka",), postgres=False,
            settings={"sinkd-kafka": {
                "brokers": broker.brokers, "create_topic": "yes",
                "partitions": 2},
                "sinkd-kafka.rdkafka": {"compression.codec": "none"}}) as leat:
        for i in range(60):
            leat.accept([{**e, "payload": {"x": "x" * 1000}}
                         for e in small("t", 100, 100 * i)])
        leat.caught_up()
        equal(leat)
        kafka_configs(f"run: kafka-configs.sh --bootstrap-server "
                      f"{broker.brokers} --alter --entity-type topics "
                      "--entity-name events --add-config "
                      "retention.bytes=1048576")
        wait_until(lambda: len(list(broker.messages())) < 6000,
                   "old messages are removed", 60, 1)
        lines = equal(leat)
        assert any(m == "!" and "events below offset" in t
                   for m, t in lines["kafka"]), lines
