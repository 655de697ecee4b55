"""sinkd-postgres through pgbouncer in transaction mode: the session is not its
own, so it must neither depend on what is in it nor leave anything there."""
import contextlib

from events import small
from leat import Leat, limit
from load import Load, check_exactly_once
from pgbouncer import Pgbouncer, keeps_session_after_copy

# What a client of the pool finds in its session, were the sink not there.
SETTINGS = ("select current_setting('statement_timeout'), "
            "current_setting('client_min_messages'), "
            "current_setting('synchronous_commit'), "
            "(select count(*) from pg_class where relpersistence = 't'), "
            "(select count(*) from pg_prepared_statements), "
            "(select count(*) from pg_locks where locktype = 'advisory')")
UNTOUCHED = "0|notice|on|0|0|0"


@contextlib.contextmanager
def pooled(dedup, pool_size=2, pg_settings="", table=None):
    """A leat whose sink connects through pgbouncer."""
    with Leat(start=False, table=table, pg_settings=pg_settings, settings={
            "sinkd-postgres": {"retry_max_ms": 200, "dedup_by_id": dedup,
                               "host": "127.0.0.1"}}) as leat:
        bouncer = Pgbouncer(leat.directory / "bouncer", leat.pg.directory, pool_size)
        try:
            bouncer.start()
            leat.settings["sinkd-postgres"]["port"] = bouncer.port
            leat.write_conf()
            leat.start()
            yield leat, bouncer
            for _ in range(pool_size * 2):
                assert bouncer.query(SETTINGS) == UNTOUCHED, \
                    bouncer.query(SETTINGS)
            leat.sink["postgres"].stop()
        finally:
            bouncer.kill()


def through_kills(dedup):
    with pooled(dedup) as (leat, bouncer), Load(leat, rate=3000) as load:
        sink = leat.sink["postgres"]
        for _ in range(5):
            load.more(500)
            sink.kill()
            sink.start()
            load.more(500)
            leat.pg.query("select pg_terminate_backend(pid) from "
                          "pg_stat_activity where application_name = "
                          "'leat sinkd-postgres'")
            load.more(500)
            bouncer.kill()
            bouncer.start()
        load.more(500)
        load.stop()
        check_exactly_once(leat, load)
        assert leat.dead_letters() == []


@limit(200)
def test_kills_through_a_pooler():
    through_kills("no")


@limit(200)
def test_kills_through_a_pooler_with_dedup_by_id():
    through_kills("yes")


def test_a_restarted_sink_finds_its_predecessors_session():
    """One session of the server, which outlives the sinks that use it."""
    with pooled("yes", pool_size=1) as (leat, bouncer):
        sink = leat.sink["postgres"]
        pid = bouncer.query("select pg_backend_pid()")
        for i in range(3):
            leat.accept(small(f"r{i}", 10) + small(f"r{i}", 10))
            leat.caught_up()
            sink.kill()
            sink.start()
        assert leat.pg.number("select count(*) from events") == 30
        assert bouncer.query("select pg_backend_pid()") == pid
        assert bouncer.query(SETTINGS) == UNTOUCHED


def test_what_others_leave_in_the_session_does_no_harm():
    with pooled("no", pool_size=1) as (leat, bouncer):
        leat.accept(small("a", 10))
        leat.caught_up()
        # Tables of the same names come first in this client's search path.
        bouncer.query("create schema other; "
                      "create table other.events (like public.events); "
                      "create table other.leat_position "
                      "(like public.leat_position including all)")
        bouncer.query("set search_path = other")
        bouncer.query("set synchronous_commit = off")
        bouncer.query("set statement_timeout = 1")
        assert bouncer.query("show search_path") == "other"
        leat.accept(small("b", 10))
        leat.caught_up()
        bouncer.query("reset statement_timeout; reset search_path; "
                      "reset synchronous_commit")
        assert leat.pg.number("select count(*) from public.events") == 20
        assert leat.pg.number(
            "select next_offset from public.leat_position") == 20


def test_bad_events_through_a_pooler():
    """The failed transaction is ended before the session is given back."""
    # The one that such a pgbouncer keeps, and one for the others.
    size = 2 if keeps_session_after_copy() else 1
    for dedup in ("no", "yes"):
        with pooled(dedup, pool_size=size, table="create table events ("
                    "id text primary key, type text check (type <> 'bad'), "
                    "user_id text, payload jsonb, created_at timestamptz, "
                    "received_at timestamptz)") as (leat, _):
            events = small("b", 200)
            events[3]["type"] = events[150]["type"] = "bad"
            leat.accept(events)
            leat.caught_up()
            assert [d["offset"] for d in leat.dead_letters()] == [3, 150]
            assert leat.pg.number("select count(*) from events") == 198
