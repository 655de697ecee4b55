"""Servers that answer something else than they were asked.

Each connection of the sink meets the next lie.  Its process lives through all
of them, stops on SIGTERM, and stores every event once when it comes
to a real server.
"""
import itertools
import signal
import struct

from events import small
from leat import Leat, fact, limit, wait_until
from listener import Listener

STOP_S = 5


def take(peer, n):
    data = b""
    while len(data) < n:
        more = peer.recv(n - len(data))
        if not more:
            raise OSError("closed")
        data += more
    return data


# PostgreSQL.


def message(kind, body=b""):
    return kind + struct.pack("!i", len(body) + 4) + body


def text(*parts):
    return b"".join(p + b"\0" for p in parts)


def done(tag):
    return message(b"C", text(tag))


def error(state):
    return message(b"E", b"SERROR\0C" + state + b"\0Mno\0\0")


def rows(columns, *values):
    """A whole result; a value of None is NULL."""
    head = message(b"T", struct.pack("!h", len(columns)) + b"".join(
        text(c) + struct.pack("!ihihih", 0, 0, 25, -1, -1, 0)
        for c in columns))
    return head + b"".join(
        message(b"D", struct.pack("!h", len(row)) + b"".join(
            struct.pack("!i", -1) if v is None else
            struct.pack("!i", len(v)) + v for v in row))
        for row in values) + done(b"SELECT %d" % len(values))


READY = message(b"Z", b"I")
HELLO = message(b"R", struct.pack("!i", 0)) + b"".join(
    message(b"S", text(*pair)) for pair in (
        (b"server_version", b"15.0"), (b"in_hot_standby", b"off"),
        (b"default_transaction_read_only", b"off"))) + READY
COPY_IN, COPY_OUT, COPY_BOTH = (message(k, b"\1\0\0") for k in
                                (b"G", b"H", b"W"))
TYPES = [(b"id", b"25"), (b"type", b"25"), (b"user_id", b"25"),
         (b"payload", b"3802"), (b"created_at", b"1184"),
         (b"received_at", b"1184")]
BEGUN = done(b"BEGIN") + done(b"SET") + done(b"SET")
LOCKED = done(b"LOCK TABLE") + rows([b"attname", b"atttypid"], *TYPES)

# What a statement has in it, the step it is, its honest answer.
STATEMENTS = (
    ("pg_is_in_recovery", "check", rows([b"a", b"b"], (b"f", b"on"))),
    ("pg_terminate_backend", "frozen", rows([b"a", b"b"])),
    ("parse_ident", "look up", rows(
        [b"%d" % n for n in range(10)],
        (b"public", b"t", b"t", b"t", b"public.p", b"t", b"t", b"t", b"u",
         b"d"))),
    ("c.relkind IN", "find", rows(
        [b"a", b"b", b"c"], (b"public.events", b"t", b"f"))),
    ("relpersistence <>", "crash", rows([b"a"])),
    ("WITH RECURSIVE", "columns", rows(
        [b"a", b"b", b"c", b"d", b"e"],
        *[(name, oid, oid, b"x", b"f") for name, oid in TYPES])),
    ("leat_probe", "probe", BEGUN + rows([b"a"], (b"t",)) + LOCKED +
     done(b"CREATE TABLE") * 2 + COPY_IN),
    ("COPY ", "copy", BEGUN + rows([b"a"]) + LOCKED +
     rows([b"leat_position"]) + COPY_IN),
    ("AS leat_position", "position", rows([b"leat_position"])),
)


class Postgres(Listener):
    """Tells lies[n], in the step where it belongs, to the nth connection."""

    def __init__(self, lies):
        self.lies, self.turn = lies, itertools.count()
        self.lies_sent = 0
        super().__init__()

    def serve(self, peer):
        n = next(self.turn)
        at, lie = self.lies[n % len(self.lies)]
        while True:
            size, code = struct.unpack("!ii", take(peer, 8))
            if code == 3 << 16:
                break
            peer.sendall(b"N")  # neither TLS nor GSSAPI
        take(peer, size - 8)
        peer.sendall(HELLO)
        step = None
        while True:
            kind, size = struct.unpack("!ci", take(peer, 5))
            body = take(peer, size - 4)
            if kind == b"X":
                return
            if kind == b"Q":
                sql = body[:-1].decode()
                step, answer = next((s, a) for word, s, a in STATEMENTS
                                    if word in sql)
                if step not in ("copy", "probe"):
                    answer += READY
            elif kind == b"c":
                # Rows of a probe's batch are refused, to have it asked.
                step, answer = step + " end", error(b"22P02") + READY
            else:
                continue
            peer.sendall(lie if step == at else answer)
            self.lies_sent += step == at


def found(*events):
    return done(b"COPY 1") + done(b"DO") + rows(
        [b"n", b"state", b"message", b"detail", b"context", b"tab", b"con"],
        *[(e, b"22P02", b"x", None, None, None, None) for e in events]) + \
        done(b"ROLLBACK") + READY


SHAPES = {
    "nothing": READY,
    "no columns": rows([]) + READY,
    "rows without columns": rows([], (), ()) + READY,
    "one null": rows([b"a"], (None,)) + READY,
    "no rows": rows([b"a", b"b", b"c", b"d", b"e"]) + READY,
    "COPY to us": COPY_OUT,
    "COPY from us, too": COPY_IN + COPY_IN,
    "COPY both ways": COPY_BOTH + READY,
    "an error, then COPY": error(b"42000") + COPY_OUT,
}
STEPS = ("check", "frozen", "look up", "find", "columns", "crash", "position",
         "copy", "copy end", "probe", "probe end")
LIES = [(step, lie) for step in STEPS for lie in SHAPES.values()] + [
    ("copy", done(b"COMMIT") + READY),
    ("probe end", found(b"99999999")), ("probe end", found(b"-1")),
    ("probe end", found(b"1", b"1")), ("probe end", found(b"1", b"0"))]




def stops(sink):
    sink.signal(signal.SIGTERM)
    assert sink.wait(STOP_S) == 0


@limit(300)
def test_postgres():
    with Leat(start=False, settings={"sinkd-postgres": {
            "retry_min_ms": 1, "retry_max_ms": 1, "timeout_ms": 1000,
            "drain_ms": 500}}) as leat:
        sink, settings = leat.sink["postgres"], leat.settings["sinkd-postgres"]
        real, sent = dict(settings), 0

        def all_sent():
            """With something to store: the fake refuses what it gets."""
            nonlocal sent
            leat.accept(small("l", 10, sent))
            sent += 10
            return not sink.running or server.lies_sent >= len(LIES)

        leat.batchd.start()
        leat.ingestd.start()
        leat.intake_open()
        server = Postgres(LIES)
        settings.update(host="127.0.0.1", port=server.port)
        leat.write_conf()
        sink.start(wait=False)
        wait_until(all_sent, "all lies are sent", 120, 0.05)
        assert sink.running, sink.wait()
        fact(f"{server.lies_sent} lies, {sent} events")
        stops(sink)
        # A stop in the middle of a lie that never ends.
        server.lies, before = [("copy", COPY_OUT)], server.lies_sent
        sink.start(wait=False)
        wait_until(lambda: server.lies_sent > before, "the next lie is sent")
        stops(sink)
        server.close()
        settings.clear()
        settings.update(real)
        leat.write_conf()
        sink.start()
        leat.caught_up()
        ids = leat.pg.query("select id from events").split()
        ids += [d["event"]["id"] for d in leat.dead_letters()]
        assert len(ids) == len(set(ids)) == sent, (len(ids), len(set(ids)))
