"""The three stores with one interface, for a test that is the same for each.

    with installation(Kafka) as (leat, store):
        leat.accept(events)
        leat.caught_up()
        assert sorted(store.ids()) == ...

A store refuses events of two kinds: `bad` ones, which it accepts once its table
or its limits were corrected, and `hopeless` ones.
"""
import contextlib
import json
import os
import pathlib
import signal

from clickhouse import clickhouse
from kafka import kafka
from leat import Leat, build_tree, wait_until
from postgres import Locked
from three import ID


class Store:
    has_position = True
    once = True  # it has each event once, whatever is killed

    def __init__(self, leat, server):
        self.leat, self.server = leat, server

    def events(self):
        """Yield (id, type, payload) of each."""

    def clear(self):
        """Delete all events."""

    def restart(self):
        self.server.kill()
        self.server.start()

    @contextlib.contextmanager
    def frozen(self):
        """The sink waits for the store meanwhile; a restart ends it."""
        self.server.signal(signal.SIGSTOP)
        stopped(self.server)
        try:
            yield
        finally:
            self.server.signal(signal.SIGCONT)

    def is_asked(self):
        """Whether the sink waits for an answer, while the store is frozen."""
        return unread_bytes(self.server.port) > 0

    def bad(self, event):
        return {**event, "user_id": "longer than 8"}

    def correct(self):
        """Have it accept the bad events; the sink may have to start again."""


class Pg(Store):
    name = "postgres"
    table = """create table events (id text not null, type text not null,
      user_id text, payload jsonb, created_at timestamptz,
      received_at timestamptz,
      constraint short check (length(user_id) <= 8),
      constraint hope check (user_id <> 'none'))"""

    def __init__(self, leat, _):
        super().__init__(leat, leat.pg)

    def ids(self):
        return self.server.query("select id from events").split()

    def events(self):
        out = self.server.query("select json_build_object('id', id, 'type', "
                                "type, 'payload', payload) from events")
        return parsed(out.splitlines())

    def clear(self):
        self.server.query("delete from events")

    @contextlib.contextmanager
    def frozen(self):
        """It can connect, and waits in the transaction at its end."""
        with Locked(self.server, "leat_position"):
            yield

    def is_asked(self):
        return self.server.number(
            "select count(*) from pg_locks where not granted") > 0

    def hopeless(self, event):
        return {**event, "user_id": "none"}

    def correct(self):
        self.server.query("alter table events drop constraint short")


class Kafka(Store):
    name = "kafka"

    def ids(self):
        out = self.server.kcat("-C", "-t", "events", "-o", "beginning", "-e",
                               "-q", "-X", "isolation.level=read_committed",
                               "-f", "%s\n")
        return [ID.search(line)[1].decode() for line in out.splitlines()]

    def events(self):
        return parsed(m.value for m in self.server.messages())

    def clear(self):
        """Nothing is deleted: the events are there once more."""

    def bad(self, event):
        return {**event, "payload": {"x": "y" * 3000}}

    def hopeless(self, event):
        return {**event, "payload": {"x": "y" * 30000}}

    def correct(self):
        self.leat.settings["sinkd-kafka.rdkafka"]["message.max.bytes"] = 20000
        self.leat.write_conf()


class ClickHouse(Store):
    name = "clickhouse"
    has_position = False
    columns = ("id String, type String, user_id FixedString(8), payload "
               "String, created_at DateTime, received_at Int64")

    def __init__(self, leat, server):
        super().__init__(leat, server)
        self.once = server.current

    def ids(self):
        return self.server.query("SELECT id FROM events").split()

    def events(self):
        out = self.server.query("SELECT id, type, payload FROM events "
                                "FORMAT JSONEachRow")
        return parsed(out.splitlines())

    def clear(self):
        if self.server.current:
            # The tokens of the deleted rows stay known.
            self.server.query("ALTER TABLE events DELETE WHERE 1",
                              mutations_sync=1)
        else:
            self.server.query("TRUNCATE TABLE events")

    def hopeless(self, event):
        return {**event, "created_at": "2200-01-01T00:00:00Z"}

    def correct(self):
        self.server.query("ALTER TABLE events MODIFY COLUMN user_id String")


def parsed(texts):
    """Yield (id, type, payload) of events in JSON; a payload may be a text."""
    for event in map(json.loads, texts):
        payload = event["payload"]
        if isinstance(payload, str):
            payload = json.loads(payload)
        yield event["id"], event["type"], payload


def unread_bytes(port):
    """What waits in the receive buffers of a server on this port."""
    established, unread = "01", 0
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table, encoding="ascii") as f:
            for line in f.readlines()[1:]:
                _, local, _, state, queues, *_ = line.split()
                if int(local.split(":")[1], 16) == port and \
                        state == established:
                    unread += int(queues.split(":")[1], 16)
    return unread


@contextlib.contextmanager
def installation(kind, mode="asan", refuses=False, **settings):
    """refuses: the store has a table, or limits, that refuse bad events."""
    with contextlib.ExitStack() as stack:
        store, own, more = None, {}, {}
        if kind is Kafka:
            store = stack.enter_context(kafka())
            own = {"brokers": store.brokers, "create_topic": "yes"}
            if refuses:
                more["sinkd-kafka.rdkafka"] = {"message.max.bytes": 2000}
        if kind is ClickHouse:
            store = stack.enter_context(clickhouse())
            own = {"url": store.url, "create_table": "yes",
                   "batch_wait_ms": 100}
            if refuses:
                window = " SETTINGS non_replicated_deduplication_window = 1000"
                store.query(f"CREATE TABLE events ({kind.columns}) "
                            "ENGINE = MergeTree ORDER BY tuple()"
                            + (window if store.current else ""))
        quiet = "log_error_verbosity = terse\nlog_min_error_statement = panic\n"
        leat = stack.enter_context(Leat(
            mode, pg_settings=quiet, sinks=(kind.name,), postgres=kind is Pg,
            table=Pg.table if refuses and kind is Pg else None, settings={
                f"sinkd-{kind.name}": {"retry_max_ms": 200, **own, **settings},
                **more}))
        yield leat, kind(leat, store)


def balanced(leat, name="postgres"):
    """The status of the sink, in which the accounting equation must hold."""
    status = leat.status()
    s, = [s for s in status["sinks"] if s["name"] == name]
    assert status["log"]["durable_offset"] == s["stored_events"] + \
        s["pending_dead_letters"] + s["dropped_events"] + \
        s["skipped_events"] + s["lag_events"], s
    return s


class SignalAt:
    """Sends a daemon a signal at a chosen step, from its next start on."""

    def __init__(self, leat, daemon):
        self.path = leat.directory / f"{daemon.name}.signal"
        daemon.env = {
            "LD_PRELOAD": str(build_tree(leat.mode) /
                              "tests/support/signal_at.so"),
            "LEAT_SIGNAL_AT": str(self.path),
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") +
            ":verify_asan_link_order=0"}
        self.steps = 0

    def set(self, signo, when, function, file, call=1):
        """As signal_at.c describes it."""
        new = self.path.with_suffix(".new")
        # The same step counts its calls from 1 when it is set again.
        self.steps += 1
        new.write_text(f"{signo:d} {when} {function} {file} {call} "
                       f"{self.steps}")
        new.rename(self.path)

    def clear(self):
        self.path.unlink()


def stopped(daemon):
    """Wait until a signal has stopped all its threads."""
    tasks = pathlib.Path(f"/proc/{daemon.pid}/task")

    def is_stopped(stat):
        try:
            return stat.read_text().rsplit(")", 1)[1].split()[0] == "T"
        except (FileNotFoundError, ProcessLookupError):
            return True  # the thread has ended
    wait_until(lambda: daemon.running and
               all(map(is_stopped, tasks.glob("*/stat"))),
               f"{daemon.name} is stopped")
