"""leat pause, resume, replay and skip, with a real batchd and PostgreSQL."""
import collections
import subprocess

from batchd_fake import sink
from events import small
from leat import Leat, program, wait_until
from postgres import Locked
from test_top import Scripted
from wire import Refused, begin_order, order

TABLE = "create table events (id text, type text constraint c " \
    "check (type <> 'bad'), user_id text, payload jsonb, " \
    "created_at timestamptz, received_at timestamptz)"


def ok(leat, *args):
    done = leat.run("leat", *args)
    assert done.returncode == 0 and done.stderr == "", done
    return done.stdout


def refused(leat, text, *args, status=3):
    done = leat.run("leat", *args)
    assert done.returncode == status and text in done.stderr, done


def stored(leat):
    """How often each event is in the table, by its number."""
    return collections.Counter(map(int, leat.pg.query(
        "select payload->>'i' from events").split()))


def test_pause_resume_replay_and_skip():
    with Leat(table=TABLE, also=["other"]) as leat:
        leat.accept(small("o", 10))
        leat.caught_up()
        text = ok(leat, "pause", "postgres", "--why", "an index")
        assert "paused at offset 10 (an index); nothing is in flight" in \
            text, text
        done = leat.run("leat", "status")
        assert done.returncode == 3 and "an index" in done.stdout, done
        leat.accept(small("o", 10, 10))
        assert "resumed" in ok(leat, "resume", "postgres")
        refused(leat, "not paused", "resume", "postgres")
        leat.caught_up()
        assert stored(leat) == dict.fromkeys(range(20), 1)

        replay = ("replay", "postgres", "--from", "15")
        text = ok(leat, *replay)
        assert "Nothing was changed" in text and "TWICE" in text, text
        assert leat.sink_status()["generation"] == 0
        text = ok(leat, *replay, "--execute")
        assert "Done: postgres moved from 20 to 15; 5 events are sent " \
            "again." in text, text
        leat.caught_up()
        twice = {i: 1 if i < 15 else 2 for i in range(20)}
        assert stored(leat) == twice

        ok(leat, "pause", "postgres")
        leat.accept(small("o", 10, 20))
        skip = ("skip", "postgres", "--to", "27")
        assert "Nothing was changed" in ok(leat, *skip)
        assert leat.sink_status()["committed"] == 20
        assert "7 events are skipped" in ok(leat, *skip, "--execute")
        s = leat.sink_status()
        assert (s["state"], s["committed"]) == ("paused", 27), s
        ok(leat, "resume", "postgres")
        leat.caught_up()
        assert stored(leat) == {**twice, **dict.fromkeys((27, 28, 29), 1)}
        s = leat.sink_status()
        assert (s["stored_events"], s["skipped_events"]) == (23, 7), s

        refused(leat, "ends at offset", "skip", "postgres", "--to", "31",
                "--execute")
        refused(leat, "not connected", "skip", "other", "--to", "newest",
                "--execute")
        refused(leat, "no sink of this name", "pause", "nosuch")
        refused(leat, "--from must be", "replay", "postgres", "--from", "x",
                status=2)
        leat.batchd.stop()
        for args in (("pause", "postgres"), ("resume", "postgres"),
                     (*replay, "--execute"), (*skip, "--execute")):
            refused(leat, "batchd does not answer", *args, status=1)
        leat.batchd.start()


def test_a_pause_tells_when_the_log_is_full():
    with Scripted([sink("postgres", lag_bytes=100),
                   sink("kafka", lag_bytes=400)]) as s:
        log = s.batchd.status["log"]

        def pause():
            done = subprocess.run(
                [program("leat"), "pause", "postgres", "--config", s.conf],
                capture_output=True, text=True, timeout=60)
            assert done.returncode == 0 and done.stderr == "", done
            return done.stdout.splitlines()
        # The present batchd has no events, or it has just been started.
        assert len(pause()) == 2
        log["bytes_per_s"] = 0
        assert len(pause()) == 2
        # 600 bytes are left beside what kafka has not committed.
        log["bytes_per_s"] = 10
        assert pause() == [
            "postgres is paused; nothing is in flight, and the log keeps its "
            "events.",
            "The log has room for 1000B, and is full in about 1m 00s at the "
            "present rate; then senders get 503.",
            "End the pause with: leat resume postgres"]
        log["max_bytes"] = 1 << 50
        assert len(pause()) == 2  # in years
        s.batchd.status["sinks"][0]["lag_bytes"] = 1 << 51
        assert len(pause()) == 2
        log["reason"] = "the log has reached max_bytes"
        assert "The log takes no events now: senders get 503." in pause()


def test_the_rate_of_arriving_bytes():
    with Leat(sinks=(), postgres=False) as leat:
        assert leat.status()["log"]["bytes_per_s"] == 0

        def counted():
            leat.accept(small("r", 100))
            log = leat.status()["log"]
            return log if log["bytes_per_s"] else None
        # What came before batchd's first second is not counted.
        log = wait_until(counted, "it is counted")
        assert log["bytes_per_s"] <= log["appended_bytes"], log
        wait_until(lambda: leat.status()["log"]["bytes_per_s"] == 0,
                   "it ends")


def test_a_replay_shows_what_it_doubles_and_holds():
    with Leat(table=TABLE, settings={"batchd": {"segment_bytes": "1M"}}) \
            as leat:
        for i in range(0, 60, 10):
            events = small("r", 10, i)
            for event in events:
                event["payload"]["x"] = "x" * 60_000
                if event["payload"]["i"] in (3, 25, 26, 59):
                    event["type"] = "bad"
            leat.accept(events)
        leat.caught_up()
        files = {int(p.name.split(".")[0]): p.stat().st_size
                 for p in (leat.directory / "log").iterdir()
                 if p.name[0].isdigit()}
        starts = sorted(files)
        assert len(starts) >= 4, starts

        def preview(first):
            lines = [line.strip() for line in ok(
                leat, "replay", "postgres", "--from", str(first)).split("\n")]
            assert "Nothing was changed.  Add --execute to do it." in lines
            held = [(n, s) for n, s in zip(starts, [*starts[1:], 60])
                    if s > first]
            size = sum(files[n] for n, _ in held)
            assert f"The replay holds {size / 2**20:.1f}M of 8.0G in it " \
                f"meanwhile, in {len(held)} segment" + \
                ("." if len(held) == 1 else "s.") in lines, (lines, files)
            return lines
        lines = preview(0)
        assert "60 events are sent to the store again." in lines, lines
        assert "4 of them are dead letters, and remain so: leat dead retry " \
            "postgres stores them." in lines, lines
        assert "dedup_by_id = no: those that the table still has will be in " \
            "it TWICE." in lines, lines
        assert any(line.startswith("3 of them are") for line in preview(4))
        assert "1 of them is a dead letter, and remains one: leat dead retry " \
            "postgres stores it." in preview(starts[-1])
        assert preview(starts[1] - 1) != preview(starts[1])
        # What is shown is what is done.
        ok(leat, "replay", "postgres", "--from", "0", "--execute")
        leat.caught_up()
        assert stored(leat) == {i: 2 for i in range(60)
                                if i not in (3, 25, 26, 59)}
        assert leat.sink_status()["stats"]["dead_letters"] == 4


def test_each_sink_has_its_own_setting_against_doubles():
    sinks = [sink(name) for name in ("postgres", "kafka", "nosuch")]
    with Scripted(sinks) as s:
        def shown(name, text, *settings):
            s.conf.write_text("\n".join(
                [f"[leat]\nsocket = {s.batchd.path}", *settings, ""]))
            done = subprocess.run(
                [program("leat"), "replay", name, "--from", "600", "--config",
                 s.conf], capture_output=True, text=True, timeout=60)
            assert done.returncode == 0 and text in done.stdout, done
            # There is no log to look into.
            assert "holds about 40B of 1000B in it" in done.stdout, done
        shown("postgres", "dedup_by_id = no: those that the table still has "
              "will be in it TWICE.")
        shown("postgres", "dedup_by_id = yes: those that the table still has "
              "are not stored again.", "[sinkd-postgres]",
              "dedup_by_id = yes")
        shown("kafka", "    Those that the store still has will be in it "
              "TWICE.\n", "[sinkd-postgres]", "dedup_by_id = yes")
        shown("nosuch", "TWICE, unless it drops known ids.")


def test_a_replay_waits_for_its_store_and_shows_that():
    settings = {"sinkd-postgres": {"retry_max_ms": 200}}
    with Leat(settings=settings) as leat:
        leat.accept(small("w", 20))
        leat.caught_up()
        leat.pg.stop(mode="immediate")
        replay = ("replay", "postgres", "--from", "15", "--execute")
        refused(leat, "not done after 1 s; the order goes on: leat status "
                "shows", *replay, "--timeout", "1s")

        def waits():
            done = leat.run("leat", "status")
            assert done.returncode == 3, done
            return "    order in progress: seeking to offset 15; it is done " \
                "as soon as the store works, and cannot be cancelled\n" in \
                done.stdout and "PROBLEM sink postgres is retrying" in \
                done.stdout
        wait_until(waits, "it is shown")
        # It outlives batchd, and nothing else can be ordered meanwhile.
        leat.batchd.kill()
        leat.batchd.start()
        wait_until(waits, "it is shown again")
        refused(leat, "another order of this sink is in progress (seeking)",
                *replay)
        refused(leat, "if it shows an error of the store, correct that first",
                "pause", "postgres")
        leat.pg.start()
        wait_until(lambda: leat.sink_status()["order"] == "" and
                   leat.sink_status()["committed"] == 20,
                   "the events are sent again")
        assert stored(leat) == {i: 1 if i < 15 else 2 for i in range(20)}
        assert "order in progress" not in leat.run("leat", "status").stdout


def test_other_orders_while_dead_letters_are_retried():
    with Leat(table=TABLE) as leat:
        events = small("o", 20)
        for i in (3, 11, 12):
            events[i]["type"] = "bad"
        leat.accept(events)
        leat.caught_up()
        leat.pg.query("alter table events drop constraint c")
        with Locked(leat.pg) as table:
            retry = subprocess.Popen(
                [program("leat"), "dead", "retry", "postgres", "--execute",
                 "--config", str(leat.conf)], stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True)
            wait_until(lambda: leat.sink_status()["order"] == "retrying" and
                       leat.pg.number("select count(*) from pg_locks "
                                      "where not granted") > 0,
                       "the retry waits for the table")
            done = leat.run("leat", "status")
            assert "order in progress: retrying" in done.stdout, done
            for args in (("replay", "postgres", "--from", "5"),
                         ("dead", "drop", "postgres")):
                refused(leat, "in progress", *args, "--execute")
            try:
                order(leat, "seek", "postgres", **{"from": 20, "to": 5})
            except Refused as why:
                assert "dead letters of this sink" in str(why), why
            else:
                raise AssertionError("it was not refused")
            begin_order(leat, "pause", "postgres")
            leat.batchd.wait_line("the sink is asked to stop its work")
            assert leat.sink_status()["order"] == "pausing"
            table.unlock()
        wait_until(lambda: leat.sink_status()["state"] == "paused", "paused")
        # A pause interrupts the retry, and what is recorded of it goes on.
        out, error = retry.communicate(timeout=30)
        assert retry.returncode == 3 and "has stopped its work" in error, \
            (out, error)
        s = leat.sink_status()
        assert s["order"] == "" and s["generation"] == 0, s
        ok(leat, "resume", "postgres")
        wait_until(lambda: leat.dead_letters() == [], "the retry has ended")
        assert stored(leat) == dict.fromkeys(range(20), 1)
