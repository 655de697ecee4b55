"""Reads the status beside the faults, and checks it each time."""
import threading
import time

EQUATION = ("stored_events", "pending_dead_letters", "dropped_events",
            "skipped_events", "lag_events")


class Watcher(threading.Thread):
    """
    Reads the status again and again, and checks in each one what is true at
    any time: the equation of docs/protocol.md.
    """

    def __init__(self, leat, every_s=0.2):
        super().__init__(daemon=True)
        self.leat, self.every_s = leat, every_s
        self.status, self.began = None, 0.0  # the newest, and when it was asked
        self.reads = 0
        self.error = None
        self.stopping = threading.Event()
        self.start()

    def run(self):
        try:
            while not self.stopping.wait(self.every_s):
                began = time.monotonic()
                status = self.leat.try_status()
                if status:
                    self.check(status)
                    self.status, self.began = status, began
                    self.reads += 1
        except BaseException as e:
            if not self.stopping.is_set():
                self.error = f"leat status: {e!r}"

    def check(self, status):
        end = status["log"]["durable_offset"]
        for s in status["sinks"]:
            parts = {k: s[k] for k in EQUATION}
            assert sum(parts.values()) == end and min(parts.values()) >= 0, \
                f"{s['name']}: {parts} do not add up to {end}: {s}"
            assert s["lag_events"] == end - s["committed"], \
                f"{s['name']}: wrong lag: {s}, the log ends at {end}"
            self.check_paused(s, status["batchd"]["pid"])

    def check_paused(self, s, pid):
        """
        A sink that is paused stores nothing.  A batchd that was killed may
        have forgotten its last commit (docs/operations.md).
        """
        for old in self.status["sinks"] if self.status else ():
            if old["name"] == s["name"] and \
                    s["state"] == old["state"] == "paused" and \
                    all(s[k] == old[k] for k in ("paused_since_us",
                                                 "generation")):
                same = self.status["batchd"]["pid"] == pid
                assert s["committed"] == old["committed"] or \
                    (not same and s["committed"] < old["committed"]), \
                    f"{s['name']} moved while it was paused: {old}, then {s}"

    def sink(self, name, since):
        """The sink in a status that was asked after `since`, or None."""
        if not self.status or self.began < since:
            return None
        return next(s for s in self.status["sinks"] if s["name"] == name)

    def stop(self):
        self.stopping.set()
        self.join(30)
