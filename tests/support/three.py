"""A leat with three real stores, and what each of them holds.

    with three() as s:
        s.leat.accept(events)
        s.leat.caught_up()
        assert s.ids("kafka") == s.ids("postgres")

What is in Kafka is what a read_committed consumer sees: kcat.
"""
import contextlib
import hashlib
import json
import os
import re
import subprocess
from datetime import datetime, timedelta, timezone

from clickhouse import clickhouse
from events import SQL_HASH, TEXT_TABLE
from kafka import kafka
from leat import Leat

SINKS = ("postgres", "kafka", "clickhouse")
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
ID = re.compile(rb'"id":"([^"]+)"')
# The three defaults of batch_wait_ms, but for ClickHouse's 1 s.
SETTINGS = {"postgres": {}, "kafka": {"create_topic": "yes", "partitions": 3},
            "clickhouse": {"create_table": "yes", "batch_wait_ms": 200}}


class Three:
    def __init__(self, leat, broker, ch):
        self.leat, self.broker, self.ch = leat, broker, ch
        self.stores = {"postgres": leat.pg, "kafka": broker,
                       "clickhouse": ch}
        # Debian's server knows no repeated insert by its token.
        self.once = {"postgres": True, "kafka": True,
                     "clickhouse": ch.current}

    def ids(self, name):
        """The ids of all events that a store holds, with repetitions."""
        if name == "postgres":
            return self.leat.pg.query("select id from events").split()
        if name == "clickhouse":
            return self.ch.query("SELECT toString(id) FROM events").split()
        out = self.broker.kcat("-C", "-t", "events", "-o", "beginning", "-e",
                               "-q", "-X", "isolation.level=read_committed",
                               "-f", "%s\\n")
        return [ID.search(line)[1].decode() for line in out.splitlines()]

    def check(self, acked, timeout_s=120):
        """Every accepted event is in every store, and nowhere twice."""
        self.leat.caught_up(timeout_s)
        held, doubled = {}, {}
        for name in SINKS:
            ids = self.ids(name)
            held[name] = set(ids)
            doubled[name] = len(ids) - len(held[name])
            missing = [i for i in acked if i not in held[name]]
            assert not missing, (f"{name}: {len(missing)} of {len(acked)} "
                                 "accepted events are missing")
            assert not doubled[name] or not self.once[name], \
                f"{name}: {doubled[name]} events are stored twice"
            assert self.leat.dead_letters(name) == []
        # Also what had no answer is in all or in none.
        for name in SINKS[1:]:
            assert held[name] == held["postgres"], \
                f"{name} and postgres hold different events"
        return len(held["postgres"]), doubled["clickhouse"]

    # Sums over all fields; see events.row_hash.

    def sums(self, name):
        """Events, different events, and the sum of their hashes mod 2^64."""
        return getattr(self, "_sums_" + name)()

    def _sums_postgres(self):
        n, different, total = self.leat.pg.query(
            f"select count(*), count(distinct id), sum({SQL_HASH}) "
            "from events").split("|")
        return int(n), int(different), int(total) % (1 << 64)

    def _sums_clickhouse(self):
        ms = "toUnixTimestamp64Milli(created_at)" if self.ch.current \
            else "created_at"
        text = "concat(id, '\\x1F', type, '\\x1F', ifNull(user_id, " \
            f"'\\x1E'), '\\x1F', payload, '\\x1F', toString({ms}))"
        n, different, total = self.ch.query(
            "SELECT count(), uniqExact(id), sum(bitShiftRight("
            "reinterpretAsUInt64(reverse(substring(toString(MD5("
            f"{text})), 1, 8))), 4)) FROM events").split("\t")
        return int(n), int(different), int(total)

    def _sums_kafka(self):
        n = total = 0
        ids = set()
        child = subprocess.Popen(
            ["kcat", "-b", self.broker.brokers, "-C", "-t", "events", "-o",
             "beginning", "-e", "-q", "-X", "isolation.level=read_committed",
             "-f", "%S\\n%s"], stdout=subprocess.PIPE)
        for size in child.stdout:
            id_, hash_ = message_hash(child.stdout.read(int(size)))
            ids.add(id_)
            total += hash_
            n += 1
        assert child.wait(60) == 0
        return n, len(ids), total % (1 << 64)


def message_hash(value):
    """id, and the hash over all fields, of a message as sinkd-kafka has it."""
    at = value.index(b',"payload":')
    end = value.rindex(b',"created_at":')
    head = json.loads(value[:at] + b"}")
    created = value[end + len(b',"created_at":"'):].split(b'"', 1)[0]
    when = datetime.fromisoformat(created.decode().replace("Z", "+00:00"))
    ms = (when - EPOCH) // timedelta(milliseconds=1)
    user = head["user_id"]
    text = b"\x1f".join((
        head["id"].encode(), head["type"].encode(),
        b"\x1e" if user is None else user.encode(),
        value[at + len(b',"payload":'):end], str(ms).encode()))
    return head["id"], int(hashlib.md5(text).hexdigest()[:15], 16)


@contextlib.contextmanager
def three(mode="asan", *, settings=None, table=TEXT_TABLE, columns=None,
          **more):
    """settings: by section; columns: of ClickHouse's table, else made."""
    with kafka() as broker, clickhouse() as ch:
        if columns:
            ch.query(f"CREATE TABLE events ({columns}) ENGINE = MergeTree "
                     "ORDER BY tuple()")
        sections = {f"sinkd-{k}": {"retry_max_ms": 200, **v}
                    for k, v in SETTINGS.items()}
        sections["sinkd-kafka"]["brokers"] = broker.brokers
        sections["sinkd-clickhouse"]["url"] = ch.url
        for section, pairs in (settings or {}).items():
            sections.setdefault(section, {}).update(pairs)
        with Leat(mode, sinks=SINKS, settings=sections, table=table,
                  **more) as leat:
            yield Three(leat, broker, ch)


def count_of(name, default):
    """A number from the environment, for the long forms of tests."""
    return int(os.environ.get(name, default))
