"""The faults.  Number i of a seed is always the same fault.

A fault is a generator: it does something, yields how long to wait (seconds,
or a question that must become true), and goes on.  Faults on different
victims overlap; one victim has one fault at a time.
"""
import json
import random
import signal
import time

from ledger import GATED
from orders import Order
from world import check_reports

EXIT_S = 30
ORDER_S = 90  # for an order, with the start of a killed store


def kill(world, victim, down_s):
    """kill -9, and back after a while."""
    victim.begin_kill()
    victim.end_kill()
    yield down_s
    victim.start()


def freeze(world, victim, down_s):
    """SIGSTOP, and SIGCONT after a while."""
    victim.freeze(signal.SIGSTOP)
    yield down_s
    victim.freeze(signal.SIGCONT)


def restart(world, victim, down_s):
    """The way an operator does it.  A daemon must end with status 0."""
    was_ready = victim.ready()
    daemon = victim.daemon
    victim.down = True
    daemon.signal(getattr(victim, "gentle", signal.SIGTERM))
    yield lambda: not daemon.running
    if victim in world.stores:
        daemon.wait()
    else:
        # Before its handlers stand, a daemon ends by the signal itself.
        world.check_end(daemon, victim.name, 0,
                        *([] if was_ready else [-signal.SIGTERM]),
                        how="at SIGTERM")
    yield down_s
    victim.start()


def kill_many(world, victims, down_s):
    """All of these at one moment; back in another order."""
    for v in victims:
        v.begin_kill()
    for v in victims:
        v.end_kill()
    yield down_s
    for v in reversed(victims):
        v.start()


def full_disk(world, name, down_s):
    """The file system of the log, or of the dead letters, is full."""
    world.disks.fill(name)
    yield down_s
    world.disks.free(name)


def full_log(world, sink, down_s):
    """
    The file system of the log is full, and a sink is frozen: while all sinks
    keep up, batchd uses its segments again, and a full disk is not felt.
    """
    before = world.ledger.saw(503)
    sink.freeze(signal.SIGSTOP)
    world.disks.fill("log")
    world.senders.padding = 20000  # until it is felt
    yield lambda: world.ledger.saw(503) > before
    world.senders.padding = 100
    yield down_s
    world.disks.free("log")
    sink.freeze(signal.SIGCONT)


def small_budget(world, victim, down_s):
    """batchd is configured to leave more of the disk free than there is."""
    batchd = world.leat.settings["batchd"]
    had = batchd["min_free_bytes"]
    for value in (1 << 50, had):
        batchd["min_free_bytes"] = value
        world.leat.write_conf()
        yield from restart(world, victim, 0)
        yield down_s


def set_clock(world, seconds):
    """The daemons' wall clock jumps."""
    world.clock.set(seconds)
    world.clock_jumps += 1
    yield 0


def twin(world, victim, down_s, end):
    """A second process of a sink's name, for a while."""
    leat = world.leat
    d = leat.daemon(victim.name, r" ready\b")
    d.name, d.env = "twin of " + victim.name, victim.daemon.env
    d.start(wait=False)
    yield down_s
    d.signal(end)
    yield lambda: not d.running
    world.check_end(d, d.name, 0, -end, how=f"at {end.name}")
    check_reports(d)


class Until:
    """A question with a limit of its own."""

    def __init__(self, question, limit_s=ORDER_S):
        self.question, self.limit_s = question, limit_s

    def __call__(self):
        return self.question()


def status_of(world, name):
    """A status of the sink that is asked now."""
    since = time.monotonic()
    yield Until(lambda: world.watcher.sink(name, since))
    return world.watcher.sink(name, since)


def settled(world, name):
    """
    The status when no order of the sink is in progress, in two of them in turn:
    batchd may answer the first before it reads an order that was sent earlier.
    """
    for _ in range(2):
        since = time.monotonic()

        def is_idle(since=since):
            s = world.watcher.sink(name, since)
            return s and not s["order"]
        yield Until(is_idle)
    return world.watcher.sink(name, 0)


class Cut:
    """What cuts an order short: the command, or a process, is killed."""

    def __init__(self, victim, after_s):
        self.victim, self.after_s = victim, after_s

    def victims(self):
        return [self.victim] if self.victim and self.victim != "leat" else []

    def apply(self, order):
        if not self.victim:
            return
        yield self.after_s
        if self.victim == "leat":
            order.cut()
        else:
            yield from kill(None, self.victim, 0.05)

    def __str__(self):
        name = getattr(self.victim, "name", self.victim)
        return f", {name} killed after {self.after_s} s" if name else ""


def give(world, name, cut, *argv):
    """Give an order, and wait for its end: (the order, the status then)."""
    order = Order(world.leat, *argv)
    yield from cut.apply(order)
    yield Until(order.is_over)
    counts = world.records[name].counts
    counts[" ".join(x for x in argv[:2] if x != name)
           + f" {order.outcome}"] += 1
    return order, (yield from settled(world, name))


def resume(world, name, cut):
    for _ in range(10):
        order, s = yield from give(world, name, cut, "resume", name)
        if not s["paused"]:
            return
        assert order.outcome != "done", f"{name} is still paused: {order}"
        cut = Cut(None, 0)
        yield 0.1
    raise AssertionError(f"{name} cannot be resumed: {order}")


def pause(world, name, down_s, cut, cut_at, replay_at):
    """Paused for a while, and perhaps replayed meanwhile."""
    calm = Cut(None, 0)
    order, s = yield from give(world, name, cut if cut_at == 0 else calm,
                               "pause", name, "--why", "torture")
    assert order.outcome != "refused", str(order)
    assert s["paused"] or order.outcome != "done", f"{order}, but: {s}"
    yield down_s
    if replay_at is not None:
        yield from replay(world, name, replay_at,
                          cut if cut_at == 1 else calm)
    yield from resume(world, name, cut if cut_at == 2 else calm)


def pause_for(world, name, down_s, cut):
    """A pause ends by itself, unless the clock is set meanwhile."""
    jumps = world.clock_jumps
    order, _ = yield from give(world, name, cut, "pause",
                               name, "--for", f"{down_s}s")
    assert order.outcome != "refused", str(order)
    yield down_s
    since = time.monotonic()

    def is_over():
        s = world.watcher.sink(name, since)
        return s and (not s["paused"] or world.clock_jumps != jumps)
    yield Until(is_over)
    if world.watcher.sink(name, since)["paused"]:
        yield from resume(world, name, Cut(None, 0))


def replay(world, name, part, cut):
    """Send a part of what the log still has once more."""
    before = yield from status_of(world, name)
    first = world.watcher.status["log"]["first_offset"]
    at = before["committed"]
    to = at - int(max(0, at - first) * part)
    order, after = yield from give(world, name, cut, "replay", name, "--from",
                                   to, "--execute")
    done = after["generation"] - before["generation"]
    events = after["replayed_events"] - before["replayed_events"]
    want = {"done": (1,), "unknown": (0, 1)}.get(order.outcome, (0,))
    assert done in want and (done or not events), \
        f"{order}, from {before} to {after}"
    assert "another writer" not in order.text, str(order)
    if done:
        world.records[name].replay(to, at, to + events)


def dead_letters_of(world, name):
    """The dead letters on disk: offset -> id."""
    text = world.leat.dead_letters_text(name)
    lines = map(json.loads, text[:text.rfind("\n") + 1].splitlines())
    return {d["offset"]: d["event"]["id"] for d in lines}


def give_dead(world, name, cut, action, *selection):
    """
    Give an order about dead letters.  Once the sink has recorded it, it goes
    on by itself until the end, whatever is killed.
    """
    order, _ = yield from give(world, name, cut, "dead", action, name,
                               *selection, "--execute")
    yield Until(lambda: not world.leat.retry_files(name))
    yield from settled(world, name)
    return order


def retry(world, name, cut, gated, selection):
    """Retry dead letters, perhaps after their cause was removed."""
    if gated:
        yield Until(lambda: gated.set_gate(True))
    yield from give_dead(world, name, cut, "retry", *selection)
    if gated:
        yield Until(lambda: gated.set_gate(False))


def drop(world, name, cut, part):
    """Drop one dead letter that is below the position."""
    before = yield from status_of(world, name)
    found = [x for x in sorted(dead_letters_of(world, name).items())
               if x[0] < before["committed"]]
    if not found:
        return
    offset, id_ = found[min(int(part * len(found)), len(found) - 1)]
    order = yield from give_dead(world, name, cut, "drop", "--offset", offset)
    gone = offset not in dead_letters_of(world, name)
    want = {"done": (True,), "unknown": (True, False)}.get(order.outcome,
                                                           (False,))
    # The sink can have recorded what it is refused to finish at once.
    assert gone in want or order.outcome == "refused", \
        f"{order}, but the dead letter of {offset} is " + \
        ("gone" if gone else "there")
    if gone:
        world.records[name].drop(world.ledger.number(id_), offset)


WEIGHTS = {"kill": 40, "freeze": 14, "restart": 14, "kill store": 8,
           "restart store": 4, "freeze store": 4, "kill daemons": 6,
           "kill all": 1, "full disk": 4, "set clock": 6, "twin": 4,
           "pause": 10, "pause for": 5, "replay": 14,
           "retry": 6, "drop": 4}
SLOW = {"kafka": 0.25}  # it takes seconds to start: less often
YEAR_S = 365 * 86400


class Fault:
    def __init__(self, words, victims, make):
        self.words, self.victims, self.make = words, victims, make


def plan(world, seed, i):
    """Fault number i, ready to begin."""
    dice = random.Random(f"{seed}/{i}")
    weights = dict(WEIGHTS)
    if not world.clock:
        del weights["set clock"]
    kind = dice.choices(list(weights), weights.values())[0]
    down_s = round(dice.choice([0, dice.uniform(0, 0.2),
                                dice.uniform(0.2, 1)]), 3)
    daemon = dice.choice(world.daemons)
    store = dice.choices(world.stores, [SLOW.get(s.sink, 1) for s in
                                        world.stores])[0]
    sink = dice.choice(list(world.sinks.values()))
    cut = Cut(dice.choice([None, None, "leat", world.batchd, sink,
                           *[s for s in world.stores
                             if f"sinkd-{s.sink}" == sink.name]]),
              round(dice.choice([0, dice.uniform(0, 0.05),
                                 dice.uniform(0.05, 0.3)]), 3))
    part = round(dice.choice([0, 1, dice.random(), dice.random() / 10]), 3)
    cut_at = dice.randrange(3)
    name = sink.name.removeprefix("sinkd-")
    ordered = [f"orders of {name}", *cut.victims()]

    if kind in ("kill", "restart", "freeze"):
        does = {"kill": kill, "restart": restart, "freeze": freeze}[kind]
        return Fault(f"{kind} {daemon.name}, {down_s} s", [daemon],
                     lambda: does(world, daemon, down_s))
    if kind in ("kill store", "restart store", "freeze store"):
        does = {"k": kill, "r": restart, "f": freeze}[kind[0]]
        down_s = round(down_s * 2, 3)
        return Fault(f"{kind.split()[0]} {store.name}, {down_s} s", [store],
                     lambda: does(world, store, down_s))
    if kind in ("kill daemons", "kill all"):
        some = list(world.daemons if kind == "kill daemons" else
                    world.victims)
        dice.shuffle(some)
        return Fault(f"{kind}, {down_s} s", some,
                     lambda: kill_many(world, some, down_s))
    if kind == "full disk":
        if not world.disks.can:
            return Fault(f"small budget, {down_s} s", [world.batchd],
                         lambda: small_budget(world, world.batchd, down_s))
        disk = dice.choice(["log", "log", "dead"])
        if disk == "log":
            return Fault(f"full disk of log, {sink.name} frozen, {down_s} s",
                         [disk, sink], lambda: full_log(world, sink, down_s))
        return Fault(f"full disk of {disk}, {down_s} s", [disk],
                     lambda: full_disk(world, disk, down_s))
    if kind == "set clock":
        by_s = dice.choice([1, 60, 3600, 86400, 20 * YEAR_S]) * \
            dice.uniform(-1, 1)
        return Fault(f"set the clock by {by_s:.3f} s", ["clock"],
                     lambda: set_clock(world, by_s))
    if kind == "twin":
        end = dice.choice([signal.SIGTERM, signal.SIGKILL])
        return Fault(f"twin of {sink.name}, {down_s} s, {end.name}",
                     [f"twin of {sink.name}"],
                     lambda: twin(world, sink, down_s, end))
    if kind == "pause":
        replay_at = part if cut_at == 1 or part > 0.5 else None
        return Fault(f"pause {name}, {down_s} s"
                     + (f", replay of {part}" if replay_at is not None else "")
                     + (f"{cut} (of order {cut_at})" if cut.victim else ""),
                     ordered, lambda: pause(world, name, down_s, cut, cut_at,
                                            replay_at))
    if kind == "pause for":
        for_s = dice.randint(1, 2)
        return Fault(f"pause {name} for {for_s} s{cut}", ordered,
                     lambda: pause_for(world, name, for_s, cut))
    if kind == "replay":
        return Fault(f"replay {part} of what is kept to {name}{cut}", ordered,
                     lambda: replay(world, name, part, cut))
    if kind == "retry":
        selection = dice.choice([
            [], [], ["--limit", dice.randint(1, 5)],
            ["--type", dice.choice(["torture", GATED])]])
        gated = [s for s in world.stores if s.sink == name == "postgres"]
        if gated and dice.random() < 0.2:
            gated = []
        return Fault(f"retry dead letters of {name} {selection}"
                     + (", gate open" if gated else "") + f"{cut}",
                     list({*ordered, *gated}),
                     lambda: retry(world, name, cut, gated and gated[0],
                                   selection))
    if kind == "drop":
        return Fault(f"drop a dead letter of {name}{cut}", ordered,
                     lambda: drop(world, name, cut, part))
    raise AssertionError(kind)
