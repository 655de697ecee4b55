"""Speak to batchd's socket by hand: the few msgpack values that frames use."""
import socket
import struct

VERSION = 4
HELLO, WELCOME, APPEND, APPENDED, SUBSCRIBE, BATCH = 1, 2, 3, 4, 5, 6
COMMITTED, STATS, ERROR, CONTROL, REPLY, INTAKE, FLUSH = 7, 8, 9, 10, 11, 12, 13
STREAM, HALT, HALTED, SEEK = 14, 19, 20, 21
WATCH, SKIPPED, STATUS, START = 22, 23, 26, 27
INGEST, SINK, CONTROLLER, TAIL = 1, 2, 3, 4


def pack(value):
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        if 0 <= value < 128:
            return bytes([value])
        return struct.pack(">BQ", 0xcf, value) if value >= 0 else \
            struct.pack(">Bq", 0xd3, value)
    if isinstance(value, str):
        text = value.encode()
        return struct.pack(">BI", 0xdb, len(text)) + text
    if isinstance(value, (list, tuple)):
        return struct.pack(">BH", 0xdc, len(value)) + b"".join(map(pack, value))
    if isinstance(value, dict):
        return struct.pack(">BH", 0xde, len(value)) + \
            b"".join(pack(k) + pack(v) for k, v in value.items())
    raise TypeError(value)


def unpack(data):
    """The first msgpack value of data, and the bytes after it."""
    tag, rest = data[0], data[1:]

    def number(count, signed=False):
        return int.from_bytes(rest[:count], "big", signed=signed), rest[count:]

    def items(count, rest):
        values = []
        for _ in range(count):
            value, rest = unpack(rest)
            values.append(value)
        return values, rest

    if tag < 0x80 or tag >= 0xe0:
        return tag if tag < 0x80 else tag - 0x100, rest
    if tag in (0xc0, 0xc2, 0xc3):
        return {0xc0: None, 0xc2: False, 0xc3: True}[tag], rest
    if 0xcc <= tag <= 0xd3:
        return number(1 << (tag & 3), signed=tag >= 0xd0)
    # Texts, arrays and maps: a count in the tag, or in the bytes after it.
    if 0xa0 <= tag < 0xc0:
        count, kind = tag & 0x1f, "text"
    elif tag < 0xa0:
        count, kind = tag & 0x0f, "array" if tag & 0x10 else "map"
    else:
        kind, size = {0xd9: ("text", 1), 0xda: ("text", 2), 0xdb: ("text", 4),
                      0xdc: ("array", 2), 0xdd: ("array", 4),
                      0xde: ("map", 2), 0xdf: ("map", 4)}[tag]
        count, rest = number(size)
    if kind == "text":
        return rest[:count].decode(), rest[count:]
    values, rest = items(count * (2 if kind == "map" else 1), rest)
    if kind == "map":
        values = dict(zip(values[::2], values[1::2]))
    return values, rest


def event(id_="id", type_="t", user=None, payload="{}", created=1, received=2):
    return pack([id_, type_, user, payload, created, received])


def append(seq, events):
    """The header in its fixed form, and the events after it."""
    return struct.pack(">BBBQBI", 0x93, APPEND, 0xcf, seq, 0xce,
                       len(events)) + b"".join(events)


def control(id_, verb, **arguments):
    return pack([CONTROL, id_, verb]) + pack(arguments)


def batch(offset, events, last=True, again=False):
    """A frame of a batch; `events` are packed."""
    after = offset + len(events) if last else None
    return pack([BATCH, 0, offset, len(events), after, 0, again]) + \
        b"".join(events)


class Peer:
    """One connection; receive() gives frames' bytes, b"" when closed."""

    def __init__(self, leat, role=None, name="test"):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(10)
        self.socket.connect(str(leat.settings["leat"]["socket"]))
        if role:
            self.send(pack([HELLO, VERSION, role, name, 1]))
            assert self.receive_type() == WELCOME
            if role in (SINK, TAIL):
                assert self.receive_type() == STREAM
            if role == SINK:
                assert self.receive_type() == START

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        try:
            return self.socket.recv(1 << 18)
        except ConnectionResetError:
            return b""

    def receive_type(self):
        """The type of the next frame, or None when closed."""
        data = self.receive()
        if not data:
            return None
        return data[1] if data[0] & 0xf0 == 0x90 else data[3]

    def until_closed(self):
        """All frame types that still come."""
        types = []
        while (t := self.receive_type()) is not None:
            types.append(t)
        return types


class Refused(Exception):
    """batchd refuses an order; the text is the reason."""


def order(leat, verb, sink, **arguments):
    """Order something of a sink; returns the map of the reply at its end."""
    with Peer(leat, CONTROLLER) as peer:
        peer.socket.settimeout(60)
        peer.send(control(1, verb, sink=sink, **arguments))
        (_, _, ok, text), body = unpack(peer.receive())
        if not ok:
            raise Refused(text)
        return unpack(body)[0]


def begin_order(leat, verb, sink, **arguments):
    """Order something and do not wait for the end."""
    with Peer(leat, CONTROLLER) as peer:
        peer.send(control(1, verb, sink=sink, **arguments))
