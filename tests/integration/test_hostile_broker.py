"""sinkd-kafka against a broker that has been taken over.

A fake takes the real broker's port and answers with what no broker sends.
The sink's memory and threads stay bounded, and it goes on when the real broker
is back.
"""
import contextlib
import json
import os
import select
import socket
import struct
import threading
import time

from events import small
from kafka import kafka
from leat import Leat, fact, free_port, limit, wait_until

SECONDS = float(os.environ.get("LEAT_HOSTILE_S", "4"))  # of each behaviour
MEMORY_BYTES = 32 << 20  # beside what it was with an honest broker
THREADS = 100
# librdkafka starts a thread for each broker that it learns of.
BROKERS = 2_000
BROKER_BYTES = 200 << 10  # librdkafka 2.8 takes 150 KiB

PRODUCE, METADATA, OFFSET_FETCH, COORDINATOR = 0, 3, 9, 10
VERSIONS, INIT_PRODUCER, ADD_PARTITIONS = 18, 22, 24
# The versions that an honest broker would report, for a transaction.
APIS = {PRODUCE: (3, 7), METADATA: (0, 1), 9: (1, 1), 10: (0, 1),
        VERSIONS: (0, 0), 19: (0, 2), 22: (0, 1), 24: (0, 0), 25: (0, 0),
        26: (0, 1), 28: (0, 0)}


def text(s):
    return struct.pack(">h", len(s)) + s


def array(items, count=None):
    return struct.pack(">i", len(items) if count is None else count) + \
        b"".join(items)


def framed(body):
    return struct.pack(">i", len(body)) + body


def versions(api, version):
    """ApiVersions as it should be, or nothing."""
    if api != VERSIONS:
        return None
    rows = array([struct.pack(">hhh", k, *v) for k, v in APIS.items()])
    return struct.pack(">h", 0 if version == 0 else 35) + rows


def broker(number, host, port):
    return struct.pack(">i", number) + text(host) + \
        struct.pack(">ih", port, -1)


def partition(number, leader):
    return struct.pack(">hiiiiii", 0, number, leader, 1, leader, 1, leader)


def topic(name, partitions, count=None):
    return struct.pack(">h", 0) + text(name) + b"\0" + \
        array(partitions, count)


def metadata(brokers, topics):
    return brokers + struct.pack(">i", 1) + topics


# What each makes of a request: pieces of bytes to send, without end if it
# likes; None closes.


def silence(fake, api, version, number):
    return iter(())


def close(fake, api, version, number):
    return None


def garbage(fake, api, version, number):
    return (os.urandom(1000) for _ in range(1000))


def sizes(fake, api, version, number):
    """Frames of sizes that cannot be, one after the other."""
    bad = (-1, 0, 1, 3, -2 ** 31, 2 ** 31 - 1)
    fake.turn += 1
    return iter((struct.pack(">i", bad[fake.turn % len(bad)]), b"\0" * 100))


def endless_frame(fake, api, version, number):
    """As large as librdkafka's own limit lets through."""
    yield struct.pack(">ii", 99_000_000, number)
    while True:
        yield b"\0" * 65536


def endless_frames(fake, api, version, number):
    """Small ones that answer nothing."""
    while True:
        yield b"".join(framed(struct.pack(">i", n) + b"\0" * 20)
                       for n in range(10_000, 11_000))


def wrong_ids(fake, api, version, number):
    body = versions(api, version) or b"\0" * 100
    return iter((framed(struct.pack(">i", number + 7) + body),))


def answers(make):
    """Honest versions, and make's bytes for everything else."""
    def behave(fake, api, version, number):
        body = versions(api, version) or make(fake, api)
        return iter((framed(struct.pack(">i", number) + body),))
    behave.__name__ = make.__name__
    return behave


@answers
def zeros(fake, api):
    return b"\0" * 1_000_000


@answers
def noise(fake, api):
    return os.urandom(5000)


@answers
def counts(fake, api):
    """Arrays whose length is more than fits anywhere."""
    own = [broker(1, b"127.0.0.1", fake.port)]
    fake.turn += 1
    return (metadata(array(own, 2 ** 31 - 1), array([])),
            metadata(array(own), array([topic(b"events", [])], 2 ** 31 - 1)),
            metadata(array(own), array([topic(b"events", [], 2 ** 31 - 1)])),
            metadata(array(own), array([topic(b"events", [], -7)])))[
                fake.turn % 4]


@answers
def many_partitions(fake, api):
    """As many as fit into the largest answer, and more."""
    fake.turn += 1
    return metadata(array([broker(1, b"127.0.0.1", fake.port)]),
                    array([topic(b"events", [
                        partition(p, 1)
                        for p in range((38_000, 90_000)[fake.turn % 2])])]))


@answers
def many_topics(fake, api):
    return metadata(array([broker(1, b"127.0.0.1", fake.port)]),
                    array([topic(b"t%d" % n, [partition(0, 1)])
                           for n in range(25_000)]))


@answers
def many_brokers(fake, api):
    return metadata(array([broker(1, b"127.0.0.1", fake.port)]
                          + [broker(n, b"127.1.%d.%d" % divmod(n, 256), 9)
                             for n in range(2, BROKERS)]),
                    array([topic(b"events", [partition(p, p + 1)
                                             for p in range(BROKERS)])]))


@answers
def leads_in_circles(fake, api):
    """It names itself as leader and coordinator, and never is."""
    if api == METADATA:
        return metadata(array([broker(1, b"127.0.0.1", fake.port)]),
                        array([topic(b"events", [partition(p, 1)
                                                 for p in range(3)])]))
    if api == 10:
        return struct.pack(">ihh", 0, 0, -1) + \
            struct.pack(">i", 1) + text(b"127.0.0.1") + \
            struct.pack(">i", fake.port)
    return struct.pack(">ih", 0, 16) + text(b"x" * 30_000) * 30


def leads_nowhere(fake, api, version, number):
    """All is well, but for the numbers of the partitions: librdkafka 2.0.2
    then never ends its threads."""
    own = struct.pack(">i", 1) + text(b"127.0.0.1") + \
        struct.pack(">i", fake.port)
    bodies = {
        METADATA: metadata(array([broker(1, b"127.0.0.1", fake.port)]),
                           array([topic(b"events", [
                               partition(p, 1)
                               for p in (-1, 2 ** 31 - 1, 5, 5, 5)])])),
        OFFSET_FETCH: array([text(b"events") + array([
            struct.pack(">iq", 0, -1) + text(b"") + struct.pack(">h", 0)])]),
        COORDINATOR: struct.pack(">ihh", 0, 0, -1) + own,
        INIT_PRODUCER: struct.pack(">ihqh", 0, 0, 7, 0),
        ADD_PARTITIONS: struct.pack(">i", 0) + array([]),
    }
    body = versions(api, version) or bodies[api]
    return iter((framed(struct.pack(">i", number) + body),))


BEHAVIOURS = (silence, close, garbage, sizes, endless_frame, endless_frames,
              wrong_ids, zeros, noise, counts, many_partitions, many_topics,
              many_brokers, leads_in_circles)


class Fake(threading.Thread):
    """Serves a port until stop(); every connection has the same behaviour."""

    def __init__(self, port, behave):
        super().__init__(daemon=True)
        self.port, self.behave, self.turn = port, behave, 0
        self.over = threading.Event()
        self.requests = 0
        self.socket = socket.create_server(("127.0.0.1", port), backlog=500)
        self.start()

    def run(self):
        threads = []
        while not self.over.is_set():
            if not select.select([self.socket], [], [], 0.1)[0]:
                continue
            peer, _ = self.socket.accept()
            t = threading.Thread(target=self.serve, args=(peer,), daemon=True)
            t.start()
            threads.append(t)
        self.socket.close()
        for t in threads:
            t.join(5)

    def serve(self, peer):
        with peer, contextlib.suppress(OSError, EOFError):
            peer.settimeout(0.5)
            while not self.over.is_set():
                try:
                    head = self.take(peer, 4)
                except TimeoutError:
                    continue
                request = self.take(peer, struct.unpack(">i", head)[0])
                api, version, number = struct.unpack_from(">hhi", request)
                self.requests += 1
                pieces = self.behave(self, api, version, number)
                if pieces is None:
                    return
                for piece in pieces:
                    if self.over.is_set():
                        return
                    peer.sendall(piece)

    @staticmethod
    def take(peer, n):
        data = b""
        while len(data) < n:
            more = peer.recv(n - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def stop(self):
        self.over.set()
        self.join(30)


def threads(sink):
    return len(os.listdir(f"/proc/{sink.pid}/task"))


def suffer(leat, port, behave):
    """The sink, new and in the middle of its work, at this fake."""
    sink = leat.sink["kafka"]
    most = most_threads = 0
    fake = Fake(port, behave)
    try:
        sink.stop()
        sink.start(wait=False)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            assert sink.running, f"{behave.__name__}: the sink has ended"
            with contextlib.suppress(ProcessLookupError):  # it execs just now
                most = max(most, sink.private_bytes())
            most_threads = max(most_threads, threads(sink))
            time.sleep(0.05)
    finally:
        fake.stop()
    return most, most_threads, fake.requests


@limit(300)
def test_a_hostile_broker():
    settings = {"create_topic": "yes", "partitions": 3, "retry_max_ms": 200,
                "timeout_ms": 2000, "drain_ms": 500}
    with kafka() as broker:
        settings["brokers"] = broker.brokers
        with Leat("release", sinks=("kafka",), postgres=False,
                  settings={"sinkd-kafka": settings}) as leat:
            sink = leat.sink["kafka"]
            leat.accept(small("k", 1000))
            leat.caught_up()
            before = sink.private_bytes()
            broker.kill()
            found = {}
            for i, behave in enumerate(BEHAVIOURS):
                leat.accept(small("k", 100, 1000 + 100 * i))
                found[behave.__name__] = suffer(leat, broker.port, behave)
            for name, (most, count, requests) in found.items():
                fact(f"{name}: {requests} requests, "
                     f"+{(most - before) / 2**20:.1f} MiB, {count} threads")
            broker.start()
            leat.caught_up(120)
            ids = [json.loads(m.value)["id"] for m in broker.messages()]
            assert len(ids) == len(set(ids)) == 1000 + 100 * len(BEHAVIOURS)
            assert leat.dead_letters("kafka") == []
            brokers = {"many_brokers": BROKERS}
            bad = {name: f for name, f in found.items()
                   if f[0] - before > MEMORY_BYTES
                   + brokers.get(name, 0) * BROKER_BYTES
                   or f[1] > THREADS + brokers.get(name, 0)}
            assert not bad, bad
            assert all(f[2] > 0 for f in found.values()), found
            wait_until(lambda: threads(sink) < THREADS, "few threads")


def test_a_sink_in_which_librdkafka_hangs_stops():
    with Leat(start=False, sinks=("kafka",), postgres=False,
              settings={"sinkd-kafka": {"timeout_ms": 1000,
                                        "drain_ms": 500}}) as leat:
        sink, fake = leat.sink["kafka"], Fake(free_port(), leads_nowhere)
        leat.settings["sinkd-kafka"]["brokers"] = f"127.0.0.1:{fake.port}"
        leat.write_conf()
        leat.batchd.start()
        leat.ingestd.start()
        leat.intake_open()
        leat.accept(small("k", 10))
        sink.start()
        wait_until(lambda: leat.sink_status("kafka")["in_flight_events"],
                   "it is writing")
        sink.stop(15)
        fake.stop()
