"""leat dead: dead letters are listed, retried and dropped, each once.

LEAT_DEAD_LETTERS=100000 has so many retried in Kafka and ClickHouse, too.
"""
import collections
import contextlib
import json
import os
import pty
import signal
import subprocess
import threading
import time
import uuid

from events import small
from leat import Leat, fact, limit, program, wait_until
from load import Load
from postgres import Locked
from stores import (ClickHouse, Kafka, Pg, SignalAt, balanced, installation,
                    stopped)
from three import count_of
from wire import begin_order

MANY = count_of("LEAT_DEAD_LETTERS", 1000)

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


def write_dead_letter(leat, text):
    """A file with one dead letter, whose texts all contain this one."""
    at = "2026-01-31T23:59:59.123456Z"
    (leat.directory / "dead/postgres.ndjson").write_text(json.dumps({
        "stream": str(uuid.uuid4()), "offset": 0, "sink": "postgres",
        "at": at, "code": "22P02", "reason": text,
        "event": {"id": text, "type": text, "user_id": None,
                  "payload": {"text": text}, "created_at": at,
                  "received_at": at}},
        ensure_ascii=False, separators=(",", ":")) + "\n")


def on_a_terminal(leat, *args):
    """What a program prints on a terminal."""
    ours, its = pty.openpty()
    with open(ours, "rb", closefd=True) as out:
        done = subprocess.run([program("leat"), *args, "--config",
                               str(leat.conf)], stdout=its, timeout=20)
        os.close(its)
        text = b""
        with contextlib.suppress(OSError):  # its end
            while data := os.read(out.fileno(), 4096):
                text += data
    assert done.returncode == 0, (done, text)
    return text.decode()


def test_what_is_listed_cannot_act_on_a_terminal():
    evil = "\u202e\u009b31m\x7f\U000e0041é"
    with Leat(postgres=False, start=False) as leat:
        write_dead_letter(leat, evil)
        for args in (("ls", "postgres"), ("ls", "postgres", "--json"),
                     ("show", "postgres"),
                     ("show", "postgres", "--only-event")):
            text = on_a_terminal(leat, "dead", *args)
            assert not set(evil[:-1]) - set("31m") & set(text), (args, text)
            if args != ("ls", "postgres"):
                event = json.loads(text)
                event = event.get("event", event)
                assert event["id"] == event["payload"]["text"] == evil, text
        # On a pipe they are as they are in the file.
        path = leat.directory / "dead/postgres.ndjson"
        for verb in (["ls", "postgres", "--json"], ["show", "postgres"]):
            assert leat.run("leat", "dead", *verb).stdout == path.read_text()


def test_a_limit_of_none_is_refused():
    with Leat(postgres=False, start=False) as leat:
        write_dead_letter(leat, "x")
        for args in (["ls"], ["show"], ["retry", "--execute"],
                     ["drop", "--execute"]):
            done = leat.run("leat", "dead", *args, "postgres", "--limit", "0")
            assert done.returncode == 2 and done.stdout == "", done
            assert "--limit must be at least 1" in done.stderr, done


def test_output_that_cannot_be_written_is_a_failure():
    with Leat(postgres=False, start=False) as leat:
        write_dead_letter(leat, "x")
        for args in (["ls"], ["ls", "--json"], ["show"],
                     ["show", "--only-event"], ["retry"], ["drop"]):
            with open("/dev/full", "w") as full:
                done = subprocess.run(
                    [program("leat"), "dead", *args, "postgres", "--config",
                     str(leat.conf)], stdout=full, stderr=subprocess.PIPE,
                    text=True, timeout=20)
            assert done.returncode == 1, (args, done)
            assert "cannot write to standard output" in done.stderr, done


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


def an_event_that_was_corrected(kind):
    with installation(kind, refuses=True) as (leat, store):
        name = kind.name
        events = [store.bad(e) for e in small("x", 3)]
        leat.accept(events)
        leat.caught_up()
        before = leat.dead_letters(name)
        file = leat.directory / "event.json"
        done = leat.run("leat", "dead", "show", name, "--offset", "1",
                        "--only-event")
        event = json.loads(done.stdout)

        def retry(event, *args):
            file.write_text(json.dumps(event, indent=1))
            return leat.retry_dead(name, "--event", str(file), *args)
        # Still bad: the dead letter stays as it was.
        done = retry({**event, "type": "u"}, "--offset", "1")
        assert done.returncode == 3 and "kept 1" in done.stdout, done
        assert leat.dead_letters(name)[1]["event"] == before[1]["event"]
        for change, args, text in (
                ({"type": ""}, ["--offset", "1"], "event"),
                ({"type": "t"}, [], "--event is for one dead letter"),
                ({"payload": {"x": "y" * 125000}}, ["--offset", "1"],
                 "120 KiB")):
            done = retry({**event, **change}, *args)
            assert done.returncode == 2 and text in done.stderr, done
        good = {**event, "user_id": "u", "type": "good", "payload": {"n": 2}}
        del good["id"]
        done = retry(good, "--offset", "1")
        assert done.returncode == 0 and "stored 1" in done.stdout, done
        stored = [(events[1]["id"], "good", {"n": 2})]
        assert list(store.events()) == stored
        done = retry({**good, "id": "another"}, "--offset", "2")
        assert done.returncode == 0, done
        stored.append(("another", "good", {"n": 2}))
        assert sorted(store.events()) == sorted(stored)
        dead, = leat.dead_letters(name)
        assert dead["offset"] == 0 and dead["event"]["id"] == events[0]["id"]


def test_an_event_that_was_corrected_with_postgres():
    an_event_that_was_corrected(Pg)


def test_an_event_that_was_corrected_with_kafka():
    an_event_that_was_corrected(Kafka)


def test_an_event_that_was_corrected_with_clickhouse():
    an_event_that_was_corrected(ClickHouse)


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


def check_stored(store, ids):
    """Each is there once; or the piece in flight, once more, if a store has no
    means against that.  Returns the ids of those copies."""
    stored = collections.Counter(store.ids())
    assert set(stored) == set(ids), set(stored) ^ set(ids)
    again = list((stored - collections.Counter(ids)).elements())
    assert not again or not store.once, again
    return again


def write_dead_letters(leat, name, count):
    """Have `count` dead letters of an earlier log, each like the only one that
    there is.  The sink must not run."""
    path = leat.directory / "dead" / f"{name}.ndjson"
    dead_letter = json.loads(path.read_text(encoding="utf-8"))
    dead_letter["stream"] = str(uuid.uuid4())
    events = small(f"n{count}", count)
    with open(path, "w", encoding="utf-8") as f:
        for offset, event in enumerate(events):
            dead_letter["offset"] = offset
            dead_letter["event"]["id"] = event["id"]
            f.write(json.dumps(dead_letter, separators=(",", ":")) + "\n")


def many_under_load(kind, counts):
    """Each is stored once, and the log goes on meanwhile."""
    with installation(kind, "release", refuses=True) as (leat, store):
        name, sink = kind.name, leat.sink[kind.name]
        leat.accept([store.bad(small("bad", 1)[0])])
        leat.caught_up()
        path = leat.directory / "dead" / f"{name}.ndjson"
        one = path.read_text(encoding="utf-8")
        store.correct()
        ids = []
        for count in counts:
            sink.stop()
            path.write_text(one, encoding="utf-8")
            write_dead_letters(leat, name, count)
            ids += [d["event"]["id"] for d in leat.dead_letters(name)]
            sink.start()
            seen, results = [], []
            with Load(leat, rate=500) as load:
                load.more(500)
                thread = threading.Thread(target=lambda: results.append(
                    leat.retry_dead(name, "--timeout", "200s", timeout_s=250)))
                start = time.monotonic()
                thread.start()
                while thread.is_alive():
                    seen.append(leat.sink_status(name))
                    time.sleep(0.05)
                seconds = time.monotonic() - start
                load.stop()
                leat.caught_up(60)
                ids += load.acked
            assert results[0].returncode == 0, results[0]
            assert leat.dead_letters(name) == []
            check_stored(store, ids)
            fact(f"{count} dead letters: {seconds:.1f} s, lag at most "
                 f"{max(s['lag_ms'] for s in seen):.0f} ms")
            if count >= 100000:
                assert seen[-1]["committed"] > seen[0]["committed"], seen


@limit(300)
def test_many_under_load_with_postgres():
    many_under_load(Pg, (1, 1000, 100000))


@limit(300)
def test_many_under_load_with_kafka():
    many_under_load(Kafka, (1, MANY))


@limit(300)
def test_many_under_load_with_clickhouse():
    many_under_load(ClickHouse, (1, MANY))


SLOW = """create function slow() returns trigger language plpgsql as $$
  begin perform pg_sleep(0.002); return new; end $$;
  create trigger slow before insert on events
  for each row execute function slow()"""


def test_a_stop_and_a_new_start_continue():
    """A stop waits for one batch, which is small where the store is slow."""
    with Leat(table=TEXT.format(BAD)) as leat:
        accept_all(leat, bad(1000))
        leat.pg.query(DROP + "; " + SLOW)
        leat.retry_dead("postgres", "--timeout", "1s")
        assert len(leat.dead_letters()) == 1000
        # A second order is refused meanwhile.
        done = leat.retry_dead("postgres")
        assert done.returncode == 3 and "in progress" in done.stderr, done
        leat.sink["postgres"].stop()
        leat.sink["postgres"].start()
        wait_until(lambda: leat.dead_letters() == [], "all are stored", 60)
        assert is_exact(leat, 1000)
        assert leat.pg.number("select max(n) from (select count(*) as n from "
                              "events group by xmin::text) as pieces") < 1000


def test_a_drain_begins_with_the_signal():
    """The batch in flight is waited for, and no other one is begun after
    drain_ms."""
    with Leat(table=TEXT.format(""), settings={"sinkd-postgres": {
            "batch_events": 10, "drain_ms": 200}}) as leat:
        sink = leat.sink["postgres"]
        with Locked(leat.pg, "leat_position"):
            leat.accept(small("d", 100))
            wait_until(lambda: leat.pg.number(
                "select count(*) from pg_locks where not granted"),
                "the first batch waits")
            sink.signal(signal.SIGTERM)
            time.sleep(0.3)
        assert sink.wait() == 0
        assert leat.pg.number("select count(*) from events") == 10
        sink.start()
        leat.caught_up()
        assert is_exact(leat, 100)


# --- killed at each step, with each store ---

PIECE_STORED = ("before", "pwrite", "*.dead-*.progress", 2)
PIECE_DONE = ("after", "pwrite", "*.dead-*.progress")
# When the sink is killed while it retries, as signal_at.c has it: the steps of
# an order that may be half done, in their order.
RETRY_STEPS = {
    "ordered": ("before", "rename", "*.retry.ndjson"),
    "recorded": ("after", "rename", "*.retry.ndjson"),
    "writing": None,  # while the store, which is frozen, has the second piece
    "stored": PIECE_STORED,
    "refused": ("before", "pwrite", "*.kept.ndjson"),
    "kept": ("after", "pwrite", "*.kept.ndjson"),
    "dealt-with": ("before", "rename", "{sink}.ndjson"),
    "removed": ("after", "rename", "{sink}.ndjson"),
    "forgotten": ("after", "unlink", "{sink}.retry.ndjson"),
}
DROP_STEPS = {
    "drop-ordered": RETRY_STEPS["ordered"],
    "drop-recorded": RETRY_STEPS["recorded"],
    "drop-rewritten": RETRY_STEPS["dealt-with"],
    "drop-removed": RETRY_STEPS["removed"],
    "drop-counted": ("after", "rename", "*.dropped"),
    "drop-forgotten": RETRY_STEPS["forgotten"],
}
PIECE = 4      # batch_events
EVENTS = 12    # of each step; one of them is refused again
DROPPED = 3


class Kill:
    """The sink is killed at one step of an order about its dead letters."""

    def __init__(self, store, at, step):
        self.store, self.at, self.step = store, at, step
        self.leat, self.name = store.leat, store.name
        self.sink = self.leat.sink[self.name]
        self.dead = self.leat.directory / "dead"

    def order(self):
        wait_until(lambda: (self.leat.sink_status(self.name) or {}).get(
            "state") == "waiting", "batchd takes an order for it")
        action = "drop" if self.step in DROP_STEPS else "retry"
        begin_order(self.leat, "dead", self.name, action=action,
                    type=self.step)

    def kill(self):
        when, function, file, *call = {**RETRY_STEPS, **DROP_STEPS}[self.step]
        self.at.set(signal.SIGKILL, when, function,
                    file.format(sink=self.name), *call)
        self.order()
        assert self.sink.wait() == -signal.SIGKILL, self.step
        self.at.clear()

    def kill_while_it_writes(self):
        self.at.set(signal.SIGSTOP, *PIECE_DONE)
        self.order()
        stopped(self.sink)
        self.at.clear()
        with self.store_asked():
            self.sink.kill()

    @contextlib.contextmanager
    def store_asked(self):
        """The store, which is frozen, has the next piece, or waits for the end
        of its transaction.  The sink has stopped after a piece."""
        with self.store.frozen():
            self.sink.signal(signal.SIGCONT)
            wait_until(self.store.is_asked, "the next piece is sent")
            yield

    def rest(self):
        """Files of an order that are left."""
        return [f.name for f in self.dead.iterdir()
                if ".retry." in f.name or ".dead-" in f.name]

    def run(self, left):
        """Until `left` of the dead letters are left."""
        if self.step == "writing":
            self.kill_while_it_writes()
        else:
            self.kill()
        self.sink.start()
        if self.step in ("ordered", "drop-ordered"):
            # It is lost, nothing has happened, and it is ordered again.
            assert self.rest() == []
            self.order()
        wait_until(lambda: len(self.dead_letters()) == left and
                   self.rest() == [], f"{self.step}: the order has ended")

    def dead_letters(self):
        return [d for d in self.leat.dead_letters(self.name)
                if d["event"]["type"] == self.step]


def refused_events(store, step, count, hopeless=None):
    events = [store.bad(e) for e in small(step, count)]
    if hopeless is not None:
        events[hopeless] = store.hopeless(events[hopeless])
    return [{**e, "type": step} for e in events]


def correct(leat, store):
    """The store accepts the bad events from now on, in small pieces."""
    sink = leat.sink[store.name]
    sink.stop()
    store.correct()
    leat.settings[f"sinkd-{store.name}"]["batch_events"] = PIECE
    leat.write_conf()
    at = SignalAt(leat, sink)
    sink.start()
    return at


def kills_at_each_step(kind):
    with installation(kind, refuses=True) as (leat, store):
        events = {step: refused_events(store, step, EVENTS, hopeless=PIECE + 2)
                  for step in RETRY_STEPS}
        events |= {step: refused_events(store, step, DROPPED)
                   for step in DROP_STEPS}
        leat.accept(small("good", 10) + sum(events.values(), []))
        leat.caught_up()
        assert len(leat.dead_letters(kind.name)) == \
            sum(map(len, events.values()))
        at = correct(leat, store)
        ids = [e["id"] for e in small("good", 10)]
        doubled, dropped = [], 0
        for step in [*RETRY_STEPS, *DROP_STEPS]:
            print(f"{kind.name}: killed at {step}", flush=True)
            kill = Kill(store, at, step)
            had = kill.dead_letters()
            kill.run(left=step in RETRY_STEPS)
            if step in RETRY_STEPS:
                was, (now,) = had.pop(PIECE + 2), kill.dead_letters()
                assert now["at"] > was["at"] and \
                    now["offset"] == was["offset"], (step, now)
                ids += [d["event"]["id"] for d in had]
            else:
                dropped += DROPPED
            more = [i for i in check_stored(store, ids) if i not in doubled]
            doubled += more
            # Only a piece of which the sink does not know what became of it.
            assert not more or step in ("writing", "stored"), (step, more)
            assert len(more) <= PIECE, more
        wait_until(lambda: balanced(leat, kind.name)["dropped_events"] ==
                   dropped, "all that were dropped are counted")
        s = balanced(leat, kind.name)
        assert s["pending_dead_letters"] == len(RETRY_STEPS), s
        assert s["stored_events"] == len(ids), s
        fact(f"{len(RETRY_STEPS) + len(DROP_STEPS)} kills, {len(ids)} stored, "
             f"{len(doubled)} twice")


@limit(120)
def test_kills_at_each_step_with_postgres():
    kills_at_each_step(Pg)


@limit(400)
def test_kills_at_each_step_with_kafka():
    kills_at_each_step(Kafka)


@limit(120)
def test_kills_at_each_step_with_clickhouse():
    kills_at_each_step(ClickHouse)


# --- everything is killed, with each store ---

# Who is killed, when the store has a piece and has not answered, or when it has
# answered and the sink has not recorded that.
KILLS = [(PIECE_DONE, "batchd"), (PIECE_DONE, "store"), (PIECE_DONE, "sink"),
         (PIECE_STORED, "batchd")]
MEANWHILE = 3  # events that are accepted before each kill


def kills_of_everything(kind):
    with installation(kind, refuses=True) as (leat, store):
        events = refused_events(store, "writing", 80)
        for n in range(7, 80, 10):
            events[n] = {**store.hopeless(events[n]), "type": "writing"}
        leat.accept(events)
        leat.caught_up()
        before = leat.dead_letters(kind.name)
        assert len(before) == len(events)
        retry = Kill(store, correct(leat, store), "writing")
        sink = retry.sink
        daemons = {"batchd": leat.batchd, "sink": sink, "store": store.server}
        meanwhile = small("m", MEANWHILE * len(KILLS))

        def stop_at(n):
            if n < len(KILLS):
                retry.at.set(signal.SIGSTOP, *KILLS[n][0])
        stop_at(0)
        retry.order()
        for n, (step, victim) in enumerate(KILLS):
            stopped(sink)
            retry.at.clear()
            print(f"{kind.name}: {victim} is killed {step[0]} a piece is "
                  "recorded", flush=True)
            leat.intake_open()
            with retry.store_asked() if step == PIECE_DONE else \
                    contextlib.nullcontext():
                leat.accept(meanwhile[n * MEANWHILE:(n + 1) * MEANWHILE])
                stop_at(n + 1)
                daemons[victim].kill()
            daemons[victim].start()
            if step == PIECE_STORED:
                sink.signal(signal.SIGCONT)
        wait_until(lambda: retry.rest() == [], "the retry has ended", 60)
        leat.caught_up()
        had = {d["event"]["id"]: d for d in before}
        dead = leat.dead_letters(kind.name)
        assert [d["offset"] for d in dead] == list(range(7, 80, 10)), dead
        for d in dead:
            was = had.pop(d["event"]["id"])
            assert d["event"] == was["event"] and d["at"] > was["at"], d
        ids = [*had, *(e["id"] for e in meanwhile)]
        again = len(check_stored(store, ids))
        # Only what the store was asked for: a piece, or a batch of the log.
        asked = sum(step == PIECE_DONE for step, _ in KILLS)
        assert again <= PIECE * asked, again
        s = balanced(leat, kind.name)
        assert s["pending_dead_letters"] == len(dead), s
        assert s["stored_events"] == len(ids), s
        done = leat.run("leat", "account")
        assert done.returncode == (3 if again else 0), done
        assert not again or f"{again} are there TWICE" in done.stdout, done
        fact(f"{len(ids)} stored, {again} once more")


@limit(120)
def test_kills_of_everything_with_postgres():
    kills_of_everything(Pg)


@limit(400)
def test_kills_of_everything_with_kafka():
    kills_of_everything(Kafka)


@limit(120)
def test_kills_of_everything_with_clickhouse():
    kills_of_everything(ClickHouse)
