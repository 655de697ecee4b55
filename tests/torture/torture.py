"""The loop and the oracle."""
import collections
import os
import random
import time

from faults import EXIT_S, plan
from leat import fact, wait_until
from ledger import ACKED, UNKNOWN, Ledger, Senders, post
from watcher import EQUATION
from world import READY_S, World

CAUGHT_UP_S = 120


def crowd():
    """How many times slower than alone things go, if others are at work."""
    return max(1, os.getloadavg()[0] / (4 * os.cpu_count()))


class Running:
    def __init__(self, fault):
        self.fault, self.steps = fault, fault.make()
        self.until = 0.0      # next step, or the limit of the question
        self.question = None  # must become true before the next step

    def is_due(self):
        late = time.monotonic() >= self.until
        if not self.question:
            return late
        if self.question():
            return True
        limit = getattr(self.question, "limit_s", EXIT_S)
        assert not late, f"not within {limit} s: {self.fault.words}"
        return False

    def step(self):
        """Returns whether that was the end."""
        try:
            wait = next(self.steps)
        except StopIteration:
            return True
        self.question = wait if callable(wait) else None
        self.until = time.monotonic() + (
            getattr(wait, "limit_s", EXIT_S) if self.question else wait)
        return False


class Torture:
    """
    faults, seconds: the run is over after so many faults, or after this time,
    if at_least so many faults are done by then.
    fresh_s: how soon after the last fault a fresh event must be everywhere.
    rest and check: faults between two quiet moments, and between two checks
    of all that is stored.
    """

    def __init__(self, seed, mode="release", stores=("postgres", "kafka",
                                                     "clickhouse"),
                 faults=None, seconds=None, at_least=0,
                 rest=10, check=100, fresh_s=10,
                 rate=1000, clocked=True, write=print):
        self.seed, self.faults, self.seconds = seed, faults, seconds
        self.at_least = at_least
        self.rest, self.check_every, self.fresh_s = rest, check, fresh_s
        self.rate, self.write = rate, write
        # Rows that have come twice are seen only without the unique index.
        self.world = World(mode, stores, clocked, dedups=seed % 2 == 1)
        self.active = []
        self.fresh_took, self.memory = [], {}
        self.counts = {}
        self.done = 0

    def run(self):
        world = self.world
        self.started = time.monotonic()
        self.write(f"SEED={self.seed}")
        for name, why in world.left_out.items():
            self.write(f"LEFT OUT {name}: {why}")
        if not world.disks.can:
            self.write("no tmpfs can be mounted: small budgets instead")
        try:
            world.open()
            world.ledger = Ledger(self.seed)
            world.senders = Senders(world.ledger, world.port, rate=self.rate)
            self.loop()
            self.oracle(last=True)
            world.senders.stop()
        except BaseException as e:
            self.write(f"FAILED after {self.done} faults, SEED={self.seed}: "
                     f"{e!r}")
            world.close(e)
            raise
        world.close()
        self.report()

    def loop(self):
        pauses = random.Random(f"{self.seed}/pauses")
        while not self.is_over():
            fault = plan(self.world, self.seed, self.done)
            self.wait_for(lambda: not any(
                v in r.fault.victims for r in self.active
                for v in fault.victims))
            self.log(f"{self.done:5} {fault.words}")
            self.active.append(Running(fault))
            self.done += 1
            self.turn_for(min(pauses.expovariate(8), 0.6))
            if self.done % self.rest == 0:
                self.calm()
            if self.done % self.check_every == 0:
                self.oracle()

    def is_over(self):
        if self.faults is not None and self.done >= self.faults:
            return True
        return self.seconds is not None and self.done >= self.at_least and \
            time.monotonic() - self.started > self.seconds

    def log(self, words):
        self.write(f"{time.monotonic() - self.started:8.2f} {words}")

    # Faults under way.

    def turn(self):
        for r in list(self.active):
            if r.is_due() and r.step():
                self.active.remove(r)
        self.world.check_alive()
        for error in (self.world.senders.error, self.world.watcher.error):
            if error:
                raise AssertionError(error)

    def turn_for(self, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.turn()
            time.sleep(0.005)

    def wait_for(self, question, timeout_s=120, what="faults to end"):
        deadline = time.monotonic() + timeout_s
        self.turn()
        while not question():
            assert time.monotonic() < deadline, f"waited {timeout_s} s: {what}"
            time.sleep(0.005)
            self.turn()

    # What must be true.

    def calm(self):
        """Let all faults end; a fresh event passes soon."""
        world, leat = self.world, self.world.leat
        self.wait_for(lambda: not self.active)
        self.wait_for(lambda: all(s.ready() for s in world.stores), READY_S,
                      "the stores answer")
        began = time.monotonic()
        offset = self.send_one()

        def everywhere():
            status = leat.try_status()
            return status and all(s["committed"] > offset
                                  for s in status["sinks"])
        self.wait_for(everywhere, self.fresh_s * crowd(),
                      "a fresh event is in every store")
        self.fresh_took.append(time.monotonic() - began)
        for name, size in leat.memory().items():
            self.memory[name] = max(self.memory.get(name, 0), size)

    def send_one(self):
        world = self.world
        while True:
            _, status, offset = post(world.ledger, world.port, 1)
            if status == 202:
                return offset
            self.turn_for(0.02)

    def oracle(self, last=False):
        """Nothing under way: the stores hold what they must, no more."""
        world, leat = self.world, self.world.leat
        self.calm()
        world.senders.pause()
        leat.caught_up(CAUGHT_UP_S)
        world.ledger.check_offsets()
        assert not leat.batchd.count_lines("events are lost"), \
            "no fault damages the log, but batchd reports that it is"
        self.learn_offsets()
        for store in world.stores:
            self.check_store(store)
        if not last:
            world.senders.resume()
        acked = world.ledger.state.count(ACKED)
        self.log(f"      checked: {acked} accepted, " + ", ".join(
            f"{name} {rows} + {dead_letters} dead-lettered"
            + (f" + {doubled} doubled" if doubled else "")
            for name, (rows, dead_letters, doubled) in self.counts.items()))

    def learn_offsets(self):
        """Kafka's messages have the offsets of events without an answer, too."""
        offsets = self.world.ledger.offsets
        for store in self.world.stores:
            for offset, id_ in getattr(store, "messages", list)():
                number = self.world.ledger.number(id_)
                assert number is not None, f"{store.name}: {id_} is not ours"
                assert offsets[number] in (UNKNOWN, offset), \
                    f"{store.name}: offset {offset} of event {number}, " \
                    f"which the answer put at {offsets[number]}"
                offsets[number] = offset

    def check_store(self, store):
        """
        Each time that an accepted event was sent to the sink, it became a row
        or a dead letter.  (Of one that was refused and is sent again, the dead
        letter that is there may suffice.)  An order may have dropped the dead
        letter, or made it a row.
        """
        ledger = self.world.ledger
        record = self.world.records[store.sink]
        refused = self.world.leat.dead_letters(store.sink)
        rows, aside = [0] * len(ledger.state), bytearray(len(ledger.state))
        ids = store.ids()
        for counts, some in ((rows, ids),
                             (aside, [d["event"]["id"] for d in refused])):
            for id_ in some:
                number = ledger.number(id_)
                assert number is not None, f"{store.name}: {id_} is not ours"
                counts[number] += 1
        refusable = ledger.poisoned | ledger.far
        if store.sink == "postgres":
            refusable |= ledger.gated
        passes, most = record.passes(), record.most_passes()
        surely = record.passes(most=False)
        wrong = {}
        for i, (state, offset, n, dead) in enumerate(
                zip(ledger.state, ledger.offsets, rows, aside)):
            accepted = state == ACKED or offset != UNKNOWN
            found = n + dead + record.drops[i] if i in refusable else n
            least, limit = (1, 1) if offset == UNKNOWN or not record.replays \
                else (surely(offset), passes(offset))
            if offset == UNKNOWN:
                limit = most
            if store.dedups:
                least, limit = 1, 1 if i not in refusable else limit
            elif i in refusable:
                least = 1
            if not found and not accepted:
                continue
            what = "missing" if found < least else \
                "too often" if found > limit and store.once else \
                "dead-lettered for nothing" if dead and i not in refusable \
                else "a repeated dead letter" if dead > 1 else None
            if what:
                wrong.setdefault(what, []).append(
                    f"event {i} ({ledger.id(i)}) at {offset}: {n} rows, "
                    f"{dead} dead letters, {record.drops[i]} drops; "
                    f"{least} to {limit} expected")
        assert not wrong, f"{store.name}: " + "; ".join(
            f"{len(all_)} {what}, the first: {all_[0]}"
            for what, all_ in wrong.items()) + \
            f"; replays: {record.replays[-10:]}"
        # Each event of the log is one of these.
        gone = sum(not aside[i] for i in record.dropped)
        distinct = sum(1 for i, n in enumerate(rows) if n and not aside[i]
                       and i not in record.dropped)
        self.check_counters(store.sink, distinct, len(refused), gone)
        self.counts[store.sink] = (distinct, len(refused),
                                   len(ids) - distinct)

    def check_counters(self, sink, rows, dead_letters, dropped):
        """The counters add up to what was accepted, and are true."""
        leat = self.world.leat
        want = [rows, dead_letters, dropped, 0, 0]
        seen = {}

        def agree():
            status = leat.try_status()
            for s in status["sinks"] if status else ():
                if s["name"] == sink:
                    seen.update(s)
                    return [s[k] for k in EQUATION] == want
            return False
        # A sink reports its dead letters once a second.
        try:
            wait_until(agree, "", 5)
        except AssertionError:
            raise AssertionError(
                f"{sink}: the counters are {seen}; there are {rows} rows, "
                f"{dead_letters} dead letters, {dropped} dropped") from None
        lines = [f'leat_sink_{key}{{sink="{sink}"}} {value}\n'
                 for key, value in zip(EQUATION, want)]

        def shown():
            page = leat.request("GET", "/metrics")[1]
            return all(line in page for line in lines)
        wait_until(shown, f"/metrics shows {lines}", 5)

    def orders(self):
        counts = collections.Counter()
        for record in self.world.records.values():
            counts += record.counts
        return counts

    def report(self):
        took = sorted(self.fresh_took)
        ledger = self.world.ledger
        wanted = f" of {self.faults}" if self.faults else ""
        fact(f"{self.done}{wanted} faults in "
             f"{time.monotonic() - self.started:.0f} s, seed {self.seed}; "
             f"{ledger.state.count(ACKED)} events accepted, "
             f"{len(ledger.state) - ledger.state.count(ACKED)} not; "
             + ", ".join(f"{n}: {r} stored, {l} dead-lettered, {d} doubled"
                         for n, (r, l, d) in self.counts.items())
             + f"; fresh event after {took[len(took) // 2]:.2f} s, "
               f"{took[-1]:.2f} s at most; most memory "
             + ", ".join(f"{n} {b / (1 << 20):.0f} MiB"
                         for n, b in self.memory.items())
             + "; " + ", ".join(
                 f"{n} {what}" for what, n in sorted(self.orders().items()))
             + f"; {self.world.watcher.reads} statuses read"
             + "".join(f"; librdkafka ended its process: {line}"
                       for line in self.world.library_aborts))
