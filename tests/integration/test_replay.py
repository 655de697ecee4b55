"""A sink's position is moved: replay and skip, with kills at each step."""
import contextlib
import signal

from clickhouse import clickhouse
from events import small
from kafka import kafka
from leat import Leat, fact, limit, wait_until
from three import ID
from wire import Refused, begin_order, order

DEDUP = {"sinkd-postgres": {"dedup_by_id": "no"}}


def rows(leat):
    return leat.pg.number("select count(*) from events")


def balanced(leat, name="postgres"):
    """The status of the sink, in which the books must balance."""
    status = leat.status()
    s, = [s for s in status["sinks"] if s["name"] == name]
    assert status["log"]["durable_offset"] == s["stored_events"] + \
        s["pending_dead_letters"] + s["dropped_events"] + \
        s["skipped_events"] + s["lag_events"], s
    return s


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
        "received_at timestamptz, log_offset bigint)"
    with Leat(table=table) as leat:
        events = small("d", 20)
        for i in (3, 11):
            events[i]["type"] = "bad"
        leat.accept(events)
        leat.caught_up()
        assert len(leat.dead_letters()) == 2
        before = rows(leat)
        order(leat, "seek", "postgres", **{"from": 20, "to": 5})
        leat.caught_up()
        assert len(leat.dead_letters()) == 2
        assert rows(leat) >= before


# --- killed at each step ---

class Pg:
    name = "postgres"

    def __init__(self, leat, _):
        self.leat, self.process = leat, leat.pg

    def ids(self):
        return self.leat.pg.query("select id from events").split()

    def clear(self):
        self.leat.pg.query("delete from events")

    def restart(self):
        self.leat.pg.kill()
        self.leat.pg.start()


class Other:
    def __init__(self, leat, store):
        self.leat, self.store = leat, store

    def restart(self):
        self.store.kill()
        self.store.start()
        self.store.wait_ready()


class Kafka(Other):
    name = "kafka"

    def ids(self):
        out = self.store.kcat("-C", "-t", "events", "-o", "beginning", "-e",
                              "-q", "-X", "isolation.level=read_committed",
                              "-f", "%s\\n")
        return [ID.search(line)[1].decode() for line in out.splitlines()]

    def clear(self):
        """Nothing is deleted: the events are there once more."""


class ClickHouse(Other):
    name = "clickhouse"

    def ids(self):
        return self.store.query("SELECT toString(id) FROM events").split()

    def clear(self):
        self.store.query("ALTER TABLE events DELETE WHERE 1",
                         mutations_sync=1)


@contextlib.contextmanager
def installation(kind):
    with contextlib.ExitStack() as stack:
        store, settings = None, {}
        if kind is Kafka:
            store = stack.enter_context(kafka())
            settings = {"brokers": store.brokers, "create_topic": "yes"}
        if kind is ClickHouse:
            store = stack.enter_context(clickhouse())
            settings = {"url": store.url, "create_table": "yes",
                        "batch_wait_ms": 100}
        leat = stack.enter_context(Leat(
            sinks=(kind.name,), postgres=kind is Pg, settings={
                f"sinkd-{kind.name}": {"retry_max_ms": 200, **settings}}))
        yield leat, kind(leat, store)


def kill(leat, store, victim):
    if victim == "store":
        store.restart()
        return
    daemon = leat.batchd if victim == "batchd" else leat.sink[store.name]
    daemon.kill()
    daemon.start(wait=False)


def resumed(leat, store, to):
    """The order is done, and the sink works from the new position on."""
    def done():
        s = leat.sink_status(store.name)
        return s if s and s["order"] == "" and s["seek_to"] is None and \
            s["connected"] else None
    return wait_until(done, "the order is done", 60)


def kill_at(kind, step, victim):
    """Replay the second half of 40 events, and kill one at the step."""
    with installation(kind) as (leat, store):
        name = store.name
        leat.accept(small("k", 40))
        leat.caught_up()
        order(leat, "pause", name)
        store.clear()
        before = len(store.ids())
        sink = leat.sink[name]
        if step == "halt":
            order(leat, "resume", name)
            wait_until(lambda: leat.sink_status(name)["state"] == "waiting",
                       "it works")
            sink.signal(signal.SIGSTOP)
            begin_order(leat, "seek", name, **{"from": 40, "to": 20})
            wait_until(lambda: leat.sink_status(name)["order"] == "seeking",
                       "it has begun")
            assert leat.sink_status(name)["seek_to"] is None
        elif step == "recorded":
            sink.signal(signal.SIGSTOP)
            begin_order(leat, "seek", name, **{"from": 40, "to": 20})
            wait_until(lambda: leat.sink_status(name)["seek_to"] == 20,
                       "it is recorded")
        elif step == "moved":
            sink.signal(signal.SIGSTOP)
            begin_order(leat, "seek", name, **{"from": 40, "to": 20})
            wait_until(lambda: leat.sink_status(name)["seek_to"] == 20,
                       "it is recorded")
            lines = sink.count_lines(r"position moved")
            leat.batchd.signal(signal.SIGSTOP)
            sink.signal(signal.SIGCONT)
            wait_until(lambda: sink.count_lines(r"position moved") > lines,
                       "the store has moved")
        else:
            order(leat, "seek", name, **{"from": 40, "to": 20})
        kill(leat, store, victim)
        if victim != "batchd" and step == "moved":
            leat.batchd.signal(signal.SIGCONT)
        if victim != "sink" and step in ("halt", "recorded"):
            sink.signal(signal.SIGCONT)
        s = resumed(leat, store, 20)
        if step == "halt" and victim != "store":
            # It was not recorded: the operator orders it once more.
            if s["generation"] == 0:
                order(leat, "seek", name, **{"from": 40, "to": 20})
        if leat.sink_status(name)["paused"]:
            order(leat, "resume", name)
        leat.caught_up()
        s = balanced(leat, name)
        assert (s["generation"], s["replayed_events"], s["committed"]) == \
            (1, 20, 40), s
        ids = store.ids()
        assert len(ids) == before + 20, (len(ids), before)
        assert len(set(ids)) == (40 if before else 20), len(set(ids))


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
    with installation(ClickHouse) as (leat, store):
        leat.accept(small("c", 50))
        leat.caught_up()
        store.clear()
        assert store.ids() == []
        order(leat, "seek", "clickhouse", **{"from": 50, "to": 10})
        leat.caught_up()
        assert len(store.ids()) == len(set(store.ids())) == 40
