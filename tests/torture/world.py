"""The whole pipeline for the torture: daemons, stores, disk and clock."""
import os
import pathlib
import re
import signal
import subprocess
import time

from clickhouse import clickhouse
from kafka import kafka
from leat import (Leat, Skip, build_tree, free_port, own_mounts,
                  wait_until)
from orders import Record
from watcher import Watcher

# A type of events is refused unless the gate is open: an operator who opens it
# can retry their dead letters.
UUID_TABLE = """create table gate (is_open boolean);
create function accepts(text) returns boolean language sql as
  $$select $1 <> 'gated' or exists (select from public.gate)$$;
create table events (id uuid not null, type text not null
  check (accepts(type)), user_id text, payload jsonb, created_at timestamptz,
  received_at timestamptz)"""
UNIQUE = "; create unique index on events (id)"
READY_S = 90  # for a store on a busy machine
# librdkafka (2.0.2 and 2.8.0) ends its process on some of its own mistakes.
# That is a kill like any other, and supervisord starts the sink again.  The
# assertions are reported at the end.
LIBRARY = re.compile(r"rdkafka_\w+\.c:\d+: .*Assertion")
MESSAGE = re.compile(rb'\S*?leat-offset=(\d+)\S* .*?"id":"([^"]+)"')


def check_reports(*daemons):
    bad = [f"{d.name}: {line}" for d in daemons
           for line in d.reports() if not LIBRARY.search(line)]
    assert not bad, "reports:\n" + "\n".join(bad)


class Victim:
    """Something with a process that faults happen to."""

    def __init__(self, name, daemon):
        self.name, self.daemon = name, daemon
        self.down = False  # by us, for now
        self.frozen = False

    def start(self):
        self.down = False
        self.daemon.start(wait=False)

    def pids(self):
        return [self.daemon.pid]

    def freeze(self, number):
        """SIGSTOP or SIGCONT; a parent first, so that no child is missed."""
        self.frozen = number == signal.SIGSTOP
        for pid in self.pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def begin_kill(self):
        self.down = True
        if self.daemon.running:
            self.daemon.child.kill()

    def end_kill(self):
        self.daemon.wait()

    def ready(self):
        d = self.daemon
        with d.changed:
            return any(re.search(d.ready, l) for l in d.lines[d.life_start:])


class Store(Victim):
    once = True    # each time that it is sent; otherwise at least so often
    dedups = False  # once, however often it is sent
    gentle = signal.SIGTERM

    def __init__(self, sink, daemon):
        super().__init__(f"the store {sink}", daemon)
        self.sink = sink

    def ids(self):
        """The ids of all rows, with repetitions."""
        raise NotImplementedError


class PostgresStore(Store):
    gentle = signal.SIGINT

    def pids(self):
        out = [self.daemon.pid]
        path = f"/proc/{out[0]}/task/{out[0]}/children"
        try:
            out += map(int, pathlib.Path(path).read_text().split())
        except OSError:
            pass
        return out

    def begin_kill(self):
        """All its processes: a kill of the first alone is no crash."""
        self.down = True
        self.dying = self.pids() if self.daemon.running else []
        for pid in self.dying:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def end_kill(self):
        super().end_kill()
        wait_until(lambda: not any(map(alive, self.dying[1:])),
                   "PostgreSQL's processes are gone")

    def ids(self):
        return self.daemon.query("copy (select id from events) to "
                                 "stdout").split()


    def set_gate(self, is_open):
        """Returns whether that could be done."""
        if not self.ready():
            return False
        try:
            self.daemon.query("delete from gate" if not is_open else
                              "insert into gate values (true)")
        except RuntimeError:
            return False
        return True


class KafkaStore(Store):
    def ids(self):
        return [id_ for _, id_ in self.messages()]

    def messages(self):
        """(offset in leat's log, id) of all messages."""
        out = self.daemon.kcat("-C", "-t", "events", "-o", "beginning", "-e",
                               "-q", "-X", "isolation.level=read_committed",
                               "-f", "%h %s\\n", timeout_s=300)
        found = (MESSAGE.match(line) for line in out.splitlines())
        return [(int(m[1]), m[2].decode()) for m in found]


class ClickHouseStore(Store):
    def __init__(self, sink, daemon):
        super().__init__(sink, daemon)
        self.once = daemon.current

    def ready(self):
        try:
            return self.daemon.query("select 1", timeout_s=2) == "1"
        except Exception:
            return False

    def ids(self):
        return self.daemon.query("select id from events",
                                 timeout_s=300).split()


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Pipeline(Leat):
    """Two ingestd on one port, and a clock that can be set."""

    def __init__(self, clock, **more):
        self.second = None
        super().__init__(**more)
        self.second = self.daemon("ingestd", r" ready address=")
        self.second.name = "ingestd-2"
        for d in self.daemons():
            if clock:
                d.env = {"LD_PRELOAD": str(clock_library(self.mode)),
                         "LEAT_CLOCK": str(clock)}
                if self.mode == "asan":
                    d.env["ASAN_OPTIONS"] = os.environ.get(
                        "ASAN_OPTIONS", "") + ":verify_asan_link_order=0"

    def daemons(self):
        return [self.ingestd] + ([self.second] if self.second else []) + \
            [*self.sink.values(), self.batchd]

    def start(self):
        for d in reversed(self.daemons()):
            d.start(wait=False)
        for d in reversed(self.daemons()):
            d.wait_ready()
        self.intake_open()

    def _check_reports(self):
        check_reports(*self.daemons())

    def retry_files(self, sink):
        return list((self.directory / "dead").glob(f"{sink}.retry.*"))


def clock_library(mode):
    path = build_tree(mode) / "tests/torture/clockjump.so"
    if not path.exists():
        raise AssertionError(f"{path} is not built")
    return path


class Clock:
    """The wall clock of the daemons, as an offset to the machine's."""

    def __init__(self, path):
        self.path = path
        path.write_bytes(bytes(8))

    def set(self, seconds):
        us = int(seconds * 1e6)
        with open(self.path, "r+b") as f:
            f.write(us.to_bytes(8, "little", signed=True))


class Disks:
    """Small file systems for the log and the dead letters, if allowed."""

    SIZES = {"log": "64M", "dead": "8M"}

    def __init__(self):
        try:
            own_mounts()
            self.can = True
        except Skip:
            self.can = False
        self.mounted = []

    def mount(self, directory):
        for name, size in self.SIZES.items() if self.can else ():
            path = directory / name
            if not run(["mount", "-t", "tmpfs", "-o", f"size={size}",
                        "leat-torture", str(path)]):
                self.can = False
                return
            self.mounted.append(path)

    def fill(self, name):
        with open(self.mounted[0].parent / name / "of-another-program", "wb",
                  buffering=0) as f:
            try:
                while f.write(bytes(65536)):
                    pass
            except OSError:
                pass

    def free(self, name):
        (self.mounted[0].parent / name / "of-another-program").unlink(
            missing_ok=True)

    def unmount(self):
        for path in self.mounted:
            run(["umount", str(path)])
        self.mounted = []


def run(argv):
    return subprocess.run(argv, capture_output=True).returncode == 0


class World:
    """Everything, started; close() ends it all."""

    def __init__(self, mode, names, clocked=True, dedups=False):
        self.dedups = dedups  # PostgreSQL, by id
        if clocked:
            clock_library(mode)  # built?  Before anything is started.
        self.left_out = {}
        self.contexts = []
        self.disks = Disks()  # before any thread: they share its mounts
        self.stores = []
        self.library_aborts = []
        settings = self.start_stores(names)
        self.clock = None
        sinks = [s.sink for s in self.stores]
        if "postgres" in names:
            sinks.insert(0, "postgres")
        clock_file = pathlib.Path(
            os.environ.get("LEAT_TEST_TMP", "/tmp")) / \
            f"leat-clock-{os.getpid()}"
        if clocked:
            self.clock = Clock(clock_file)
        self.leat = Pipeline(clock_file if clocked else None, mode=mode,
                             sinks=sinks, postgres="postgres" in names,
                             table=UUID_TABLE + (UNIQUE if dedups else ""),
                             start=False, settings=settings)
        self.disks.mount(self.leat.directory)
        if self.leat.pg:
            self.stores.insert(0, PostgresStore("postgres", self.leat.pg))
            self.stores[0].dedups = dedups
        self.port = settings["ingestd"]["port"]
        self.clock_jumps = 0

    def start_stores(self, names):
        settings = {
            "ingestd": {"port": free_port(), "drain_ms": 2000},
            "batchd": {"max_bytes": "1G", "segment_bytes": "1M",
                       "min_free_bytes": "2M", "retain_seconds": 2,
                       "drain_ms": 2000}}
        for name, context, kind in (("kafka", kafka, KafkaStore),
                                    ("clickhouse", clickhouse,
                                     ClickHouseStore)):
            if name not in names:
                continue
            try:
                c = context()
                server = c.__enter__()
            except Skip as why:
                self.left_out[name] = str(why)
                continue
            self.contexts.append(c)
            self.stores.append(kind(name, server))
            where = {"brokers": server.brokers, "partitions": 3} \
                if name == "kafka" else \
                {"url": server.url, "batch_wait_ms": 50}
            settings[f"sinkd-{name}"] = {"create_table" if name != "kafka"
                                         else "create_topic": "yes", **where}
        for name in names:
            settings.setdefault(f"sinkd-{name}", {}).update(
                drain_ms=2000, retry_max_ms=1000)
        if self.dedups and "postgres" in names:
            settings["sinkd-postgres"]["dedup_by_id"] = "yes"
        return settings

    def open(self):
        self.leat.__enter__()
        self.leat.start()
        leat = self.leat
        self.batchd = Victim("batchd", leat.batchd)
        self.ingestds = [Victim("ingestd-1", leat.ingestd),
                         Victim("ingestd-2", leat.second)]
        self.sinks = {name: Victim(f"sinkd-{name}", d)
                      for name, d in leat.sink.items()}
        self.daemons = [self.batchd, *self.ingestds, *self.sinks.values()]
        self.victims = self.daemons + self.stores
        self.watcher = Watcher(leat)
        self.records = {name: Record() for name in self.sinks}

    def close(self, error=None):
        """Stop all in order; with an error, kill all and show the logs."""
        kind = type(error) if error else None
        if hasattr(self, "watcher"):
            self.watcher.stopping.set()
        try:
            if not error:
                self.leat.stop()
            else:
                for v in getattr(self, "victims", []):
                    if v.frozen:
                        v.freeze(signal.SIGCONT)
                keep_logs(self)
                self.leat._kill_all()
            self.disks.unmount()
            self.leat.__exit__(kind, error, None)
        finally:
            for c in self.contexts:
                c.__exit__(None, None, None)
            if self.clock:
                self.clock.path.unlink(missing_ok=True)

    def check_end(self, daemon, name, *allowed, how="by itself"):
        """
        What has ended, ended with an allowed status, or was ended by one of
        LIBRARY's assertions, which is kept.
        """
        status = daemon.wait()
        if status in allowed:
            return
        last = daemon.lines[-3:]
        assertion = next(filter(None, map(LIBRARY.search, last)), None)
        assert status == -signal.SIGABRT and assertion, \
            f"{name} ended {how} with status {status}: " + " | ".join(last)
        self.library_aborts.append(assertion.string[assertion.start():])

    def check_alive(self):
        """What ends by itself is a failure, but for LIBRARY's assertions."""
        for v in self.victims:
            if v.down or v.daemon.running:
                continue
            self.check_end(v.daemon, v.name)
            v.start()


def keep_logs(world):
    """The log of batchd is worth more than its daemons' messages."""
    directory = os.environ.get("LEAT_TORTURE_KEEP")
    if not directory:
        return
    target = pathlib.Path(directory) / time.strftime("%H%M%S")
    target.mkdir(parents=True, exist_ok=True)
    run(["sh", "-c", f"cp -a '{world.leat.directory}'/*.log "
         f"'{world.leat.directory}'/log '{world.leat.directory}'/dead "
         f"'{world.leat.directory}'/leat.conf '{target}'"])
