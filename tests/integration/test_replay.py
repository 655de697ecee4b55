"""A sink's position is moved: replay and skip, with kills at each step."""
import collections
import signal

from clickhouse import is_current
from events import small
from leat import Leat, Skip, fact, limit, wait_until
from stores import ClickHouse, Kafka, Pg, balanced, installation
from wire import Refused, begin_order, order

DEDUP = {"sinkd-postgres": {"dedup_by_id": "no"}}


def rows(leat):
    return leat.pg.number("select count(*) from events")


def dead_offsets(leat):
    return sorted(d["offset"] for d in leat.dead_letters())


def test_replay_sends_events_again():
    with Leat() as leat:
        leat.accept(small("r", 100))
        leat.caught_up()
        leat.pg.query("delete from events")
        assert order(leat, "seek", "postgres", **{"from": 100, "to": 40}) == \
            {"position": 40}
        leat.caught_up()
        assert rows(leat) == 60
        s = balanced(leat)
        assert (s["generation"], s["replayed_events"]) == (1, 60), s
        assert (s["stored_events"], s["skipped_events"]) == (100, 0), s


def test_skip_leaves_events_out():
    with Leat() as leat:
        order(leat, "pause", "postgres")
        leat.accept(small("s", 100))
        order(leat, "seek", "postgres", **{"from": 0, "to": 70})
        assert leat.sink_status()["state"] == "paused"
        order(leat, "resume", "postgres")
        leat.caught_up()
        assert rows(leat) == 30
        s = balanced(leat)
        assert (s["generation"], s["replayed_events"]) == (1, 0), s
        assert (s["stored_events"], s["skipped_events"]) == (30, 70), s
        # What was skipped can be replayed, and is skipped no longer.
        order(leat, "seek", "postgres", **{"from": 100, "to": 20})
        leat.caught_up()
        s = balanced(leat)
        assert (s["stored_events"], s["skipped_events"]) == (80, 20), s


def test_a_position_that_has_gone_back_is_refused():
    with Leat() as leat:
        leat.accept(small("g", 10))
        leat.caught_up()
        order(leat, "pause", "postgres")
        try:
            order(leat, "seek", "postgres", **{"from": 11, "to": 0})
        except Refused as why:
            assert "gone back to 10" in str(why), why
        else:
            raise AssertionError("it was not refused")


def test_replay_of_dead_letters_keeps_each_once():
    table = "create table events (id text, type text check (type <> 'bad'), " \
        "user_id text, payload jsonb, created_at timestamptz, " \
        "received_at timestamptz)"
    with Leat(table=table) as leat:
        events = small("d", 20)
        for i in (3, 11):
            events[i]["type"] = "bad"
        leat.accept(events)
        leat.caught_up()
        assert dead_offsets(leat) == [3, 11]
        assert rows(leat) == 18
        order(leat, "seek", "postgres", **{"from": 20, "to": 5})
        leat.caught_up()
        # Of the events from 5 on, all but the dead letter are there twice.
        assert dead_offsets(leat) == [3, 11]
        stored = collections.Counter(leat.pg.query(
            "select payload->>'i' from events").split())
        assert stored == {str(i): 1 if i < 5 else 2
                          for i in range(20) if i not in (3, 11)}, stored
        s = balanced(leat)
        assert (s["stored_events"], s["pending_dead_letters"]) == (18, 2), s


# --- killed at each step ---

class Move:
    """One replay of the events from 20 to 40, in which `victim` is killed."""

    def __init__(self, leat, store, victim):
        self.leat, self.store, self.victim = leat, store, victim
        self.name, self.sink = store.name, leat.sink[store.name]

    def begin(self):
        begin_order(self.leat, "seek", self.name, **{"from": 40, "to": 20})

    def kill(self):
        if self.victim == "store":
            self.store.restart()
            return
        daemon = self.leat.batchd if self.victim == "batchd" else self.sink
        daemon.kill()
        daemon.start(wait=False)

    def go_on(self):
        """Nothing is stopped any more, other than by the kill."""
        for daemon in (self.sink, self.leat.batchd):
            daemon.signal(signal.SIGCONT)

    def ask_sink(self):
        """The order is on disk, and the sink, which is stopped, was asked."""
        after = len(self.leat.batchd.lines)
        self.sink.signal(signal.SIGSTOP)
        self.begin()
        self.leat.batchd.wait_line("the sink is asked to move its position",
                                   after=after)
        assert self.leat.sink_status(self.name)["seek_to"] == 20

    def at_halt(self):
        """The sink, which works, does not answer halt."""
        order(self.leat, "resume", self.name)
        wait_until(lambda: self.leat.sink_status(self.name)["state"] ==
                   "waiting", "it works")
        self.sink.signal(signal.SIGSTOP)
        self.begin()
        wait_until(lambda: self.leat.sink_status(self.name)["order"] ==
                   "seeking", "it has begun")
        assert self.leat.sink_status(self.name)["seek_to"] is None
        self.kill()

    def at_recorded(self):
        """The store is killed while the sink waits for it in the move."""
        self.ask_sink()
        if self.victim == "store":
            after = len(self.sink.lines)
            with self.store.frozen():
                self.sink.signal(signal.SIGCONT)
                self.sink.wait_line("moving the position", after=after)
                s = self.leat.sink_status(self.name)
                assert (s["order"], s["seek_to"]) == ("seeking", 20), s
                assert self.sink.count_lines("position moved") == 0
                self.kill()
            return
        self.kill()

    def at_moved(self):
        """The store has moved, and batchd does not know it."""
        self.ask_sink()
        after = len(self.sink.lines)
        self.leat.batchd.signal(signal.SIGSTOP)
        self.sink.signal(signal.SIGCONT)
        self.sink.wait_line("position moved", 30, after=after)
        self.kill()

    def at_done(self):
        order(self.leat, "seek", self.name, **{"from": 40, "to": 20})
        self.kill()

    def done(self):
        """Wait for the end of the order; the status then."""
        def is_done():
            s = self.leat.sink_status(self.name)
            return s if s and s["order"] == "" and s["seek_to"] is None and \
                s["connected"] else None
        return wait_until(is_done, "the order is done", 60)


def kill_at(kind, step, victim):
    with installation(kind) as (leat, store):
        events = small("k", 40)
        leat.accept(events)
        leat.caught_up()
        order(leat, "pause", store.name)
        store.clear()
        before = store.ids()
        move = Move(leat, store, victim)
        getattr(move, "at_" + step)()
        move.go_on()
        s = move.done()
        if step == "halt" and victim != "store":
            # It was not recorded: the operator orders it once more.
            assert (s["generation"], s["committed"]) == (0, 40), s
            order(leat, "seek", store.name, **{"from": 40, "to": 20})
        elif step != "halt":
            assert (s["generation"], s["committed"]) == (1, 20), s
            assert store.ids() == before
            order(leat, "resume", store.name)
        leat.caught_up()
        s = balanced(leat, store.name)
        assert (s["generation"], s["replayed_events"], s["committed"]) == \
            (1, 20, 40), s
        assert (s["stored_events"], s["skipped_events"]) == (40, 0), s
        again = [e["id"] for e in events[20:]]
        assert sorted(store.ids()) == sorted(before + again)
        # The position that the store has.
        sink = leat.sink[store.name]
        sink.stop()
        sink.start()
        expected = "40" if store.has_position else "batchd's"
        ready = sink.wait_line(" ready stream=")
        assert ready.endswith(f" position={expected}"), ready


def all_steps(kind):
    for step in ("halt", "recorded", "moved", "done"):
        for victim in ("batchd", "sink", "store"):
            print(f"{kind.name}: {victim} is killed at {step}", flush=True)
            kill_at(kind, step, victim)
    fact("12 kills")


@limit(400)
def test_kills_at_each_step_with_postgres():
    all_steps(Pg)


@limit(500)
def test_kills_at_each_step_with_kafka():
    all_steps(Kafka)


@limit(400)
def test_kills_at_each_step_with_clickhouse():
    all_steps(ClickHouse)


def test_replay_in_clickhouse_brings_deleted_rows_back():
    if not is_current():
        raise Skip("Debian's server has no insert_deduplication_token, which "
                   "outlives the rows")
    with installation(ClickHouse) as (leat, store):
        events = small("c", 50)
        leat.accept(events)
        leat.caught_up()
        store.clear()
        assert store.ids() == []
        order(leat, "seek", "clickhouse", **{"from": 50, "to": 10})
        leat.caught_up()
        assert sorted(store.ids()) == sorted(e["id"] for e in events[10:])
