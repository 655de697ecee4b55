"""Malformed frames and malformed HTTP: refused and logged once."""
import contextlib
import os
import random
import socket
import time

from events import small
from leat import Leat, limit, wait_until
from wire import (APPEND, BATCH, COMMITTED, CONTROL, CONTROLLER, ERROR, FLUSH,
                  HELLO, INGEST, INTAKE, REPLY, SINK, STATS, STATUS, SUBSCRIBE,
                  TAIL, VERSION, WATCH, WELCOME, Peer, append, batch, control, event,
                  pack)

ROUNDS = int(os.environ.get("LEAT_GARBAGE", "300"))

BAD_HELLO = [
    b"\x00", b"\xc1" * 10, b"\x95", os.urandom(100), b"x" * 100_000,
    pack([HELLO]), pack([HELLO, 99, INGEST, "n", 1]),
    pack([HELLO, VERSION, 9, "n", 1]), pack([HELLO, VERSION, INGEST, "", 1]),
    pack([HELLO, VERSION, INGEST, "UPPER", 1]),
    pack([HELLO, VERSION, INGEST, "n" * 65, 1]),
    pack([HELLO, VERSION, SINK, "an-unknown-sink", 1]),
    pack([HELLO, VERSION, INGEST, "n", 1, 2]), append(1, [event()]),
    pack([SUBSCRIBE, 0, None, 1, 1, 1, False, 0, 0]), control(1, "status"),
]

BAD_INGEST = [
    b"\x00", os.urandom(50), append(2, [event()]), append(1, []),
    append(1, [event()])[:-1], append(1, [b"\xc0"]),
    append(1, [event()]) + b"more", append(1, [event(), event()])[:-9],
    append(1, [event(id_="")]), append(1, [event(id_="i" * 129)]),
    append(1, [event(type_="")]), append(1, [event(user="u" * 257)]),
    append(1, [event(created=-1)]), append(1, [event(received=1 << 62)]),
    append(1, [pack(["a", "b", None, "{}", 1])]),
    b"\x93\x03\xcf" + b"\0" * 7 + b"\x01\xce\xff\xff\xff\xff" + event(),
    b"x" * (200 * 1024), pack([HELLO, VERSION, INGEST, "n", 1]),
    pack([COMMITTED, 0, 1, 0, 0]), pack([SUBSCRIBE, 0, None, 1, 1, 1, False, 0, 0]),
    pack([INTAKE, True, ""]), pack([WELCOME, 1, 1]),
    pack([WATCH, None, 0, True, 0]),
]

BAD_SINK = [
    append(1, [event()]), pack([COMMITTED, 0, 5, 0, 0]), pack([FLUSH, 7]),
    pack([SUBSCRIBE, 0, 1 << 40, 10, 10, 10, False, 0, 0]),
    pack([SUBSCRIBE, 0, None, 10, 1000, 10, False, 0, 0])
    + pack([SUBSCRIBE, 0, None, 10, 1000, 10, False, 0, 0]),
    batch(0, [event()]), pack([CONTROL, 1, "status"]),
    pack([CONTROL, 1, "status"]) + pack("text"),
    pack([CONTROL, 1, "status"]) + b"\x81\xa1a", os.urandom(64),
]


def closes(leat, data, role=None, name="test"):
    """batchd answers with error (if it can) and closes this one."""
    with Peer(leat, role, name) as peer:
        try:
            peer.send(data)
        except OSError:
            return
        types = peer.until_closed()
        assert set(types) <= {ERROR, INTAKE, STATUS}, (data[:40], types)


def works(leat, n):
    leat.accept(small("g", 1, n))


@limit(120)
def test_frames_that_batchd_must_refuse():
    with Leat(also=["other"]) as leat:
        before = len(leat.batchd.lines)
        for data in BAD_HELLO:
            closes(leat, data)
        works(leat, 0)
        for data in BAD_INGEST:
            closes(leat, data, INGEST)
        works(leat, 1)
        for data in BAD_SINK:
            closes(leat, data, SINK, "other")
        works(leat, 2)
        leat.caught_up()
        assert leat.pg.number("select count(*) from events") == 3
        logged = len(leat.batchd.lines) - before
        tried = len(BAD_HELLO) + len(BAD_INGEST) + len(BAD_SINK)
        assert 0 < logged <= 3 * tried, f"{logged} lines for {tried} refusals"


@limit(120)
def test_frames_mutated_at_random():
    seed = int(os.environ.get("LEAT_SEED", random.randrange(1 << 32)))
    print(f"LEAT_SEED={seed}")
    rng = random.Random(seed)
    good = [(INGEST, append(1, [event(), event("b", payload='{"a":1}')])),
            (CONTROLLER, control(7, "status")),
            (TAIL, pack([WATCH, 0, 10, True, 1 << 20])),
            (SINK, pack([SUBSCRIBE, 0, None, 10, 1000, 10, False, 0, 0])),
            (None, pack([HELLO, VERSION, CONTROLLER, "n", 1]))]
    with Leat(also=["other"]) as leat:
        for _ in range(ROUNDS):
            role, frame = rng.choice(good)
            data = bytearray(frame)
            for _ in range(rng.randint(1, 4)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            data = bytes(data[:rng.randint(1, len(data))])
            with Peer(leat, role, "other") as peer:
                try:
                    peer.send(data)
                    peer.send(data)
                except OSError:
                    pass
        # Mutated appends that were whole are events like any other.
        wait_until(lambda: len(leat.status()["daemons"]) <= 4,
                   "the closed connections are gone")
        works(leat, 0)
        leat.caught_up()
        assert leat.batchd.running and leat.sink["postgres"].running


REQUEST = (b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: "
           b"application/json\r\nContent-Length: 14\r\n\r\n"
           b'[{"type":"t"}]')

BAD_HTTP = [
    b"", b"\r\n\r\n", b"\x00" * 100, b"GARBAGE\r\n\r\n", b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
    b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 9e9\r\n\r\n",
    b"POST /v1/events HTTP/1.1\r\nHost: x\r\n"
    b"Content-Length: 99999999999999999999999\r\n\r\n",
    b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
    b"Content-Length: 6\r\n\r\nabcdef",
    b"POST /v1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    b"\r\nzz\r\nabc\r\n0\r\n\r\n",
    b"POST /v1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    b"\r\nffffffffffffffffff\r\nabc",
    b"POST /v1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n"
    b"\r\nabc",
    b"GET /%00%ff HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
    b"GET /healthz HTTP/1.1\r\nHost x\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
    REQUEST[:-3], os.urandom(5000),
]


def converse(leat, data):
    """Send, shut down the sending side, and read to the end."""
    with socket.create_connection(("127.0.0.1", leat.port), 10) as s:
        out = b""
        try:
            s.sendall(data)
            with contextlib.suppress(OSError):  # the answer is on its way
                s.shutdown(socket.SHUT_WR)
            while chunk := s.recv(65536):
                out += chunk
        except (ConnectionResetError, BrokenPipeError):
            pass
        return out


@limit(120)
def test_malformed_http():
    with Leat() as leat:
        before = len(leat.ingestd.lines)
        for data in BAD_HTTP:
            answer = converse(leat, data)
            assert b" 202 " not in answer and b" 500 " not in answer, \
                (data[:60], answer[:200])
        rng = random.Random(5)
        for _ in range(ROUNDS):
            data = bytearray(REQUEST)
            for _ in range(rng.randint(1, 5)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            converse(leat, bytes(data))
        accepted = leat.status()["log"]["next_offset"]
        works(leat, 0)
        leat.caught_up()
        assert leat.pg.number("select count(*) from events") == accepted + 1
        logged = len(leat.ingestd.lines) - before
        assert logged < 200, \
            f"{logged} lines for {len(BAD_HTTP) + ROUNDS} tries"


@limit(60)
def test_silent_peers_take_no_connection():
    """Neither from daemons nor from commands, however many they are."""
    with Leat(also=["other"], settings={"batchd": {
            "max_connections": 4, "max_tails": 8}}) as leat, \
            contextlib.ExitStack() as stack:
        silent = [stack.enter_context(Peer(leat)) for _ in range(20)]
        asking = [stack.enter_context(Peer(leat, CONTROLLER))
                  for _ in range(200)]
        leat.batchd.wait_line(r"peer evicted state=hello")
        assert silent[0].until_closed() == [ERROR]
        # The oldest are, even of those that came in the same millisecond.
        # There is room for 14, and two are daemons.
        for peer in asking[:-12]:
            assert peer.until_closed() == [ERROR]
        works(leat, 0)
        leat.caught_up()
        for d in (leat.sink["postgres"], leat.ingestd):
            d.stop()
            d.start()
        leat.intake_open()
        works(leat, 1)
        leat.caught_up()
        # The last of them that still are there.
        assert silent[-1].receive_type() == ERROR
        asking[-1].send(control(1, "status"))
        assert asking[-1].receive_type() == REPLY


@limit(60)
def test_hello_has_a_deadline():
    with Leat(postgres=False, sinks=(), also=["other"]) as leat, \
            Peer(leat) as silent:
        started = time.monotonic()
        assert silent.until_closed() == [ERROR]
        assert 4 < time.monotonic() - started < 9
        leat.batchd.wait_line("no hello within 5 s")
        with Peer(leat, SINK, "other") as sink:
            time.sleep(6)  # longer than hello may take: it has been sent
            sink.send(pack([SUBSCRIBE, 0, None, 10, 1000, 10, False, 0, 0]))
            works(leat, 0)
            assert sink.receive_type() == BATCH


@limit(60)
def test_a_daemon_too_many_is_refused():
    with Leat(postgres=False, sinks=(), also=["other"],
              settings={"batchd": {"max_connections": 4}}) as leat, \
            contextlib.ExitStack() as stack:
        for _ in range(3):  # and the ingestd of leat's
            stack.enter_context(Peer(leat, INGEST))
        with Peer(leat) as peer:
            peer.send(pack([HELLO, VERSION, SINK, "other", 1]))
            assert peer.until_closed() == [ERROR]
        works(leat, 0)
        # It answers; that a sink is not connected is not well.
        assert leat.run("leat", "status").returncode == 3
