"""What a process in the group of batchd's socket can do to the others."""
import contextlib
import os
import signal
import socket
import statistics
import subprocess
import time

from events import small
from leat import Leat, fact, limit, need_root, wait_until
from wire import (BATCH, COMMITTED, CONTROLLER, HELLO, INGEST, INTAKE, SINK,
                  STATS, SUBSCRIBE, VERSION, Peer, append, control, event,
                  pack)

GROUP, STRANGER = 12345, 65534

# Connects as fast as it can, sends hello, and keeps the last connections.
CONNECT = """
import collections, os, socket, sys
held = collections.deque(maxlen=500)
while os.getppid() == {parent}:
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.setblocking({blocking})
    try:
        s.connect({path!r})
        s.send({hello!r})
    except OSError:
        pass
    if {hold}:
        held.append(s)
    else:
        s.close()
"""

# Sends one frame on many connections for ever, and drops the answers.
SEND = """
import os, socket
socks = []
for _ in range(60):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect({path!r})
    s.send({hello!r})
    s.recv(1 << 18)
    s.setblocking(False)
    socks.append(s)
while os.getppid() == {parent}:
    for s in socks:
        try:
            for _ in range(64):
                s.send({frame!r})
        except BlockingIOError:
            pass
        try:
            while s.recv(1 << 18):
                pass
        except BlockingIOError:
            pass
"""


@contextlib.contextmanager
def stranger(leat, code, **values):
    """A process of another user, in the socket's group, that runs the code."""
    path = str(leat.settings["leat"]["socket"])
    child = subprocess.Popen(
        ["setpriv", "--reuid", str(STRANGER), "--regid", str(STRANGER),
         "--groups", str(GROUP), "--pdeathsig", "KILL", "--",
         "/usr/bin/python3", "-c",
         code.format(path=path, parent=os.getpid(), **values)])
    try:
        yield child
        assert child.poll() is None, "it has ended too early"
    finally:
        child.kill()
        child.wait()


def guarded(**batchd):
    need_root()
    return Leat(postgres=False, sinks=(), also=["none"],
                settings={"batchd": {"socket_group": GROUP, **batchd}})


def hello(role, name="x"):
    return pack([HELLO, VERSION, role, name, 1])


@limit(120)
def test_who_connects_in_a_loop_keeps_no_command_out():
    with guarded() as leat:
        for blocking in (False, True):
            for hold in (False, True):
                with stranger(leat, CONNECT, hello=hello(CONTROLLER),
                              blocking=blocking, hold=hold):
                    wait_until(
                        lambda: leat.status()["batchd"]["connections"] > 10
                        or not hold, "it has many connections")
                    for _ in range(25):
                        done = leat.run("leat", "status", mode="release")
                        assert done.returncode == 3, (blocking, hold, done)
                    # A daemon, too, finds a place.
                    leat.ingestd.stop()
                    leat.ingestd.start()
                    leat.intake_open()
        leat.accept(small("c", 1))


@limit(60)
def test_the_user_with_the_most_places_loses_one():
    with guarded(max_connections=4) as leat:
        with Peer(leat) as silent, \
                stranger(leat, CONNECT, hello=hello(CONTROLLER), blocking=True,
                         hold=True):
            leat.batchd.wait_line(
                r"peer evicted .* uid=65534")
            # Silent and older than all of the other user's: it stays.
            silent.send(hello(CONTROLLER))
            silent.receive()
            for n in range(20):
                silent.send(control(n, "status"))
                assert silent.receive(), n
        assert leat.batchd.count_lines("uid=0 .*why=") == 0


@limit(120)
def test_who_only_asks_or_reports_does_not_delay_events():
    """Each has one question or report answered where all have their turn."""
    report = pack([STATS]) + pack({f"k{n}": n for n in range(200)})
    assert len(report) < 4096
    frames = ((CONTROLLER, control(1, "status")), (INGEST, report))
    with guarded(max_connections=1000) as leat:
        for role, frame in frames:
            with stranger(leat, SEND, hello=hello(role), frame=frame):
                wait_until(
                    lambda: leat.status()["batchd"]["connections"] > 60,
                    "all are connected", 60)
                took = []
                for n in range(20):
                    started = time.monotonic()
                    leat.accept(small(f"a{role}", 1, n))
                    took.append(time.monotonic() - started)
                fact(f"role {role}: {statistics.median(took) * 1000:.0f} ms")
                assert statistics.median(took) < 0.3, took


@limit(60)
def test_lines_that_peers_cause_are_counted():
    with Leat(postgres=False, sinks=(), also=["none"]) as leat:
        leat.accept(small("l", 10))
        for _ in range(300):
            with Peer(leat, INGEST):
                pass
            with Peer(leat, SINK, "none") as sink:
                sink.send(pack([SUBSCRIBE, 0, 0, 10, 100_000, 0, False, 0, 0]))
                assert sink.receive_type() == BATCH
                sink.send(pack([COMMITTED, 0, 5, 0, 0]))
                # Its answer shows that the commit was read.
                sink.send(control(1, "status"))
                sink.receive()
        assert leat.batchd.count_lines("peer connected") <= 200
        assert leat.batchd.count_lines("gone back") <= 20
        assert len(leat.batchd.lines) < 400


@limit(90)
def test_frames_that_will_not_be_read_do_not_hold_up_a_stop():
    settings = {"batchd": {"max_bytes": "4M", "segment_bytes": "1M",
                           "drain_ms": 60000}}
    with Leat(postgres=False, sinks=(), also=["none"],
              settings=settings) as leat:
        body = event(payload='{"a":"' + "x" * 100_000 + '"}')
        with Peer(leat, INGEST) as peer:
            seq = 0
            # The log takes what it has room for; the rest stays.
            peer.socket.settimeout(2)
            with contextlib.suppress(TimeoutError):
                while seq < 200:
                    seq += 1
                    peer.send(append(seq, [body]))
            wait_until(lambda: not leat.status()["log"]["open"],
                       "the log is full")
            leat.ingestd.stop()
            started = time.monotonic()
            leat.batchd.stop()
            assert time.monotonic() - started < 10


@limit(60)
def test_a_batchd_that_does_not_answer_is_left_after_a_while():
    """Neither a full queue nor frames without end hold a command for ever."""
    with Leat(postgres=False, sinks=(), also=["none"], start=False) as leat:
        path = str(leat.settings["leat"]["socket"])
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as fake, \
                contextlib.ExitStack() as stack:
            fake.bind(path)
            fake.listen(0)
            queued = stack.enter_context(
                socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            queued.connect(path)
            started = time.monotonic()
            done = leat.run("leat", "status", timeout_s=20)
            assert done.returncode == 1 and "busy" in done.stderr, done
            assert 4 < time.monotonic() - started < 15
            # Nor does another batchd take its path.
            done = leat.run("batchd", timeout_s=20)
            assert done.returncode == 1 and "in use" in done.stderr, done
            assert os.path.exists(path)
            command = subprocess.Popen(
                [leat.batchd.argv[0].replace("batchd", "leat"), "status",
                 "--config", str(leat.conf)], stderr=subprocess.PIPE)
            fake.accept()[0].close()
            peer = stack.enter_context(fake.accept()[0])
            started = time.monotonic()
            intake = pack([INTAKE, True, ""])
            with contextlib.suppress(OSError):
                while time.monotonic() < started + 20:
                    peer.send(intake)
            assert command.wait(20) == 1
            assert b"does not answer in time" in command.stderr.read()
            command.stderr.close()


@limit(60)
def test_what_is_no_socket_is_not_removed():
    with Leat(postgres=False, sinks=(), also=["none"], start=False) as leat:
        path = leat.settings["leat"]["socket"]
        victim = leat.directory / "victim"
        for make in (lambda: path.write_text("not to be lost"),
                     lambda: os.mkfifo(path), lambda: os.mkdir(path),
                     lambda: path.symlink_to(victim)):
            victim.write_text("nor this")
            make()
            before = path.lstat()
            done = leat.run("batchd", timeout_s=20)
            assert done.returncode == 1 and str(path) in done.stderr, done
            # Looking through a link may change when it was last read.
            assert (before.st_ino, before.st_mode, before.st_mtime_ns) == (
                (now := path.lstat()).st_ino, now.st_mode, now.st_mtime_ns)
            assert victim.read_text() == "nor this"
            path.rmdir() if path.is_dir() else path.unlink()
        # What an ended batchd has left is.
        leat.batchd.start()
        leat.batchd.signal(signal.SIGKILL)
        leat.batchd.wait()
        assert path.exists()
        leat.batchd.start()


@limit(60)
def test_events_that_no_ingestd_sends_keep_no_letter_from_a_retry():
    with Leat() as leat:
        payloads = ["garbage", "[1", '{"a":1}}},"x":{"y"', "\0\x01", "{\n"]
        with Peer(leat, INGEST) as peer:
            for seq, payload in enumerate(payloads, 1):
                peer.send(append(seq, [event(f"r{seq}", payload=payload)]))
            # jsonb cannot hold it.
            leat.accept('[{"type":"t","id":"big","payload":{"a":1e200000}}]')
            leat.caught_up()
        leat.pg.query("alter table events alter payload type text")
        done = leat.retry_dead("postgres")
        # A text of PostgreSQL has no NUL.
        assert "retried 6, stored 5, kept 1" in done.stdout, done
        assert leat.pg.number("select count(*) from events") == 5
        assert [d["event"]["payload_text"] for d in leat.dead_letters()] == \
            ["\0\x01"]
