"""A whole leat for a test: private directory, settings, PostgreSQL, daemons.

    with Leat() as leat:
        status, answer = leat.post([{"type": "click"}])
        leat.caught_up()
        assert leat.pg.number("select count(*) from events") == 1

Leaving the block stops everything in the order of a real installation, and
fails the test when a daemon did not exit 0 or a sanitizer reported something.
On failure the end of every log is printed.
"""
import ctypes
import fcntl
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from postgres import USER, Postgres
from process import Daemon

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LOG_TAIL_LINES = 40


class Skip(Exception):
    """This test cannot run here; the text is the reason."""


def build_tree(mode):
    """Where the programs of a mode are; LEAT_MODE replaces asan."""
    if mode == "asan":
        mode = os.environ.get("LEAT_MODE", mode)
    return pathlib.Path(os.environ.get("LEAT_BUILD", ROOT / "build")) / mode


def program(name, mode="asan"):
    path = build_tree(mode) / "bin" / name
    if not any((ROOT / d / f"{name}.c").exists() for d in (name, "bench")):
        raise Skip(f"there is no {name} yet")
    if not path.exists():
        raise AssertionError(f"{path} is not built")
    return str(path)


def limit(seconds):
    """The test's time limit; tests/run reads it without calling."""
    return lambda function: function


def fact(text):
    """A figure that belongs into the test's line of the report."""
    print("FACT " + text, flush=True)


def wait_until(predicate, what, timeout_s=30, pause_s=0.01):
    """Ask until predicate() is true; returns its value."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        time.sleep(pause_s)


class Leat:
    """
    settings: {"batchd": {"max_bytes": "16M"}, ...} beside the test's own.
    table: SQL run before the sink starts, else the sink makes its table.
    also: names of sinks that batchd knows and that are not started.
    """

    def __init__(self, mode="asan", *, sinks=("postgres",), also=(),
                 settings=None, table=None, postgres=True, start=True,
                 pg_settings=""):
        self.mode, self.sinks, self.table = mode, list(sinks), table
        self.also = list(also)
        self.start_all = start
        self.directory = pathlib.Path(tempfile.mkdtemp(
            prefix="leat-", dir=os.environ.get("LEAT_TEST_TMP")))
        self.directory.chmod(0o755)
        self.pg = None
        if postgres:
            self.pg = Postgres(self.directory / "pg", pg_settings)
        self.settings = self._settings(settings or {})
        self.conf = self.directory / "leat.conf"
        self.write_conf()
        self.batchd = self.daemon("batchd", r" ready socket=")
        self.ingestd = self.daemon("ingestd", r" ready address=")
        self.sink = {s: self.daemon(f"sinkd-{s}", r" ready\b")
                     for s in self.sinks}

    # Settings and processes.

    def _settings(self, extra):
        s = {"leat": {"socket": self.directory / "batchd.sock"},
             "batchd": {"dir": self.directory / "log",
                        "sinks": " ".join(self.sinks + self.also)},
             "ingestd": {"listen": "127.0.0.1", "port": 0}}
        for sink in self.sinks:
            s[f"sinkd-{sink}"] = {"dead_dir": self.directory / "dead",
                                  "retry_max_ms": 1000}
        if "postgres" in self.sinks and self.pg:
            s["sinkd-postgres"].update(
                host=self.pg.directory, user=USER, dbname="postgres",
                create_table="yes")
        for section, pairs in extra.items():
            s.setdefault(section, {}).update(pairs)
        return s

    def write_conf(self):
        with open(self.conf, "w") as f:
            for section, pairs in self.settings.items():
                f.write(f"[{section}]\n")
                for key, value in pairs.items():
                    if value is not None:
                        f.write(f"{key} = {value}\n")

    def daemon(self, name, ready, mode=None):
        (self.directory / "dead").mkdir(exist_ok=True)
        (self.directory / "log").mkdir(exist_ok=True)
        return Daemon(name, [program(name, mode or self.mode), "--config",
                             str(self.conf)],
                      self.directory / f"{name}.log", ready=ready)

    def daemons(self):
        """In the order of stopping: nothing is cut off from below."""
        return [self.ingestd, *self.sink.values(), self.batchd]

    def run(self, name, *args, mode=None, timeout_s=60, env=None):
        """Run one of the programs, with our settings, to its end."""
        return subprocess.run(
            [program(name, mode or self.mode), *args, "--config",
             str(self.conf)], capture_output=True, text=True,
            timeout=timeout_s, env={**os.environ, **(env or {})})

    def retry_dead(self, name="postgres", *args, **options):
        """Have a running sink retry its dead letters."""
        return self.run("leat", "dead", "retry", name, "--execute", *args,
                        **options)

    # The life of a test.

    def __enter__(self):
        try:
            if self.pg:
                self.pg.start()
                if self.table:
                    self.pg.query(self.table)
            if self.start_all:
                self.start()
        except BaseException:
            self._tails()
            self._kill_all()
            raise
        return self

    def start(self):
        self.batchd.start(wait=False)
        self.ingestd.start(wait=False)
        for sink in self.sink.values():
            sink.start(wait=False)
        for d in reversed(self.daemons()):
            d.wait_ready()
        self.intake_open()

    def __exit__(self, kind, error, trace):
        try:
            if not error:
                self.stop()
        except BaseException:
            self._tails()
            raise
        finally:
            self._kill_all()
        if error and not isinstance(error, Skip):
            self._tails()
        if not error or isinstance(error, Skip):
            self._check_reports()
            shutil.rmtree(self.directory)
        elif not os.environ.get("LEAT_KEEP"):
            shutil.rmtree(self.directory, ignore_errors=True)

    def stop(self):
        for d in self.daemons():
            d.stop()
        if self.pg:
            self.pg.stop()

    def _check_reports(self):
        bad = [f"{d.name}: {line}" for d in self.daemons()
               for line in d.reports()]
        if bad:
            self._tails()
            raise AssertionError("sanitizer reports:\n" + "\n".join(bad))

    def _kill_all(self):
        for d in self.daemons() + ([self.pg] if self.pg else []):
            if d.running:
                d.kill()

    def _tails(self):
        for d in self.daemons() + ([self.pg] if self.pg else []):
            print(f"--- {d.name}: the end of its log", file=sys.stderr)
            for line in d.lines[-LOG_TAIL_LINES:]:
                print("  " + line, file=sys.stderr)
        sys.stderr.flush()

    # What batchd reports.

    def try_status(self):
        """The status map, or None while batchd is unreachable."""
        done = self.run("leat", "status", "--json", mode="release")
        if done.returncode == 1:
            return None
        status = json.loads(done.stdout) if done.stdout else {}
        # 3: it answers, and lists what is not well.
        assert done.returncode == (3 if status.get("problems") else 0), \
            f"leat status: exit status {done.returncode}: {done.stderr}"
        return status

    def status(self):
        return wait_until(self.try_status, "batchd answers status")

    def sink_status(self, name="postgres"):
        status = self.try_status()
        for s in status["sinks"] if status else []:
            if s["name"] == name:
                return s
        return None

    def caught_up(self, timeout_s=60):
        """Wait until our sinks have committed everything; the status then."""
        def done():
            status = self.try_status()
            if not status:
                return None
            end = status["log"]["next_offset"]
            for s in status["sinks"]:
                if s["name"] in self.sinks and \
                        s["committed"] != end:
                    return None
            return status
        return wait_until(done, "all sinks have caught up", timeout_s, 0.03)

    def misconfigured(self, text, name="postgres", timeout_s=30):
        """Wait until the sink reports this text as the reason why it waits; it
        must not have dead-lettered anything."""
        def reported():
            stats = (self.sink_status(name) or {}).get("stats", {})
            return stats.get("state") == "misconfigured" and \
                text in stats["error"]
        wait_until(reported, text, timeout_s)
        assert self.dead_letters(name) == []

    def memory(self):
        """Private bytes of each running daemon."""
        return {d.name: d.private_bytes() for d in self.daemons() if d.running}

    def dead_letters_text(self, name="postgres"):
        path = self.directory / "dead" / f"{name}.ndjson"
        return path.read_text() if path.exists() else ""

    def dead_letters(self, name="postgres"):
        return [json.loads(line)
                for line in self.dead_letters_text(name).splitlines()]

    # HTTP.

    @property
    def port(self):
        line = self.ingestd.wait_line(r" ready address=")
        return int(re.search(r"port=(\d+)", line)[1])

    def connect(self, timeout_s=30):
        return http.client.HTTPConnection("127.0.0.1", self.port,
                                          timeout=timeout_s)

    def request(self, method, path, body=None, headers=None, connection=None):
        """Returns (status, parsed JSON or text, headers in lower case)."""
        c = connection or self.connect()
        c.request(method, path, body, headers or {})
        r = c.getresponse()
        text = r.read()
        fields = {k.lower(): v for k, v in r.getheaders()}
        if not connection:
            c.close()
        if fields.get("content-type", "").startswith("application/json"):
            return r.status, json.loads(text), fields
        return r.status, text.decode("utf-8", "replace"), fields

    def post(self, events, headers=None, path="/v1/events", connection=None):
        """Send events (Python objects, or a ready body)."""
        body = events if isinstance(events, (bytes, str)) else \
            json.dumps(events)
        if isinstance(body, str):
            body = body.encode()
        status, answer, _ = self.request(
            "POST", path, body,
            {"Content-Type": "application/json", **(headers or {})},
            connection)
        return status, answer

    def accept(self, events, **more):
        """Send events that must be accepted, and return the answer."""
        status, answer = self.post(events, **more)
        assert status == 202, f"{status}: {answer}"
        return answer

    def ready(self):
        try:
            return self.request("GET", "/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def intake_open(self, timeout_s=30):
        wait_until(self.ready, "ingestd is ready", timeout_s)


def fetched(store, script):
    """
    The directory in which `script fetch` has put a store's software, once for
    all tests; $LEAT_STORE_DIR names another than var/store.  Skip if it cannot
    be had.
    """
    home = pathlib.Path(os.environ.get(f"LEAT_{store.upper()}_DIR",
                                       ROOT / "var" / store.lower()))
    home.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{home}.lock", "w") as lock:  # tests run side by side
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run([script, "fetch", str(home)],
                              capture_output=True, text=True)
    if done.returncode != 0:
        words = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Skip(f"{store} cannot be had: {words}")
    return home


CLONE_NEWNS = 0x00020000


def need_root():
    """Skip the test unless it can act as another user."""
    if os.geteuid() != 0:
        raise Skip("needs root, to act as another user")


def own_mounts():
    """What this process and its children mount goes away with it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0 or libc.unshare(CLONE_NEWNS) != 0 or \
            subprocess.run(["mount", "--make-rprivate", "/"]).returncode != 0:
        raise Skip("mounting needs root (CAP_SYS_ADMIN)")


def free_port():
    """Outside the range that the kernel hands out for connections."""
    while True:
        port = random.randint(15000, 30000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
