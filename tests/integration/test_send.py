"""leat send: files, streams, resuming, refusals, terminals, hostile servers."""
import fcntl
import gzip
import json
import os
import pathlib
import pty
import random
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import threading
import time

from certificate import certificate
from leat import ROOT, Leat, fact, limit, program, wait_until
from listener import Listener
from test_operate import cpu_s
from test_security import make_token

ALONE = {"postgres": False, "sinks": (), "also": ["none"]}


def lines_of(n, name="e", **more):
    """n events as NDJSON, without ids."""
    return "".join(json.dumps({"type": f"type-{i % 3}", "user_id": f"{name}-{i}",
                               "payload": {"i": i}, **more}) + "\n"
                   for i in range(n))


def command(*args, mode="asan"):
    return [program("leat", mode), "send", *map(str, args)]


def send(leat, *args, status=0, text=None, stdin=None, mode="asan", env=None):
    """Run it to its end.  Returns (standard output, standard error)."""
    url = () if leat is None else ("--url", f"http://127.0.0.1:{leat.port}")
    done = subprocess.run(
        command(*args, *url, mode=mode), input=text, capture_output=True,
        stdin=stdin or (subprocess.DEVNULL if text is None else None),
        text=True, timeout=120, env={**os.environ, **(env or {})})
    assert done.returncode == status, done
    return done.stdout, done.stderr


def stored(leat):
    """What the log has, as objects, in order."""
    done = leat.run("leat", "tail", "--until-end", mode="release")
    assert done.returncode == 0 and not done.stderr, done
    return [json.loads(line) for line in done.stdout.split("\n")[:-1]]


def users(leat):
    return [event["user_id"] for event in stored(leat)]


def expected(n, name="e"):
    return [f"{name}-{i}" for i in range(n)]


class Sender:
    """A run that is not waited for, on pipes or with a terminal."""

    def __init__(self, *args, terminal=False, mode="asan"):
        inner = outer = None
        if terminal:
            outer, inner = pty.openpty()
            fcntl.ioctl(inner, termios.TIOCSWINSZ,
                        struct.pack("HHHH", 24, 80, 0, 0))
        self.outer = outer
        self.child = subprocess.Popen(
            command(*args, mode=mode), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=inner or subprocess.PIPE)
        if inner:
            os.close(inner)
        else:
            self.outer = self.child.stderr.fileno()
        self.shown = b""

    def read(self, pattern, timeout_s=30):
        """Wait until standard error has it."""
        deadline = time.monotonic() + timeout_s
        while not re.search(pattern, self.shown):
            left = deadline - time.monotonic()
            assert left > 0, (pattern, self.shown)
            if select.select([self.outer], [], [], left)[0]:
                data = os.read(self.outer, 65536)
                assert data, (pattern, self.shown)
                self.shown += data
        return self

    def end(self, status, timeout_s=60):
        """Close its input and wait.  Returns (output, errors)."""
        self.child.stdin.close()
        while True:
            try:
                data = os.read(self.outer, 65536)
            except OSError:  # the other side of the terminal is closed
                data = b""
            if not data:
                break
            self.shown += data
        out = self.child.stdout.read()
        assert self.child.wait(timeout_s) == status, self.shown
        return out.decode(), self.shown.decode()


class Server(Listener):
    """Answers each request with the next of `answers`, then with 202."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []  # (time, head, events)
        super().__init__()
        self.url = f"http://127.0.0.1:{self.port}"

    def serve(self, connection):
        with connection.makefile("rb") as stream:
            while True:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    line = stream.readline()
                    if not line:
                        return
                    head += line
                size = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
                events = json.loads(stream.read(size))
                self.requests.append((time.monotonic(), head.decode(), events))
                answer = self.answers.pop(0) if self.answers else None
                if callable(answer):
                    answer = answer(events)
                if answer == "close":
                    return
                if answer is None:
                    answer = (202, "", {"accepted": len(events), "offset": 0})
                status, fields, body = answer
                body = body if isinstance(body, bytes) else \
                    json.dumps(body).encode()
                connection.sendall(
                    f"HTTP/1.1 {status} X\r\n{fields}"
                    f"Content-Length: {len(body)}\r\n\r\n".encode() + body)


def directory():
    return tempfile.TemporaryDirectory(prefix="leat-send-")


def test_files_and_streams_arrive_in_order():
    with Leat(**ALONE) as leat, directory() as d:
        path = pathlib.Path(d) / "events.ndjson"
        path.write_text(lines_of(2500, "file"))
        out, errors = send(leat, path)
        assert re.match(r"2500 events accepted, 0 rejected; [\d.]+K in", out)
        assert errors == ""
        # A file that was sent is not sent again.
        assert send(leat, path)[0].startswith("0 events accepted, 0 rejected")
        # Arrays, one after another, that span lines.
        events = [json.loads(line) for line in lines_of(30, "array").split("\n")
                  if line]
        path = pathlib.Path(d) / "arrays.json"
        path.write_text(json.dumps(events[:10], indent=2) + "\n[]" +
                        json.dumps(events[10:]))
        send(leat, path)
        # The last line has no newline.
        send(leat, "-", text=lines_of(7, "pipe")[:-1])
        with open(pathlib.Path(d) / "redirected", "w+") as f:
            f.write(lines_of(5, "redirect"))
            f.seek(0)
            send(leat, stdin=f)
        fifo = pathlib.Path(d) / "fifo"
        os.mkfifo(fifo)
        sender = Sender(fifo, "--url", f"http://127.0.0.1:{leat.port}")
        with open(fifo, "w") as f:
            # A stream is sent as it arrives.
            for i, line in enumerate(lines_of(3, "fifo").splitlines()):
                f.write(line + "\n")
                f.flush()
                wait_until(lambda: users(leat)[-1] == f"fifo-{i}", "it is sent")
        sender.end(0)
        assert not os.path.exists(f"{fifo}.sent")
        assert users(leat) == [
            *expected(2500, "file"), *expected(30, "array"),
            *expected(7, "pipe"), *expected(5, "redirect"),
            *expected(3, "fifo")]


def test_ids_are_the_same_in_each_run():
    def ids(leat, seen=[0]):
        new = [event["id"] for event in stored(leat)][seen[0]:]
        seen[0] += len(new)
        return new

    with Leat(**ALONE) as leat, directory() as d:
        path = pathlib.Path(d) / "events"
        path.write_text(lines_of(5) + '{"type":"t","id":"mine"}\n'
                        '{"type":"t","id":null}\n' + lines_of(5))
        send(leat, path)
        first = ids(leat)
        assert first[5] == "mine" and len(set(first)) == 12
        assert all(re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-"
                                r"[89ab][0-9a-f]{3}-[0-9a-f]{12}", i)
                   for i in first if i != "mine")
        send(leat, path, "--restart")
        assert ids(leat) == first
        os.unlink(f"{path}.sent")
        send(leat, path)
        assert ids(leat) == first
        with open(path) as f:
            send(leat, stdin=f)
        assert ids(leat) == first
        # A stream has a name, which is a random one by default.
        text = path.read_text()
        runs = []
        for args in (), (), ("--name", "a"), ("--name", "a"), ("--name", "b"):
            send(leat, *args, text=text)
            runs.append(ids(leat))
        assert runs[2] == runs[3]
        assert len({tuple(run) for run in runs}) == 4


def test_rejected_events_are_listed():
    with Leat(**ALONE) as leat, directory() as d:
        path = pathlib.Path(d) / "events"
        path.write_text(lines_of(3) + 'garbage\n{"type":7}\n' + lines_of(2) +
                        '{"type":"t","payload":{"x":"\x01"}}\n\n'
                        '{"type":"' + "x" * 200000 + '"}\n{"user_id":"u"}\n' +
                        lines_of(1))
        out, errors = send(leat, path, status=3)
        assert out.startswith("6 events accepted, 5 rejected")
        assert errors.splitlines() == [
            f"{path}:4: must be an object", f"{path}:5: type: must be a string",
            f"{path}:8: control characters in a string must be escaped",
            f"{path}:10: longer than 128 KiB, which is the longest event",
            f"{path}:11: type: missing"]
        # They are not sent again, and later runs are well.
        with open(path, "a") as f:
            f.write(lines_of(4))
        assert send(leat, path)[0].startswith("4 events accepted, 0 rejected")
        # Nothing else, and after the last event.
        for text, good in (("x\n" * 300, 0), ("y" * 5_000_000, 0),
                           (lines_of(3) + "x" * 5_000_000 + "\n{}", 3)):
            path.write_text(text)
            out, errors = send(leat, path, "--restart", status=3)
            bad = len(errors.splitlines())
            assert out.startswith(f"{good} events accepted, {bad} rejected")
        # What only ingestd knows: 600 of 1,500 events, in every place.
        bad = {i for i in range(1500) if i % 5 in (0, 3)}
        path = pathlib.Path(d) / "unknown"
        path.write_text("".join(
            json.dumps({"type": "t", "user_id": f"u-{i}",
                        **({"\x1b[1m": 1} if i in bad else {})}) + "\n"
            for i in range(1500)))
        out, errors = send(leat, path, status=3)
        assert out.startswith("900 events accepted, 600 rejected"), out
        assert errors.splitlines() == [
            f"{path}:{i + 1}: \\x1b[1m: unknown field" for i in sorted(bad)]
        assert users(leat)[13:] == [f"u-{i}" for i in range(1500)
                                    if i not in bad]


def test_what_cannot_be_read_is_refused():
    with Leat(**ALONE) as leat, directory() as d:
        path = pathlib.Path(d) / "events"
        path.write_text("[" + lines_of(1)[:-1] + ",\n" + lines_of(1)[:-1] +
                        "}\n" + lines_of(5))
        _, errors = send(leat, path, status=3)
        assert f"{path}:2: expected ',' or ']'" in errors
        assert "not sent" in errors
        assert len(users(leat)) == 2
        gz = pathlib.Path(d) / "events.gz"
        gz.write_bytes(b"\x1f\x8b\x08\0\0\0\0\0")
        assert "zcat" in send(leat, gz, status=3)[1]
        assert "Is a directory" in send(leat, d, status=2)[1]
        assert "No such file" in send(leat, f"{d}/none", status=2)[1]
        for args in (("--url", "ftp://x"), ("--url", "http://a:b@x"),
                     ("--url", "http://x/?token=y"), ("--url", "http://x/y"),
                     ("--timeout", "x"), ("--limit-rate", "0"),
                     ("--limit-rate", "5X"), ("--ca-file", "/none"),
                     ("--token-file", "/none"), ("--token-file", "/dev/null"),
                     ("--name", "x")):
            _, errors = send(None, path, *args, status=2)
            assert args[0] in errors or re.search("url=|/none|/null", errors), \
                errors


def test_resuming_belongs_to_one_file():
    with Leat(**ALONE) as leat, directory() as d:
        path = pathlib.Path(d) / "events"
        path.write_text(lines_of(10, "a") + '{"type":"t","user_id":"half')
        out, errors = send(leat, path, status=3)
        assert out.startswith("10 events accepted")
        assert f"{path}:11: the input ends within it" in errors
        assert "the same command continues there" in errors
        # The rest of the event is written, and more.
        with open(path, "a") as f:
            f.write('"}\n' + lines_of(5, "b"))
        assert send(leat, path)[0].startswith("6 events accepted")
        # The log was rotated: another file has the name.
        os.rename(path, f"{path}.1")
        path.write_text(lines_of(3, "a") + lines_of(50, "c"))
        _, errors = send(leat, path, status=2)
        assert "--restart" in errors and "does not describe" in errors, errors
        send(leat, path, "--restart")
        assert users(leat) == [*expected(10, "a"), "half", *expected(5, "b"),
                               *expected(3, "a"), *expected(50, "c")]
        # Two at once.
        slow = Server(lambda _: time.sleep(2))
        path.write_text(lines_of(1))
        sender = Sender(path, "--restart", "--url", slow.url)
        wait_until(lambda: slow.requests, "the first one sends")
        assert "another leat send" in send(leat, path, status=1)[1]
        sender.end(0)
        slow.close()


@limit(600)
def test_killed_at_random_and_resumed():
    """Also with ingestd restarted: all events are stored, each once."""
    n, kills = 60000, 12
    with Leat(settings={"sinkd-postgres": {"dedup_by_id": "yes"}}) as leat, \
            directory() as d:
        path = pathlib.Path(d) / "events"
        path.write_text(lines_of(n))
        port = leat.port
        leat.settings["ingestd"]["port"] = port
        leat.write_conf()
        url = f"http://127.0.0.1:{port}"
        # The file takes 8 s: longer than all of its senders live.
        ended = 0
        for i in range(kills):
            sender = Sender(path, "--url", url, "--limit-rate", "500K",
                            mode="release")
            time.sleep(random.uniform(0.01, 0.4))
            if i % 4 == 3:
                leat.ingestd.kill()
            ended += sender.child.poll() is not None
            sender.child.kill()
            sender.child.wait()
            if i % 4 == 3:
                leat.ingestd.start()
        out, errors = send(leat, path)
        assert errors == "", errors
        leat.caught_up()
        sent = leat.status()["log"]["next_offset"]
        rows = leat.pg.query("select user_id from events").split()
        assert sorted(rows) == sorted(expected(n)), len(rows)
        assert ended == 0
        fact(f"{n} events, {kills} kills, {sent - n} sent twice")


def test_a_request_whose_answer_was_lost_is_repeated():
    """It is killed after ingestd has kept a request, before it knows that."""
    with directory() as d:
        path = pathlib.Path(d) / "events"
        path.write_text(lines_of(1200) + "{}\n" + lines_of(1200))
        server = Server(None, lambda _: sender.child.kill())
        sender = Sender(path, "--url", server.url)
        sender.end(-signal.SIGKILL)
        out, errors = send(None, path, "--url", server.url, status=3)
        assert out.startswith("1400 events accepted, 1 rejected"), out
        requests = [events for _, _, events in server.requests]
        assert len(requests) == 4 and requests[1] == requests[2]
        assert len({e["id"] for events in requests for e in events}) == 2400
        # Events that were rejected before the place are not forgotten.
        path.write_text("{}\n" + lines_of(1500))
        server.answers = [None, lambda _: sender.child.kill()]
        sender = Sender(path, "--url", server.url, "--restart")
        sender.end(-signal.SIGKILL)
        out, errors = send(None, path, "--url", server.url, status=3)
        assert out.startswith("500 events accepted, 0 rejected"), out
        assert "1 more were rejected by earlier runs" in out and not errors
        assert send(None, path, "--url", server.url)[0].startswith("0 events")
        server.close()


def test_failures_are_retried():
    server = Server((503, "Retry-After: 2\r\n", {"error": "full"}), "close",
                    (429, "Retry-After: 1\r\n", b""),
                    (504, "", b"<html>"))
    with directory() as d:
        path = pathlib.Path(d) / "events"
        path.write_text(lines_of(5))
        out, errors = send(None, path, "--url", server.url)
        assert out.startswith("5 events accepted, 0 rejected")
        assert "answers 503" in errors and "full" in errors
        assert "accepts events again" in errors
        at = [when for when, _, _ in server.requests]
        assert 1.99 <= at[1] - at[0] < 3 and 0.99 <= at[3] - at[2] < 2, at
        assert len(at) == 5
        assert all(events == server.requests[0][2]
                   for _, _, events in server.requests)
        server.close()
        # It gives up, and the same command continues.
        with open(path, "a") as f:
            f.write(lines_of(2))
        with socket.create_server(("127.0.0.1", 0)) as unused:
            url = "http://127.0.0.1:%d" % unused.getsockname()[1]
        started = time.monotonic()
        out, errors = send(None, path, "--url", url, "--timeout", "2s", status=1)
        assert time.monotonic() - started < 10
        assert "giving up" in errors and "continues there" in errors, errors
        _, errors = send(None, "--url", url, "--timeout", "1s", text=lines_of(1),
                         status=1)
        name = re.search(r"--name ([0-9a-f]{32})\n", errors)[1]
        server = Server()
        send(None, "--url", server.url, "--name", name, text=lines_of(1))
        server.close()


def test_other_servers_are_recognised():
    for answer, status, text in (
            ((200, "", b"<html>"), 2, "check --url"),
            ((202, "", {"accepted": 7}), 2, "check --url"),
            ((301, "Location: /x\r\n", b""), 2, "check that --url"),
            ((404, "", {"error": "\x1b[2J"}), 2, "check that --url"),
            ((400, "", {"errors": [{"index": 99, "reason": "x"}]}), 1, "log"),
            ((200, "", b"x" * 100000), 2, "is not ingestd's"),
            ((200, "", b"[" * 60000), 2, "check --url")):
        server = Server(answer)
        _, errors = send(None, "--url", server.url, text=lines_of(2),
                         status=status)
        assert text in errors and "\x1b" not in errors, errors
        assert len(server.requests) == 1
        server.close()


def test_tokens_and_certificates():
    token, line = make_token("shop")
    with directory() as d:
        d = pathlib.Path(d)
        cert, key = certificate(d, "localhost")
        other, _ = certificate(d, "other")
        (d / "tokens").write_text(line + "\n")
        (d / "token").write_text(token + "\n")
        (d / "wrong").write_text("leat_wrong\n")
        with Leat(**ALONE, settings={"ingestd": {
                "tokens_file": d / "tokens", "tls_certificate": cert,
                "tls_key": key}}, start=False) as leat:
            leat.batchd.start()
            leat.ingestd.start()
            to = ("--url", f"https://localhost:{leat.port}", "--ca-file", cert)
            send(None, *to, "--token-file", d / "token", text=lines_of(3, "a"))
            send(None, *to, text=lines_of(3, "b"), env={"LEAT_TOKEN": token})
            for args, env in ((), {}), (("--token-file", d / "wrong"), {}):
                _, errors = send(None, *to, *args, text=lines_of(1), env=env,
                                 status=2)
                assert "401" in errors and "--token-file" in errors, errors
            _, errors = send(None, "--url", to[1], "--ca-file", other,
                             text=lines_of(1), status=2)
            assert "certificate" in errors and "--ca-file" in errors, errors
            _, errors = send(None, "--url", to[1].replace("https", "http"),
                             "--timeout", "1s", text=lines_of(1), status=1)
            assert users(leat) == [*expected(3, "a"), *expected(3, "b")]


def test_small_limits_of_ingestd():
    with Leat(**ALONE, settings={"ingestd": {"max_request_events": 7,
                                             "max_event_bytes": 300}}) as leat:
        text = lines_of(50, "a") + lines_of(1, "long" * 200) + \
            lines_of(50, "b")
        _, errors = send(leat, text=text, status=3)
        assert ":51: " in errors and len(errors.splitlines()) == 1, errors
        assert users(leat) == [*expected(50, "a"), *expected(50, "b")]
    with Leat(**ALONE, settings={"ingestd": {"max_body_bytes": 1024}}) as leat:
        text = lines_of(50, "a") + json.dumps(
            {"type": "t", "payload": {"x": "y" * 2000}}) + "\n" + \
            lines_of(50, "b")
        _, errors = send(leat, text=text, status=3)
        assert errors == "(standard input):51: larger than max_body_bytes\n"
        assert users(leat) == [*expected(50, "a"), *expected(50, "b")]


def test_the_rate_is_limited():
    with Leat(**ALONE) as leat:
        text = lines_of(4000)
        started = time.monotonic()
        send(leat, "--limit-rate", "150K", text=text)
        took = time.monotonic() - started
        body = len(text) + 4000 * 45
        assert took > body / 150 / 1024 - 1.2, (took, body)
        assert users(leat) == expected(4000)
        fact(f"{body / 1024 / took:.0f} KiB/s of 150")


def test_signals_end_it():
    with directory() as d:
        path = pathlib.Path(d) / "events"
        path.write_text(lines_of(5000))
        server = Server(None, lambda _: time.sleep(2))
        sender = Sender(path, "--url", server.url)
        wait_until(lambda: len(server.requests) == 2, "the second request")
        sender.child.send_signal(signal.SIGINT)
        out, errors = sender.end(1)
        # The request in flight was finished, and counts.
        assert out.startswith("2000 events accepted"), out
        assert "from line 2000 on; the same command continues" in errors
        assert "ending after the request that is being sent" in errors
        send(None, path, "--url", server.url)
        assert sum(len(events) for _, _, events in server.requests) == 5000
        server.close()
        # Twice: at once.
        server = Server(lambda _: time.sleep(30))
        sender = Sender(path, "--url", server.url, "--restart")
        wait_until(lambda: server.requests, "the first request")
        sender.child.send_signal(signal.SIGINT)
        sender.read(b"the signal again ends at once")
        assert sender.child.poll() is None
        sender.child.send_signal(signal.SIGINT)
        sender.end(-signal.SIGINT, timeout_s=2)
        server.close()


def test_input_that_is_not_read_any_more_costs_no_cpu():
    """After a signal the request in flight ends, and more input arrives."""
    may_answer = threading.Event()
    server = Server(lambda _: may_answer.wait(30) and None)
    sender = Sender("--url", server.url)
    sender.child.stdin.write(lines_of(1).encode())
    sender.child.stdin.flush()
    wait_until(lambda: server.requests, "the first request")
    sender.child.send_signal(signal.SIGINT)
    sender.read(b"the signal again ends at once")
    sender.child.stdin.write(lines_of(1, "later").encode())
    sender.child.stdin.flush()
    before = cpu_s(sender.child.pid)
    time.sleep(1)
    used = cpu_s(sender.child.pid) - before
    may_answer.set()
    out, _ = sender.end(1)
    assert out.startswith("1 events accepted"), out
    assert used < 0.3, used
    server.close()
    fact(f"{used:.2f} s of CPU in 1 s")


@limit(300)
def test_a_million_events_in_bounded_memory():
    def high_water(pid):
        try:
            text = pathlib.Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return 0
        found = re.search(r"VmHWM:\s+(\d+) kB", text)
        return int(found[1]) if found else 0

    n = 1_000_000
    with Leat(**ALONE, mode="release",
              settings={"batchd": {"max_bytes": "2G"}}) as leat, \
            directory() as d:
        path = pathlib.Path(d) / "events"
        peaks = []
        for count in n // 10, n:
            with open(path, "w") as f:
                for i in range(0, count, 10000):
                    f.write(lines_of(10000, f"{i}"))
            child = subprocess.Popen(
                command(path, "--restart", "--url",
                        f"http://127.0.0.1:{leat.port}", mode="release"),
                stdout=subprocess.PIPE, text=True)
            peak = 0
            while child.poll() is None:
                peak = max(peak, high_water(child.pid))
                time.sleep(0.01)
            out = child.stdout.read()
            assert child.returncode == 0 and f"{count} events" in out, out
            peaks.append(peak)
        assert leat.status()["log"]["next_offset"] == n + n // 10
        assert peaks[1] < 20 * 1024 and peaks[1] - peaks[0] < 1024, peaks
        fact(f"{n} events, {peaks[1] / 1024:.1f} MiB; {out.strip()}")


def test_progress_on_a_terminal():
    with directory() as d:
        path = pathlib.Path(d) / "events"
        path.write_text(lines_of(4000) + "{}\n" + lines_of(10))
        server = Server(*[lambda _: time.sleep(0.4)] * 3,
                        (503, "Retry-After: 1\r\n", {"error": "full"}))
        sender = Sender(path, "--url", server.url, terminal=True)
        sender.read(rb"\r\s*\d+% \[=*> *\]  \d+ events  [\d.]+K  \d+/s")
        sender.read(rb"ingestd answers 503")
        out, shown = sender.end(3)
        assert f"{path}:4001: type: missing\r\n" in shown, shown
        for line in shown.split("\r"):
            assert len(re.sub(r"\x1b\[K|\n", "", line)) < 80 or \
                "warn" in line or "info" in line, line
        # The line is erased before each message and at the end.
        assert shown.endswith("\r\x1b[K"), shown[-200:]
        assert out.startswith("4010 events accepted, 1 rejected")
        server.close()
        # Its input is a terminal, too.
        server = Server()
        outer, inner = pty.openpty()
        child = subprocess.Popen(command("--url", server.url), stdin=inner,
                                 stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)
        os.close(inner)
        os.write(outer, b'{"type":"typed"}\n')
        wait_until(lambda: server.requests, "a typed event is sent")
        os.write(outer, b"\x04")
        _, errors = child.communicate(timeout=20)
        assert child.returncode == 0 and b"^D ends" in errors, errors
        os.close(outer)
        server.close()


def test_the_examples_of_the_documents():
    """Each command is run as it is printed, with the URL of this leat."""
    text = (ROOT / "docs/sending.md").read_text() + \
        (ROOT / "README.md").read_text().split("`leat send` sends")[1]
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)
    commands = [c for block in blocks for c in block.splitlines()
                if "leat send" in c]
    assert len(commands) == 5, commands
    with Leat(**ALONE) as leat, directory() as d:
        d = pathlib.Path(d)
        (d / "events.ndjson").write_text(lines_of(20))
        (d / "app.ndjson").write_text(lines_of(20))
        with gzip.open(d / "events.ndjson.gz", "wt") as f:
            f.write(lines_of(20))
        (d / "leat").write_text(
            f"#!/bin/sh\nverb=$1; shift\ncase $verb in\n"
            f"send) set -- --url http://127.0.0.1:{leat.port} \"$@\";;\n"
            f"*) set -- --config {leat.conf} \"$@\";;\nesac\n"
            f"exec {program('leat')} $verb \"$@\"\n")
        (d / "leat").chmod(0o755)
        for command_line in commands:
            if "jq" in command_line and not shutil.which("jq"):
                continue
            # What follows a file is ended after a second.
            endless = "tail -n +1 -f" in command_line
            done = subprocess.run(
                ["sh", "-c", command_line.replace("tail -n", "timeout 2 tail -n")
                 if endless else command_line], cwd=d, text=True,
                capture_output=True, timeout=60,
                env={**os.environ, "PATH": f"{d}:{os.environ['PATH']}"})
            assert done.returncode == 0, done
            assert re.match(r"(\d+) events accepted, 0 rejected", done.stdout), \
                (command_line, done)
        assert len(users(leat)) >= 60
