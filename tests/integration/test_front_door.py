"""Attacks on ingestd's port by clients that have no token, or a limited one.

Each attack is a test of its own: requests whose framing two programs could
read differently, requests that never end, and requests that cost more than
they seem to.  The server refuses them, keeps its processor and its memory to
itself, and serves honest senders all the while.

LEAT_CONNECTIONS=10000 is the long form.
"""
import contextlib
import dataclasses
import fcntl
import gzip
import json
import multiprocessing
import os
import pathlib
import re
import resource
import select
import socket
import ssl
import struct
import subprocess
import tempfile
import termios
import threading
import time

from certificate import certificate
from leat import fact, limit, wait_until
from test_abuse import HEAD, fresh, is_closed, metric
from test_security import Guarded, bearer, make_token, s_client

CONNECTIONS = int(os.environ.get("LEAT_CONNECTIONS", "1000"))
LONG = CONNECTIONS > 1000

PATIENCE_S = 20  # for one answer, on a busy machine
P99_MAX_S = 0.05
IDLE_SHARE_MAX = 0.1  # of one core, for a server that waits
FLAT_BYTES = 24 << 20  # most of max_pending_bytes, and some pages
IP_BIND_ADDRESS_NO_PORT = 24  # of <linux/in.h>
ATTACKER, HONEST = "127.0.0.2", "127.0.0.1"


def post(body, *lines):
    return (HEAD + b"".join(line + b"\r\n" for line in lines)
            + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))


GOOD = post(b'[{"type":"good"}]')
HIDDEN_BODY = b'[{"type":"hidden"}]'
HIDDEN = post(HIDDEN_BODY)


def front(mode="release", tokens=(), **ingestd):
    """A leat without sinks, whose batchd does not wait for the disk."""
    leat = Guarded(tokens, mode=mode, **{
        "idle_timeout_ms": 30000, "header_timeout_ms": 3000,
        "request_timeout_ms": 3000, "metrics_open": "yes", **ingestd})
    leat.settings["batchd"]["fsync"] = "never"
    leat.write_conf()
    return leat


@contextlib.contextmanager
def front_with_tls(keys="ec", **ingestd):
    with tempfile.TemporaryDirectory(prefix="leat-tls-") as directory:
        cert, key = certificate(pathlib.Path(directory), "cert")
        if keys == "rsa":
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
                 "-keyout", key, "-out", cert, "-subj", "/CN=localhost"],
                check=True, capture_output=True, timeout=60)
        with front(tls_certificate=cert, tls_key=key, **ingestd) as leat:
            yield leat


def connect(leat, address=HONEST, deaf=False):
    """From this address; deaf: few bytes fill the buffers on the way here."""
    s = socket.socket()
    s.settimeout(PATIENCE_S)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if deaf:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    if address != HONEST:
        # The port is chosen by connect, so that more than 28,000 fit.
        s.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        s.bind((address, 0))
    s.connect(("127.0.0.1", leat.port))
    return s


def reset(sockets):
    """Close them so that no connection is left in TIME_WAIT."""
    for s in sockets:
        with contextlib.suppress(OSError):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                         struct.pack("ii", 1, 0))
        s.close()


def read_to_end(s):
    out = b""
    while chunk := s.recv(65536):
        out += chunk
    return out


def converse(leat, data):
    """Send bytes; all that comes back until the server closes."""
    s = connect(leat)
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            s.sendall(data)
        return read_to_end(s)
    finally:
        reset([s])


def answers(data):
    """The status and the parsed body of each answer; nothing else came."""
    found = []
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        status = re.match(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n", head)
        length = re.search(rb"\r\nContent-Length: (\d+)(?:\r\n|$)", head)
        assert status and length, data
        body, data = rest[:int(length[1])], rest[int(length[1]):]
        assert len(body) == int(length[1]), (head, body)
        if b"\r\nContent-Type: application/json" in head:
            body = json.loads(body)
        found.append((int(status[1]), body))
    return found


def statuses(data):
    return [status for status, _ in answers(data)]


def log_bytes(leat):
    return b"".join(p.read_bytes() for p in (leat.directory / "log")
                    .glob("*.seg"))


# Requests that two programs could read differently.

def has(*lines, rest=HIDDEN_BODY):
    """A POST with these header lines, and what it hides after its head."""
    return HEAD + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + rest


def asks(line):
    """A POST with this request line."""
    return GOOD.replace(b"POST /v1/events HTTP/1.1", line)


def chunks(body):
    """A POST with this body in its chunked form."""
    return has(b"Transfer-Encoding: chunked", rest=body)


def each_line_ends_with(end):
    lines = GOOD.split(b"\r\n")
    for i in range(1, len(lines)):
        yield b"\r\n".join(lines[:i]) + end + b"\r\n".join(lines[i:])


LENGTH = b"Content-Length: %d" % len(HIDDEN_BODY)
CHUNK = b"%x\r\n%s\r\n" % (len(HIDDEN_BODY), HIDDEN_BODY)
LAST = b"0\r\n\r\n"

BARE_LINE_ENDS = [
    *each_line_ends_with(b"\n"), *each_line_ends_with(b"\r"),
    *each_line_ends_with(b"\r\r\n"),
    GOOD.replace(b"\r\n", b"\n"),
    has(b"X: a\n" + LENGTH), has(b"X: a\r" + LENGTH), has(b"X: a\n b"),
    has(b"X: a\r\n b"), has(b"X: a\r\n\t" + LENGTH),
    *(chunks(c) for c in (
        CHUNK.replace(b"\r\n", b"\n") + LAST, CHUNK[:-2] + b"\n" + LAST,
        CHUNK[:-2] + LAST, CHUNK[:-2] + b"\r\r\n" + LAST,
        CHUNK + b"0\n\r\n", CHUNK + b"0\r\n\n", CHUNK + b"0\r\r\n\r\n",
        CHUNK + b"0\r\nX: y\n\r\n", CHUNK + b"0\r\nX: y\r\r\n\r\n",
        CHUNK + b"0\r\nX: a\nb\r\n\r\n", CHUNK + b"0;a\nb\r\n\r\n",
        CHUNK + b"0;a=\nb\r\n\r\n", CHUNK + b'0;a="\n"\r\n\r\n',
        CHUNK + b"0;a\rb\r\n\r\n", CHUNK + b"0;\n" + LAST,
        b"2;\nxx\r\n%x\r\n0\r\n\r\n%s\r\n" % (len(HIDDEN) + 5, HIDDEN)
        + LAST)),
]
NULS = [
    has(b"Transfer-Encoding: chunked\0, identity", rest=CHUNK + LAST),
    has(b"Transfer-Encoding: chunked\0", rest=CHUNK + LAST),
    has(b"Transfer-Encoding\0: chunked", rest=CHUNK + LAST),
    has(b"Content-Length: 14\0 00"), has(b"\0" + LENGTH), has(LENGTH + b"\0"),
    has(b"Authorization: Bearer t\0x", LENGTH),
    *(asks(b"%s HTTP/1.1" % line) for line in (
        b"POST /v1/events%00.png", b"GET /metrics%00.png",
        b"POST /v1/events?partial=%00", b"POST /v1/events\0",
        b"POST /v1/events\0.png", b"POST\0 /v1/events")),
    b"\0" + GOOD,
    chunks(b"13;a\0\r\n%s\r\n" % HIDDEN_BODY + LAST),
    chunks(CHUNK + b"0\0\r\n\r\n"), chunks(CHUNK + b"0\r\nX: \0\r\n\r\n"),
]
HTTP_1_0 = [
    CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") for CHUNKED in (
        chunks(CHUNK + LAST), chunks(LAST), chunks(LAST + HIDDEN),
        has(b"Connection: keep-alive", b"Transfer-Encoding: chunked",
            rest=CHUNK + LAST),
        has(b"Transfer-Encoding: chunked", LENGTH, rest=CHUNK + LAST))
]
SPACES = [
    has(b"Content-Length : %d" % len(HIDDEN), rest=HIDDEN),
    has(b"Content-Length\t: %d" % len(HIDDEN), rest=HIDDEN),
    has(b"Transfer-Encoding : chunked", rest=CHUNK + LAST),
    has(b" " + LENGTH), HEAD.replace(b"\r\n", b"\r\n ", 1) + LENGTH + b"\r\n"
    + b"\r\n" + HIDDEN_BODY,
    has(b"X : y", LENGTH), has(b": y", LENGTH), has(b"X", LENGTH),
    has(b"Transfer-Encoding:\x0bchunked", rest=CHUNK + LAST),
    *(asks(line) for line in (
        b" POST /v1/events HTTP/1.1", b"POST  /v1/events HTTP/1.1",
        b"POST /v1/events  HTTP/1.1", b"POST /v1/events HTTP/1.1 ",
        b"POST\t/v1/events HTTP/1.1", b"POST /v1/ev ents HTTP/1.1",
        b"\r\nPOST /v1/events HTTP/1.1")),
    *(chunks(c + HIDDEN_BODY + b"\r\n" + LAST) for c in (
        b" 13\r\n", b"13 \r\n", b"13 ;a\r\n", b"13; a\r\n", b"13\t\r\n")),
]
LENGTHS = [
    *(has(b"Content-Length: " + value) for value in (
        b"abc", b"-1", b"+19", b"%d" % 10**20, b"18446744073709551616", b"",
        b"19, 19", b"19 19", b"0x13", b"1e1", b"19;", b"19.0")),
    has(LENGTH, LENGTH), has(LENGTH, b"Content-Length: 0"),
    has(b"Content-Length: 0", LENGTH),
    *(has(*lines, rest=CHUNK + LAST) for lines in (
        (LENGTH, b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", LENGTH),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
        (b"Transfer-Encoding: identity", LENGTH),
        (b"Transfer-Encoding: gzip, chunked",),
        (b"Transfer-Encoding: chunked, chunked",),
        (b"Transfer-Encoding: xchunked", LENGTH), (b"Transfer-Encoding:",),
        (b'Transfer-Encoding: "chunked"',))),
    *(chunks(c + HIDDEN_BODY + b"\r\n" + LAST) for c in (
        b"\r\n", b";a\r\n", b"g\r\n", b"-13\r\n", b"+13\r\n", b"0x13\r\n",
        b"13,\r\n", b"13;\r\n", b"13;a=\r\n", b'13;a="b\r\n', b"13;a;;b\r\n",
        b"13;a\x7f\r\n", b"13;=b\r\n", b"%x\r\n" % (2**64 + 19),
        b"0" * 15 + b"13\r\n", b"12\r\n", b"13;" + b"a" * 254 + b"\r\n")),
    *(chunks(CHUNK + b"0\r\n" + t + b"\r\n\r\n") for t in (
        LENGTH, b"Transfer-Encoding: chunked", b"Host: y", b"no colon",
        b"X : y", b" X: y", b"X: \x01", b"Authorization: Bearer t")),
]
LINES = [
    *(asks(line) for line in (
        b"POST /v1/events", b"POST", b"/v1/events HTTP/1.1",
        b"POST /v1/events http/1.1", b"POST /v1/events HTTP/1.1x",
        b"POST /v1/events HTTP/11", b"POST /v1/events HTTP/1.",
        b"POST /v1/events HTTPS/1.1", b"P(ST /v1/events HTTP/1.1",
        b"P" * 33 + b" /v1/events HTTP/1.1", b"POST v1/events HTTP/1.1",
        b"POST * HTTP/1.1", b"POST /v1/events%2 HTTP/1.1",
        b"POST /v1/events%zz HTTP/1.1", b"POST /v1/events#a HTTP/1.1",
        b"POST /v1/ev\xc3\xa9 HTTP/1.1", b"POST /v1/\x7f HTTP/1.1",
        b'POST /v1/"events" HTTP/1.1', b"POST ftp://x/v1/events HTTP/1.1",
        b"POST http:///v1/events HTTP/1.1", b"POST http://a<b/v1 HTTP/1.1",
        b"CONNECT x:80 HTTP/1.1")),
    has(b"X: \x01", LENGTH), has(b"X: \x7f", LENGTH), has(b"X\x80: y", LENGTH),
    has(b"X(: y", LENGTH),
]
HOSTS = [
    GOOD.replace(b"Host: x\r\n", b""),
    *(GOOD.replace(b"Host: x", host) for host in (
        b"Host: x\r\nHost: x", b"Host: x\r\nHost: y", b"Host: x y",
        b"Host: x/y", b"Host: x@y", b"Host: x%", b"Host: x%00",
        b"Host: \xe9")),
]
OTHERS = [
    (asks(b"POST /v1/events HTTP/2.0"), 505),
    (asks(b"POST /v1/events HTTP/1.2"), 505),
    (asks(b"POST /v1/events HTTP/0.9"), 505),
    (has(b"Expect: 200-ok", LENGTH), 417),
    (has(*[b"X: y"] * 99, LENGTH), 431),
    (has(b"X: " + b"y" * 1200, LENGTH), 431),
    (b"POST /" + b"y" * 1200 + b" HTTP/1.1\r\n\r\n", 431),
    (b"y" * 1200, 431), (has(LENGTH, *[b"X:"] * 100), 431),
    (chunks(CHUNK + b"0\r\n" + b"X: y\r\n" * 700 + b"\r\n"), 400),
]


def wait_received(leat, sockets):
    """Wait until ingestd has received all that these have sent."""
    def arrived():
        unacknowledged = bytearray(4)
        for s in sockets:
            fcntl.ioctl(s, termios.TIOCOUTQ, unacknowledged)
            if any(unacknowledged):
                return False
        return True
    wait_until(arrived, "the bytes arrive")
    # epoll hands out events in their order, so what came to the sockets
    # before a request was received before its answer.
    for _ in range(2):
        leat.request("GET", "/healthz")


def in_two_writes(leat, parts):
    """Send (first, second) on a connection each, and read to its end.

    The server has received each first part before any second part is sent.
    """
    sockets = [connect(leat) for _ in parts]
    try:
        for s, (first, _) in zip(sockets, parts):
            s.sendall(first)
        wait_received(leat, sockets)
        for s, (_, second) in zip(sockets, parts):
            with contextlib.suppress(BrokenPipeError):
                s.sendall(second)
        return [read_to_end(s) for s in sockets]
    finally:
        reset(sockets)


def splits(before, bad, after):
    """All ways to split the malformed request, with its neighbours."""
    step = 1 if LONG or len(bad) < 600 else 7
    data = before + bad + after
    for at in range(max(1, len(before) - 1), len(before + bad) + 1, step):
        yield data[:at], data[at:]
    yield data, b""


def refused(leat, shapes):
    """Check that each malformed request ends its connection, however it
    arrives: the request before it is answered, it is answered once, and what
    follows is never a request.  Returns the number of requests before it."""
    todo = [(parts, [202] * bool(before) + [status], bad)
            for bad, status in shapes for before in (b"", GOOD)
            for parts in splits(before, bad, HIDDEN)]
    for i in range(0, len(todo), 800):
        batch = todo[i:i + 800]
        for (parts, want, bad), data in zip(
                batch, in_two_writes(leat, [t[0] for t in batch])):
            got = answers(data)
            assert [status for status, _ in got] == want, (bad, parts, data)
            assert got[-1][1]["error"], data
            # A refusal that waits for the body's end may not know it yet.
            assert b"\r\nConnection: close\r\n" in data or \
                want[-1] == 404, data
    good = sum(want[0] == 202 for _, want, _ in todo)
    fact(f"{len(todo)} connections")
    return good


def check_refused(shapes, status=400):
    """All shapes, which end with this status."""
    with front("asan", max_header_bytes=1024, header_timeout_ms=60000,
               request_timeout_ms=60000) as leat:
        shapes = [s if isinstance(s, tuple) else (s, status) for s in shapes]
        good = refused(leat, shapes)
        # In requests that are refused for another reason, nothing is
        # executed either: the rest of their body is read and dropped.
        good += refused(leat, [
            (bad.replace(b"/v1/events", b"/nowhere"), 404)
            for bad, _ in shapes if bad.startswith(chunks(b""))])
        assert leat.status()["log"]["next_offset"] == good
        assert b"hidden" not in log_bytes(leat)


@limit(90)
def test_a_bare_line_feed_hides_no_request():
    check_refused(BARE_LINE_ENDS)


@limit(90)
def test_a_nul_hides_nothing():
    check_refused(NULS)


@limit(60)
def test_http_1_0_has_no_chunks():
    check_refused(HTTP_1_0)


@limit(60)
def test_white_space_hides_no_request():
    check_refused(SPACES)


@limit(120)
def test_a_length_is_one_number():
    check_refused(LENGTHS)


@limit(60)
def test_a_request_line_is_a_method_a_target_and_a_version():
    check_refused(LINES)


@limit(60)
def test_a_request_names_one_host():
    check_refused(HOSTS)
    with front() as leat:
        for target in (b"http://host/v1/events", b"HTTP://[::1]:80/v1/events",
                       b"https://a.example/v1/events?partial=1"):
            data = asks(b"POST %s HTTP/1.1" % target).replace(
                b"Host: x", b"Host: x\r\nConnection: close")
            assert statuses(converse(leat, data)) == [202], target
        assert log_bytes(leat).count(b"good") == 3


@limit(90)
def test_other_refusals_are_whole_too():
    check_refused(OTHERS)


# Requests that cost the server more than they cost the client.

def cpu_s(leat):
    """Processor time that ingestd has used."""
    text = pathlib.Path(f"/proc/{leat.ingestd.pid}/stat").read_text()
    user, system = text.rpartition(") ")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def share_of_core(leat, during):
    """What part of a core ingestd uses while during() runs."""
    began, before = time.monotonic(), cpu_s(leat)
    during()
    return (cpu_s(leat) - before) / (time.monotonic() - began)


def assert_idle(leat, what):
    share = share_of_core(leat, lambda: time.sleep(1))
    fact(f"{what}: {share:.0%} of a core")
    assert share < IDLE_SHARE_MAX, share


@limit(60)
def test_an_endless_chunk_line_is_refused_at_once():
    """Where no token is needed, and where one is and is missing."""
    lines = [b"5;" + b"a" * 33_000, b"0" * 33_000,
             b"0\r\nX: " + b"y" * 33_000, b'5;a="' + b" " * 33_000]
    _, token = make_token("shop")
    for tokens, want in (((), 400), ((token,), 401)):
        with front(tokens=tokens) as leat:
            sockets = [connect(leat) for _ in lines]
            for s, line in zip(sockets, lines):
                s.sendall(chunks(line))
            assert_idle(leat, f"after {want}")
            for s in sockets:
                assert select.select([s], [], [], 3)[0], "no answer"
                assert statuses(read_to_end(s)) == [want]
                s.close()
            assert_idle(leat, "after their end")
            fresh(leat)
            assert metric(leat, "connections_overdue_total") == 0


class SlowTls:
    """A TLS client that sends its messages only when it is asked to."""

    def __init__(self, leat):
        self.socket = connect(leat)
        self.into, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = ssl._create_unverified_context().wrap_bio(self.into,
                                                             self.out)
        assert not self.advance(self.tls.do_handshake)
        self.hello = self.out.read()

    def advance(self, step, *args):
        """What the step returns, or None if it wants an answer first."""
        try:
            return step(*args) or True
        except ssl.SSLWantReadError:
            return None

    def go_on(self, step, *args):
        """Send and receive until the step is complete."""
        while True:
            value = self.advance(step, *args)
            self.socket.sendall(self.out.read())
            if value:
                return value
            self.into.write(self.socket.recv(65536))


@limit(60)
def test_a_handshake_that_waits_costs_nothing():
    with front_with_tls() as leat:
        lawful = SlowTls(leat)
        hello = lawful.hello
        sockets = [lawful.socket]
        for begun in (b"", b"\x16", b"\x16\x03\x01", hello[:100], hello):
            for _ in range(20):
                sockets.append(connect(leat))
                sockets[-1].sendall(begun)
        lawful.socket.sendall(hello)
        assert_idle(leat, f"{len(sockets)} handshakes begun")
        lawful.go_on(lawful.tls.do_handshake)
        lawful.go_on(lawful.tls.write, GOOD)
        assert b" 202 " in lawful.go_on(lawful.tls.read, 4096)
        # The others have header_timeout_ms for all of it.
        wait_until(lambda: all(is_closed(s) for s in sockets[1:]),
                   "the handshakes run out of time", 10)
        assert not is_closed(lawful.socket)
        wait_until(lambda: metric(leat, "connections_overdue_total")
                   == len(sockets) - 1, "that is counted")
        for s in sockets[1:]:
            s.close()
        # A client that ends in the middle of its handshake has ended it.
        for begun in (b"\x16", hello):
            s = connect(leat)
            s.sendall(begun)
            s.shutdown(socket.SHUT_WR)
            read_to_end(s)
            s.close()
        assert_idle(leat, "after their end")
        lawful.socket.close()


def handshake(leat, context):
    """The name of the cipher that is agreed on, or None."""
    try:
        with context.wrap_socket(connect(leat)) as s:
            return s.cipher()[0]
    except (ssl.SSLError, ConnectionError):
        return None


@limit(60)
def test_tls_1_2_has_authenticated_ciphers_only():
    every = ssl._create_unverified_context()
    every.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    good = re.compile(r"ECDHE-.*-(AES(128|256)-GCM-|CHACHA20-POLY1305)")
    for keys, auth in (("ec", "auth-ecdsa"), ("rsa", "auth-rsa")):
        suites = [c for c in every.get_ciphers() if c["auth"] == auth]
        works = {c["name"] for c in suites if good.match(c["name"])}
        assert len(works) >= 3 and sum(not c["aead"] for c in suites) >= 6
        with front_with_tls(keys) as leat:
            for suite in suites:
                one = ssl._create_unverified_context()
                one.maximum_version = ssl.TLSVersion.TLSv1_2
                one.set_ciphers(suite["name"] + ":@SECLEVEL=0")
                want = suite["name"] if suite["name"] in works else None
                assert handshake(leat, one) == want, suite
            fact(f"{keys}: {len(works)} of {len(suites)} suites")
            assert "Cipher is (NONE)" in s_client(
                leat.port, "-tls1_2", "-cipher", "SHA1:SHA256:SHA384:"
                "-AESGCM:-CHACHA20:@SECLEVEL=0")
            assert "ALPN protocol: http/1.1" in s_client(
                leat.port, "-alpn", "h2,http/1.1")
            assert "ALPN protocol" not in s_client(leat.port, "-alpn", "h2")
            assert "No ALPN negotiated" in s_client(leat.port)


def served(s):
    """Whether one good request on this connection is answered with 202."""
    data = b""
    try:
        s.sendall(GOOD)
        while not data.endswith(b"}\n"):
            chunk = s.recv(65536)
            if not chunk:
                return False
            data += chunk
    except OSError:
        return False
    return statuses(data) == [202]


@contextlib.contextmanager
def descriptors():
    """As many as the system allows this process; yields how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def coming(leat, data, address, every_s):
    """One more connection that sends this, again and again."""
    over, sockets = threading.Event(), []

    def come():
        while not over.wait(every_s):
            sockets.append(connect(leat, address))
            sockets[-1].sendall(data)
    thread = threading.Thread(target=come)
    thread.start()
    try:
        yield sockets
    finally:
        over.set()
        thread.join()
        reset(sockets)


@limit(120)
def test_bodies_without_end_leave_room_for_others():
    begun = post(b" " * 100)[:-99]
    for address in (HONEST, ATTACKER):
        with descriptors() as many:
            places = min(CONNECTIONS, many - 200)
            with front(max_connections=places, request_timeout_ms=600000,
                       address_share_percent=25) as leat:
                sockets = [connect(leat, address) for _ in range(places - 64)]
                for s in sockets:
                    s.sendall(begun)
                wait_until(lambda: metric(leat, "connections") >= places - 70,
                           "nearly all places are taken")
                kept, new_ones, old_ones = connect(leat), 0, 0
                with coming(leat, begun, address, 0.05) as more:
                    for _ in range(20):
                        s = connect(leat)
                        new_ones += served(s)
                        s.close()
                        old_ones += served(kept)
                        time.sleep(0.1)
                    fact(f"from {address}: {new_ones} and {old_ones} of 20 "
                         f"served, {len(more)} more came")
                    assert len(more) >= 20
                assert new_ones >= 18 and old_ones >= 18
                wait_until(lambda: metric(leat, "connections_evicted_total"),
                           "that is counted")
                kept.close()
                reset(sockets)


# What is held for requests that are not complete, and answers not taken.

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"

# A budget that few connections use up: 3 MiB of it are for what arrives.
SMALL_BUDGET = {"max_body_bytes": "1M", "max_request_events": 1000,
                "max_pending_bytes": (4 << 20) + 64_000}
LARGE = post(b" " * 600_000 + b'[{"type":"t"}]')


def in_pieces(leat, data):
    """The answers to a request whose first part arrives first."""
    s = connect(leat)
    try:
        s.sendall(data[:50_000])
        wait_received(leat, [s])
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            s.sendall(data[50_000:])
        out = b""
        while not out.endswith(b"}\n"):
            chunk = s.recv(65536)
            assert chunk, f"closed after {out}"
            out += chunk
        return statuses(out)
    finally:
        reset([s])


@limit(90)
def test_a_pipeline_is_answered_to_its_end():
    """However long it is, and though the client has ended by then."""
    with front() as leat:
        for request, count, status in ((GET, 30_000, 200), (GOOD, 2000, 202)):
            for ends in (False, True):
                s = connect(leat)

                def send():
                    s.sendall(request * count)
                    if ends:
                        s.shutdown(socket.SHUT_WR)
                sender = threading.Thread(target=send)
                sender.start()
                got, out = 0, b""
                while got < count:
                    chunk = s.recv(1 << 20)
                    assert chunk, f"{got} of {count}, then {out!r}"
                    out += chunk
                    *whole, out = out.split(b"}\n")
                    assert all(a.startswith(b"HTTP/1.1 %d " % status)
                               for a in whole), whole[-1]
                    got += len(whole)
                sender.join()
                assert not ends or read_to_end(s) == b""
                s.close()


@limit(90)
def test_a_full_budget_still_lets_answers_out():
    """Over TLS, and of requests whose body it has no room for."""
    for opened in (front, front_with_tls):
        with opened(**SMALL_BUDGET, request_timeout_ms=120000) as leat:
            context = ssl._create_unverified_context()

            def wrapped(s):
                return context.wrap_socket(s) if opened != front else s
            sockets = []
            # The last steps are smaller than an answer.
            for n in (60_000, 10_000, 1000, 150):
                for _ in range(60):
                    sockets.append(wrapped(connect(leat)))
                    sockets[-1].sendall(chunks(b"%x\r\n%s\r\n" %
                                               (n, b" " * n)))
            wait_until(lambda: metric(leat, "pending_bytes") >
                       (3 << 20) - 300, "all is used up")
            assert served(wrapped(connect(leat)))
            if opened == front:
                assert in_pieces(leat, LARGE) in ([503], [202])
                assert in_pieces(leat, LARGE.replace(b"/v1/events", b"/no")) \
                    == [404]
            reset(sockets)


@limit(90)
def test_answers_that_are_not_read_do_not_keep_the_budget():
    flood = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n" * 600
    with descriptors(), front(**SMALL_BUDGET,
                              request_timeout_ms=20000) as leat:
        began = time.monotonic()
        sockets = [connect(leat, ATTACKER, deaf=True) for _ in range(500)]
        for s in sockets:
            s.sendall(flood)
        wait_until(lambda: in_pieces(leat, LARGE) == [202],
                   "slow ones had to go", 15)
        fact(f"room after {time.monotonic() - began:.1f} s of 20")
        assert served(connect(leat))
        reset(sockets)


@limit(90)
def test_a_body_holds_the_memory_that_has_come():
    """Even where others have used that memory before."""
    head = has(b"Content-Length: 8000000", rest=b"[")
    with front(request_timeout_ms=60000) as leat:
        before, sockets = leat.ingestd.private_bytes(), []
        for _ in range(5):
            large = [connect(leat, ATTACKER) for _ in range(150)]
            for s in large:
                s.sendall(head)
            wait_received(leat, large)
            for s in large:
                s.sendall(b" " * 100_000)
            small = [connect(leat, ATTACKER) for _ in range(150)]
            sockets += small
            for s in small:
                s.sendall(head)
            wait_received(leat, large + small)
            reset(large)
            wait_until(lambda: metric(leat, "pending_bytes") < 1 << 20,
                       "the large ones have gone")
            for s in small:
                s.sendall(b" ")
        wait_received(leat, sockets)
        grown = leat.ingestd.private_bytes() - before
        fact(f"{len(sockets)} bodies of 2 bytes: {grown / 2**20:+.1f} MiB")
        assert grown < FLAT_BYTES + len(sockets) * (8 << 10)
        reset(sockets)


# What a token pays.

NDJSON_GZIP = {"Content-Type": "application/x-ndjson",
               "Content-Encoding": "gzip"}


def tokens_with(option, *names):
    """For each name a token and its line for the file, with the option."""
    made = [make_token(name) for name in names]
    return ([f"{line} {option}" for _, line in made],
            [bearer(token) for token, _ in made])


@limit(60)
def test_a_packed_body_costs_what_it_unpacks_to():
    bomb = gzip.compress(b'"\n' * 4_000_000, 9)  # broken lines
    assert len(bomb) < 8192
    lines, (hog, *others) = tokens_with("rate=1", *"abcdef")
    with front(tokens=lines) as leat:
        def send(token, body, more=NDJSON_GZIP):
            return leat.send({**token, **more}, body)[0]
        found = []

        def send_three_a_second():
            for _ in range(9):
                found.append(send(hog, bomb))
                time.sleep(1 / 3)
        share = share_of_core(leat, send_three_a_second)
        fact(f"3 a second: {share:.1%} of a core")
        assert found == [413] + [429] * 8, found
        assert share < 0.05
        # All that was unpacked or read counts, whatever became of it.
        large = b" " * 8_000_000
        for token, status, body, more in zip(
                others, (202, 413, 400, 400, 400),
                (gzip.compress(large + b"[]"), gzip.compress(large * 2),
                 gzip.compress(large)[:-20], b"[" + b"{}," * 99 + b"{}]",
                 large),
                ({"Content-Encoding": "gzip"},) * 3 + ({},) * 2):
            assert send(token, body, more) == status
            status, answer, fields = leat.send(token)
            assert status == 429, (body[:40], answer)
            # The burst is 1, and nothing below 100 was spent.
            assert int(fields["retry-after"]) > 90, fields


@limit(60)
def test_an_honest_sender_pays_for_its_events_only():
    """Though they are as large as they may be, and packed very well."""
    event = {"type": "t", "payload": {"p": "x" * 64_000}}
    lines, tokens = tokens_with("rate=1 burst=100", "plain", "packed")
    with front(tokens=lines) as leat:
        for token, many in zip(tokens, (1, 10)):
            body = json.dumps([event] * many)
            headers = token
            if many > 1:
                body = gzip.compress(body.encode())
                headers = {**token, "Content-Encoding": "gzip"}
            began, c = time.monotonic(), leat.connect()
            for i in range(100 // many):
                status, answer, _ = leat.send(headers, body, connection=c)
                assert status == 202, (i, answer)
            while leat.send(headers, body, connection=c)[0] == 202:
                i += 1
            assert i * many < 100 + time.monotonic() - began + many
            c.close()


# Many slow connections.

def favour(*pids):
    """Run these before all other processes, where that is allowed, so that
    the load of this machine is not measured."""
    with contextlib.suppress(PermissionError):
        for pid in pids:
            for thread in os.listdir(f"/proc/{pid}/task"):
                os.sched_setscheduler(int(thread), os.SCHED_RR,
                                      os.sched_param(1))


class Honest:
    """A sender in a process of its own: one request each 5 ms, in turn on a
    connection that it keeps and on a new one.  The latency counts from when
    a request was due."""
    EVERY_S = 0.005

    def __init__(self, leat):
        tls = "tls_certificate" in leat.settings["ingestd"]
        fork = multiprocessing.get_context("fork")
        self.over, self.sent = fork.Event(), fork.Value("i")
        self.ours, theirs = fork.Pipe(duplex=False)
        self.process = fork.Process(target=self._run, daemon=True,
                                    args=(leat, tls, theirs))

    def __enter__(self):
        self.process.start()
        favour(self.process.pid)
        self.send(20)
        return self

    def __exit__(self, *_):
        self.over.set()
        self.process.join(PATIENCE_S)

    def send(self, n):
        """Wait until it has sent n more requests."""
        before = self.sent.value
        wait_until(lambda: self.sent.value >= before + n or
                   not self.process.is_alive(), "honest requests", 60)

    def p99_s(self):
        """Ends it; all its requests were served."""
        self.over.set()
        assert self.ours.poll(PATIENCE_S), "no result"
        error, taken = self.ours.recv()
        assert not error, error
        return sorted(taken)[len(taken) * 99 // 100]

    def _run(self, leat, tls, result):
        context = ssl._create_unverified_context()
        taken, error = [], None

        def connection():
            s = connect(leat)
            return context.wrap_socket(s) if tls else s
        try:
            kept, due = connection(), time.monotonic()
            while not self.over.is_set():
                due += self.EVERY_S
                time.sleep(max(0, due - time.monotonic()))
                s = kept if len(taken) % 2 else connection()
                assert served(s), f"request {len(taken)}"
                taken.append(time.monotonic() - due)
                if s is not kept:
                    s.close()
                self.sent.value += 1
        except Exception as e:
            error = repr(e)
        result.send((error, taken))


@dataclasses.dataclass
class Kind:
    """What a slow connection sends, and what it does then."""
    name: str
    data: bytes
    drip: bytes = b""        # now and then
    ends: bool = False       # it closes its sending side
    deaf: bool = False       # it reads no answer
    is_work: bool = False    # until it is done the latency is not measured
    place_bytes: int = 2048  # memory of one connection, at most


def slow(leat, kind):
    """A connection of this kind."""
    s = connect(leat, ATTACKER, deaf=kind.deaf)
    s.sendall(kind.data)
    if kind.ends:
        s.shutdown(socket.SHUT_WR)
    return s


def hold(leat, kind, count):
    """While `count` connections of a kind stay: the honest sender's P99 in
    seconds, the bytes of memory, and how many connections are open."""
    sockets = []

    def come():
        for _ in range(count):
            sockets.append(slow(leat, kind))
    try:
        if kind.is_work:
            come()
            wait_until(lambda: share_of_core(leat, lambda: time.sleep(0.1))
                       < IDLE_SHARE_MAX, "the work is done")
        with Honest(leat) as honest:
            if not kind.is_work:
                come()
            for _ in range(5):
                honest.send(50)
                for s in sockets if kind.drip else []:
                    with contextlib.suppress(OSError):  # it had to go
                        s.send(kind.drip)
            p99_s = honest.p99_s()
        share = share_of_core(leat, lambda: time.sleep(0.3))
        assert share < IDLE_SHARE_MAX, (kind.name, share)
        memory = leat.ingestd.private_bytes()
        fresh(leat)
        return p99_s, memory, metric(leat, "connections")
    finally:
        reset(sockets)
        wait_until(lambda: metric(leat, "connections") < 10, "all have left")


def check_slow(leat, count, kinds):
    favour(leat.ingestd.pid, leat.batchd.pid)
    for kind in kinds:
        before, grown = leat.ingestd.private_bytes(), 0
        for _ in range(3):
            p99_s, now, there = hold(leat, kind, count)
            grown = max(grown, now - before)
            if p99_s < P99_MAX_S:
                break
        fact(f"{kind.name}: {there} open, memory {grown / 2**20:+.1f} MiB, "
             f"P99 {p99_s * 1000:.1f} ms")
        assert p99_s < P99_MAX_S, kind.name
        assert grown < FLAT_BYTES + count * kind.place_bytes, kind.name
        # All stay for whom there is room: no deadline passes here.
        assert kind.ends or kind.deaf or there >= count - 70, kind.name


def all_may_stay(count):
    return {"max_connections": count, "idle_timeout_ms": 600000,
            "header_timeout_ms": 600000, "request_timeout_ms": 600000}


BEGUN = has(b"Content-Length: 8000000", rest=b"[")
MANY_SLOW = [
    Kind("silent", b""),
    Kind("one byte", b"P"),
    Kind("half a request line", b"POST /v1/ev"),
    Kind("dripping headers", HEAD + b"X: ", drip=b"y"),
    Kind("a body begun", BEGUN),
    Kind("a dripping body", BEGUN, drip=b" "),
    Kind("a chunked body begun", chunks(CHUNK[:10])),
    Kind("a chunk line begun", chunks(b"1")),
    Kind("a dripping chunk line", chunks(b"13;a"), drip=b"a"),
    # Requests wait in buffers that become smaller as they are answered; malloc
    # cannot use all of what that leaves.
    Kind("answers not read", b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n" * 600,
         deaf=True, is_work=True, place_bytes=8192),
    Kind("half-closed in a body", BEGUN, ends=True),
    Kind("half-closed, answer not read", GOOD, ends=True),
]


@limit(240)
def test_many_slow_connections_harm_no_honest_sender():
    with descriptors() as many:
        count = min(CONNECTIONS, many - 200)
        with front(**all_may_stay(count)) as leat:
            check_slow(leat, count, MANY_SLOW)


@limit(240)
def test_many_slow_handshakes_harm_no_honest_sender():
    with descriptors() as many:
        count = min(CONNECTIONS, many - 200)
        with front_with_tls(**all_may_stay(count)) as leat:
            client = SlowTls(leat)
            client.socket.close()
            hello = client.hello
            check_slow(leat, count, [
                Kind(name, data, place_bytes=16384, **more)
                for name, data, more in (
                    ("silent", b"", {}), ("one byte", b"\x16", {}),
                    ("half a hello", hello[:100], {}),
                    ("a hello", hello, {"is_work": True}),
                    ("half-closed", hello, {"is_work": True, "ends": True}))])
