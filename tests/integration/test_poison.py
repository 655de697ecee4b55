"""An event that the store refuses is dead-lettered; the flow goes on."""
import gzip
import json
import os
import random
import signal
import time

from events import event_id, small
from leat import Leat, limit, wait_until

UUID_TABLE = """create table events (id uuid not null, type text not null,
  user_id text, payload jsonb, created_at timestamptz,
  received_at timestamptz)"""
TEXT_TABLE = UUID_TABLE.replace("id uuid", "id text")


def test_one_among_five_thousand():
    with Leat(table=UUID_TABLE) as leat:
        events = small("p", 5000)
        events[3210]["id"] = "no uuid"
        events[3210]["payload"] = {"keep": "m\u00e9", "n": 1}
        for i in range(0, 5000, 1000):
            leat.accept(events[i:i + 1000])
        leat.caught_up()
        assert leat.pg.number("select count(*) from events") == 4999
        (dead,) = leat.dead_letters()
        assert dead["event"]["id"] == "no uuid", dead
        assert dead["event"]["payload"] == events[3210]["payload"], dead
        assert dead["offset"] == 3210 and dead["sink"] == "postgres", dead
        assert "uuid" in dead["reason"], dead
        wait_until(lambda: leat.sink_status()["stats"]["dead_letters"] == 1,
                   "status counts it")
        text = leat.run("leat", "status").stdout
        assert f"    dead letters in {leat.directory}/dead/postgres.ndjson; " \
            "to store them: leat dead retry postgres --execute\n" in text, text

        # Not corrected yet: it stays.
        done = leat.retry_dead("postgres")
        assert done.returncode == 3, (done.stdout, done.stderr)
        assert len(leat.dead_letters()) == 1

        leat.pg.query("alter table events alter column id type text")
        done = leat.retry_dead("postgres")
        assert done.returncode == 0, (done.stdout, done.stderr)
        assert leat.dead_letters() == []
        assert leat.pg.number("select count(*) from events") == 5000
        row = leat.pg.query("select type, payload->>'keep' from events "
                            "where id = 'no uuid'")
        assert row == "t|m\u00e9", row

        wait_until(lambda: "dead letters in" not in
                   leat.run("leat", "status").stdout, "status names no file")

        # Once more changes nothing.
        done = leat.retry_dead("postgres")
        assert done.returncode == 0, (done.stdout, done.stderr)
        assert leat.pg.number("select count(*) from events") == 5000


def test_a_schema_that_changes_under_a_running_sink():
    """The sink must notice, not write one type's bytes into another."""
    with Leat(table=UUID_TABLE) as leat:
        leat.accept(small("c", 10))
        leat.caught_up()
        leat.pg.query("alter table events alter column id type text, "
                      "alter column payload type text, "
                      "alter column created_at type bigint using 0")
        leat.accept(small("c", 10, 10))
        leat.caught_up()
        ids = set(leat.pg.query("select id from events").splitlines())
        assert ids == {event_id("c", i) for i in range(20)}, ids
        for line in leat.pg.query("select payload from events").splitlines():
            json.loads(line)
        assert leat.pg.number("select count(*) from events where created_at "
                              "> 1600000000000 and created_at < "
                              "4000000000000") == 10
        assert leat.dead_letters() == []


def test_many_poisoned_events():
    """Every second one: bisection ends, and order is kept."""
    with Leat(table=UUID_TABLE) as leat:
        events = small("m", 200)
        for i in range(0, 200, 2):
            events[i]["id"] = f"bad {i}"
        leat.accept(events)
        leat.caught_up()
        assert leat.pg.number("select count(*) from events") == 100
        assert [d["offset"] for d in leat.dead_letters()] == \
            list(range(0, 200, 2))


def test_what_the_server_alone_can_refuse():
    """A constraint; an integer overflow in a generated column."""
    table = UUID_TABLE[:-1] + """, n int generated always as
      ((payload->>'i')::int) stored, check (type <> 'forbidden'))"""
    with Leat(table=table) as leat:
        events = small("g", 50)
        events[7]["type"] = "forbidden"
        events[20]["payload"] = {"i": 99999999999}
        leat.accept(events)
        leat.accept(small("g", 50, 50))
        leat.caught_up()
        assert leat.pg.number("select count(*) from events") == 98
        reasons = {d["offset"]: d["code"] for d in leat.dead_letters()}
        assert reasons == {7: "23514", 20: "22003"}, reasons


def test_dead_letters_survive_kill():
    """kill -9 in the middle of dead-lettering: each bad event once."""
    with Leat(table=UUID_TABLE,
              settings={"sinkd-postgres": {"batch_events": 50}}) as leat:
        events = small("k", 2000)
        bad = list(range(5, 2000, 10))
        for i in bad:
            events[i]["id"] = f"bad {i}"
        sink = leat.sink["postgres"]
        sink.kill()
        for i in range(0, 2000, 500):
            leat.accept(events[i:i + 500])
        for n in (10, 60, 110, 160):
            sink.start()
            wait_until(lambda: leat.dead_letters_text().count("\n") >= n,
                       f"{n} dead letters", pause_s=0.001)
            sink.kill()
        sink.start()
        leat.caught_up()
        assert leat.pg.number("select count(*) from events") == 2000 - len(bad)
        assert [d["offset"] for d in leat.dead_letters()] == bad


def test_a_stop_in_a_flood_of_bad_events_then_a_corrected_table():
    """It stops in time; what has a letter is stored by a retry alone."""
    # A trigger for each statement: no probe, so each one is searched for.
    table = TEXT_TABLE[:-1] + """, constraint c check (id not like 'bad %'));
      create function nothing() returns trigger language plpgsql as $$
      begin return null; end $$;
      create trigger t before insert on events for each statement
      execute function nothing()"""
    with Leat(table=table,
              settings={"sinkd-postgres": {"drain_ms": 500}}) as leat:
        events = small("f", 10000)
        for e in events:
            e["id"] = "bad " + e["id"]
        sink = leat.sink["postgres"]
        sink.kill()
        for i in range(0, 10000, 1000):
            leat.accept(events[i:i + 1000])
        sink.start()
        # status shows it as it goes on.
        wait_until(lambda: leat.sink_status()["stats"]["dead_letters"] >= 20,
                   "20 dead letters", pause_s=0.001)
        sink.signal(signal.SIGTERM)
        assert sink.wait(8) == 0
        dead_letters = len(leat.dead_letters())
        assert 20 <= dead_letters < 10000, dead_letters
        leat.pg.query("alter table events drop constraint c")
        # No order reaches a sink that is stopped.
        done = leat.retry_dead("postgres")
        assert done.returncode == 3, (done.stdout, done.stderr)
        assert "is not connected" in done.stderr, done.stderr
        assert leat.pg.number("select count(*) from events") == 0
        sink.start()
        leat.caught_up()
        assert leat.pg.number("select count(*) from events") == \
            10000 - dead_letters
        done = leat.retry_dead("postgres")
        assert done.returncode == 0, (done.stdout, done.stderr)
        assert leat.dead_letters() == []
        assert leat.pg.number("select count(*) from events") == 10000
        assert leat.pg.number("select count(distinct id) from events") == 10000


def test_a_senders_own_retries_with_dedup_by_id():
    settings = {"sinkd-postgres": {"dedup_by_id": "yes"}}
    with Leat(settings=settings) as leat:
        leat.accept(small("d", 100))
        leat.accept(small("d", 100))
        leat.accept(small("d", 100, 50) + small("d", 10))
        leat.caught_up()
        assert leat.pg.number("select count(*) from events") == 150
        assert leat.dead_letters() == []
        # Stored events are counted apart from those dropped for their id.
        wait_until(lambda: leat.sink_status()["stats"]["duplicates"] == 160,
                   "status counts the duplicates")
        assert leat.sink_status()["stats"]["events"] == 150
        wait_until(lambda: 'leat_sink_duplicates_total{sink="postgres"} 160'
                   in leat.request("GET", "/metrics")[1], "and so does /metrics")
        assert "not stored again, for their id: 160" in \
            leat.run("leat", "status").stdout


def test_a_row_that_a_trigger_drops_is_no_duplicate():
    drop = """create function drop_it() returns trigger language plpgsql as $$
      begin if new.type = 'drop' then return null; end if; return new; end $$;
      create trigger drop_it before insert on {}
        for each row execute function drop_it()"""
    columns = ("(id text, type text, user_id text, payload jsonb, "
               "created_at timestamptz, received_at timestamptz)")
    plain = f"create table events {columns}; create unique index on events (id)"
    parts = (f"create table events {columns} partition by hash (id); create "
             "table p partition of events for values with (modulus 1, "
             "remainder 0); create unique index on events (id)")
    for sql, on in ((plain, "events"), (parts, "p")):
        with Leat(table=f"{sql}; {drop.format(on)}", settings={
                "sinkd-postgres": {"dedup_by_id": "yes"}}) as leat:
            events = small("t", 100)
            for e in events[:30]:
                e["type"] = "drop"
            leat.accept(events)
            leat.accept(events[20:50] + events[45:50])
            leat.caught_up()
            assert leat.pg.number("select count(*) from events") == 70
            wait_until(lambda: [leat.sink_status()["stats"][k] for k in
                                ("events", "duplicates")] == [110, 25],
                       "30 and 10 dropped ones, 25 duplicates")


def test_an_id_that_another_sender_used_first():
    settings = {"sinkd-postgres": {"dedup_by_id": "yes"}}
    with Leat(settings=settings) as leat:
        leat.accept([{"id": "x", "type": "first"}])
        leat.accept([{"id": "x", "type": "second"}])
        leat.caught_up()
        assert leat.pg.query("select type from events") == "first"
        wait_until(lambda: [leat.sink_status()["stats"][k] for k in
                            ("events", "duplicates")] == [1, 1],
                   "one is stored, one is a duplicate")


TRY = """create function try_jsonb(t text) returns boolean language plpgsql as
  $$ begin perform t::jsonb; return true;
     exception when others then return false; end $$"""


def numbers(count):
    """JSON numbers, most of them near the limits of PostgreSQL's numeric."""
    rng = random.Random(12)
    for _ in range(count):
        integer = rng.choice(["0", "1", "9" * rng.randint(1, 9), "10",
                              str(rng.randint(1, 10 ** 40))])
        fraction = rng.choice(["", "", ".0", ".5", ".00001",
                               "." + "0" * rng.randint(1, 40) + "7"])
        around = rng.choice([0, 131072, 131071, -16383, -16384, 1 << 30,
                             -(1 << 30), 200000, -200000])
        exponent = around + rng.randint(-45, 45)
        yield (rng.choice(["", "-"]) + integer + fraction + rng.choice("eE") +
               (rng.choice(["", "+"]) if exponent >= 0 else "") +
               str(exponent))


@limit(120)
def test_numbers_that_jsonb_cannot_hold_are_those_that_the_server_refuses():
    with Leat(table=TEXT_TABLE + ";" + TRY) as leat:
        texts = [f'{{"a":[{{"b":{n}}}],"c":"{n}"}}' for n in numbers(4000)]
        for i in range(0, len(texts), 1000):
            body = ",".join(
                f'{{"id":"{i + j}","type":"t","payload":{text}}}'
                for j, text in enumerate(texts[i:i + 1000]))
            status, answer = leat.post(f"[{body}]".encode())[:2]
            assert status == 202, answer
        leat.caught_up()
        takes = {}
        for i in range(0, len(texts), 500):
            rows = leat.pg.query(
                "select n, try_jsonb(t) from (values " + ",".join(
                    f"({i + j},'{t}')" for j, t in
                    enumerate(texts[i:i + 500])) + ") v(n, t)")
            takes.update((n, good == "t") for n, good in
                         (row.split("|") for row in rows.splitlines()))
        stored = set(leat.pg.query("select id from events").splitlines())
        dead = {d["event"]["id"] for d in leat.dead_letters()}
        assert stored == {i for i, good in takes.items() if good}
        assert dead == {i for i, good in takes.items() if not good}
        assert 1000 < len(dead) < 3000, len(dead)
        assert {d["code"] for d in leat.dead_letters()} == {"22003"}


def flood(leat, event, count=100000, before=0):
    """One request of many equal events; seconds until a good event is in."""
    body = gzip.compress(b"\n".join([event] * count))
    assert len(body) < 20000, len(body)
    status = leat.post(body, {"Content-Type": "application/x-ndjson",
                              "Content-Encoding": "gzip"})[0]
    assert status == 202, status
    start = time.monotonic()
    leat.accept([{"id": "good", "type": "good"}])
    wait_until(lambda: leat.pg.number("select count(*) from events where "
                                      "id = 'good'") == 1,
               "the good event", timeout_s=100)
    seconds = time.monotonic() - start
    leat.caught_up()
    assert leat.dead_letters_text().count("\n") == count
    assert leat.pg.number("select count(*) from events") == before + 1
    return seconds


FLOODS = {
    "numeric": (TEXT_TABLE, b'{"type":"t","payload":{"a":1e200000}}'),
    "check": (TEXT_TABLE[:-1] + ", check (type <> 't'))", b'{"type":"t"}'),
    "varchar": (TEXT_TABLE.replace("user_id text", "user_id varchar(4)"),
                b'{"type":"t","user_id":"12345"}'),
    "trigger": (TEXT_TABLE + """; create function refuse() returns trigger
       language plpgsql as $$ begin
         if new.type = 't' then raise exception 'not %', new.id; end if;
         return new; end $$;
       create trigger t before insert on events for each row
       execute function refuse()""", b'{"type":"t"}'),
}


@limit(300)
def test_a_flood_of_refused_events_delays_the_next_good_one_by_little():
    # The first is known before COPY, the others only the server can tell.
    bounds = {"numeric": 2}
    for name, (table, event) in FLOODS.items():
        with Leat("release", table=table) as leat:
            seconds = flood(leat, event)
            busy = max(1, os.getloadavg()[0] / os.cpu_count() / 4)
            assert seconds < bounds.get(name, 20) * busy, (name, seconds)


@limit(200)
def test_a_flood_of_refused_events_with_the_sanitizers():
    for name, (table, event) in FLOODS.items():
        with Leat(table=table) as leat:
            seconds = flood(leat, event, 20000)
            assert seconds < 60, (name, seconds)


def trigger(body):
    """The table with a trigger that may fail at an event."""
    return TEXT_TABLE + f"""; create table shops (name text, owner text);
      insert into shops values ('open', 'ann'), ('open 2', 'bob');
      create function look() returns trigger language plpgsql as $$
      declare n int; begin {body} return new; end $$;
      create trigger t before insert on events for each row
      execute function look()"""


# What fails at "bad" with a code that mostly means a wrong configuration.
FAILS_AT_BAD = {
    "20000": "case new.type when 'good' then null; end case;",
    "P0002": "if new.type = 'bad' then select 1 into strict n from shops "
             "where name = new.user_id; end if;",
    "P0004": "assert new.type <> 'bad';",
    "21000": "if new.type = 'bad' then new.user_id := (select owner from shops "
             "where name like 'open%'); end if;",
    "42601": "if new.type = 'bad' then perform jsonb_path_exists(new.payload, "
             "(new.payload->>'path')::jsonpath); end if;",
    "42704": "perform coalesce(new.payload->>'language', 'simple')::regconfig;",
    "42P01": "if new.type <> 'good' then execute format('insert into %I "
             "values (1)', new.type); end if;",
    "42501": "if new.type = 'bad' then raise insufficient_privilege; end if;",
}


@limit(200)
def test_an_event_that_a_trigger_fails_at_stops_no_other():
    """Whatever the code: the table takes an ordinary event, so it is this one."""
    bad = {"type": "bad", "payload": {"path": "$..[", "language": "none"}}
    for i, (code, body) in enumerate(FAILS_AT_BAD.items()):
        table = trigger(body) + "; create unique index on events (id)"
        settings = {"dedup_by_id": "yes" if i % 2 else "no"}
        with Leat(table=table, settings={"sinkd-postgres": settings}) as leat:
            leat.accept([{"type": "good"}])
            leat.caught_up()
            leat.accept([bad])
            leat.accept([{"type": "good"}, bad] * 20)
            leat.accept([{"type": "good"}])
            leat.caught_up()
            assert leat.pg.number("select count(*) from events") == 22, code
            assert [d["code"] for d in leat.dead_letters()] == [code] * 21


def test_a_trigger_that_fails_at_ordinary_events_is_waited_for():
    """At all of them, or at those of now: then no event is at fault."""
    bodies = {
        "does not exist": "new.user_id := (select missing from shops);",
        "now": "if new.received_at > '2020-01-01' then execute 'insert into "
               "events_' || to_char(new.received_at, 'YYYYMM') || "
               "' values (1)'; end if;"}
    for name, body in bodies.items():
        with Leat(table=trigger(body)) as leat:
            leat.pg.query("alter table events disable trigger t")
            leat.accept([{"type": "good", "created_at": "2019-01-01T00:00:00Z"}])
            leat.caught_up()
            leat.pg.query("alter table events enable trigger t")
            leat.accept([{"type": "good"}] * 3)
            leat.misconfigured("does not exist")
            leat.pg.query("alter table events disable trigger t")
            leat.caught_up()
            assert leat.pg.number("select count(*) from events") == 4, name


@limit(200)
def test_a_flood_of_events_that_a_trigger_fails_at():
    table = trigger(FAILS_AT_BAD["20000"])
    with Leat("release", table=table) as leat:
        leat.accept([{"type": "good", "id": "first"}])
        leat.caught_up()
        seconds = flood(leat, b'{"type":"bad"}', 20000, 1)
        busy = max(1, os.getloadavg()[0] / os.cpu_count() / 4)
        assert seconds < 20 * busy, seconds


@limit(200)
def test_no_sender_stops_a_sink_by_its_dead_letters():
    """One fills dead_max_bytes, with one type and then with many."""
    big = {"text": "x" * 2000}
    with Leat(table=TEXT_TABLE[:-1] + ", check (type not like 'bad%'))",
              settings={"sinkd-postgres": {"dead_max_bytes": "1M"}}) as leat:
        sink = leat.sink["postgres"]

        def bad(types, count, first=0):
            leat.accept([{"id": f"{types[0]}-{first + i}", "payload": big,
                          "type": types[i % len(types)]}
                         for i in range(count)])
            leat.caught_up()

        def stats():
            return leat.sink_status()["stats"]

        # The share of one type is used up: another's dead letters keep theirs.
        bad(["bad"], 500)
        bad(["bad other"], 1)
        dead = leat.dead_letters()
        assert len(dead) == 501
        assert dead[-1]["event"]["payload"] == big
        assert dead[499]["event"] == {
            "id": "bad-499", "type": "bad",
            "payload_bytes": len(json.dumps(big))}, dead[499]
        assert dead[499]["offset"] == 499 and dead[499]["code"] == "23514"
        assert leat.pg.number("select count(*) from events") == 0
        wait_until(lambda: stats()["dead_without_payload"] > 400, "counted")

        # All of it is used up: the events are counted, and the sink goes on.
        for i in range(10):
            bad([f"bad {i}" for i in range(100)], 1000, i * 1000)
            leat.accept([{"id": f"good {i}", "type": "good"}])
        leat.caught_up()
        assert leat.pg.number("select count(*) from events") == 10
        assert len(leat.dead_letters_text()) <= 1 << 20
        dead_letters = len(leat.dead_letters())
        wait_until(lambda: stats()["dead_dropped"] == 10501 - dead_letters,
                   "those without room are counted")
        def refused():
            """Those that wait, and those that never will."""
            sink = leat.sink_status()
            return sink["pending_dead_letters"], sink["dropped_events"]
        wait_until(lambda: refused() == (dead_letters, 10501 - dead_letters),
                   "the counters hold all of them")
        assert leat.sink_status()["stored_events"] == 10
        assert stats()["state"] == "idle" and not stats()["error"], stats()
        assert any("use 25% of dead_max_bytes" in line or
                   "use 50% of dead_max_bytes" in line for line in sink.lines)
        assert any("use 90% of dead_max_bytes" in line for line in sink.lines)
        assert any("are full: refused events are only counted" in line
                   for line in sink.lines)
        assert "events had no room" in leat.run("leat", "status").stdout
        metrics = leat.request("GET", "/metrics")[1]
        for name in ("dead_letter_bytes", "dead_letter_max_bytes",
                     "dead_letters_without_payload", "dropped_events"):
            assert f"leat_sink_{name}{{" in metrics, name

        # The same after a kill; dead letters without payload cannot be retried.
        sink.kill()
        sink.start()
        wait_until(lambda: leat.sink_status()["connected"] and
                   stats().get("dead_dropped") == 10501 - dead_letters,
                   "counted")
        assert refused() == (dead_letters, 10501 - dead_letters)
        leat.pg.query("alter table events drop constraint events_type_check")
        done = leat.retry_dead("postgres")
        assert done.returncode == 3, (done.stdout, done.stderr)
        left = leat.dead_letters()
        assert left and all("payload" not in d["event"] for d in left)
        assert leat.pg.number("select count(*) from events") == \
            10 + dead_letters - len(left)
        # What waits goes down; what was dropped is never stored.
        wait_until(lambda: refused() == (len(left), 10501 - dead_letters),
                   "the counters hold those that are left")
        assert leat.sink_status()["stored_events"] == \
            10 + dead_letters - len(left)


@limit(200)
def test_characters_that_the_database_lacks_are_found_at_once():
    with Leat(sinks=["postgres"], start=False) as leat:
        leat.pg.query("create database latin template template0 "
                      "encoding 'LATIN1' locale 'C'")
        leat.pg.query(TEXT_TABLE, "latin")
        leat.settings["sinkd-postgres"]["dbname"] = "latin"
        leat.write_conf()
        leat.start()
        leat.sink["postgres"].stop()
        leat.accept([{"type": t} for t in ("\u4e2d", "\u00e9") * 500])
        leat.sink["postgres"].start()
        leat.caught_up()
        assert leat.pg.query("select ascii(type), count(*) from events group by 1",
                             "latin") == "233|500"
        dead = leat.dead_letters()
        assert [d["offset"] for d in dead] == list(range(0, 1000, 2))
        assert {d["code"] for d in dead} == {"22P05"}
        sink = leat.sink["postgres"]
        assert sink.count_lines("cannot find the refused events") == 0


def test_what_is_found_at_once_among_good_events():
    """Each second event, of each kind of column; and one id many times."""
    uuid = "0195e1a5-3e1b-7d3a-8f3e-0123456789ab"
    other = UUID_TABLE.replace("payload jsonb", "payload json").replace(
        "created_at timestamptz", "created_at timestamp").replace(
        "received_at timestamptz", "received_at bigint")
    check = ", check (type <> 't'))"
    good = {"id": uuid, "type": "good", "payload": {"a": [1.5, "\u00e9"]},
            "created_at": "2026-01-02T03:04:05.678901Z"}
    bad = {"id": uuid, "type": "t"}
    cases = {
        "types": (other[:-1] + check, [bad, good] * 1000, 1000, {}),
        "jsonb": (UUID_TABLE[:-1] + check, [bad, good] * 1000, 1000, {}),
        "unique": (UUID_TABLE + "; create unique index on events (id)",
                   [good] * 2000, 1, {}),
        "dedup": (TEXT_TABLE[:-1] + check + "; create unique index on "
                  "events (id)", [bad, good] * 1000, 1,
                  {"dedup_by_id": "yes"}),
    }
    for name, (table, events, stored, settings) in cases.items():
        with Leat(table=table, settings={"sinkd-postgres": settings}) as leat:
            leat.sink["postgres"].stop()
            leat.accept(events)
            leat.sink["postgres"].start()
            leat.caught_up()
            assert leat.pg.number("select count(*) from events") == stored
            dead = leat.dead_letters()
            assert len(dead) == (1999 if name == "unique" else 1000), name
            assert [d["offset"] for d in dead] == \
                (list(range(1, 2000)) if name == "unique"
                 else list(range(0, 2000, 2))), name
            assert {d["code"] for d in dead} == \
                {"23505" if name == "unique" else "23514"}, name
            if name == "dedup":
                wait_until(lambda: leat.sink_status()["stats"]["duplicates"]
                           == 999, "duplicates")
