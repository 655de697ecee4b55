"""The stores that the benchmarks measure, one class for each.

A class knows how to configure its store, how fast the store's bare client
writes the same rows, and when events became visible in the store.
"""
import contextlib
import json
import os
import re
import subprocess
import time

import clickhouse
import kafka
import leat as harness
import visible
from postgres import USER

CHECK_ROWS_EVERY_S = 0.05  # reading the status costs CPU
PARTITIONS = 6


class Store:
    """`running` starts the server; attach sets leat."""

    settings = {}     # of the sink
    warm_s = 1        # of load, before anything counts
    postgres = None   # the cluster's settings, for the one store that is one
    variants = {"": ()}  # of the bare client: name and options

    def attach(self, leat):
        self.leat = leat

    def bare_command(self, rows, batch, *options):
        return [harness.program(self.client, self.leat.mode), "--json",
                "--to", self.address(), "--table", "bare", "--rows",
                str(rows), "--batch-rows", str(batch), *options]

    def bare(self, rows, batch, *options):
        """Rows a second by the bare client alone, `batch` a transaction."""
        return bare_of([self], rows, {self.name: batch}, *options)[0]


def bare_of(stores, rows, batches, *options):
    """Rows a second of each store's bare client, all at the same time."""
    for s in stores:
        s.make_bare()
    children = [subprocess.Popen(
        s.bare_command(rows, batches[s.name], *options),
        stdout=subprocess.PIPE, text=True) for s in stores]
    found = []
    for s, child in zip(stores, children):
        out, _ = child.communicate(timeout=600)
        if child.returncode != 0:
            raise RuntimeError(f"{s.client} failed")
        found.append(json.loads(out)["rows_per_s"])
    for s in stores:
        s.drop_bare()
    return found


class Postgres(Store):
    name, client = "postgres", "barecopy"
    # Default settings, except those that make runs comparable: no checkpoint
    # or vacuum during a run, and recorded commit times.
    postgres = """
shared_buffers = 256MB
max_wal_size = 8GB
checkpoint_timeout = 1h
autovacuum = off
track_commit_timestamp = on
"""
    limits = {"visible": "10, 25", "drain": "0.9"}

    @staticmethod
    @contextlib.contextmanager
    def running():
        yield Postgres()  # the harness brings the cluster

    def attach(self, leat):
        super().attach(leat)
        self.pg = leat.pg

    def address(self):
        return f"host={self.pg.directory} user={USER} dbname=postgres"

    def clear(self):
        """Empty the table, and do the checkpoint that would follow later."""
        self.pg.query("truncate events")
        self.pg.query("checkpoint")

    def count(self):
        return self.pg.number("select count(*) from events")

    def last_commit_s(self):
        """When the sink's last transaction was committed, seconds."""
        return float(self.pg.query(
            "select extract(epoch from max(pg_xact_commit_timestamp(xmin)))"
            " from leat_position"))

    def watch(self):
        self.since_us = time.time() * 1e6

    def visible_us(self):
        """Time from due until committed: P50, P99, P99.9, max."""
        answer = self.pg.query(f"""
            with seen as (select
              extract(epoch from pg_xact_commit_timestamp(xmin)) * 1e6
              - (payload->>'sent_us')::numeric as us from events
              where (payload->>'sent_us')::numeric >= {self.since_us:.0f})
            select json_build_object(
              'p50', percentile_disc(0.5) within group (order by us),
              'p99', percentile_disc(0.99) within group (order by us),
              'p999', percentile_disc(0.999) within group (order by us),
              'max', max(us)) from seen""")
        return {k: round(v) for k, v in json.loads(answer).items()}

    def make_bare(self):
        self.pg.query("drop table if exists bare")
        self.pg.query("create table bare (like events including all)")
        self.pg.query("checkpoint")

    def drop_bare(self):
        self.pg.query("drop table bare")


class Kafka(Store):
    name, client = "kafka", "bareproduce"
    variants = {"": (), "without transactions": ("--plain",)}
    limits = {"visible": "25, 50", "drain": "0.8"}
    warm_s = 10  # a JVM's

    def __init__(self, broker):
        self.broker, self.start = broker, [0] * PARTITIONS
        self.settings = {"brokers": broker.brokers, "create_topic": "yes",
                         "partitions": PARTITIONS}

    @staticmethod
    @contextlib.contextmanager
    def running():
        # Full optimization, which the broker of the tests does not use.
        os.environ.setdefault("LEAT_KAFKA_JAVA",
                              "-Xms256m -Xmx768m -XX:+UseSerialGC")
        with kafka.kafka() as broker:
            yield Kafka(broker)

    def address(self):
        return self.broker.brokers

    def clear(self):
        """A topic cannot be emptied, so count from its present end."""
        ends = self.broker.kcat("-Q", *(
            a for p in range(PARTITIONS) for a in ("-t", f"events:{p}:-1")))
        found = re.findall(rb"\[(\d+)\] offset (\d+)", ends)
        self.start = [int(o) for _, o in sorted(
            found, key=lambda f: int(f[0]))]

    def count(self):
        return sum(len(self.broker.kcat(
            "-C", "-t", "events", "-p", str(p), "-o", str(start), "-e", "-q",
            "-X", "isolation.level=read_committed", "-f", "."))
            for p, start in enumerate(self.start))

    def last_commit_s(self):
        return None

    def watch(self):
        self.watching = visible.Kafka(self.broker.brokers, "events")

    def visible_us(self):
        """As a consumer with read_committed receives them."""
        return visible.quantiles(self.watching.stop())

    def make_bare(self):
        pass  # the client creates the topic as the sink does

    def drop_bare(self):
        pass


class ClickHouse(Store):
    name, client = "clickhouse", "bareinsert"
    limits = {"visible": "", "drain": "0.9"}

    def __init__(self, server):
        self.server = server
        self.settings = {"url": server.url, "create_table": "yes"}

    @staticmethod
    @contextlib.contextmanager
    def running():
        with clickhouse.clickhouse() as server:
            yield ClickHouse(server)

    def address(self):
        return self.server.url

    def clear(self):
        self.server.query("TRUNCATE TABLE events")

    def count(self):
        return self.server.number("SELECT count() FROM events")

    def last_commit_s(self):
        return None

    def watch(self):
        self.watching = visible.ClickHouse(self.server.url, "events")

    def visible_us(self):
        """As a client that asks every 10 ms sees them."""
        return visible.quantiles(self.watching.stop())

    def make_bare(self):
        self.server.query("DROP TABLE IF EXISTS bare")
        self.server.query("CREATE TABLE bare AS events")

    def drop_bare(self):
        self.server.query("DROP TABLE bare")


ALL = {s.name: s for s in (Postgres, Kafka, ClickHouse)}
