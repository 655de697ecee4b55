"""What the benchmarks measure: each function returns a figure or a row.

Loads are limited in time and count.  Everything runs on the loopback in a
private directory, which is removed afterwards.
"""
import json
import os
import pathlib
import re
import statistics
import subprocess
import threading
import time

import leat as harness
import stores

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
SAMPLE_S = 0.1
SYNC_PROBES = 300
# The log never fills up, and keeps no events for going back.
LIMITS = {"batchd": {"max_bytes": "20G", "retain_seconds": 0}}


def program_args(leat, **options):
    argv = [harness.program("evload", leat.mode), "--json", "--port",
            str(leat.port)]
    for name, value in options.items():
        argv += ["--" + name.replace("_", "-"), str(value)]
    return argv


def send(leat, **options):
    """Run evload and return its result.  An error response is fatal."""
    done = subprocess.run(program_args(leat, **options), capture_output=True,
                          text=True, timeout=1200)
    if done.returncode != 0:
        raise RuntimeError(f"evload: {done.stderr}{done.stdout}")
    result = json.loads(done.stdout)
    if result["refused_events"] or result["unknown_events"]:
        result["note"] = (f"{result['refused_events']} refused, "
                          f"{result['unknown_events']} unknown")
    return result


class Peaks(threading.Thread):
    """Largest private memory of each daemon while the block runs, bytes."""

    def __init__(self, leat, into):
        super().__init__(daemon=True)
        self.leat, self.into = leat, into
        self.over = threading.Event()

    def run(self):
        while not self.over.wait(SAMPLE_S):
            for d in self.leat.daemons():
                try:
                    if d.running:
                        now = d.private_bytes()
                        self.into[d.name] = max(now, self.into.get(d.name, 0))
                except (OSError, ValueError):
                    pass  # the process has ended

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


def cpu_s(pid):
    """CPU seconds of a process so far, its threads included."""
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def family_cpu_s(pid):
    """CPU seconds of a process and its children, including ended ones."""
    found, parents = 0.0, {}
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # the process has ended
        parents.setdefault(int(fields[1]), []).append(
            (int(path.parent.name), fields))
        if int(path.parent.name) == pid:
            parents.setdefault(None, []).append((pid, fields))
    todo = parents.get(None, [])
    while todo:
        child, fields = todo.pop()
        found += sum(map(int, fields[11:15])) / CLOCK_TICKS
        todo += parents.get(child, [])
    return found


def sync_us(directory):
    """Time of one 64 KiB overwrite with fdatasync: P50, P99."""
    path = pathlib.Path(directory) / "sync-probe"
    block, took = b"\0" * 65536, []
    with open(path, "wb") as f:
        for _ in range(SYNC_PROBES):
            f.write(block)
        f.flush()
        os.fsync(f.fileno())
        for i in range(SYNC_PROBES):
            start = time.perf_counter()
            os.pwrite(f.fileno(), block, i * len(block))
            os.fdatasync(f.fileno())
            took.append((time.perf_counter() - start) * 1e6)
    path.unlink()
    took.sort()
    return {"p50": round(took[len(took) // 2]),
            "p99": round(took[int(len(took) * 0.99)])}


def accept(leat, events_per_request, connections, seconds):
    """Durable events/s of one load, closed loop; and the CPU it cost."""
    daemons = (leat.ingestd, leat.batchd)
    before = {d.name: cpu_s(d.pid) for d in daemons}
    row = send(leat, events_per_request=events_per_request, seconds=seconds,
               connections=connections, events=10 ** 11)
    row["cpu_s_per_million"] = {
        d.name: (cpu_s(d.pid) - before[d.name])
        / max(row["acked_events"], 1) * 1e6 for d in daemons}
    return row


def accepted(mode, seconds, sizes, connections, memory):
    """Durable events/s by events a request, no sink reading; and the CPU."""
    with harness.Leat(mode, sinks=(), postgres=False, settings=LIMITS) as leat:
        send(leat, events_per_request=100, seconds=1)
        with Peaks(leat, memory):
            return {n: accept(leat, n, connections, seconds) for n in sizes}


def wait_committed(leat, names, timeout_s):
    """Wait until these sinks have committed all events; return the time."""
    end = leat.status()["log"]["next_offset"]

    def done():
        return all(s["committed"] == end for s in leat.status()["sinks"]
                   if s["name"] in names)
    harness.wait_until(done, f"{' '.join(names)} have all events", timeout_s,
                       stores.CHECK_ROWS_EVERY_S)
    return time.time()


def names_of(into):
    return [s.name for s in into]


def last_commit_s(leat, into, timeout_s=300):
    """The time at which the last store had its last event."""
    seen_s = wait_committed(leat, names_of(into), timeout_s)
    exact = [s.last_commit_s() for s in into]
    return seen_s if None in exact else max(exact)


def batch_events(leat, name):
    """The sink's batch size as its own --check prints it."""
    done = leat.run(f"sinkd-{name}", "--check", mode=leat.mode)
    found = re.search(r"^\s*batch_events\s*=\s*(\d+)", done.stdout, re.M)
    return int(found[1]) if found else 10000


def latency(leat, into, seconds, size, memory, seed):
    """At 5,000 events/s: time to the 202, and until visible in each store."""
    for s in into:
        s.clear()
        s.watch()
    with Peaks(leat, memory):
        sent = send(leat, events_per_request=size, rate=5000, seconds=seconds,
                    seed=seed)
        wait_committed(leat, names_of(into), 60)
    return {"answer_us": sent["latency_us"],
            "visible_us": {s.name: s.visible_us() for s in into},
            "events": sent["acked_events"], "note": sent.get("note")}


def check_counts(into, events):
    for s in into:
        stored = s.count()
        if stored != events:
            raise RuntimeError(f"{s.name} holds {stored} of {events}")


def end_to_end(leat, into, events, memory, seed):
    """Send as fast as ingestd accepts, until all is committed: events/s."""
    for s in into:
        s.clear()
    start = time.time()
    with Peaks(leat, memory):
        send(leat, events=events, seconds=300, seed=seed)
        end = last_commit_s(leat, into)
    check_counts(into, events)
    return events / (end - start)


def drain(leat, into, events, memory, seed):
    """Build a backlog, start the sinks: events/s until all is committed."""
    for s in into:
        leat.sink[s.name].stop()
        s.clear()
    send(leat, events=events, seconds=300, seed=seed)
    with Peaks(leat, memory):
        for s in into:
            leat.sink[s.name].start(wait=False)
        for s in into:
            leat.sink[s.name].wait_ready()
        start = time.time()
        end = last_commit_s(leat, into)
    check_counts(into, events)
    return events / (end - start)


def bare(into, events, batches, options):
    """Events/s of the slowest bare client, all of them at the same time."""
    return min(stores.bare_of(into, events, batches, *options))


def throughput(leat, into, events, rounds, memory):
    """Bare client, drain and end to end in turn, under the same noise."""
    variants = into[0].variants if len(into) == 1 else {"": ()}
    found = {"drain": [], "end_to_end": [],
             **{"bare " + v: [] for v in variants}}
    batches = {s.name: batch_events(leat, s.name) for s in into}
    for i in range(rounds):
        for name, options in variants.items():
            found["bare " + name].append(bare(into, events, batches, options))
        found["drain"].append(
            drain(leat, into, events, memory, 1000 + 2 * i))
        found["end_to_end"].append(
            end_to_end(leat, into, events, memory, 1001 + 2 * i))
    median = {k: statistics.median(v) for k, v in found.items()}
    return {"batch_events": batches, "events": events, "runs": found,
            "per_s": median,
            "ratio": {k: v / median["bare "] for k, v in median.items()}}
