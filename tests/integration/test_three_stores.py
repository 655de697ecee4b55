"""PostgreSQL, Kafka and ClickHouse at once, each with its own faults.

Kafka is read by kcat under read_committed.  Debian's ClickHouse knows no
repeated insert: there nothing may be lost, and doubled events are counted.

Long forms: LEAT_ROUNDS=20 kills each process so often, LEAT_DOWN_S=30 keeps
each store unreachable for so long, LEAT_EVENTS=1000000 sends so many;
LEAT_TIME_FACTOR=10 gives the time for it.
"""
import concurrent.futures
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import time
import types

from events import TEXT_TABLE, small
from leat import (ROOT, Leat, build_tree, fact, free_port, limit, program,
                  wait_until)
from load import Load
from process import Daemon
from test_exactly_once import SENDERS, send_part
from three import SINKS, count_of, three

sys.path.append(str(ROOT / "bench"))
import visible  # noqa: E402

EVENTS = count_of("LEAT_EVENTS", 1000000)
ROUNDS = count_of("LEAT_ROUNDS", 3)
DOWN_S = count_of("LEAT_DOWN_S", 5)

# How much later than in the quiet run events may be.  make test runs other
# tests beside this one, and only a sink that waits for the victim, which is
# stopped for DOWN_S, must show; the long form runs alone and is strict.
SLACK_MS = 20 if "LEAT_DOWN_S" in os.environ else 1500
RATE = 5000
MIB = 1 << 20


# A million events.


@limit(400)
def test_a_million_events_are_the_same_in_all():
    with three("release") as s:
        started = time.monotonic()
        with concurrent.futures.ProcessPoolExecutor(SENDERS) as pool:
            parts = list(pool.map(send_part, [s.leat.port] * SENDERS,
                                  range(SENDERS), [EVENTS] * SENDERS))
        sent_s = time.monotonic() - started
        s.leat.caught_up(180)
        stored_s = time.monotonic() - started
        want = (EVENTS, EVENTS, sum(p[1] for p in parts) % (1 << 64))
        assert sum(p[0] for p in parts) == EVENTS
        for name in SINKS:
            assert s.sums(name) == want, (name, s.sums(name), want)
            assert s.leat.dead_letters(name) == []
        fact(f"{EVENTS} events sent in {sent_s:.0f} s, in all three stores "
             f"after {stored_s:.0f} s")


# Faults under load.


@limit(300)
def test_kill_9_of_anything():
    """Each daemon and each store in turn, at any moment; then all at once."""
    seed = int(os.environ.get("LEAT_SEED", random.randrange(1 << 32)))
    print(f"LEAT_SEED={seed}")
    moment = random.Random(seed)
    with three(settings={"ingestd": {"port": free_port()}}) as s, \
            Load(s.leat, rate=2000) as load:
        processes = [*s.leat.daemons(), *s.stores.values()]
        for _ in range(ROUNDS):
            for p in moment.sample(processes, len(processes)):
                load.more(200)
                time.sleep(moment.uniform(0, 0.2))  # any moment
                p.kill()
                p.start()
        load.more(200)
        for p in processes:
            p.child.kill()
        for p in processes:
            p.kill()
        for store in s.stores.values():
            store.start()
        s.leat.start()
        load.more(200)
        load.stop()
        stored, doubled = s.check(load.acked)
        fact(f"{ROUNDS} kills of each of {len(processes)}, {len(load.acked)} "
             f"accepted, {stored} stored, {load.statuses['lost']} requests "
             f"without an answer; ClickHouse: {doubled} doubled")


@limit(240)
def test_supervisorctl_restart_of_each_sink():
    """By our supervisord.conf, under load."""
    port = free_port()
    with three(settings={"ingestd": {"port": port}}, start=False) as s:
        leat = s.leat
        env = {"LEAT_BIN": str(build_tree("release") / "bin"),
               "LEAT_CONF": str(leat.conf), "LEAT_RUN": str(leat.directory),
               "LEAT_LOGS": str(leat.directory)}
        conf = str(ROOT / "supervisord.conf")
        supervisord = Daemon("supervisord", ["supervisord", "-n", "-c", conf],
                             leat.directory / "sup.out", ready="", env=env)
        supervisord.start(wait=False)
        try:
            wait_until(lambda: answers(port), "ingestd is ready")
            with Load(types.SimpleNamespace(port=port), rate=2000) as load:
                for _ in range(2):
                    for name in SINKS:
                        load.more(500)
                        done = subprocess.run(
                            ["supervisorctl", "-c", conf, "restart",
                             f"sinkd-{name}"], capture_output=True, text=True,
                            env=dict(os.environ, **env), timeout=60)
                        assert "started" in done.stdout, done.stdout
                load.more(500)
            assert set(load.statuses) == {202}, load.statuses
            stored, doubled = s.check(load.acked)
            assert doubled == 0  # stopped between two batches, not in one
        finally:
            supervisord.signal(signal.SIGTERM)
            supervisord.wait(60)
        fact(f"{stored} stored")


def answers(port):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        c.request("GET", "/readyz")
        return c.getresponse().status == 200
    except OSError:
        return False
    finally:
        c.close()


# Latency of the others.


class Watch:
    """From sending until visible, in each store, while the block runs."""

    def __init__(self, s, names):
        self.s, self.names = s, names

    def __enter__(self):
        self.start_us = time.time() * 1e6
        self.watches = {}
        if "kafka" in self.names:
            self.watches["kafka"] = visible.Kafka(self.s.broker.brokers,
                                                  "events")
        if "clickhouse" in self.names:
            self.watches["clickhouse"] = visible.ClickHouse(self.s.ch.url,
                                                            "events")
        return self

    def __exit__(self, *_):
        self.p99_ms = {k: visible.quantiles(w.stop())["p99"] / 1000
                       for k, w in self.watches.items()}
        if "postgres" in self.names:
            self.p99_ms["postgres"] = float(self.s.leat.pg.query(
                "select percentile_cont(0.99) within group (order by "
                "extract(epoch from pg_xact_commit_timestamp(xmin)) * 1e3 - "
                "(payload::json->>'sent_us')::numeric / 1e3) from events "
                f"where (payload::json->>'sent_us')::numeric >= "
                f"{self.start_us:.0f}"))


def committed_all(leat, names):
    status = leat.status()
    end = status["log"]["next_offset"]
    return all(x["committed"] == end for x in status["sinks"]
               if x["name"] in names)


def phase(s, seed, fault=None, victim=None):
    """RATE events/s for DOWN_S: P99 of all but the victim; batchd's growth."""
    leat = s.leat
    names = [n for n in SINKS if n != victim]
    before = leat.batchd.private_bytes()
    with Watch(s, names) as watch:
        if fault:
            fault[0]()
        done = subprocess.run(
            [program("evload", "release"), "--json", "--port", str(leat.port),
             "--rate", str(RATE), "--seconds", str(DOWN_S), "--connections",
             "8", "--seed", str(seed)], capture_output=True, text=True,
            timeout=DOWN_S + 60)
        sent = json.loads(done.stdout)
        assert sent["statuses"] == {"202": sent["requests"]}, sent
        wait_until(lambda: committed_all(leat, names),
                   f"all but {victim} have it all")
    if victim:
        lag = leat.sink_status(victim)["lag_events"]
        assert lag >= sent["acked_events"] * 0.9, (victim, lag)
    grown = leat.batchd.private_bytes() - before
    if fault:
        fault[1]()
    leat.caught_up(120)
    return watch.p99_ms, grown, sent["acked_events"]


def others_keep_their_latency(s, faults):
    """faults: victim -> (begin, end).  A busy machine has further tries."""
    quiet, grown, total = phase(s, 1)
    seed, facts = 2, []
    for victim, fault in faults.items():
        for attempt in range(3):
            p99_ms, grown, n = phase(s, seed, fault, victim)
            total += n
            seed += 1
            assert grown < 4 * MIB, (victim, grown)
            late = {k: (v, quiet[k]) for k, v in p99_ms.items()
                    if v > max(quiet[k] * 1.2, quiet[k] + SLACK_MS)}
            if not late:
                break
            # Not the fault, perhaps, but the machine: what is quiet now?
            again, _, n = phase(s, seed)
            total += n
            seed += 1
            quiet = {k: max(v, again[k]) for k, v in quiet.items()}
        assert not late, f"{victim} stopped: P99 ms, and quiet: {late}"
        facts.append(f"{victim} stopped: " + ", ".join(
            f"{k} {v:.0f}" for k, v in sorted(p99_ms.items())))
    for name in SINKS:
        ids = s.ids(name)
        assert len(set(ids)) == total, (name, len(set(ids)), total)
        assert len(ids) == total or not s.once[name], (name, len(ids), total)
    fact("P99 ms, quiet: " + ", ".join(
        f"{k} {v:.0f}" for k, v in sorted(quiet.items())) + "; " +
        "; ".join(facts))


@limit(240)
def test_a_stopped_store_harms_only_itself():
    def back(store):
        return lambda: store.start()
    with three("release", pg_settings="track_commit_timestamp = on") as s:
        others_keep_their_latency(s, {
            "postgres": (lambda: s.leat.pg.stop(mode="immediate"),
                         back(s.leat.pg)),
            "kafka": (s.broker.kill, back(s.broker)),
            "clickhouse": (s.ch.kill, back(s.ch))})


@limit(240)
def test_a_frozen_sink_harms_only_itself():
    def signals(name):
        sink = s.leat.sink[name]
        return (lambda: sink.signal(signal.SIGSTOP),
                lambda: sink.signal(signal.SIGCONT))
    with three("release", pg_settings="track_commit_timestamp = on") as s:
        others_keep_their_latency(s, {n: signals(n) for n in SINKS})


# Each store's own.


@limit(180)
def test_a_poisoned_event_for_each_store():
    """It is in that store's dead letters only; the others hold it."""
    columns = ("id String, type String, user_id Nullable(String), "
               "payload String, created_at DateTime, received_at DateTime")
    with three(table=TEXT_TABLE.replace("id text", "id uuid"),
               columns=columns, settings={
                   "sinkd-kafka.rdkafka": {"message.max.bytes": 20000}}) as s:
        events = small("p", 1000)
        events[100]["id"] = "no-uuid"
        events[500]["payload"] = {"x": "y" * 30000}
        events[900]["created_at"] = "2150-01-01T00:00:00Z"
        poison = {"postgres": 100, "kafka": 500, "clickhouse": 900}
        for i in range(0, 1000, 250):
            s.leat.accept(events[i:i + 250])
        s.leat.caught_up()
        for name, bad in poison.items():
            dead_letter, = s.leat.dead_letters(name)
            assert dead_letter["offset"] == bad, dead_letter
            assert dead_letter["event"]["id"] == events[bad]["id"], \
                dead_letter
            assert sorted(s.ids(name)) == sorted(
                e["id"] for i, e in enumerate(events)
                if i != bad), name


@limit(240)
def test_a_stale_twin_doubles_nothing():
    """Refused by batchd; and shut out by the store where it comes past it."""
    with three(settings={"ingestd": {"port": free_port()}}) as s, \
            Load(s.leat, rate=2000) as load:
        load.more(500)
        twins = []
        for name in SINKS:
            twin = s.leat.daemon(f"sinkd-{name}", r" ready\b")
            twin.name = f"twin of sinkd-{name}"
            twins.append(twin.start(wait=False))
            twin.wait_line("batchd refuses code=busy")
        load.more(500)
        # Frozen in the middle of work; a new batchd knows them no more, and
        # takes the twins.
        for sink in s.leat.sink.values():
            sink.signal(signal.SIGSTOP)
        load.more(500)
        s.leat.batchd.kill()
        s.leat.batchd.start()
        for twin in twins:
            twin.wait_line(r" ready\b", 60)
        load.more(500)
        # Awake again, with a batch in hand that the twins have written too.
        for sink in s.leat.sink.values():
            sink.signal(signal.SIGCONT)
        load.more(1000)
        load.stop()
        stored, doubled = s.check(load.acked)
        for twin in twins:
            twin.stop()
            assert not twin.reports(), twin.reports()
        fact(f"{len(load.acked)} accepted, {stored} stored; "
             f"ClickHouse: {doubled} doubled")


@limit(60)
def test_a_store_that_never_answers_holds_up_no_stop():
    """SIGTERM while a connection hangs: drain_ms, not timeout_ms."""
    import socket
    silent = socket.create_server(("127.0.0.1", 0))  # accepts, never answers
    port = silent.getsockname()[1]
    with Leat(sinks=SINKS, postgres=False, start=False, settings={
            "sinkd-postgres": {"host": "127.0.0.1", "port": port,
                               "user": "u", "dbname": "d", "drain_ms": 500},
            "sinkd-kafka": {"brokers": f"127.0.0.1:{port}",
                            "drain_ms": 500},
            "sinkd-clickhouse": {"url": f"http://127.0.0.1:{port}",
                                 "drain_ms": 500}}) as leat:
        leat.batchd.start()
        for sink in leat.sink.values():
            sink.start(wait=False)
        for name in SINKS:
            wait_until(lambda: (leat.sink_status(name) or {}).get("connected"),
                       f"sinkd-{name} is there")
        for sink in leat.sink.values():
            sink.signal(signal.SIGTERM)
        for sink in leat.sink.values():
            assert sink.wait(8) == 0, sink.name
    silent.close()
