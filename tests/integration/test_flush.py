"""When a batch is cut: at N events, after T ms, and at SIGTERM."""
import time

from events import small
from leat import Leat, fact, wait_until


def sink(**pairs):
    return {"sinkd-postgres": pairs}


def stored(leat):
    return leat.pg.number("select count(*) from events")


def batches(leat):
    """Events of each transaction, in order."""
    return [int(n) for n in leat.pg.query(
        "select count(*) from events group by xmin::text::bigint "
        "order by xmin::text::bigint").splitlines()]


def test_at_n_events():
    """With all the time in the world, only the count makes a batch."""
    with Leat(settings=sink(batch_events=100, batch_wait_ms=20000)) as leat:
        leat.accept(small("n", 250))
        wait_until(lambda: stored(leat) == 200, "two batches of 100")
        leat.accept(small("n", 49, 250))
        leat.accept(small("n", 1, 299))
        wait_until(lambda: stored(leat) == 300, "the third batch")
        assert batches(leat) == [100, 100, 100], batches(leat)


def test_after_t_ms():
    """Alone, an event waits T and no longer."""
    wait_ms = 700
    with Leat(settings=sink(batch_events=10000,
                            batch_wait_ms=wait_ms)) as leat:
        started = time.monotonic()
        leat.accept(small("t", 3))
        wait_until(lambda: stored(leat) == 3, "the batch", 10)
        took_ms = (time.monotonic() - started) * 1000
        assert wait_ms * 0.95 <= took_ms < wait_ms + 2000, took_ms
        fact(f"T = {wait_ms} ms: visible after {took_ms:.0f} ms")


def test_at_500_events_or_1_s():
    with Leat(settings=sink(batch_events=500, batch_wait_ms=1000)) as leat:
        started = time.monotonic()
        leat.accept(small("h", 1200))
        wait_until(lambda: stored(leat) == 1000, "two full batches", 10)
        wait_until(lambda: stored(leat) == 1200, "the rest, after 1 s", 10)
        assert time.monotonic() - started >= 0.95
        assert batches(leat) == [500, 500, 200]


def test_at_sigterm():
    """What waits is flushed: 60 s are not waited for."""
    with Leat(settings=sink(batch_events=10000,
                            batch_wait_ms=60000)) as leat:
        leat.accept(small("s", 123))
        started = time.monotonic()
        leat.sink["postgres"].stop()
        assert stored(leat) == 123
        assert time.monotonic() - started < 10


def test_quick_when_quiet():
    """Defaults: a lone event is visible in a moment."""
    with Leat("release") as leat:
        leat.accept(small("q", 1))
        wait_until(lambda: stored(leat) == 1, "the first")
        started = time.monotonic()
        leat.accept(small("q", 1, 1))
        wait_until(lambda: stored(leat) == 2, "the second", 5)
        took_ms = (time.monotonic() - started) * 1000
        assert took_ms < 1500, took_ms


def test_ingestd_finishes_what_it_promised_at_sigterm():
    """Requests in flight are answered, and their events are kept."""
    from load import Load, check_exactly_once
    with Leat() as leat, Load(leat) as load:
        load.more(500)
        leat.ingestd.stop()
        load.stop()
        check_exactly_once(leat, load)
