"""Speak to batchd's socket by hand: the few msgpack values that frames use."""
import socket
import struct

VERSION = 2
HELLO, WELCOME, APPEND, APPENDED, SUBSCRIBE, BATCH = 1, 2, 3, 4, 5, 6
COMMITTED, STATS, ERROR, CONTROL, REPLY, INTAKE, FLUSH = 7, 8, 9, 10, 11, 12, 13
STATUS = 14
INGEST, SINK, CONTROLLER = 1, 2, 3


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


def event(id_="id", type_="t", user=None, payload="{}", created=1, received=2):
    return pack([id_, type_, user, payload, created, received])


def append(seq, events):
    """The header in its fixed form, and the events behind it."""
    return struct.pack(">BBBQBI", 0x93, APPEND, 0xcf, seq, 0xce,
                       len(events)) + b"".join(events)


class Peer:
    """One connection; receive() gives frames' bytes, b"" when closed."""

    def __init__(self, leat, role=None, name="test"):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(10)
        self.socket.connect(str(leat.settings["leat"]["socket"]))
        if role:
            self.send(pack([HELLO, VERSION, role, name, 1]))
            assert self.receive_type() == WELCOME

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
