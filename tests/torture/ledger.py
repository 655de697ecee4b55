"""What was sent, what a 202 promised, and senders that write it down.

Every event has a number; its id holds the number and the seed, so a stored id
proves that it was sent, and by whom.  What had no answer, or another one than
202, is sent no second time: it may be stored or not, but not twice.
"""
import array
import collections
import http.client
import json
import random
import threading
import time

SENT, ACKED = 1, 2
UNKNOWN = -1             # an offset
POISON = "poison-"       # such an id fits no uuid column
FAR_MS = 253402300799999  # the last moment of the year 9999
ODD_EVERY = 5000         # one event in so many is one of the two above
GATED = "gated"          # PostgreSQL refuses this type while its gate is shut
GATED_EVERY = 2000


class Ledger:
    def __init__(self, seed):
        bits = random.Random(f"{seed}/ids").getrandbits(64)
        self.prefix = f"{bits:016x}"
        self.head = f"{self.prefix[:8]}-{self.prefix[8:12]}-" \
                    f"{self.prefix[12:]}-"
        self.odd = random.Random(f"{seed}/odd")
        self.state = bytearray()  # by number: SENT or ACKED
        self.poisoned = set()
        self.far = set()
        self.gated = set()
        self.offsets = array.array("q")  # by number; UNKNOWN if not answered
        self.spans = []  # (first offset, events) of each 202
        self.statuses = collections.Counter()
        self.lock = threading.Condition()

    def take(self, n):
        """n fresh events, noted as sent."""
        with self.lock:
            first = len(self.state)
            self.state += bytes([SENT]) * n
            self.offsets.extend([UNKNOWN] * n)
            for i in range(first, first + n):
                dice = self.odd.randrange(ODD_EVERY * 2)
                if dice == 0:
                    self.poisoned.add(i)
                elif dice == 1:
                    self.far.add(i)
                elif dice % GATED_EVERY == 2:
                    self.gated.add(i)
        return range(first, first + n)

    def answered(self, numbers, status, offset=None, in_a_row=1):
        """in_a_row: events from `offset` on that lie beside each other."""
        with self.lock:
            self.statuses[status] += 1
            if status == 202:
                for i in numbers:
                    self.state[i] = ACKED
                for i in range(in_a_row):
                    self.offsets[numbers[i]] = offset + i
                self.spans.append((offset, in_a_row))
            self.lock.notify_all()

    def saw(self, status):
        """How many such answers there were; "lost" for no answer."""
        return self.statuses[status]

    def id(self, number):
        if number in self.poisoned:
            return f"{POISON}{self.prefix}-{number}"
        return f"{self.head}{number >> 48:04x}-{number & (1 << 48) - 1:012x}"

    def number(self, id_):
        """The number of an id; None if we never sent it."""
        try:
            if id_.startswith(POISON):
                prefix, n = id_[len(POISON):].split("-")
                n = int(n)
                ok = prefix == self.prefix and n in self.poisoned
            else:
                n = int(id_[19:23] + id_[24:], 16)
                ok = id_.startswith(self.head) and n not in self.poisoned
        except ValueError:
            return None
        return n if ok and n < len(self.state) else None

    def event(self, number, padding):
        event = {"id": self.id(number),
                 "type": GATED if number in self.gated else "torture",
                 "user_id": f"u{number % 1000}",
                 "payload": {"n": number, "p": "x" * padding}}
        if number in self.far:
            event["created_at"] = FAR_MS
        return event

    def check_offsets(self):
        """No two answers name the same offset (I4)."""
        at = 0
        for first, n in sorted(self.spans):
            assert first >= at, f"offset {first} was given out twice"
            at = first + n


class Senders:
    """`rate` events a second in requests of `n`, through whatever happens."""

    def __init__(self, ledger, port, threads=4, n=20, rate=1000):
        self.ledger, self.port, self.n = ledger, port, n
        self.pause_s = threads * n / rate
        self.padding = 100
        self.stopping = threading.Event()
        self.quiet = threading.Event()  # set: send nothing
        self.busy = threads             # guarded by ledger.lock
        self.error = None               # what ended a thread too early
        self.threads = [threading.Thread(target=self._run, daemon=True)
                        for _ in range(threads)]
        for t in self.threads:
            t.start()

    def pause(self, timeout_s=60):
        """Until resume() nothing is sent, and nothing is under way."""
        self.quiet.set()
        with self.ledger.lock:
            ok = self.ledger.lock.wait_for(
                lambda: self.busy == 0 or self.error, timeout_s)
        assert not self.error, self.error
        assert ok, "a request has had no answer for long"

    def resume(self):
        self.quiet.clear()

    def stop(self):
        self.stopping.set()
        self.quiet.clear()
        for t in self.threads:
            t.join(60)

    def _rest(self):
        with self.ledger.lock:
            self.busy -= 1
            self.ledger.lock.notify_all()
        while self.quiet.is_set() and not self.stopping.is_set():
            self.stopping.wait(0.02)
        with self.ledger.lock:
            self.busy += 1

    def _run(self):
        try:
            self._send()
        except BaseException as e:
            with self.ledger.lock:
                self.error = repr(e)
                self.ledger.lock.notify_all()

    def _send(self):
        connection, due = None, time.monotonic()
        while not self.stopping.is_set():
            if self.quiet.is_set():
                self._rest()
                due = time.monotonic()
                continue
            # A late sender does not catch up in a storm.
            due = max(due + self.pause_s, time.monotonic() - 1)
            self.stopping.wait(max(0, due - time.monotonic()))
            connection, status, _ = post(self.ledger, self.port, self.n,
                                         self.padding, connection)
            if status != 202:
                self.stopping.wait(0.02)


def post(ledger, port, n, padding=100, connection=None):
    """Send n events.  Returns (connection or None, status or "lost", offset)."""
    numbers = ledger.take(n)
    body = json.dumps([ledger.event(i, padding) for i in numbers])
    offset = None
    try:
        if not connection:
            connection = http.client.HTTPConnection("127.0.0.1", port,
                                                    timeout=30)
        connection.request("POST", "/v1/events", body,
                           {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
        status = response.status
        if status == 202:
            answer = json.loads(text)
            assert answer["accepted"] == n, answer
            offset = answer["offset"]
        else:
            # 503: nothing is kept; 504: that is unknown, as without answer.
            assert status in (503, 504), (status, text)
            assert int(response.getheader("Retry-After")) >= 1
    except (OSError, http.client.HTTPException):
        if connection:
            connection.close()
        status, connection = "lost", None
    # A request of several frames may lie in the log in several pieces.
    ledger.answered(numbers, status, offset, n if len(body) < 60000 else 1)
    return connection, status, offset
