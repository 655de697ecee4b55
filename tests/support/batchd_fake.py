"""A batchd that replies to control requests with what a test gives it."""
import socket
import threading

import wire


def sink(name, **changes):
    """A sink of a status."""
    stats = {"state": "writing", "error": "", "error_since_us": 0,
             "dead_letters": 0, **changes.pop("stats", {})}
    return {"name": name, "connected": True, "state": "in_flight",
            "committed": 1000, "lag_events": 0, "lag_bytes": 0, "lag_ms": 0,
            "paused": False, "order": "", "stats": stats, **changes}


class FakeBatchd:
    """Listens while it is used; self.status may change at any time."""

    def __init__(self, path, sinks):
        self.path = path
        self.orders = []  # (verb, arguments)
        self.refusal = None
        self.status = {
            "version": "fake", "now_us": 1795701600000000, "problems": [],
            "batchd": {"pid": 4711, "uptime_ms": 1000},
            "log": {"bytes": 100, "max_bytes": 1000, "segments": 1,
                    "first_offset": 0, "durable_offset": 1000,
                    "next_offset": 1000, "appended_bytes": 100,
                    "reason": "", "fsync": "always"},
            "ingest": {"processes": 1}, "sinks": sinks, "daemons": []}

    def __enter__(self):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(self.path))
        self.listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer,),
                             daemon=True).start()

    def _serve(self, peer):
        with peer:
            while data := peer.recv(1 << 17):
                header, body = wire.unpack(data)
                if header[0] == wire.CONTROL:
                    peer.send(self._reply(header[1], header[2], body))

    def _reply(self, number, verb, body):
        if verb == "status":
            self.status["batchd"]["uptime_ms"] += 1000
            self.status["now_us"] += 1000000
            return wire.pack([wire.REPLY, number, True, ""]) + \
                wire.pack(self.status)
        self.orders.append((verb, wire.unpack(body)[0]))
        if self.refusal:
            return wire.pack([wire.REPLY, number, False, self.refusal])
        for s in self.status["sinks"]:
            if s["name"] == self.orders[-1][1]["sink"]:
                s["paused"] = verb == "pause"
                s["state"] = "paused" if s["paused"] else "in_flight"
        return wire.pack([wire.REPLY, number, True, ""]) + wire.pack({})
