"""A sink is paused and resumed, whatever happens meanwhile."""
import signal
import time

from events import small
from leat import Leat, wait_until
from postgres import Locked
from wire import Refused, begin_order, order


def paused(leat):
    s = leat.sink_status()
    return s if s and s["paused"] and s["state"] == "paused" else None


def rows(leat):
    return leat.pg.number("select count(*) from events")


def time_of(line):
    """The time of a daemon's line: texts of it compare as the times do."""
    return line.split()[0]


def test_a_paused_sink_stores_nothing():
    with Leat() as leat:
        leat.accept(small("p", 10))
        leat.caught_up()
        reply = order(leat, "pause", "postgres", why="the table is altered")
        assert reply == {"position": 10}, reply
        s = paused(leat)
        assert s["paused_why"] == "the table is altered", s
        assert s["paused_since_us"] > 0 and s["paused_until_us"] == 0, s
        assert s["order"] == "" and s["seek_to"] is None, s
        problem, = [p for p in leat.status()["problems"] if "paused" in p]
        assert problem.startswith("sink postgres is paused since 20") and \
            problem.endswith("the table is altered"), problem
        leat.accept(small("p", 10, 10))
        assert leat.sink_status()["lag_events"] == 10
        assert rows(leat) == 10
        assert order(leat, "resume", "postgres") == {}
        leat.caught_up()
        assert rows(leat) == 20
        assert leat.status()["problems"] == []


def test_what_is_refused():
    with Leat(also=["other"]) as leat:
        for verb, sink, arguments, text in (
                ("pause", "nosuch", {}, "does not name"),
                ("resume", "postgres", {}, "not paused"),
                ("pause", "postgres", {"why": "x" * 201}, "200 bytes"),
                ("pause", "postgres", {"why": "a\nb"}, "printable"),
                ("pause", "postgres", {"for_ms": 1 << 60}, "ten years"),
                ("seek", "other", {"from": 0, "to": 0}, "not connected"),
                ("seek", "postgres", {"from": 0, "to": 9}, "log ends at"),
                ("seek", "postgres", {"from": 0}, "must be integers")):
            try:
                order(leat, verb, sink, **arguments)
            except Refused as why:
                assert text in str(why), (verb, why)
            else:
                raise AssertionError((verb, sink, arguments))


def test_a_pause_outlives_the_restart_of_everything():
    with Leat() as leat:
        leat.accept(small("r", 10))
        leat.caught_up()
        order(leat, "pause", "postgres")
        leat.accept(small("r", 10, 10))
        for d in leat.daemons():
            d.kill()
        leat.batchd.start()
        leat.ingestd.start()
        leat.intake_open()
        leat.sink["postgres"].start(wait=False)
        wait_until(lambda: paused(leat), "it is paused again")
        leat.accept(small("r", 10, 20))
        assert rows(leat) == 10
        order(leat, "resume", "postgres")
        leat.caught_up()
        assert rows(leat) == 30


def test_a_pause_ends_by_itself():
    with Leat() as leat:
        order(leat, "pause", "postgres", for_ms=2500)
        s = paused(leat)
        assert s["paused_until_us"] - s["paused_since_us"] == 2500000, s
        # Its end is a moment, so a restart does not prolong it.
        leat.batchd.kill()
        leat.batchd.start()
        leat.intake_open()
        leat.accept(small("e", 10))
        leat.caught_up()
        assert rows(leat) == 10
        assert not leat.sink_status()["paused"]


def test_a_pause_ends_the_wait_for_an_unreachable_store():
    settings = {"sinkd-postgres": {"retry_max_ms": 200}}
    with Leat(settings=settings) as leat:
        leat.accept(small("u", 10))
        leat.caught_up()
        leat.pg.stop(mode="immediate")
        leat.accept(small("u", 10, 10))
        wait_until(lambda: leat.sink_status()["stats"].get("state") ==
                   "retrying", "the store is missed")
        began = time.monotonic()
        order(leat, "pause", "postgres", for_ms=3000)
        assert time.monotonic() - began < 2.5
        sink = leat.sink["postgres"]
        lines = len(sink.lines)
        wait_until(lambda: paused(leat)["stats"]["error"] == "",
                   "no error is left")
        # The store is back long before the pause ends, and is not tried.
        leat.pg.start()
        over = leat.batchd.wait_line("the pause of a sink is over")
        tried = sink.wait_line(r" ready |store unreachable", after=lines)
        assert time_of(tried) > time_of(over), (tried, over)
        leat.caught_up()
        assert rows(leat) == 20


def test_a_pause_waits_for_the_write_in_progress():
    with Leat() as leat:
        leat.accept(small("w", 10))
        leat.caught_up()
        with Locked(leat.pg) as table:
            leat.accept(small("w", 10, 10))
            wait_until(lambda: leat.sink_status()["in_flight_events"] == 10,
                       "a batch is in flight")
            begin_order(leat, "pause", "postgres")
            wait_until(lambda: leat.sink_status()["order"] == "pausing",
                       "the pause has begun")
            table.unlock()
        # The command has gone, and its order goes on.
        s = wait_until(lambda: paused(leat), "it is paused")
        assert s["committed"] == rows(leat) == 20, s
        order(leat, "resume", "postgres")
        leat.accept(small("w", 10, 20))
        leat.caught_up()
        assert rows(leat) == 30


def test_a_drain_does_not_wait_for_a_paused_sink():
    with Leat() as leat:
        order(leat, "pause", "postgres")
        leat.accept(small("d", 10))
        began = time.monotonic()
        leat.sink["postgres"].stop()
        leat.ingestd.stop()
        leat.batchd.stop()
        assert time.monotonic() - began < 8


def test_a_pause_of_a_sink_that_is_stopping():
    """It is halted while it drains, and ends at once."""
    with Leat() as leat:
        leat.accept(small("s", 10))
        leat.caught_up()
        sink = leat.sink["postgres"]
        sink.signal(signal.SIGSTOP)
        begin_order(leat, "pause", "postgres")
        wait_until(lambda: leat.sink_status()["order"] == "pausing", "begun")
        sink.signal(signal.SIGTERM)
        sink.signal(signal.SIGCONT)
        sink.wait()
        s = wait_until(lambda: (lambda s: s if s["order"] == "" and s["paused"]
                                else None)(leat.sink_status()), "done")
        assert not s["connected"], s
        order(leat, "resume", "postgres")
