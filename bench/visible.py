#!/usr/bin/python3
"""When events become visible in a store, as a client of that store sees it.

    bench/visible.py kafka BROKERS TOPIC
    bench/visible.py clickhouse URL TABLE

This program watches until SIGTERM and then prints the time from sending until
visible.  It prints `watching` on standard error when it will miss no further
event.  The time at which an event should be sent is in payload.sent_us, where
the load generator writes it; other events are skipped.  PostgreSQL records the
time of each commit and needs no watching.
"""
import http.client
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.parse

POLL_S = 0.01
SENT_US = re.compile(rb'"sent_us":(\d+)')


def quantiles(us):
    """P50, P99, P99.9 and the maximum of times in microseconds."""
    us = sorted(us)
    if not us:
        raise RuntimeError("no event became visible while watching")

    def at(q):
        return round(us[min(len(us) - 1, int(len(us) * q))])
    return {"p50": at(0.5), "p99": at(0.99), "p999": at(0.999),
            "max": at(1)}


class Kafka:
    """kcat as a read_committed consumer; notes when each event arrives."""

    def __init__(self, brokers, topic):
        self.seen_us = []
        self.child = subprocess.Popen(
            ["kcat", "-b", brokers, "-C", "-t", topic, "-o", "end", "-u",
             "-X", "isolation.level=read_committed", "-f", "%s\\n"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        # kcat prints "Reached end of topic" for each partition.
        for line in self.child.stderr:
            if b"Reached end" in line:
                break
        self.threads = [threading.Thread(target=f, daemon=True)
                        for f in (self._read, self.child.stderr.read)]
        for t in self.threads:
            t.start()

    def _read(self):
        for line in self.child.stdout:
            found = SENT_US.search(line)
            if found:
                self.seen_us.append(time.time() * 1e6 - int(found[1]))

    def stop(self):
        self.child.terminate()
        self.child.wait(10)
        for t in self.threads:
            t.join(10)
        return self.seen_us


class ClickHouse:
    """
    Queries the number of rows every 10 ms.  Rows become visible in the order
    of the log, so the n-th oldest is visible when there are n rows.
    """

    def __init__(self, url, table):
        self.address = urllib.parse.urlsplit(url).netloc
        self.table = table
        self.start_us = time.time() * 1e6
        self.counts = [(time.time() * 1e6, self._count())]
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._poll, daemon=True)
        self.thread.start()

    def _ask(self, connection, sql):
        connection.request("POST", "/", sql.encode())
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status != 200:
            raise RuntimeError(text.strip())
        return text

    def _count(self, connection=None):
        c = connection or http.client.HTTPConnection(self.address, timeout=60)
        return int(self._ask(c, f"SELECT count() FROM {self.table}"))

    def _poll(self):
        c = http.client.HTTPConnection(self.address, timeout=60)
        while not self.over.wait(POLL_S):
            n = self._count(c)
            self.counts.append((time.time() * 1e6, n))
        c.close()

    def stop(self):
        self.over.set()
        self.thread.join(60)
        self.counts.append((time.time() * 1e6, self._count()))
        sent = self._ask(
            http.client.HTTPConnection(self.address, timeout=60),
            "SELECT visitParamExtractUInt(payload, 'sent_us') AS us "
            f"FROM {self.table} WHERE us >= {self.start_us:.0f} ORDER BY us")
        before, seen, at = self.counts[0][1], [], 0
        for rank, us in enumerate(map(int, sent.split()), start=before + 1):
            while self.counts[at][1] < rank:
                at += 1
            seen.append(self.counts[at][0] - us)
        return seen


def main():
    kinds = {"kafka": Kafka, "clickhouse": ClickHouse}
    if len(sys.argv) != 4 or sys.argv[1] not in kinds:
        sys.exit(__doc__)
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    watch = kinds[sys.argv[1]](*sys.argv[2:])
    print("watching", file=sys.stderr, flush=True)
    over.wait()
    q = quantiles(watch.stop())
    print(f"P50 {q['p50'] / 1000:.0f} ms, P99 {q['p99'] / 1000:.0f} ms")


if __name__ == "__main__":
    main()
