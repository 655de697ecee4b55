"""Senders that go on whatever happens to the daemons.

Each thread sends events with ids of its own, one request after another, and
remembers what a 202 promised.  What had no answer is sent no second time: it
may be stored or not, but not twice.
"""
import collections
import http.client
import json
import threading
import time
import uuid


class Load:
    """rate: events a second over all threads; None is as fast as it goes."""

    def __init__(self, leat, threads=4, events_per_request=20, rate=None,
                 padding=0):
        self.leat, self.n, self.rate = leat, events_per_request, rate
        self.port = leat.port
        self.padding = "x" * padding
        self.pause_s = threads * events_per_request / rate if rate else 0
        self.stopping = threading.Event()
        self.changed = threading.Condition()
        self.acked = []       # ids that a 202 promised
        self.sent = 0         # events, with the unanswered
        self.statuses = collections.Counter()  # "lost" for no answer
        self.retry_after = set()
        self.threads = [threading.Thread(target=self._run, daemon=True)
                        for _ in range(threads)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join(60)

    def more(self, n, timeout_s=30):
        """Wait until n more events have been accepted."""
        with self.changed:
            goal = len(self.acked) + n
            ok = self.changed.wait_for(lambda: len(self.acked) >= goal,
                                       timeout_s)
        assert ok, (f"no {n} events accepted in {timeout_s} s: "
                    f"{dict(self.statuses)}")

    def saw(self, status, timeout_s=30):
        """Wait for one more answer of this kind."""
        with self.changed:
            before = self.statuses[status]
            ok = self.changed.wait_for(
                lambda: self.statuses[status] > before, timeout_s)
        assert ok, f"no {status} in {timeout_s} s: {dict(self.statuses)}"

    def _run(self):
        connection, due = None, time.monotonic()
        while not self.stopping.is_set():
            if self.pause_s:
                due += self.pause_s
                self.stopping.wait(max(0, due - time.monotonic()))
            ids = [str(uuid.uuid4()) for _ in range(self.n)]
            body = json.dumps([{"id": i, "type": "load",
                                "payload": {"p": self.padding}} for i in ids])
            try:
                if not connection:
                    connection = http.client.HTTPConnection(
                        "127.0.0.1", self.port, timeout=30)
                connection.request("POST", "/v1/events", body,
                                   {"Content-Type": "application/json"})
                response = connection.getresponse()
                response.read()
                status = response.status
                if status == 503:
                    self.retry_after.add(response.getheader("Retry-After"))
            except (OSError, http.client.HTTPException):
                status, connection = "lost", None
            with self.changed:
                self.sent += len(ids)
                self.statuses[status] += 1
                if status == 202:
                    self.acked += ids
                self.changed.notify_all()
            if status != 202:
                # An answer of "not now" at once must not become a storm.
                self.stopping.wait(0.02)


def check_exactly_once(leat, load, table="events"):
    """Every event of every 202 is stored, and no event twice."""
    leat.caught_up()
    stored = leat.pg.query(f"select id from {table}").splitlines()
    once = set(stored)
    assert len(once) == len(stored), \
        f"{len(stored) - len(once)} events are stored twice"
    missing = [i for i in load.acked if i not in once]
    assert not missing, \
        f"{len(missing)} of {len(load.acked)} accepted events are missing"
    return len(stored)
