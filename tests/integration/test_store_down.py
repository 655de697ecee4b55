"""PostgreSQL is unreachable, slow or refuses: only its sink waits."""
import os
import time

from events import small
from leat import Leat, fact, limit, wait_until
from load import Load, check_exactly_once

DOWN_S = float(os.environ.get("LEAT_DOWN_S", "20"))
MIB = 1 << 20


@limit(150)
def test_postgres_down_under_load():
    """5,000 events/s go on: no 503, and batchd grows by nothing."""
    with Leat("release") as leat, \
            Load(leat, threads=4, events_per_request=100, rate=5000) as load:
        load.more(5000)
        before = leat.batchd.private_bytes()
        leat.pg.stop(mode="immediate")
        started = time.monotonic()
        most = before
        while time.monotonic() < started + DOWN_S:
            load.more(500)
            most = max(most, leat.batchd.private_bytes())
        lag = leat.sink_status()["lag_events"]
        leat.pg.start()
        load.more(5000)
        load.stop()
        check_exactly_once(leat, load)
        most = max(most, leat.batchd.private_bytes())
        assert set(load.statuses) == {202}, load.statuses
        assert lag > DOWN_S * 5000 * 0.7, lag
        assert most - before < 4 * MIB, (before, most)
        fact(f"lag {lag} events, batchd {before / MIB:.1f} MiB before, "
             f"{most / MIB:.1f} at most")


def test_sink_reports_why_it_waits():
    with Leat() as leat:
        leat.accept(small("w", 10))
        leat.caught_up()
        leat.pg.stop()
        leat.accept(small("w", 10, 10))

        def waiting():
            s = leat.sink_status()
            return s if s and s["stats"].get("state") == "retrying" else None
        s = wait_until(waiting, "the sink reports that it retries")
        assert s["stats"]["error"], s
        assert s["stats"]["error_since_us"] > 0, s
        assert s["lag_events"] == 10, s
        leat.pg.start()
        leat.caught_up()
        assert leat.pg.number("select count(*) from events") == 20
        wait_until(lambda: leat.sink_status()["stats"].get("state") == "idle",
                   "the sink is idle again")


def test_sink_waits_for_a_table_and_sets_nothing_aside():
    """A wrong configuration is not the events' fault."""
    settings = {"sinkd-postgres": {"create_table": "no"}}
    with Leat(settings=settings, start=False) as leat:
        leat.batchd.start()
        leat.ingestd.start()
        leat.intake_open()
        sink = leat.sink["postgres"].start(wait=False)
        leat.accept(small("s", 100))

        def waiting():
            s = leat.sink_status()
            return s and s["stats"].get("state") == "misconfigured"
        wait_until(waiting, "the sink reports that it is misconfigured")
        leat.pg.query("""
          create table events (id text, type text, user_id text,
            payload jsonb, created_at timestamptz, received_at timestamptz);
          create table leat_position (stream text, sink text,
            next_offset bigint not null, primary key (stream, sink))""")
        sink.wait_ready()
        leat.caught_up()
        assert leat.pg.number("select count(*) from events") == 100
        assert leat.dead_letters() == []


def test_sink_stopped_then_started():
    """A sink that stops grows only its own lag."""
    with Leat() as leat:
        leat.sink["postgres"].stop()
        for i in range(20):
            leat.accept(small("a", 100, i * 100))
        status = leat.status()
        assert status["log"]["next_offset"] == 2000
        assert status["sinks"][0]["lag_events"] == 2000
        assert not status["sinks"][0]["connected"]
        leat.sink["postgres"].start()
        leat.caught_up()
        assert leat.pg.number("select count(distinct id) from events") == 2000


def test_batchd_stopped():
    """Without batchd: 503 with Retry-After at once, on the same connection."""
    with Leat() as leat:
        c = leat.connect()
        leat.accept(small("b", 1), connection=c)
        leat.batchd.stop()
        wait_until(lambda: not leat.ready(), "ingestd is not ready")
        status, answer, headers = leat.request(
            "POST", "/v1/events", b'[{"type":"t"}]',
            {"Content-Type": "application/json"}, c)
        assert status == 503, (status, answer)
        assert int(headers["retry-after"]) >= 1
        assert leat.request("GET", "/healthz")[0] == 200
        leat.batchd.start()
        leat.intake_open()
        leat.accept(small("b", 1, 1), connection=c)
        c.close()
        leat.caught_up()
        assert leat.pg.number("select count(*) from events") == 2
