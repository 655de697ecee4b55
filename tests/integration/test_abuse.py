"""Abuse of HTTP by clients.  Each time ingestd keeps to its limits, answers or
closes cleanly, its memory stays flat, and an honest sender is served.

LEAT_CONNECTIONS=10000 and LEAT_REQUESTS=1000000 are the long forms.
"""
import contextlib
import gzip
import http.client
import os
import re
import resource
import select
import socket
import struct
import threading
import time

from leat import Leat, fact, limit, wait_until

CONNECTIONS = int(os.environ.get("LEAT_CONNECTIONS", "1000"))
REQUESTS = int(os.environ.get("LEAT_REQUESTS", "50000"))

EVENT = b'[{"type":"t"}]'
HEAD = (b"POST /v1/events HTTP/1.1\r\nHost: x\r\n"
        b"Content-Type: application/json\r\n")
REQUEST = HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(EVENT), EVENT)

# What a flat memory may grow by: pages of libraries, one large body.
FLAT_BYTES = 16 << 20
PATIENCE_S = 20  # for an honest request, on a busy machine


class Honest(threading.Thread):
    """Sends one event after another; each must be kept."""

    def __init__(self, leat):
        super().__init__(daemon=True)
        self.port = leat.port
        self.over = threading.Event()
        self.kept = self.reconnects = 0
        self.slowest_s = 0
        self.error = None

    def run(self):
        try:
            c = None
            while not self.over.is_set():
                c = self.one(c)
                self.over.wait(0.005)
        except Exception as e:  # reported by the test's main thread
            self.error = e

    def one(self, c):
        started = time.monotonic()
        while True:
            c = c or http.client.HTTPConnection("127.0.0.1", self.port,
                                                timeout=PATIENCE_S)
            try:
                c.request("POST", "/v1/events", EVENT)
                answer = c.getresponse()
                text = answer.read()
                break
            except (ConnectionError, http.client.HTTPException):
                # Closed for having been idle: as HTTP has it, try again.
                c.close()
                c = None
                self.reconnects += 1
                assert time.monotonic() < started + PATIENCE_S
        assert answer.status == 202, (answer.status, text)
        self.kept += 1
        self.slowest_s = max(self.slowest_s, time.monotonic() - started)
        return c


@contextlib.contextmanager
def abused(leat, flat=FLAT_BYTES):
    """An honest sender is at work, and memory stays where it was."""
    leat.accept([{"type": "warm"}] * 1000)
    before = leat.ingestd.private_bytes()
    honest = Honest(leat)
    honest.start()
    yield honest
    kept = honest.kept
    wait_until(lambda: honest.kept > kept + 5 or honest.error,
               "the honest sender is served", PATIENCE_S)
    honest.over.set()
    honest.join(PATIENCE_S)
    assert honest.error is None and not honest.is_alive(), honest.error
    grown = leat.ingestd.private_bytes() - before
    fact(f"honest: {honest.kept} kept, slowest {honest.slowest_s:.2f} s, "
         f"memory +{grown / 2**20:.1f} MiB")
    assert grown < flat, f"{grown} bytes"
    fresh(leat)
    wait_until(lambda: metric(leat, "pending_bytes") == 0,
               "nothing is held any more")


def metric(leat, name):
    text = leat.request("GET", "/metrics")[1]
    return int(re.search(rf"^leat_ingestd_{name} (\d+)$", text, re.M)[1])


def fresh(leat):
    """Wait until the page shows figures that were taken after the call."""
    for _ in range(2):  # the first change may be of ones on their way
        before = metric(leat, "requests_total")
        wait_until(lambda: metric(leat, "requests_total") != before,
                   "batchd pushes figures")


def small_leat(**ingestd):
    return Leat("release", sinks=(), postgres=False, settings={
        "batchd": {"sinks": ""},
        "ingestd": {"idle_timeout_ms": 1000, "header_timeout_ms": 1000,
                    "request_timeout_ms": 1000,
                    **ingestd}})


def connect(leat, timeout_s=PATIENCE_S):
    return socket.create_connection(("127.0.0.1", leat.port), timeout_s)


def is_closed(s):
    """Whether the other end has closed it; discards what it has sent."""
    try:
        while select.select([s], [], [], 0)[0]:
            if not s.recv(65536):
                return True
    except ConnectionError:
        return True
    return False


def drip(sockets, byte, timeout_s):
    """Send one byte to each until all are closed; return how long it took."""
    started, left = time.monotonic(), list(sockets)
    while left:
        assert time.monotonic() < started + timeout_s, \
            f"{len(left)} of {len(sockets)} are still open"
        for s in left:
            try:
                s.send(byte)
            except OSError:
                pass
        select.select(left, [], [], 0.1)
        left = [s for s in left if not is_closed(s)]
    return time.monotonic() - started


def converse(leat, data, end=False):
    """Send bytes; return all that comes back until it is closed."""
    out = b""
    with connect(leat) as s:
        try:
            s.sendall(data)
            if end:
                with contextlib.suppress(OSError):  # closed there already
                    s.shutdown(socket.SHUT_WR)
            while chunk := s.recv(65536):
                out += chunk
        except ConnectionError:
            pass
    return out


def statuses(answer):
    return [int(m[1]) for m in re.finditer(rb"HTTP/1\.1 (\d+) ", answer)]


@limit(120)
def test_slow_senders_lose_their_place():
    with small_leat() as leat, abused(leat) as honest:
        slow_line = [connect(leat) for _ in range(50)]
        slow_headers = [connect(leat) for _ in range(50)]
        slow_bodies = [connect(leat) for _ in range(50)]
        slow_chunks = [connect(leat) for _ in range(50)]
        for s in slow_headers:
            s.sendall(HEAD + b"X: ")
        for s in slow_bodies:  # announced much, sent little
            s.sendall(HEAD + b"Content-Length: 8000000\r\n\r\n[")
        for s in slow_chunks:
            s.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
                      + b"7fffff\r\n[")
        took_s = drip(slow_line + slow_headers + slow_bodies + slow_chunks,
                      b"a", 30)
        fact(f"200 gone after {took_s:.1f} s")
        wait_until(lambda: metric(leat, "connections_overdue_total") >= 200,
                   "each is counted")
        for s in slow_line + slow_headers + slow_bodies + slow_chunks:
            s.close()
        # Slow to take the answer: it is bounded too.
        deaf = connect(leat)
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 2000)
        fresh(leat)
        wait_until(lambda: metric(leat, "connections") <= 3,
                   "the deaf one is gone", 30)
        deaf.close()
        assert honest.reconnects <= 2


@limit(120)
def test_slow_bodies_cannot_keep_the_budget():
    """Bodies that come fast until little is left, and then stop."""
    settings = {"max_body_bytes": "1M", "max_pending_bytes": "16M",
                "max_request_events": 10000, "request_timeout_ms": 20000,
                "idle_timeout_ms": 20000}
    # The rest is for events: 1 MiB, and 64 bytes for each of 10,000.
    for_bodies = (16 << 20) - (1 << 20) - 640_000
    with small_leat(**settings) as leat:
        hold = [connect(leat) for _ in range(15)]
        started = time.monotonic()
        for s in hold:
            s.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n"
                      + b" " * 999_000)
        # The memory of a body counts, with its padding.
        held = 15 * 1_000_064
        wait_until(lambda: metric(leat, "pending_bytes") == held,
                   "bodies fill their part of the budget")
        assert for_bodies - held < 200_000
        # What arrives whole is accepted all the same.
        leat.accept([{"type": "t"}] * 1000)
        fact(f"a small request: {time.monotonic() - started:.2f} s")
        large = b"[" + b" " * 600_000 + EVENT[1:]
        # A body has to make room after a tenth of the time-out: 2 s.
        assert leat.post(large)[0] == 503 or time.monotonic() > started + 2
        wait_until(lambda: leat.post(large)[0] == 202,
                   "a slow one had to go", 15)
        fact(f"room after {time.monotonic() - started:.1f} s of 20")
        wait_until(lambda: metric(leat, "connections_evicted_total") > 0,
                   "and it is counted")
        for s in hold:
            s.close()


@limit(240)
def test_idle_connections_make_room():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(CONNECTIONS, (hard - 200) // 2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # A place costs its memory, which is bounded by their number.
    per_place = 48 << 10
    with small_leat(idle_timeout_ms=600000, request_timeout_ms=600000,
                    max_connections=count) as leat, \
            abused(leat, FLAT_BYTES + count * per_place) as honest:
        idle = []
        for i in range(count + count // 2):
            s = connect(leat)
            if i % 2:
                s.sendall(b"POST /v1/ev")
            idle.append(s)
        wait_until(lambda: metric(leat, "connections_evicted_total")
                   >= count // 2, "the oldest made room")
        assert metric(leat, "connections") <= count
        fact(f"{len(idle)} came to stay, {count} had room")
        kept = honest.kept
        wait_until(lambda: honest.kept >= kept + 100 or honest.error,
                   "the honest sender goes on")
        # Bodies that do not come on are next.
        busy = []
        for _ in range(count // 4):
            s = connect(leat)
            s.sendall(HEAD + b"Content-Length: 100\r\n\r\n[")
            busy.append(s)
        for s in idle + busy:
            s.close()
        wait_until(lambda: metric(leat, "connections") < 10,
                   "all have left", 60)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@limit(120)
def test_bodies_without_end():
    with small_leat(max_body_bytes="1M", request_timeout_ms=60000) as leat, \
            abused(leat):
        block = b"%x\r\n%s\r\n" % (65536, b" " * 65536)
        for head in (HEAD, HEAD.replace(b"/v1/events", b"/nowhere")):
            with connect(leat) as s:
                s.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
                sent = 0
                with contextlib.suppress(ConnectionError):
                    while sent < 64 << 20:
                        s.sendall(block)
                        sent += len(block)
                fact(f"cut after {sent / 2**20:.1f} MiB")
                assert sent < 32 << 20  # socket buffers included
        # Announced: refused at once.
        answer = converse(leat, HEAD + b"Content-Length: 99999999999\r\n\r\n")
        assert statuses(answer) == [413], answer


@limit(120)
def test_bombs_and_depth():
    bombs = [gzip.compress(b" " * (200 << 20), 9),
             gzip.compress(b"[" + b'{"type":"t"},' * (4 << 20), 9),
             gzip.compress(b"") * 100_000]
    deep = [b"[" * 7_000_000, b'{"a":' * 1_500_000, b"[{" * 3_000_000,
            b'[{"type":"t","payload":' + b"[" * 5_000_000 + b"]" * 2_000_000,
            b'"' + b"\\" * 7_000_000]
    with small_leat(request_timeout_ms=60000) as leat, \
            abused(leat, FLAT_BYTES + (16 << 20)):
        for body in bombs * 3:
            status, answer = leat.post(body, {"Content-Encoding": "gzip"})
            assert status in (400, 413), (status, answer)
        for body in deep * 3:
            started = time.monotonic()
            status, answer = leat.post(body)
            assert status == 400, (status, answer)
            assert time.monotonic() < started + PATIENCE_S


@limit(300)
def test_many_tiny_requests():
    with small_leat(request_timeout_ms=60000) as leat, abused(leat) as honest:
        before = leat.status()["log"]["next_offset"]
        block, started, senders = 100, time.monotonic(), 32
        counts = []

        def pour(n):
            got = 0
            with connect(leat, 60) as s:
                for _ in range(0, n, block):
                    s.sendall(REQUEST * block)
                    want, tail = block, b""
                    while want:
                        chunk = tail + s.recv(1 << 20)
                        want -= chunk.count(b"HTTP/1.1 202 ")
                        tail = chunk[-12:]
                        if tail == b"HTTP/1.1 202 ":
                            tail = b""
                    got += block
            counts.append(got)

        threads = [threading.Thread(target=pour, args=(REQUESTS // senders,))
                   for _ in range(senders)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        took_s = time.monotonic() - started
        assert sum(counts) >= REQUESTS, counts
        fact(f"{sum(counts)} pipelined in {took_s:.1f} s")
        after = leat.status()["log"]["next_offset"]
        assert after - before >= sum(counts)
        assert honest.error is None
        # Connections that come and go.
        for _ in range(2000):
            with connect(leat) as s:
                s.sendall(b"G")


@limit(60)
def test_conflicting_lengths_smuggle_nothing():
    inner = (b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n"
             b'\r\n[{"type":"i"}]')
    heads = [
        b"Content-Length: 14\r\nContent-Length: 14\r\n",
        b"Content-Length: 14\r\nContent-Length: 200\r\n",
        b"Content-Length: 0\r\nContent-Length: 14\r\n",
        b"Content-Length: 14\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 14\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Transfer-Encoding: identity\r\nContent-Length: 14\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: xchunked\r\nContent-Length: 14\r\n",
        b"Transfer-Encoding:\x0bchunked\r\nContent-Length: 14\r\n",
        b"Content-Length: +14\r\n", b"Content-Length: -14\r\n",
        b"Content-Length: 14, 14\r\n", b"Content-Length: 14 14\r\n",
        b"Content-Length: 0x0e\r\n", b"Content-Length: 1e1\r\n",
        b"Content-Length: 18446744073709551630\r\n",
        b"Content-Length: \r\n", b"Content-Length : 14\r\n",
    ]
    with small_leat() as leat, abused(leat):
        for head in heads:
            answer = converse(leat, HEAD + head + b"\r\n0\r\n\r\n" + inner)
            got = statuses(answer)
            assert got == [400], (head, answer)


@limit(60)
def test_huge_and_endless_headers():
    with small_leat(request_timeout_ms=30000) as leat, abused(leat):
        for data in (b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\n\r\n",
                     HEAD + b"X: " + b"y" * (1 << 20) + b"\r\n\r\n",
                     HEAD + b"X: y\r\n" * 200_000 + b"\r\n",
                     HEAD + b"Y" * (1 << 20), b"Z" * (1 << 20),
                     b"\r\n" * (1 << 19), b"\0" * (1 << 20)):
            got = statuses(converse(leat, data, end=True))
            assert len(got) <= 1 and (not got or got[0] in (400, 413, 414,
                                                            431)), got


@limit(120)
def test_half_closed_and_reset():
    linger = struct.pack("ii", 1, 0)
    with small_leat(idle_timeout_ms=60000, request_timeout_ms=60000) as leat, \
            abused(leat):
        # A client that has sent all still gets its answer.
        for _ in range(20):
            assert statuses(converse(leat, REQUEST, end=True)) == [202]
            assert statuses(converse(leat, REQUEST[:-1], end=True)) == []
        cuts = [1, 30, len(HEAD), len(HEAD) + 10, len(REQUEST) - 1,
                len(REQUEST)]
        for i in range(600):
            s = connect(leat)
            s.sendall(REQUEST[:cuts[i % len(cuts)]])
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            s.close()  # a reset
        for i in range(100):
            s = connect(leat)
            s.sendall(HEAD + b"Content-Length: 900000\r\n\r\n"
                      + b" " * 100_000)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            s.close()
        held = [connect(leat) for _ in range(100)]
        for s in held:
            s.sendall(HEAD + b"Content-Length: 50\r\n\r\n[")
            s.shutdown(socket.SHUT_WR)
        wait_until(lambda: all(is_closed(s) for s in held),
                   "all have left, long before any time-out", 30)
        wait_until(lambda: metric(leat, "connections") <= 3,
                   "and /metrics shows it")
        for s in held:
            s.close()
