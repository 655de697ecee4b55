"""The stores that the benchmarks measure, one class each.

A store says how it is set up, what its own bare client reaches with the same
rows, and when events became visible in it.
"""
import json
import subprocess

import leat as harness
from postgres import USER

CHECK_ROWS_EVERY_S = 0.2  # status costs CPU that the measured need


class Postgres:
    name = "postgres"
    # The server as it comes, but for what makes runs comparable: no
    # checkpoint or vacuum in the middle of one, and commit times on record.
    server = """
shared_buffers = 256MB
max_wal_size = 8GB
checkpoint_timeout = 1h
autovacuum = off
track_commit_timestamp = on
"""
    settings = {}

    def __init__(self, leat):
        self.leat = leat
        self.pg = leat.pg

    def clear(self):
        """Empty the table and leave the server nothing to do behind us."""
        self.pg.query("truncate events")
        self.pg.query("checkpoint")

    def count(self):
        return self.pg.number("select count(*) from events")

    def last_commit_s(self):
        """When the sink's last transaction was committed, seconds."""
        return float(self.pg.query(
            "select extract(epoch from max(pg_xact_commit_timestamp(xmin)))"
            " from leat_position"))

    def visible_us(self):
        """From due to be sent until committed: P50, P99, P99.9, max."""
        answer = self.pg.query("""
            with seen as (select
              extract(epoch from pg_xact_commit_timestamp(xmin)) * 1e6
              - (payload->>'sent_us')::numeric as us from events)
            select json_build_object(
              'p50', percentile_disc(0.5) within group (order by us),
              'p99', percentile_disc(0.99) within group (order by us),
              'p999', percentile_disc(0.999) within group (order by us),
              'max', max(us)) from seen""")
        return {k: round(v) for k, v in json.loads(answer).items()}

    def bare(self, rows, batch):
        """Rows a second by binary COPY alone, `batch` a transaction."""
        self.pg.query("drop table if exists bare")
        self.pg.query("create table bare (like events including all)")
        self.pg.query("checkpoint")
        done = subprocess.run(
            [harness.program("barecopy", self.leat.mode), "--json",
             "--conninfo", f"host={self.pg.folder} user={USER} "
             "dbname=postgres", "--table", "bare", "--rows", str(rows),
             "--rows-per-transaction", str(batch)],
            capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            raise RuntimeError(f"barecopy: {done.stderr.strip()}")
        self.pg.query("drop table bare")
        return json.loads(done.stdout)["rows_per_s"]


ALL = {"postgres": Postgres}
