"""sinkd-postgres and the real server: what it reports, and what it survives."""
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

from events import small
from leat import ROOT, Leat, fact, limit, wait_until
from load import Load, check_exactly_once
from postgres import USER, Postgres

COLUMNS = {"id": "uuid", "type": "text", "user_id": "text",
           "payload": "jsonb", "created_at": "timestamptz",
           "received_at": "timestamptz"}
POSITION = ("create table leat_position (stream text, sink text, "
            "next_offset bigint not null, primary key (stream, sink))")
SLOW = """create function slow() returns trigger language plpgsql as $$
  begin perform pg_sleep(0.03); return null; end $$;
  create trigger slow before insert on events
    for each statement execute function slow()"""
REFUSE = """create function refuse() returns trigger language plpgsql as $$
  begin {} return new; end $$;
  create trigger t before insert on events
    for each row execute function refuse()"""
BY_HAND = {"create_table": "no", "retry_max_ms": 200}


def refusing(body):
    """A table whose trigger does this with each new row."""
    return table(id="text") + ";" + REFUSE.format(body)


def table(name="events", extra="", **columns):
    columns = {**COLUMNS, **columns}
    return (f"create table {name} (" + ", ".join(
        f"{c} {t}" for c, t in columns.items() if t) + extra + ")")


def test_a_wrong_set_up_is_named_and_waited_for():
    """Each fault in turn, corrected by an operator while the sink waits."""
    with Leat(settings={"sinkd-postgres": BY_HAND}, start=False) as leat:
        leat.batchd.start()
        leat.ingestd.start()
        leat.intake_open()
        leat.accept(small("w", 10))
        leat.sink["postgres"].start(wait=False)
        q = leat.pg.query
        leat.misconfigured("run: CREATE TABLE public.leat_position (stream")
        q(POSITION.replace("create table", "create unlogged table"))
        leat.misconfigured("table public.events does not exist")
        q("create view events as select 1 as id")
        leat.misconfigured("public.events is not a table")
        q("drop view events;" + table(payload=None))
        leat.misconfigured("has no column payload: it must be jsonb")
        q("alter table events add payload bytea")
        leat.misconfigured("column payload of public.events has type bytea: "
                          "must be jsonb, json, text or varchar")
        q("alter table events drop payload, add payload jsonb, "
          "add tenant int not null")
        leat.misconfigured("column tenant of public.events is NOT NULL and "
                          "has no default")
        q("alter table events alter tenant set default 7")
        leat.misconfigured("public.leat_position is UNLOGGED")
        q("alter table leat_position set logged, "
          "drop constraint leat_position_pkey")
        leat.misconfigured("public.leat_position: there is no unique or "
                          "exclusion constraint")
        q("alter table leat_position add primary key (stream, sink)")
        leat.caught_up()
        assert leat.pg.number("select sum(tenant) from events") == 70


def follow_the_advice(leat, name="postgres", steps_max=12):
    """
    Run the SQL that the sink prints, as often as it prints some, and return
    it; in the end the sink has gone on by itself.
    """
    done = []

    def advice():
        """The next statements, or True when all is stored."""
        status = leat.try_status() or {}
        for s in status.get("sinks", []):
            if s["committed"] == status["log"]["next_offset"]:
                return True
            error = s.get("stats", {}).get("error", "")
            sql = re.search(r"(?:run|index): ([A-Z]+ .*)", error)
            if sql and [sql[1]] != done[-1:]:
                return sql[1]
        return None
    while (sql := wait_until(advice, "advice, or all is stored")) is not True:
        assert len(done) < steps_max, done
        leat.pg.query(sql, leat.settings["sinkd-postgres"]["dbname"])
        done.append(sql)
    # The log has it whole, too.
    leat.sink[name].wait_line(re.escape(done[0].replace('"', '\\"')))
    assert leat.dead_letters(name) == []
    return done


@contextlib.contextmanager
def without_rights(settings, sql, user="writer"):
    """A leat whose sink is a user that has no rights but to connect."""
    with Leat(settings={"sinkd-postgres": {
            **BY_HAND, "user": user, "dbname": "app", **settings}},
            start=False) as leat:
        leat.pg.query(f'create role "{user}" login')
        leat.pg.query("create database app")
        leat.pg.query(sql, "app")
        leat.batchd.start()
        leat.ingestd.start()
        leat.intake_open()
        leat.accept(small("w", 10))
        leat.sink["postgres"].start(wait=False)
        yield leat


# Since PostgreSQL 15 it is so; before, everybody could create tables there.
PUBLIC_IS_CLOSED = "revoke create on schema public from public"
# Settings, the database, the user, and what is printed, in this order.
RIGHTS = {
    "made by hand": ({}, PUBLIC_IS_CLOSED, "writer", [
        r"CREATE TABLE public.leat_position \(.*\); GRANT SELECT, INSERT, "
        r"UPDATE ON public.leat_position TO writer",
        r"CREATE TABLE public.events \(id text NOT NULL, .*\); "
        r"GRANT INSERT ON public.events TO writer"]),
    "made by the sink": ({"create_table": "yes"}, PUBLIC_IS_CLOSED, "writer", [
        r"GRANT USAGE, CREATE ON SCHEMA public TO writer"]),
    "nothing in public": ({"create_table": "yes"},
                          "revoke all on schema public from public", "writer",
                          [r"GRANT USAGE, CREATE ON SCHEMA public TO writer"]),
    "a schema that is not there": (
        {"table": "app.events", "position_table": '"App".places'}, "",
        "writer", [
            r'CREATE SCHEMA "App"; GRANT USAGE ON SCHEMA "App" TO writer',
            r'CREATE TABLE "App".places \(.*',
            r"CREATE SCHEMA app; GRANT USAGE ON SCHEMA app TO writer",
            r"CREATE TABLE app.events \(.*"]),
    "a schema that is closed": (
        {"table": "app.events", "position_table": "app.leat_position"},
        "create schema app; set search_path = app; " + table() + "; " +
        POSITION, "writer", [
            r"GRANT USAGE ON SCHEMA app TO writer",
            r"GRANT SELECT, INSERT, UPDATE ON app.leat_position TO writer",
            r"GRANT INSERT ON app.events TO writer"]),
    "dedup_by_id": ({"dedup_by_id": "yes"},
                    "revoke temporary on database app from public; " + table() +
                    "; " + POSITION, "writer", [
        r"GRANT SELECT, INSERT, UPDATE ON public.leat_position TO writer",
        r"GRANT SELECT, INSERT ON public.events TO writer",
        r"GRANT TEMPORARY ON DATABASE app TO writer",
        r"CREATE UNIQUE INDEX ON public.events \(id\)"]),
    "long names": ({"table": '"%s"."%s"' % ("s" * 63, "t" * 63),
                    "position_table": '"%s"."%s"' % ("s" * 63, "p" * 63)}, "",
                   "The user of the events, with blanks in his name", [
        r"CREATE SCHEMA s{63}; GRANT USAGE ON SCHEMA s{63} TO \"The user.*",
        r"CREATE TABLE s{63}.p{63} .* TO \"The user .* in his name\"",
        r"CREATE TABLE s{63}.t{63} .* TO \"The user .* in his name\""]),
}


@limit(240)
def test_the_sql_that_is_printed_creates_what_is_missing():
    """A user without rights: each statement is followed, and then it goes."""
    for what, (settings, sql, user, expected) in RIGHTS.items():
        with without_rights(settings, sql or "select", user) as leat:
            done = follow_the_advice(leat)
            assert len(done) == len(expected), (what, done)
            for ran, words in zip(done, expected):
                assert re.fullmatch(words, ran), (what, ran, words)
            stored = settings.get("table", "public.events")
            assert leat.pg.query(f"select count(*) from {stored}",
                                 "app") == "10", what


def test_the_sql_in_the_docs():
    """Each block of docs/postgres.md can be run, and the sink then writes."""
    text = (ROOT / "docs/postgres.md").read_text()
    own, create, by_hand, *others = re.findall(r"^```sql\n(.*?)^```", text,
                                               re.M | re.S)
    settings = {"user": "leat2", "retry_max_ms": 200}
    with Leat(start=False, settings={"sinkd-postgres": settings}) as leat:
        q, pairs = leat.pg.query, leat.settings["sinkd-postgres"]
        leat.batchd.start()
        leat.ingestd.start()
        leat.intake_open()

        def stores(dbname, **more):
            pairs.update(dbname=dbname, **more)
            leat.write_conf()
            leat.accept(small(dbname, 10))
            leat.sink["postgres"].start()
            leat.caught_up()
            leat.sink["postgres"].stop()
            assert q("select count(*) from events", dbname) == "10"

        # The name of the tests' superuser is leat.
        def run(block, dbname):
            for sql in block.replace("leat;", "leat2;").split(";\n"):
                if sql.strip():
                    q(sql, dbname)
        run(own.replace("ROLE leat", "ROLE leat2"), "postgres")
        stores("events", create_table="yes")
        q("create database shared")
        q(PUBLIC_IS_CLOSED, "shared")
        run(create, "shared")
        stores("shared")
        q("create database byhand")
        run(by_hand, "byhand")
        stores("byhand", create_table="no")
        for i, block in enumerate(others):
            q(f"create database more{i}")
            # In place of the table that is listed before, or beside it.
            run(by_hand, f"more{i}")
            if "CREATE TABLE events" in block:
                q("drop table events", f"more{i}")
            run(block, f"more{i}")
            stores(f"more{i}",
                   dedup_by_id="yes" if "SELECT" in block else "no")
        assert i == 3, text


def test_row_level_security_is_named():
    with without_rights({}, table() + "; " + POSITION + "; grant insert on "
                        "events to writer; grant select, insert, update on "
                        "leat_position to writer; alter table events enable "
                        "row level security") as leat:
        leat.misconfigured("row-level security")
        leat.pg.query("alter role writer bypassrls")
        leat.caught_up()


def test_rights_that_are_taken_away_are_waited_for():
    with without_rights({"create_table": "yes"},
                        "grant all on schema public to writer") as leat:
        leat.caught_up()
        q = leat.pg.query
        q("alter table events owner to leat; alter table leat_position owner "
          "to leat; revoke all on leat_position, events from writer", "app")
        leat.accept(small("x", 10))
        assert len(follow_the_advice(leat)) == 2
        assert q("select count(*) from events", "app") == "20"


def test_dedup_on_a_partitioned_table_names_the_remedy():
    sql = (table(extra=") partition by range (received_at", id="text") +
           "; create table now partition of events for values from "
           "('2020-01-01') to (maxvalue)")
    with Leat(table=sql, start=False, settings={"sinkd-postgres": {
            "dedup_by_id": "yes", "retry_max_ms": 200}}) as leat:
        leat.batchd.start()
        leat.ingestd.start()
        leat.intake_open()
        leat.accept(small("p", 10) + small("p", 5))
        leat.sink["postgres"].start(wait=False)
        q = leat.pg.query
        leat.misconfigured("Partition it by HASH (id), or use a table without")
        # The advice is good.
        q("drop table events; " + table(extra=") partition by hash (id",
                                        id="text") +
          "; create table one partition of events for values with "
          "(modulus 1, remainder 0)")
        leat.misconfigured("CREATE UNIQUE INDEX ON public.events (id)")
        q("create unique index on public.events (id)")
        leat.caught_up()
        assert leat.pg.number("select count(*) from events") == 10


def test_a_domain_over_a_domain_is_what_it_comes_down_to():
    sql = ("create domain label as text; create domain ident as label "
           "check (value <> ''); create domain body as jsonb; "
           "create domain given as int not null; "
           "create domain seven as given default 7; " +
           table(extra=", seven seven", id="ident", payload="body"))
    with Leat(table=sql, settings={"sinkd-postgres": BY_HAND | {
            "create_table": "yes"}}) as leat:
        leat.accept(small("d", 10))
        leat.caught_up()
        assert leat.pg.number("select sum(seven) from events") == 70
        # A domain that takes no null wants a value that leat has not.
        leat.sink["postgres"].stop()
        leat.pg.query("truncate events; alter table events add tenant given")
        leat.accept(small("e", 10))
        leat.sink["postgres"].start(wait=False)
        leat.misconfigured("column tenant of public.events is NOT NULL")
        leat.pg.query("alter table events drop tenant")
        leat.caught_up()


def test_wrong_database_and_password():
    with Leat(settings={"sinkd-postgres": {
            "retry_max_ms": 200, "dbname": "nowhere", "user": "writer",
            "password_file": "secret"}}, start=False) as leat:
        secret = leat.directory / "secret"
        secret.write_text("wrong\n")
        leat.settings["sinkd-postgres"]["password_file"] = secret
        leat.write_conf()
        leat.pg.query("create role writer login superuser password 'right'")
        hba = leat.directory / "pg/data/pg_hba.conf"
        hba.write_text("local all writer scram-sha-256\nlocal all all trust\n")
        leat.pg.query("select pg_reload_conf()")
        leat.batchd.start()
        leat.ingestd.start()
        leat.intake_open()
        leat.accept(small("w", 10))
        sink = leat.sink["postgres"].start(wait=False)
        leat.misconfigured("password authentication failed")
        secret.write_text("right\nsecond line\n")
        leat.misconfigured('database "nowhere" does not exist')
        leat.pg.query("create database nowhere")
        leat.caught_up()
        assert not any("right" in line or "wrong" in line
                       for line in sink.lines)


def test_of_several_hosts_the_primary_is_found():
    """One is silent, one is a standby, one is not there."""
    with Leat(start=False, settings={"sinkd-postgres": {
            "timeout_ms": 1000, "retry_max_ms": 200}}) as leat:
        hung = leat.directory / "hung"
        # As many as initdb noted: a standby may not allow fewer.
        standby = Postgres(leat.directory / "standby", "max_connections = 100\n")
        hung.mkdir()
        (standby.directory / "data/standby.signal").touch()
        standby.ready = "ready to accept read-only connections"
        silent = socket.socket(socket.AF_UNIX)
        silent.bind(str(hung / ".s.PGSQL.5432"))
        silent.listen()
        (hung / ".s.PGSQL.5432").chmod(0o777)
        try:
            standby.start()
            leat.batchd.start()
            leat.ingestd.start()
            leat.intake_open()
            settings = leat.settings["sinkd-postgres"]
            sink, primary = leat.sink["postgres"], leat.pg.directory
            for i, pairs in enumerate((
                    {"host": f"{standby.directory},{primary}"},
                    {"host": f"{hung},{standby.directory},{leat.directory},"
                             f"{primary}", "port": "5432,5432,5432,5432"},
                    {"host": "", "port": "", "conninfo":
                     f"host={hung},{standby.directory},{primary}"})):
                settings.update(pairs)
                leat.write_conf()
                leat.accept(small(f"h{i}", 10))
                sink.start()
                leat.caught_up()
                sink.stop()
            assert leat.pg.number("select count(*) from events") == 30
            # What an operator has set counts.
            settings["conninfo"] = (f"host={standby.directory},{primary} "
                                    "target_session_attrs=any")
            leat.write_conf()
            sink.start(wait=False)
            sink.wait_line("the server is a standby")
            sink.stop()
        finally:
            standby.kill()
            silent.close()


def test_another_schema_quotes_and_domains():
    name = '"My Events"."Event ""Table"""'
    sql = ("create schema \"My Events\"; create domain ident as varchar(200) "
           "check (value <> ''); " +
           table(name, ", extra text default 'x', gen int generated always "
                 "as identity", id="ident", type="varchar(130)",
                 user_id="uuid", payload="json", created_at="timestamp",
                 received_at="bigint"))
    with Leat(table=sql, settings={"sinkd-postgres": {
            "table": name, "position_table": '"My Events".position'}}) as leat:
        event = {"id": "x", "type": "t", "payload": {"a": 1},
                 "user_id": "0195e1a5-3e1b-7d3a-8f3e-0123456789ab",
                 "created_at": "2024-02-29T23:59:59.123456Z"}
        leat.accept([event])
        leat.caught_up()
        row = leat.pg.query(
            f"select id, type, user_id, payload, created_at, extra, gen, "
            f"received_at > 1700000000000 from {name}")
        assert row == ('x|t|0195e1a5-3e1b-7d3a-8f3e-0123456789ab|{"a": 1}|'
                       "2024-02-29 23:59:59.123456|x|1|t"), row
        assert leat.pg.number('select next_offset from '
                              '"My Events".position') == 1


def test_what_comes_to_light_only_at_commit():
    """No row is named then: halving finds the bad one all the same."""
    sql = table(extra=", unique (id) deferrable initially deferred",
                id="text")
    with Leat(table=sql) as leat:
        events = small("c", 300)
        events[211]["id"] = events[17]["id"]
        leat.accept(events)
        leat.caught_up()
        assert leat.pg.number("select count(*) from events") == 299
        (dead,) = leat.dead_letters()
        assert dead["code"] == "23505" and dead["offset"] == 211, dead


def test_a_trigger_that_refuses_and_one_that_breaks():
    sql = refusing("""
        if new.type = 'bad' then raise 'not wanted'; end if;""")
    with Leat(table=sql) as leat:
        events = small("t", 100)
        events[50]["type"] = "bad"
        leat.accept(events)
        leat.caught_up()
        (dead,) = leat.dead_letters()
        assert (dead["code"], dead["reason"]) == ("P0001", "not wanted"), dead
        leat.sink["postgres"].wait_line(
            r"refused by PL/pgSQL function refuse\(\) line 3 at RAISE")
        leat.pg.query("create or replace function refuse() returns trigger "
                      "language plpgsql as $$ begin return x; end $$")
        leat.accept(small("u", 10))
        wait_until(lambda: leat.sink_status()["stats"]["state"] ==
                   "misconfigured",
                   "the broken trigger is a matter of configuration")
        leat.pg.query("drop trigger t on events")
        leat.caught_up()
        assert leat.pg.number("select count(*) from events") == 109
        assert len(leat.dead_letters()) == 1


def test_a_division_by_zero_is_the_events_own():
    """The statement that moves the position fails with the same code."""
    generated = ", half int generated always as (1 / (payload->>'n')::int) "
    at_commit = """; create function divide() returns trigger language plpgsql
        as $$ begin perform 1 / (new.payload->>'n')::int; return null; end $$;
        create constraint trigger divide after insert on events
          deferrable initially deferred
          for each row execute function divide()"""
    for sql in (table(id="text primary key", extra=generated + "stored"),
                table(id="text primary key") + at_commit):
        for dedup in ("no", "yes"):
            with Leat(table=sql, settings={
                    "sinkd-postgres": {"dedup_by_id": dedup}}) as leat:
                events = small("z", 20)
                for e in events:
                    e["payload"] = {"n": 1}
                events[7]["payload"] = {"n": 0}
                leat.accept(events)
                leat.caught_up()
                (dead,) = leat.dead_letters()
                assert (dead["offset"], dead["code"]) == (7, "22012"), dead
                assert leat.pg.number("select count(*) from events") == 19
                assert leat.sink["postgres"].count_lines(
                    "not what this sink left") == 0


def test_a_batch_that_takes_too_long_is_halved():
    """Each row takes 5 ms, the whole batch three times what a batch may."""
    slow = """create function slow() returns trigger language plpgsql as $$
      begin perform pg_sleep(0.005); return new; end $$;
      create trigger slow before insert on events
        for each row execute function slow()"""
    for dedup in ("no", "yes"):
        with Leat(table=table(id="text primary key") + ";" + slow, settings={
                "sinkd-postgres": {"timeout_ms": 1000, "retry_max_ms": 100,
                                   "dedup_by_id": dedup}}) as leat:
            sink = leat.sink["postgres"]
            leat.accept(small("s", 600))
            leat.caught_up()
            sink.wait_line("does not take this much at once")
            # The next one does not begin from the whole.
            before = sink.count_lines("store unreachable")
            leat.accept(small("t", 600))
            leat.caught_up()
            assert sink.count_lines("store unreachable") - before <= 3
            assert leat.pg.query("select count(*), count(distinct id) from "
                                 "events") == "1200|1200"
            assert leat.dead_letters() == []


def test_an_event_that_takes_too_long_alone_is_named():
    """Nothing tells whether it is its fault: it is not dead-lettered."""
    slow = """create function slow() returns trigger language plpgsql as $$
      begin if new.type = 'slow' then perform pg_sleep(2); end if;
      return new; end $$;
      create trigger slow before insert on events
        for each row execute function slow()"""
    with Leat(table=table(id="text") + ";" + slow, settings={
            "sinkd-postgres": {"timeout_ms": 1000,
                               "retry_max_ms": 100}}) as leat:
        events = small("s", 8)
        events[5]["type"] = "slow"
        leat.accept(events)
        leat.misconfigured("the event at offset 5 (")
        leat.misconfigured("fails even alone: raise the store's limit or "
                          "timeout_ms: ")
        assert leat.pg.number("select count(*) from events") == 5
        leat.pg.query("drop trigger slow on events")
        leat.caught_up()
        assert leat.pg.number("select count(*) from events") == 8


def test_a_lock_is_waited_for_and_named():
    """No batch is too large for it, so none is halved."""
    for name in ("events", "leat_position"):
        with Leat(table=table(id="text"), settings={
                "sinkd-postgres": {"timeout_ms": 1000,
                                   "retry_max_ms": 100}}) as leat:
            leat.accept(small("a", 10))
            leat.caught_up()
            holder = subprocess.Popen(
                ["psql", "-qAt", "-h", leat.pg.directory, "-U", USER,
                 "postgres"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                text=True)
            mode = "access exclusive" if name == "events" else "exclusive"
            holder.stdin.write(f"begin; lock table {name} in {mode} mode; "
                               "select 'locked';\n")
            holder.stdin.flush()
            assert holder.stdout.readline() == "locked\n"
            leat.accept(small("b", 100))
            sink = leat.sink["postgres"]
            sink.wait_line(f"another session has held a lock on public.{name}")
            sink.wait_line("store unreachable attempt=8")
            holder.stdin.close()
            holder.wait(20)
            leat.caught_up()
            assert sink.count_lines("does not take this much") == 0
            assert leat.pg.number("select count(*) from events") == 110


def test_values_too_large_for_an_index_or_a_column():
    """A value that no index entry can hold; numbers beyond numeric."""
    sql = table(id="text") + "; create index on events ((payload->>'big'))"
    with Leat(table=sql) as leat:
        events = small("v", 60)
        # Not to be compressed below a third of a page.
        events[10]["payload"] = {"big": os.urandom(20000).hex()}
        events[20] = {**events[20], "payload": {"n": 1}}
        body = json.dumps(events).replace('{"n": 1}', '{"n":1e200000}')
        leat.accept(body)
        leat.caught_up()
        codes = {d["offset"]: d["code"] for d in leat.dead_letters()}
        assert codes == {10: "54000", 20: "22003"}, codes
        assert leat.pg.number("select count(*) from events") == 58


def test_a_moved_position_is_a_second_writer_and_never_doubles():
    with Leat(settings={"sinkd-postgres": {"retry_max_ms": 300}}) as leat:
        leat.accept(small("f", 100))
        leat.caught_up()
        # A twin with this name has stored 0..99 and 100..119.
        leat.pg.query("update leat_position set next_offset = 120")
        leat.accept(small("f", 50, 100))
        sink = leat.sink["postgres"]
        sink.wait_line("the store.s position is not what this sink left")
        leat.caught_up()
        assert leat.pg.number("select count(*) from events") == 130
        assert leat.pg.number("select count(distinct id) from events") == 130


def test_a_store_that_goes_back_gets_its_events_again():
    """Restored from an older copy: the position in it is what counts."""
    with Leat(settings={"batchd": {"retain": None},
                        "sinkd-postgres": {"retry_max_ms": 300}}) as leat:
        leat.accept(small("b", 100))
        leat.caught_up()
        first = leat.pg.query("select id from events limit 40").splitlines()
        leat.pg.query("begin; delete from events where id not in (" +
                      ",".join(f"'{i}'" for i in first) +
                      "); update leat_position set next_offset = 40; commit")
        leat.accept(small("b", 10, 100))
        leat.caught_up()
        assert leat.pg.number("select count(*) from events") == 110
        assert leat.pg.number("select count(distinct id) from events") == 110


def backend(leat):
    return int(leat.pg.query(
        "select pid from pg_stat_activity where application_name = "
        "'leat sinkd-postgres'").splitlines()[0])


def test_a_server_that_hangs():
    """Stopped in any state: time runs out, nothing is stored twice."""
    with Leat(settings={"sinkd-postgres": {"timeout_ms": 1000,
                                           "retry_max_ms": 200}}) as leat, \
            Load(leat, rate=4000) as load:
        sink = leat.sink["postgres"]
        for _ in range(4):
            load.more(1500)
            pid = wait_until(lambda: backend(leat), "a backend")
            before = sink.count_lines("store unreachable")
            os.kill(pid, signal.SIGSTOP)
            try:
                wait_until(lambda: sink.count_lines("store unreachable") > before,
                           "the sink gives up waiting")
            finally:
                os.kill(pid, signal.SIGCONT)
        load.stop()
        check_exactly_once(leat, load)


class Held:
    """A transaction of another client that holds what `sql` locks."""

    def __init__(self, leat, sql):
        self.child = subprocess.Popen(
            ["psql", "-XAtq", "-h", str(leat.pg.directory), "-U", USER,
             "-d", "postgres"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        self.child.stdin.write(f"begin; {sql}; select 'held';\n")
        self.child.stdin.flush()
        while self.child.stdout.readline().strip() != "held":
            assert self.child.poll() is None, "psql has ended"

    def release(self):
        self.child.communicate("rollback;\n", timeout=20)


WAIT_FOR_LOCK = """create function wait() returns trigger language plpgsql as $$
  begin
    if new.type = 'hold' then perform pg_advisory_xact_lock_shared(7); end if;
    return new;
  end $$;
  create trigger wait before insert on events
    for each row execute function wait()"""
READS_ROWS = ("select 1 from pg_stat_activity where state = 'active' and "
              "wait_event = 'ClientRead' and query ~ 'COPY'")


def stop_at_a_lock(leat, sink):
    """Send events, and stop the sink when the COPY waits for a lock."""
    events = small("f", 3500)
    for e in events:
        e["payload"] = {"x": "y" * 2000}
    events[10]["type"] = "hold"
    held = Held(leat, "select pg_advisory_xact_lock(7)")
    # What comes after the start of a batch waits to be in one batch.
    leat.accept([{"type": "first"}])
    leat.caught_up()
    leat.accept(events)
    wait_until(lambda: leat.pg.query(
        "select 1 from pg_stat_activity where wait_event = 'advisory'"),
        "the COPY waits for the lock")
    sink.signal(signal.SIGSTOP)
    held.release()
    wait_until(lambda: leat.pg.query(READS_ROWS),
               "the server waits for the rest of the rows")
    return len(events) + 1


def stop_while_it_sends(leat, sink):
    """Send events until a SIGSTOP has met the sink during its COPY."""
    for i in range(1, 40):
        events = small(f"f{i}", 3500)
        for e in events:
            e["payload"] = {"x": "y" * 2000}
        leat.accept(events)
        wait_until(lambda: leat.pg.query(
            "select 1 from pg_stat_progress_copy where command = 'COPY FROM'"
            f" union select 1 from leat_position where next_offset = {3500*i}"),
            "a COPY has begun, or is over", pause_s=0)
        sink.signal(signal.SIGSTOP)
        wait_until(lambda: leat.pg.query(READS_ROWS + " union select 1 from "
                                         "pg_stat_activity where state = "
                                         "'idle' and query ~ 'COPY'"),
                   "the server has what was sent")
        if leat.pg.query(READS_ROWS):
            return 3500 * i
        sink.signal(signal.SIGCONT)
        leat.caught_up()
    raise AssertionError("no SIGSTOP came during a COPY")


def frozen_in_copy(sql, stop, dedup):
    """The successor stores the batch at once, and the stopped one nothing."""
    with Leat(table=sql, settings={"sinkd-postgres": {
            "timeout_ms": 10000, "retry_max_ms": 300,
            # One batch for a request: more than the sockets hold.
            "batch_wait_ms": 2500, "dedup_by_id": dedup}}) as leat:
        first = leat.sink["postgres"]
        try:
            count = stop(leat, first)
            leat.batchd.kill()
            leat.batchd.start()
            leat.intake_open()
            twin = leat.daemon("sinkd-postgres", r" ready\b")
            began = time.monotonic()
            twin.start()
            leat.caught_up(7)
            fact(f"the successor took {time.monotonic() - began:.1f} s")
            leat.accept(small("g", 10))
            leat.caught_up()
        finally:
            first.signal(signal.SIGCONT)
        first.wait_line("the store.s position is not what this sink left")
        assert leat.pg.query("select count(*), count(distinct id) from events"
                             ) == f"{count + 10}|{count + 10}"
        assert leat.dead_letters() == []
        # It takes over again when the other has gone.
        twin.stop()
        leat.accept(small("h", 10))
        leat.caught_up()


def test_a_sink_that_is_frozen_in_its_copy_blocks_no_successor():
    frozen_in_copy(table(id="text") + ";" + WAIT_FOR_LOCK, stop_at_a_lock,
                   "no")


def test_a_sink_that_is_frozen_in_its_copy_to_staging_blocks_no_successor():
    frozen_in_copy(table(id="text primary key"), stop_while_it_sends, "yes")


def test_what_a_frozen_sink_has_locked_is_freed():
    """Its rows are in a unique index: the same ones would wait for ever."""
    with Leat(table=table(id="text primary key") + ";" + WAIT_FOR_LOCK,
              settings={"sinkd-postgres": {"timeout_ms": 2000,
                                           "retry_max_ms": 300,
                                           "batch_wait_ms": 1000}}) as leat:
        first = leat.sink["postgres"]
        try:
            count = stop_at_a_lock(leat, first)
            leat.batchd.kill()
            leat.batchd.start()
            leat.intake_open()
            twin = leat.daemon("sinkd-postgres", r" ready\b")
            twin.start()
            leat.caught_up(20)
            twin.wait_line("terminated the session of a sink that was stopped")
        finally:
            first.signal(signal.SIGCONT)
        first.wait_line("batchd unreachable|store unreachable")
        assert leat.pg.number("select count(*) from events") == count
        assert leat.dead_letters() == []
        twin.stop()
        leat.accept(small("h", 10))
        leat.caught_up()


def test_backends_are_terminated_under_load():
    with Leat() as leat, Load(leat) as load:
        for _ in range(20):
            load.more(300)
            leat.pg.query("select pg_terminate_backend(pid) from "
                          "pg_stat_activity where application_name = "
                          "'leat sinkd-postgres'")
        load.stop()
        check_exactly_once(leat, load)


def test_kill_in_the_middle_of_a_retry():
    """kill -9 at moments of all kinds: each letter is stored once."""
    with Leat(table=table(), settings={"sinkd-postgres": {
            "batch_events": 20}}) as leat:
        events = small("r", 1500)
        for i in range(1500):
            events[i]["id"] = f"bad {i}"
        events[1499]["id"] = "0195e1a5-3e1b-7d3a-8f3e-0123456789ab"
        leat.accept(events)
        leat.caught_up()
        assert len(leat.dead_letters()) == 1499
        # Slow enough for a kill to come in between.
        leat.pg.query("alter table events alter id type text; " + SLOW)
        done = leat.retry_dead("postgres", "--timeout", "1s")
        assert done.returncode == 3, (done.stdout, done.stderr)
        assert "not done after 1 s; the order goes on" in done.stderr, done.stderr
        count = "select count(*) from events"
        for n in (2, 100, 300, 600):
            wait_until(lambda: leat.pg.number(count) >= n, f"{n} stored",
                       pause_s=0)
            leat.sink["postgres"].kill()
            leat.sink["postgres"].start()
        wait_until(lambda: leat.dead_letters() == [], "all are stored")
        assert leat.pg.number(count) == 1500
        assert leat.pg.number("select count(distinct id) from events") == 1500
        dead = pathlib.Path(leat.directory / "dead")
        wait_until(lambda: [p.name for p in dead.iterdir()] ==
                   ["postgres.lock"], "its files are removed")


def test_a_retry_keeps_what_is_still_bad():
    with Leat(table=table()) as leat:
        events = small("k", 30)
        for i in (3, 4, 20):
            events[i]["id"] = f"bad {i}"
        events[4]["id"] = "01234567-89AB-cdef-0123-456789abcdeg"
        leat.accept(events)
        leat.caught_up()
        # The sink goes on while the dead letters are retried.
        leat.pg.query("alter table events alter id type text, add check "
                      "(id <> 'bad 3')")
        done = leat.retry_dead("postgres")
        assert done.returncode == 3, (done.stdout, done.stderr)
        assert "retried 3, stored 2, kept 1" in done.stdout, done.stdout
        (dead,) = leat.dead_letters()
        assert (dead["offset"], dead["code"]) == (3, "23514"), dead
        leat.accept([{"id": "bad 3", "type": "t"}])
        leat.caught_up()
        assert [d["offset"] for d in leat.dead_letters()] == [3, 30]


def test_sigterm_while_the_store_is_unreachable_is_immediate():
    with Leat(start=False) as leat:
        leat.batchd.start()
        leat.ingestd.start()
        leat.intake_open()
        leat.pg.stop()
        leat.accept(small("s", 10))
        sink = leat.sink["postgres"].start(wait=False)
        sink.wait_line("store unreachable attempt=4")
        sink.stop(timeout_s=3)


PARTITIONED = table(extra=") partition by range ({column}", id="text")


def test_a_missing_partition_is_waited_for():
    """Nothing is wrong with the events: tomorrow's partition is not there."""
    for column in ("created_at", "received_at"):
        with Leat(table=PARTITIONED.format(column=column), settings={
                "sinkd-postgres": {"retry_max_ms": 200}}) as leat:
            leat.accept([{"id": str(i), "type": "t"} for i in range(20)])
            leat.misconfigured("no partition of relation")
            leat.pg.query("create table now partition of events for values "
                          "from ('2020-01-01') to (maxvalue)")
            leat.caught_up()
            assert leat.pg.number("select count(*) from events") == 20
            assert leat.dead_letters() == []


def test_a_time_that_a_sender_made_up_does_not_stop_the_sink():
    """A partition for it may never come."""
    sql = PARTITIONED.format(column="created_at") + """;
        create table now partition of events for values
          from ('2020-01-01') to (maxvalue)"""
    with Leat(table=sql) as leat:
        events = [{"id": str(i), "type": "t"} for i in range(20)]
        events[11]["created_at"] = "1970-01-01T00:00:00Z"
        leat.accept(events)
        leat.caught_up()
        assert leat.pg.number("select count(*) from events") == 19
        (dead,) = leat.dead_letters()
        assert (dead["offset"], dead["code"]) == (11, "23514"), dead


def test_a_trigger_s_message_about_an_event_is_kept_out_of_the_log():
    sql = refusing("""
          if new.type = 'raise' then
            raise 'no % here', new.id using errcode = 'check_violation';
          elsif new.type = 'cast' then
            perform new.id::integer;
          end if;""")
    with Leat(table=sql) as leat:
        events = small("t", 10)
        events[3] = {"id": "secret", "type": "raise"}
        events[5] = {"id": "secret", "type": "cast"}
        events[7] = {"id": "77777777777777", "type": "cast"}
        leat.accept(events)
        leat.caught_up()
        reasons = {d["offset"]: d["reason"] for d in leat.dead_letters()}
        assert reasons == {
            3: "no secret here",
            5: "invalid input syntax for type integer",
            7: "value ... is out of range for type integer"}, reasons
        assert not any("secret" in line or "77777777777777" in line
                       for line in leat.sink["postgres"].lines)


def test_a_trigger_that_refuses_with_a_code_of_its_own_stops_nothing():
    sql = refusing("""
          if new.type = 'bad' then
            raise 'no % here', new.id using errcode = 'LT001';
          end if;""")
    with Leat(table=sql) as leat:
        events = small("t", 10)
        events[3] = {"id": "secret", "type": "bad"}
        leat.accept(events)
        leat.caught_up()
        (dead,) = leat.dead_letters()
        assert (dead["offset"], dead["code"], dead["reason"]) == (
            3, "LT001", "no secret here"), dead
        assert leat.pg.number("select count(*) from events") == 9
        assert not any("secret" in line
                       for line in leat.sink["postgres"].lines)


def test_a_column_that_wants_a_value_under_a_running_sink_is_waited_for():
    """It is the table's fault, as it is when the sink starts."""
    with Leat(table=table(id="text")) as leat:
        leat.accept(small("a", 10))
        leat.caught_up()
        leat.pg.query("alter table events add column tenant text not null "
                      "default 'none'")
        leat.pg.query("alter table events alter column tenant drop default")
        leat.accept(small("b", 10))
        leat.misconfigured("column tenant of public.events is NOT NULL")
        leat.pg.query("alter table events alter column tenant set default ''")
        leat.caught_up()
        assert leat.dead_letters() == []
        assert leat.pg.number("select count(*) from events") == 20
