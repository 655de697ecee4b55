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
        leat.accept(small("n", 1))  # alone it goes at once
        wait_until(lambda: stored(leat) == 1, "the first event")
        leat.accept(small("n", 250, 1))
        wait_until(lambda: stored(leat) == 201, "two batches of 100")
        leat.accept(small("n", 49, 251))
        leat.accept(small("n", 1, 300))
        wait_until(lambda: stored(leat) == 301, "the third batch")
        assert batches(leat) == [1, 100, 100, 100], batches(leat)


def test_a_lone_event_goes_at_once():
    """After a pause of T, an event does not wait, whatever T is."""
    wait_ms = 3000
    with Leat(settings=sink(batch_events=10000,
                            batch_wait_ms=wait_ms)) as leat:
        took_ms = []
        for i in range(2):
            started = time.monotonic()
            leat.accept(small("t", 1, i))
            wait_until(lambda n=i + 1: stored(leat) == n, "the event", 10)
            took_ms.append((time.monotonic() - started) * 1000)
            if i == 0:
                time.sleep(wait_ms / 1000)  # the pause that it is about
        assert max(took_ms) < wait_ms * 0.7, took_ms
        fact(f"T = {wait_ms} ms: visible after "
             f"{' and '.join(f'{ms:.0f}' for ms in took_ms)} ms")


def test_one_batch_in_each_t_ms():
    """Under load batches start T after each other, and are so large."""
    wait_ms = 500
    with Leat(settings=sink(batch_events=10000,
                            batch_wait_ms=wait_ms)) as leat:
        started = time.monotonic()
        sent = 0
        while time.monotonic() - started < 2.2:
            leat.accept(small("r", 5, sent))
            sent += 5
        wait_until(lambda: stored(leat) == sent, "all events", 10)
        took_s = time.monotonic() - started
        found = batches(leat)
        assert 3 <= len(found) <= took_s * 1000 / wait_ms + 1.5, found
        fact(f"T = {wait_ms} ms: {sent} events in {took_s:.1f} s are "
             f"{len(found)} batches")


def test_at_500_events_or_1_s():
    with Leat(settings=sink(batch_events=500, batch_wait_ms=1000)) as leat:
        leat.sink["postgres"].stop()
        leat.accept(small("h", 1200))
        leat.sink["postgres"].start()
        started = time.monotonic()
        wait_until(lambda: stored(leat) == 1200, "the rest, after 1 s", 10)
        assert time.monotonic() - started >= 0.5  # ready is a bit later
        assert batches(leat) == [500, 500, 200]


def test_at_sigterm():
    """What waits is flushed: 60 s are not waited for."""
    with Leat(settings=sink(batch_events=10000,
                            batch_wait_ms=60000)) as leat:
        leat.accept(small("s", 1))
        wait_until(lambda: stored(leat) == 1, "the first, at once")
        leat.accept(small("s", 123, 1))
        started = time.monotonic()
        leat.sink["postgres"].stop()
        assert stored(leat) == 124
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
