"""leat dead: dead letters are listed, retried and dropped, each once."""
import json
import threading
import time

from events import small
from leat import Leat, fact, limit, wait_until
from load import Load

TEXT = """create table events (id text not null, type text not null,
  user_id text, payload jsonb, created_at timestamptz,
  received_at timestamptz{})"""
BAD = ", constraint c check (type <> 'bad')"
DROP = "alter table events drop constraint c"


def bad(count, prefix="x", type_="bad"):
    events = small(prefix, count)
    for e in events:
        e["type"] = type_
    return events


def accept_all(leat, events, at_once=1000):
    for i in range(0, len(events), at_once):
        leat.accept(events[i:i + at_once])
    leat.caught_up(120)


def ls(leat, *args):
    done = leat.run("leat", "dead", "ls", "postgres", "--json", *args)
    assert done.returncode == 0, done
    return [json.loads(line)["offset"] for line in done.stdout.splitlines()]


def is_exact(leat, count):
    assert leat.pg.number("select count(*) from events") == count
    assert leat.pg.number("select count(distinct id) from events") == count
    return True


def test_they_are_listed_and_shown_without_a_daemon():
    with Leat(table=TEXT.format(BAD)) as leat:
        events = bad(3) + small("good", 2)
        events[1]["payload"] = {"text": "\u202e\u009b31m"}
        accept_all(leat, events)
        leat.stop()
        done = leat.run("leat", "dead", "ls", "postgres")
        lines = done.stdout.splitlines()
        assert done.returncode == 0 and len(lines) == 6, done
        assert lines[0].split()[0] == "OFFSET" and "23514" in lines[1], lines
        assert "3 dead letters in" in lines[-1], lines
        assert ls(leat, "--offset", "1") == [1]
        assert ls(leat, "--limit", "2") == [0, 1]
        assert ls(leat, "--code", "22P02") == ls(leat, "--type", "t") == []
        assert ls(leat, "--since", "-10m") == [0, 1, 2]
        done = leat.run("leat", "dead", "show", "postgres", "--offset", "2")
        assert json.loads(done.stdout)["event"]["id"] == events[2]["id"], done
        done = leat.run("leat", "dead", "show", "postgres", "--offset", "9")
        assert done.returncode == 3, done
        for args in (["--offset", "x"], ["--since", "oldest"],
                     ["--limit", "-1"]):
            done = leat.run("leat", "dead", "ls", "postgres", *args)
            assert done.returncode == 2 and done.stdout == "", done


def test_orders_are_shown_before_they_are_carried_out():
    with Leat(table=TEXT.format(BAD)) as leat:
        accept_all(leat, bad(3))
        for verb in ("retry", "drop"):
            done = leat.run("leat", "dead", verb, "postgres", "--limit", "2")
            assert done.returncode == 0, done
            assert "2 dead letters would be" in done.stdout, done
            assert "Nothing was changed. Add --execute" in done.stdout, done
        assert len(leat.dead_letters()) == 3


def test_orders_that_are_refused():
    with Leat(table=TEXT.format(BAD)) as leat:
        accept_all(leat, bad(3))

        def refused(text, *args, status=3):
            done = leat.retry_dead(*args)
            assert done.returncode == status, done
            assert text in done.stderr, done
        refused("does not name this sink", "nothing")
        leat.sink["postgres"].stop()
        refused("is not connected", "postgres")
        leat.batchd.stop()
        refused("batchd does not answer", "postgres", status=1)
        leat.batchd.start()
        leat.pg.stop()
        leat.sink["postgres"].start(wait=False)
        leat.sink["postgres"].wait_line("store unreachable")
        refused("has not opened its store", "postgres")
        assert len(leat.dead_letters()) == 3


def test_some_are_selected():
    with Leat(table=TEXT.format(BAD)) as leat:
        accept_all(leat, bad(4) + small("g", 2))
        leat.pg.query(DROP)
        done = leat.retry_dead("postgres", "--offset", "2")
        assert done.returncode == 0 and "stored 1, kept 0" in done.stdout, done
        assert ls(leat) == [0, 1, 3]
        done = leat.retry_dead("postgres", "--limit", "1", "--code", "23514")
        assert done.returncode == 3 and "2 left, which are beyond" in \
            done.stdout, done
        assert ls(leat) == [1, 3]
        done = leat.retry_dead("postgres", "--type", "good")
        assert done.returncode == 0 and "retried 0" in done.stdout, done
        done = leat.run("leat", "dead", "drop", "postgres", "--execute")
        assert done.returncode == 0 and "dropped 2" in done.stdout, done
        assert is_exact(leat, 4)


def test_an_event_that_was_corrected():
    with Leat(table=TEXT.format(BAD)) as leat:
        events = bad(3)
        accept_all(leat, events)
        file = leat.directory / "event.json"
        done = leat.run("leat", "dead", "show", "postgres", "--offset", "1",
                        "--only-event")
        event = json.loads(done.stdout)

        def retry(change, *args):
            file.write_text(json.dumps({**event, **change}, indent=1))
            return leat.retry_dead("postgres", "--event", str(file), *args)
        # Still bad: the dead letter stays as it was.
        done = retry({"payload": {"n": 1}}, "--offset", "1")
        assert done.returncode == 3 and "kept 1" in done.stdout, done
        assert leat.dead_letters()[1]["event"]["payload"] != {"n": 1}
        for change, args, text in (
                ({"type": ""}, ["--offset", "1"], "event"),
                ({"type": "t"}, [], "--event is for one dead letter"),
                ({"payload": {"x": "y" * 125000}}, ["--offset", "1"],
                 "120 KiB")):
            done = retry(change, *args)
            assert done.returncode == 2 and text in done.stderr, done
        del event["id"]
        done = retry({"type": "good", "payload": {"n": 2}}, "--offset", "1")
        assert done.returncode == 0 and "stored 1" in done.stdout, done
        assert leat.pg.query("select id, type, payload->>'n' from events") \
            == f"{events[1]['id']}|good|2"
        done = retry({"type": "good", "id": "another"}, "--offset", "2")
        assert done.returncode == 0, done
        assert leat.pg.number(
            "select count(*) from events where id = 'another'") == 1
        assert ls(leat) == [0]


def test_they_are_retried_when_their_file_is_full():
    with Leat(table=TEXT.format(BAD), settings={"sinkd-postgres": {
            "dead_max_bytes": "1M"}}) as leat:
        accept_all(leat, bad(8000))
        stats = leat.sink_status()["stats"]
        assert stats["dead_dropped"] > 0, stats
        # All that have a payload are refused again, and none is lost.
        had = len(leat.dead_letters())
        done = leat.retry_dead("postgres")
        assert done.returncode == 3, done
        assert len(leat.dead_letters()) == had
        leat.pg.query(DROP)
        done = leat.retry_dead("postgres")
        assert done.returncode == 3, done
        left = len(leat.dead_letters())
        assert 0 < left < had
        assert is_exact(leat, had - left)


@limit(300)
def test_a_hundred_thousand_under_load():
    """Each is stored once, and the events of the log do not wait for them."""
    with Leat("release", table=TEXT.format(BAD)) as leat:
        for count in (1, 1000, 100000):
            before = leat.pg.number("select count(*) from events")
            accept_all(leat, bad(count, f"b{count}-"), 10000)
            assert len(leat.dead_letters()) == count
            leat.pg.query(DROP)
            worst, results = 0.0, []
            with Load(leat, rate=500) as load:
                load.more(500)
                thread = threading.Thread(target=lambda: results.append(
                    leat.retry_dead("postgres", "--timeout", "200",
                                    timeout_s=250)))
                start = time.monotonic()
                thread.start()
                while thread.is_alive():
                    worst = max(worst, leat.sink_status()["lag_ms"])
                    time.sleep(0.05)
                seconds = time.monotonic() - start
                load.stop()
                leat.caught_up(60)
                stored = len(load.acked)
            assert results[0].returncode == 0, results[0]
            assert leat.dead_letters() == []
            assert is_exact(leat, before + count + stored)
            fact(f"{count} dead letters: {seconds:.1f} s, "
                 f"lag at most {worst:.0f} ms")
            assert worst < 5000, worst
            leat.pg.query("delete from events where type = 'bad'; "
                          "alter table events add " + BAD[2:])


SLOW = """create function slow() returns trigger language plpgsql as $$
  begin perform pg_sleep(0.002); return new; end $$;
  create trigger slow before insert on events
  for each row execute function slow()"""


@limit(240)
def test_kills_of_everything_while_they_are_retried():
    with Leat(table=TEXT.format(BAD), settings={"sinkd-postgres": {
            "batch_events": 20, "retry_max_ms": 200}}) as leat:
        accept_all(leat, bad(2000))
        leat.pg.query(DROP + "; " + SLOW)
        # Some are refused again.
        leat.pg.query("alter table events add check (id not like '%7')")
        done = leat.retry_dead("postgres", "--timeout", "1")
        assert done.returncode == 3, done
        count = "select count(*) from events"
        kills = [leat.sink["postgres"].kill, leat.batchd.kill,
                 lambda: leat.pg.stop(mode="immediate")]
        starts = [leat.sink["postgres"].start, leat.batchd.start,
                  leat.pg.start]
        for n in range(9):
            goal = 100 + 150 * n
            wait_until(lambda: leat.pg.number(count) >= goal,
                       f"{goal} stored", pause_s=0.01)
            kills[n % 3]()
            starts[n % 3]()
        retry = leat.directory / "dead/postgres.retry.ndjson"
        wait_until(lambda: not retry.exists(), "the retry has ended", 60)
        dead = {d["event"]["id"] for d in leat.dead_letters()}
        assert dead and all(i.endswith("7") for i in dead), len(dead)
        assert is_exact(leat, 2000 - len(dead))
        assert len(leat.dead_letters()) == len(dead)


def test_a_stop_and_a_new_start_continue():
    with Leat(table=TEXT.format(BAD), settings={"sinkd-postgres": {
            "batch_events": 20}}) as leat:
        accept_all(leat, bad(1000))
        leat.pg.query(DROP + "; " + SLOW)
        leat.retry_dead("postgres", "--timeout", "1")
        assert len(leat.dead_letters()) == 1000
        # A second order is refused meanwhile.
        done = leat.retry_dead("postgres")
        assert done.returncode == 3 and "in progress" in done.stderr, done
        start = time.monotonic()
        leat.sink["postgres"].stop()
        assert time.monotonic() - start < 5
        leat.sink["postgres"].start()
        wait_until(lambda: leat.dead_letters() == [], "all are stored", 60)
        assert is_exact(leat, 1000)
