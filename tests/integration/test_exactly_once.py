"""Events arrive whole, once, and unchanged to the byte."""
import concurrent.futures
import http.client
import os
import time

from events import (SQL_HASH, TEXT_TABLE, body, event_id, fields, row_hash)
from leat import Leat, fact, limit

# A million go into all stores in test_three_stores.
EVENTS = int(os.environ.get("LEAT_EVENTS", "200000"))
SENDERS = 2
PER_REQUEST = 500


def send_part(port, part, events):
    """One sender: every SENDERS-th request; returns (count, sum of hashes)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    count = total = 0
    for start in range(part * PER_REQUEST, events, SENDERS * PER_REQUEST):
        rows = [fields("m", i)
                for i in range(start, min(start + PER_REQUEST, events))]
        while True:
            connection.request("POST", "/v1/events", body(rows),
                               {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
            if response.status == 202:
                break
            # 503 means that nothing of it was kept, so it is sent again.  A
            # 504 would leave that unknown, and these rows have no ids.
            assert response.status == 503, (response.status, answer[:500])
            time.sleep(0.1)
        count += len(rows)
        total += sum(map(row_hash, rows))
    return count, total


@limit(300)
def test_all_events_arrive_unchanged():
    # However busy the disk is, no answer is given up.
    settings = {"ingestd": {"append_timeout_ms": 600000}}
    with Leat("release", table=TEXT_TABLE, settings=settings) as leat:
        started = time.monotonic()
        with concurrent.futures.ProcessPoolExecutor(SENDERS) as pool:
            parts = list(pool.map(send_part, [leat.port] * SENDERS,
                                  range(SENDERS), [EVENTS] * SENDERS))
        sent_s = time.monotonic() - started
        leat.caught_up(120)
        count = sum(p[0] for p in parts)
        total = sum(p[1] for p in parts)
        assert count == EVENTS
        got = leat.pg.query(f"select count(*), count(distinct id), "
                            f"sum({SQL_HASH}) from events").split("|")
        assert got == [str(EVENTS), str(EVENTS), str(total)], (got, total)
        assert leat.pg.number(
            "select count(*) from events where received_at is null "
            "or received_at > now() or received_at < "
            "now() - interval '10 min'") == 0
        assert leat.dead_letters() == []
        fact(f"{EVENTS} events sent in {sent_s:.1f} s")


@limit(120)
def test_every_field_can_be_read_back():
    """Field by field, under the sanitizers."""
    n = 5000
    rows = [fields("f", i) for i in range(n)]
    with Leat(table=TEXT_TABLE) as leat:
        for start in range(0, n, 250):
            leat.accept(body(rows[start:start + 250]))
        leat.caught_up()
        # One row in hex, so that no client has to understand it.
        stored = leat.pg.query(
            "select encode(convert_to(concat_ws(e'\\x1f', id, type, "
            "coalesce(user_id, e'\\x1e'), payload, (extract(epoch from "
            "created_at) * 1000)::bigint), 'UTF8'), 'hex') from events")
        got = {bytes.fromhex(line) for line in stored.splitlines()}
        want = {"\x1f".join((r[0], r[1], "\x1e" if r[2] is None else r[2],
                             r[3], str(r[4]))).encode() for r in rows}
        assert got == want, (list(got - want)[:3], list(want - got)[:3])


def test_types_that_postgres_understands():
    """uuid, jsonb, bigint milliseconds: numbers and nesting keep their value."""
    table = """create table events (id uuid primary key, type varchar(80),
      user_id text, payload jsonb, created_at bigint, received_at timestamp,
      extra int default 7)"""
    with Leat(table=table) as leat:
        big = "9223372036854775807"
        leat.accept(b'[{"id":"%s","type":"a","user_id":null,'
                    b'"created_at":"2026-01-31T23:59:59.123456+01:00",'
                    b'"payload":{"n":%s,"d":0.1000,"a":[1,{"b":null}]}}]'
                    % (event_id("t", 1).encode(), big.encode()))
        leat.caught_up()
        row = leat.pg.query(
            "select id, type, user_id is null, payload->>'n', "
            "payload->'d', payload->'a'->1->'b', created_at, extra "
            "from events").split("|")
        assert row == [event_id("t", 1), "a", "t", big, "0.1000", "null",
                       "1769900399123", "7"], row


def test_events_keep_their_order_and_their_offsets():
    with Leat() as leat:
        c = leat.connect()
        offsets = []
        for i in range(50):
            a = leat.accept([{"type": f"t{i}-{j}"} for j in range(3)],
                            connection=c)
            assert a["accepted"] == 3
            offsets.append(a["offset"])
        c.close()
        assert offsets == list(range(0, 150, 3))
        leat.caught_up()
        types = leat.pg.query(
            "select type from events order by ctid").splitlines()
        assert types == [f"t{i}-{j}" for i in range(50) for j in range(3)]
