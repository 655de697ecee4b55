"""The load generator tells the truth about what a server answered.

A stub server answers as each test decides; what it acknowledged is compared
with what evload counted and wrote down.
"""
import json
import pathlib
import signal
import socketserver
import subprocess
import tempfile
import threading

from leat import program

CLOSE = "close"  # instead of an answer


def answer(status, body=b"{}", extra=""):
    return (f"HTTP/1.1 {status} X\r\n{extra}Content-Length: {len(body)}"
            f"\r\n\r\n").encode() + body


def accepted(events):
    return answer(202, b'{"accepted":%d,"offset":7}' % len(events))


class Stub(socketserver.ThreadingTCPServer):
    """decide(nth request, events) returns what to answer."""
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, decide):
        super().__init__(("127.0.0.1", 0), Handler)
        self.decide = decide
        self.lock = threading.Lock()
        self.requests = 0
        self.acked = []
        self.seen = []
        self.first_acked = threading.Event()

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def take(self, events):
        with self.lock:
            self.requests += 1
            reply = self.decide(self.requests, events)
            ids = [e["id"] for e in events]
            self.seen += ids
            if reply != CLOSE and reply.startswith(b"HTTP/1.1 202"):
                self.acked += ids
                self.first_acked.set()
            return reply


class Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self):
        while True:
            length = 0
            line = self.rfile.readline()
            while line.strip():
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
                line = self.rfile.readline()
            if not line:
                return
            reply = self.server.take(json.loads(self.rfile.read(length)))
            if reply == CLOSE:
                return
            # In two pieces: answers need not come whole.
            self.wfile.write(reply[:30])
            self.wfile.write(reply[30:])


def start(stub, directory, *args):
    return subprocess.Popen(
        [program("evload"), "--json", "--port", str(stub.server_address[1]),
         "--acked", str(pathlib.Path(directory) / "acked"), *args],
        stdout=subprocess.PIPE, text=True)


def finish(child, directory):
    out, _ = child.communicate(timeout=60)
    ids = (pathlib.Path(directory) / "acked").read_text().split()
    return child.returncode, json.loads(out), ids


def load(decide, *args):
    """Run evload; returns its exit status, counts, ids, and the stub."""
    with tempfile.TemporaryDirectory(prefix="leat-") as directory, \
            Stub(decide) as stub:
        return *finish(start(stub, directory, *args), directory), stub


def test_every_acknowledged_id_is_written_once():
    status, counts, ids, stub = load(
        lambda nth, events: accepted(events),
        "--events", "10037", "--connections", "5")
    assert status == 0
    assert counts["acked_events"] == 10037 == len(set(ids))
    assert sorted(ids) == sorted(stub.acked)
    assert counts["statuses"] == {"202": 101}
    assert counts["requests"] == counts["statuses"]["202"]


def test_refused_events_are_counted_and_left():
    status, counts, ids, stub = load(
        lambda nth, events: answer(503, extra="Retry-After: 0\r\n")
        if nth % 3 == 0 else accepted(events),
        "--events", "3000", "--events-per-request", "10", "--retry-503")
    assert status == 0
    assert counts["refused_events"] == 1000
    assert counts["acked_events"] == 2000
    assert sorted(ids) == sorted(stub.acked)
    assert len(set(stub.seen)) == len(stub.seen) == 3000


def test_a_lost_connection_leaves_its_events_unknown():
    status, counts, ids, stub = load(
        lambda nth, events: CLOSE if nth % 5 == 0 else accepted(events),
        "--events", "3000", "--events-per-request", "10",
        "--connections", "8")
    assert status == 0
    assert counts["unknown_events"] == 600
    assert counts["acked_events"] == 2400
    assert sorted(ids) == sorted(stub.acked)
    assert len(set(stub.seen)) == len(stub.seen)


def test_retry_sends_the_same_ids_until_acknowledged():
    def decide(nth, events):
        if nth % 7 == 0:
            return CLOSE
        if nth % 5 == 0:
            return answer(503, extra="Retry-After: 0\r\n")
        return accepted(events)

    status, counts, ids, stub = load(
        decide, "--events", "3000", "--events-per-request", "10",
        "--connections", "8", "--retry")
    assert status == 0
    assert counts["acked_events"] == 3000 == len(set(ids))
    assert counts["unknown_events"] == counts["refused_events"] == 0
    assert sorted(stub.acked) == sorted(ids)
    assert len(stub.seen) > 3000


def test_other_answers_are_errors():
    def decide(nth, events):
        return answer(400) if nth % 4 == 0 else accepted(events)

    args = ("--events", "1000", "--events-per-request", "10")
    status, counts, _, _ = load(decide, *args)
    assert (status, counts["error_events"]) == (1, 250)
    status, counts, _, _ = load(decide, *args, "--allow-errors")
    assert (status, counts["error_events"]) == (0, 250)


def test_a_202_for_fewer_events_is_an_error():
    status, counts, ids, _ = load(
        lambda nth, events: accepted(events[1:]),
        "--events", "100", "--events-per-request", "10")
    assert status == 1
    assert counts["mismatches"] == 10
    assert not ids and counts["acked_events"] == 0


def test_a_rate_is_kept_and_a_stall_is_charged_to_latency():
    def decide(nth, events):
        if nth == 1:
            stall.wait(1)  # holds the only connection
        return accepted(events)

    stall = threading.Event()
    _, counts, ids, _ = load(
        decide, "--rate", "1000", "--events-per-request", "10",
        "--seconds", "2", "--connections", "1", "--id-prefix", "x-")
    # What is due is counted, sent or not: a busy machine may not catch up.
    assert counts["acked_events"] + 10 * counts["due_unsent"] == 2000
    assert counts["acked_events"] > 1000
    # Those due in the stall waited: half of them all.
    assert counts["latency_us"]["p90"] > 500_000
    assert sorted(ids)[:2] == ["x-000000000000", "x-000000000001"]


def test_sigterm_ends_it_with_everything_written():
    with tempfile.TemporaryDirectory(prefix="leat-") as directory, \
            Stub(lambda nth, events: accepted(events)) as stub:
        child = start(stub, directory, "--seconds", "60", "--events",
                      "1000000000")
        assert stub.first_acked.wait(20)
        child.send_signal(signal.SIGTERM)
        status, counts, ids = finish(child, directory)
        assert status == 0 and counts["interrupted"]
        assert counts["acked_events"] == len(ids) == len(set(ids))
        assert sorted(ids) == sorted(stub.acked)


def test_it_waits_for_a_server_that_is_not_there_yet():
    with Stub(lambda nth, events: accepted(events)) as other:
        port = str(other.server_address[1])
    done = subprocess.run(
        [program("evload"), "--json", "--port", port, "--seconds", "1",
         "--drain-ms", "0"], capture_output=True, text=True, timeout=30)
    counts = json.loads(done.stdout)
    assert done.returncode == 1  # nothing was acknowledged
    assert counts["acked_events"] == counts["unknown_events"] == 0
    assert 64 <= counts["connect_failures"] < 64 * 12  # with back-off
