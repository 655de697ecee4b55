"""The faults.  Number i of a seed is always the same fault.

A fault is a generator: it does something, yields how long to wait (seconds,
or a question that must become true), and goes on.  Faults on different
victims overlap; one victim has one fault at a time.
"""
import random
import signal
import subprocess

from leat import program

EXIT_S = 30


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
    status = daemon.wait()
    # Before its handlers stand, a daemon ends by the signal itself.
    assert victim in world.stores or status == 0 or \
        (status == -signal.SIGTERM and not was_ready), \
        f"{victim.name}: exit status {status} at SIGTERM"
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
    status = d.wait()
    assert status in (0, -end), f"{d.name}: exit status {status}"
    assert not d.reports(), d.reports()


def retry_dead(world, victim, down_s):
    """A retry by the sink, whose command is killed or not."""
    sink = victim.name.removeprefix("sinkd-")
    p = subprocess.Popen([program("leat", world.leat.mode), "dead", "retry",
                          sink, "--execute", "--config",
                          str(world.leat.conf)],
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    yield down_s
    p.kill()
    text = p.communicate()[1].decode("utf-8", "replace")
    assert p.returncode in (0, 1, 3, -9), (p.returncode, text)


WEIGHTS = {"kill": 40, "freeze": 14, "restart": 14, "kill store": 8,
           "restart store": 4, "freeze store": 4, "kill daemons": 6,
           "kill all": 1, "full disk": 4, "set clock": 6, "twin": 4,
           "retry dead": 4}
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
        name = dice.choice(["log", "log", "dead"])
        if name == "log":
            return Fault(f"full disk of log, {sink.name} frozen, {down_s} s",
                         [name, sink], lambda: full_log(world, sink, down_s))
        return Fault(f"full disk of {name}, {down_s} s", [name],
                     lambda: full_disk(world, name, down_s))
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
    return Fault(f"leat dead retry of {sink.name}, {down_s} s",
                 [f"retry {sink.name}"],
                 lambda: retry_dead(world, sink, down_s))
