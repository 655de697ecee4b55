"""What an operator orders beside the other faults, and what comes of it.

An order is a `leat` command.  batchd goes on with what it has recorded even if
the command is killed; so what was done is read from `leat status` once no order
is in progress.
"""
import bisect
import collections
import os
import subprocess

from leat import program


class Order:
    """
    `outcome` is None until the command has ended, then "done", "nothing" (there
    was nothing to do), "refused" (nothing was changed), or "unknown".
    """

    def __init__(self, leat, *argv):
        self.argv = argv
        self.outcome, self.text = None, ""
        self.child = subprocess.Popen(
            [program("leat", "release"), *map(str, argv), "--config",
             str(leat.conf)], text=True, env={**os.environ, "LC_ALL": "C"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def is_over(self):
        if self.outcome is None and self.child.poll() is not None:
            self.text = self.child.communicate()[0].strip()
            self.outcome = self.read_outcome(self.child.returncode)
        return self.outcome is not None

    def read_outcome(self, status):
        assert status in (0, 1, 3, -9), f"{self.argv}: {status}: {self.text}"
        if "nothing to do" in self.text:
            return "nothing"
        if status in (1, -9) or status == 3 and "goes on" in self.text:
            return "unknown"
        if status == 3 and "refused" in self.text:
            return "refused"
        return "done"  # 3: but not of all dead letters

    def cut(self):
        self.child.kill()

    def __str__(self):
        return f"leat {' '.join(map(str, self.argv))}: {self.outcome}: " \
               f"{self.text}"


class Record:
    """What one sink was ordered to do, as far as it was done."""

    def __init__(self):
        # (from, sure, to): the offsets from..sure were sent once more, and
        # those from sure..to, which may have been in flight, perhaps.
        self.replays = []
        self.dropped = {}    # number of a dropped dead letter -> its offset
        self.drops = collections.Counter()  # by number, over all time
        self.counts = collections.Counter()

    def replay(self, first, sure, end):
        self.replays.append((first, min(sure, end), end))
        for number, offset in list(self.dropped.items()):
            if first <= offset < end:
                del self.dropped[number]  # it came again

    def drop(self, number, offset):
        self.dropped[number] = offset
        self.drops[number] += 1

    def passes(self, most=True):
        """A function: how often the event of an offset was sent, at most, or
        at least."""
        edges = collections.Counter()
        for first, sure, end in self.replays:
            end = end if most else sure
            edges[first] += 1
            edges[end] -= 1
        at = sorted(edges)
        times, so_far = [1], 1
        for offset in at:
            so_far += edges[offset]
            times.append(so_far)
        return lambda offset: times[bisect.bisect_right(at, offset)]

    def most_passes(self):
        passes = self.passes()
        return max((passes(first) for first, _, _ in self.replays), default=1)
