"""The counters of each sink: each accepted event is stored, dead-lettered,
dropped, skipped or pending.

tests/torture holds the same figures against the stores under faults.
"""
import re

from events import event_id, small
from leat import Leat, wait_until
from wire import SINK, SUBSCRIBE, Peer, pack

UUID_TABLE = """create table events (id uuid not null, type text not null,
  user_id text, payload jsonb, created_at timestamptz,
  received_at timestamptz)"""


def counters(leat, name="postgres"):
    """(accepted, stored, dead-lettered, skipped, pending); checks the sum."""
    status = leat.status()
    s = next(s for s in status["sinks"] if s["name"] == name)
    figures = (s["stored_events"], s["pending_dead_letters"],
               s["skipped_events"], s["lag_events"])
    accepted, dropped = status["log"]["durable_offset"], s["dropped_events"]
    assert accepted == sum(figures) + dropped, (accepted, figures, dropped)
    return (accepted,) + figures


def come_to(leat, want, name="postgres"):
    wait_until(lambda: counters(leat, name) == want,
               f"the counters are {want}", 10)


def rows(leat):
    return leat.pg.number("select count(*) from events")


def test_dead_lettered_and_retried():
    with Leat(table=UUID_TABLE) as leat:
        events = small("b", 100)
        events[7]["id"] = events[50]["id"] = "no uuid"
        leat.accept(events)
        leat.caught_up()
        come_to(leat, (100, 98, 2, 0, 0))
        # Known without the sink, and over a restart of batchd.
        leat.sink["postgres"].stop()
        leat.batchd.stop()
        leat.batchd.start()
        leat.intake_open()
        come_to(leat, (100, 98, 2, 0, 0))
        leat.accept(small("b", 10, 100))
        come_to(leat, (110, 98, 2, 0, 10))
        leat.sink["postgres"].start()
        come_to(leat, (110, 108, 2, 0, 0))
        leat.accept(small("b", 5, 110))
        come_to(leat, (115, 113, 2, 0, 0))
        leat.pg.query("alter table events alter column id type text")
        done = leat.retry_dead("postgres")
        assert done.returncode == 0, done.stderr
        come_to(leat, (115, 115, 0, 0, 0))
        assert rows(leat) == 115


def gauges(leat):
    """What status (DEAD) and /metrics show of the dead letters that wait."""
    page = leat.request("GET", "/metrics")[1]

    def gauge(name):
        found = re.search(name + r'\{sink="postgres"\} (\d+)', page)
        return int(found[1]) if found else None
    line, = (line.split() for line in
             leat.run("leat", "status").stdout.splitlines()
             if line.startswith("postgres "))
    return (int(line[-1]), gauge("leat_sink_dead_letters"),
            gauge("leat_sink_pending_dead_letters"))


def test_dead_letters_that_are_retried_and_dropped():
    with Leat(table=UUID_TABLE) as leat:
        events = small("s", 10)
        for i in (2, 5, 7):
            events[i]["id"] = f"no uuid {i}"
        leat.accept(events)
        leat.caught_up()
        wait_until(lambda: gauges(leat) == (3, 3, 3), "they are shown")
        # One is good now, and the others are refused again.
        leat.pg.query("alter table events alter column id type text, "
                      "add check (id <> 'no uuid 5' and id <> 'no uuid 7')")
        done = leat.retry_dead("postgres")
        assert done.returncode == 3, done
        # Their own offsets, and not those of the lines of the file.
        leat.sink["postgres"].wait_line("dead letter refused again .* offset=5")
        come_to(leat, (10, 8, 2, 0, 0))
        wait_until(lambda: gauges(leat) == (2, 2, 2), "one less is shown")
        assert {d["code"] for d in leat.dead_letters()} == {"23514"}
        leat.pg.query("alter table events drop constraint events_id_check")
        # Dropped is dropped, over a restart of all.
        done = leat.run("leat", "dead", "drop", "postgres", "--offset", "5",
                        "--execute")
        assert done.returncode == 0 and "dropped 1" in done.stdout, done
        wait_until(lambda: gauges(leat) == (1, 1, 1), "one is left")
        wait_until(lambda: leat.sink_status()["stats"]["dead_dropped"] == 1,
                   "one is dropped")
        for d in (leat.sink["postgres"], leat.batchd):
            d.stop()
        leat.batchd.start()
        leat.sink["postgres"].start()
        leat.intake_open()
        done = leat.retry_dead("postgres")
        assert done.returncode == 0, done
        wait_until(lambda: gauges(leat) == (0, 0, 0), "none is shown")
        assert leat.sink_status()["stats"]["dead_dropped"] == 1
        assert rows(leat) == 9


def test_replay_over_dead_letters_and_dropped_events():
    """From the new position on everything is pending, and is counted again
    when the position passes it."""
    with Leat(table=UUID_TABLE) as leat:
        events = small("o", 10)
        for i in (2, 5, 7):
            events[i]["id"] = f"no uuid {i}"
        leat.accept(events)
        come_to(leat, (10, 7, 3, 0, 0))
        for offset in (2, 5):
            done = leat.run("leat", "dead", "drop", "postgres", "--offset",
                            str(offset), "--execute")
            assert done.returncode == 0, done
            # The reply comes after the new counters.
            assert counters(leat) == (10, 7, 3 - (offset + 1) // 3, 0, 0)
        for argv in (("pause", "postgres"),
                     ("replay", "postgres", "--from", "4", "--execute")):
            done = leat.run("leat", *argv)
            assert done.returncode == 0, done
        # Of those below: 2 is dropped.
        assert counters(leat) == (10, 3, 0, 0, 6)
        for d in (leat.sink["postgres"], leat.batchd):
            d.stop()
        leat.batchd.start()
        leat.intake_open()
        assert counters(leat) == (10, 3, 0, 0, 6)
        done = leat.run("leat", "resume", "postgres")
        assert done.returncode == 0, done
        leat.sink["postgres"].start()
        # 5 was refused again.  7 has its dead letter still.
        come_to(leat, (10, 7, 2, 0, 0))
        assert sorted(d["offset"] for d in leat.dead_letters()) == [5, 7]
        assert rows(leat) == 11


def test_dead_letters_that_cannot_be_counted_are_still_shown():
    with Leat(table=UUID_TABLE) as leat:
        leat.accept([{"type": "t", "id": "no uuid"}] + small("u", 5))
        leat.caught_up()
        wait_until(lambda: gauges(leat) == (1, 1, 1), "it is shown")
        dead_letters = leat.directory / "dead/postgres.ndjson"
        dead_letters.rename(leat.directory / "kept")
        dead_letters.mkdir()
        leat.sink["postgres"].wait_line("cannot count the dead letters")
        leat.accept(small("u", 5, 5))
        leat.caught_up()
        come_to(leat, (11, 10, 1, 0, 0))
        assert gauges(leat) == (1, 1, 1)
        dead_letters.rmdir()
        (leat.directory / "kept").rename(dead_letters)


def test_what_a_new_sink_does_not_get():
    with Leat() as leat:
        leat.accept(small("n", 100))
        leat.caught_up()
        leat.batchd.stop()
        leat.settings["batchd"].update(sinks="postgres new", start="newest")
        leat.write_conf()
        leat.batchd.start()
        leat.intake_open()
        with Peer(leat, SINK, "new") as peer:
            peer.send(pack([SUBSCRIBE, 0, None, 1000, 1 << 20, 10, False, 0, 0]))
            wait_until(lambda: leat.sink_status("new")["connected"], "there")
            assert counters(leat, "new") == (100, 0, 0, 100, 0)
        leat.accept(small("n", 5, 100))
        come_to(leat, (105, 0, 0, 100, 5), "new")


def test_events_lost_to_damage():
    with Leat() as leat:
        leat.sink["postgres"].stop()
        for i in range(0, 30, 10):
            leat.accept(small("d", 10, i))
        leat.batchd.kill()
        segment, = (leat.directory / "log").glob("*.seg")
        data = bytearray(segment.read_bytes())
        data[data.index(event_id("d", 15).encode())] ^= 1
        segment.write_bytes(data)
        leat.batchd.start()
        leat.sink["postgres"].start()
        leat.intake_open()
        leat.accept(small("d", 10, 30))
        leat.caught_up()
        come_to(leat, (40, 30, 0, 10, 0))
        assert rows(leat) == 30
        leat.batchd.stop()
        leat.batchd.start()
        leat.intake_open()
        come_to(leat, (40, 30, 0, 10, 0))


def test_a_lost_cursor_of_a_sink_whose_store_remembers():
    with Leat() as leat:
        leat.accept(small("c", 100))
        leat.caught_up()
        leat.batchd.stop()
        for cursor in (leat.directory / "log/cursors").glob("*"):
            cursor.unlink()
        leat.batchd.start()
        leat.intake_open()
        leat.accept(small("c", 5, 100))
        leat.caught_up()
        come_to(leat, (105, 105, 0, 0, 0))
