"""Servers that answer without end: a sink's memory has a bound, whatever its
store sends, and the sink goes on when the store is itself again."""
import itertools
import os
import socket
import struct
import time

from events import small
from leat import Leat, fact
from listener import Listener

BOUND_BYTES = 40 << 20  # beside what the sink has when it is idle
FLOODS = 4              # of each kind, one for each attempt of the sink


def message(kind, body):
    return kind + struct.pack("!i", len(body) + 4) + body


def text(*parts):
    return b"".join(p + b"\0" for p in parts)


AUTHENTICATED = message(b"R", struct.pack("!i", 0))
READY = message(b"Z", b"I")


def pad(one, bytes_=1 << 20):
    """As many of a message as make a large write."""
    return one * (bytes_ // len(one) + 1)


def parameters():
    """Each has a name of its own: libpq keeps them all."""
    for i in itertools.count():
        yield b"".join(message(b"S", text(b"p%d" % (i * 2000 + j), b"x" * 400))
                       for j in range(2000))


def rows():
    yield message(b"T", struct.pack("!h", 1) + b"a\0" +
                  struct.pack("!ihihih", 0, 0, 25, -1, -1, 0))
    while True:
        yield pad(message(b"D", struct.pack("!hi", 1, 50) + b"x" * 50))


def empty_rows():
    yield message(b"T", struct.pack("!h", 0))
    while True:
        yield pad(message(b"D", struct.pack("!h", 0)))


def long_error():
    """One message, of which libpq makes room for all, and gets less."""
    yield b"E" + struct.pack("!i", 100 << 20) + b"SERROR\0C42000\0M"
    while True:
        yield b"x" * (1 << 20)


def notices():
    while True:
        yield pad(message(b"N", b"SWARNING\0C01000\0Mword\0\0"))


class HostilePostgres(Listener):
    """Lets every client in; then sends what `answer` yields, until it goes."""

    def __init__(self, answer, at_start=False):
        self.answer, self.at_start = answer, at_start
        self.floods = 0
        super().__init__()

    def serve(self, connection):
        try:
            self.flood(connection)
        finally:
            self.floods += 1

    def flood(self, connection):
        while True:
            head = connection.recv(8, socket.MSG_WAITALL)
            n, code = struct.unpack("!ii", head)
            if code == 3 << 16:
                break
            connection.sendall(b"N")  # neither TLS nor GSSAPI
        connection.recv(n - 8, socket.MSG_WAITALL)
        connection.sendall(AUTHENTICATED)
        if not self.at_start:
            connection.sendall(
                message(b"S", text(b"server_version", b"15.0")) +
                message(b"S", text(b"in_hot_standby", b"off")) +
                message(b"S", text(b"default_transaction_read_only",
                                   b"off")) + READY)
            connection.recv(1)
        for piece in self.answer():
            connection.sendall(piece)


def most_bytes(sink, until):
    """The most private memory that the sink has until `until`."""
    most = 0
    deadline = time.monotonic() + 60
    while not until():
        assert time.monotonic() < deadline, "the sink stays with a flood"
        assert sink.running, f"the sink has ended: {sink.wait()}"
        try:
            most = max(most, sink.private_bytes())
        except ProcessLookupError:
            pass  # it is just being started
    return most


def quiet_memory(sink):
    """The sanitizer keeps what is freed, to find uses of it."""
    options = os.environ.get("ASAN_OPTIONS", "")
    sink.env = {"ASAN_OPTIONS": options + ":quarantine_size_mb=1"}


def test_postgres():
    with Leat(start=False, settings={"sinkd-postgres": {
            "retry_max_ms": 100}}) as leat:
        sink = leat.sink["postgres"]
        quiet_memory(sink)
        leat.batchd.start()
        leat.ingestd.start()
        leat.intake_open()
        leat.accept(small("h", 10))
        settings = leat.settings["sinkd-postgres"]
        real = dict(settings)
        for answer, at_start in ((parameters, True), (notices, True),
                                 (rows, False), (empty_rows, False),
                                 (long_error, False), (notices, False)):
            server = HostilePostgres(answer, at_start)
            settings.update(host="127.0.0.1", port=server.port)
            leat.write_conf()
            sink.start(wait=False)
            most = most_bytes(sink, lambda: server.floods >= FLOODS)
            sink.wait_line("sent more than 1024 KiB")
            fact(f"{answer.__name__}: {most >> 20} MiB")
            assert most < BOUND_BYTES, (answer.__name__, most)
            sink.stop()
            server.close()
        settings.clear()
        settings.update(real)
        leat.write_conf()
        sink.start()
        leat.caught_up()
        assert leat.pg.number("select count(*) from events") == 10


HEAD = b"HTTP/1.1 200 OK\r\n"


def headers():
    yield HEAD
    for i in itertools.count():
        yield b"".join(b"X-%d: " % (i * 1000 + j) + b"x" * 900 + b"\r\n"
                       for j in range(1000))


def provisional():
    """Answers before the answer."""
    while True:
        yield pad(b"HTTP/1.1 100 Continue\r\nX-A: " + b"x" * 900 + b"\r\n\r\n")


def one_header():
    yield HEAD + b"X-A: "
    while True:
        yield b"x" * (1 << 20)


def body():
    yield HEAD + b"\r\n"
    while True:
        yield b"x" * (1 << 20)


def chunks():
    yield HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    while True:
        yield pad(b"1\r\nx\r\n")


def chunk_extension():
    yield HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;"
    while True:
        yield b"x" * (1 << 20)


def trailers():
    yield HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"
    while True:
        yield pad(b"X-A: " + b"x" * 900 + b"\r\n")


def block(kind, size, data):
    """A block of zstd: 0 is raw, 1 the same byte `size` times."""
    return struct.pack("<I", kind << 1 | size << 3)[:3] + data


def packed():
    """4 bytes make 128 KiB, of which zstd keeps the last 128 MiB; they are a
    frame to skip for the second zstd, so that nothing comes out."""
    yield HEAD + b"Transfer-Encoding: zstd, zstd\r\n\r\n"
    yield b"\x28\xb5\x2f\xfd\0\x88" + \
        block(0, 8, struct.pack("<II", 0x184D2A50, 0xFFFFFFFF))
    while True:
        yield pad(block(1, 128 << 10, b"\0"), 4096)


class HostileClickhouse(HostilePostgres):
    def _serve(self, connection):
        with connection:
            try:
                connection.recv(1)
                for piece in self.answer():
                    connection.sendall(piece)
            except OSError:
                pass
            self.floods += 1


def test_clickhouse():
    with Leat(start=False, postgres=False, sinks=("clickhouse",),
              settings={"sinkd-clickhouse": {
                  # curl reads some floods for as long as it may.
                  "timeout_ms": 2000, "retry_max_ms": 100}}) as leat:
        sink = leat.sink["clickhouse"]
        quiet_memory(sink)
        leat.batchd.start()
        for answer in (headers, provisional, one_header, body, chunks,
                       chunk_extension, trailers, packed):
            server = HostileClickhouse(answer)
            leat.settings["sinkd-clickhouse"]["url"] = \
                f"http://127.0.0.1:{server.port}"
            leat.write_conf()
            sink.start(wait=False)
            most = most_bytes(sink, lambda: server.floods >= FLOODS)
            sink.wait_line("store unreachable")
            fact(f"{answer.__name__}: {most >> 20} MiB")
            assert most < BOUND_BYTES, (answer.__name__, most)
            sink.stop()
            server.close()
