"""What an operator does: twins, new and removed sinks, damage, restarts."""
import os
import re
import resource
import signal
import socket
import time

from events import event_id, small
from leat import Leat, fact, limit, wait_until
from load import Load, check_exactly_once
from process import Daemon
from wire import (BATCH, COMMITTED, CONTROLLER, HELLO, SINK, SUBSCRIBE, VERSION,
                  WELCOME, Peer, control, pack, unpack)


def count(leat):
    return leat.pg.number("select count(*) from events")


def test_a_second_batchd_is_kept_off_the_log():
    with Leat() as leat:
        done = leat.run("batchd", timeout_s=20)
        # With a status after which supervisord tries again.
        assert done.returncode == 1, done
        assert str(leat.directory / "log") in done.stderr, done.stderr
        # supervisord tries again at once, for as long as this goes on.
        start_s = time.monotonic()
        done = leat.run("batchd", timeout_s=20,
                        env={"SUPERVISOR_ENABLED": "1"})
        assert done.returncode == 1, done
        assert time.monotonic() - start_s >= 1
        leat.accept(small("l", 10))
        leat.caught_up()
        assert count(leat) == 10


def test_a_twin_sink_stores_nothing_twice():
    with Leat() as leat, Load(leat) as load:
        twin = leat.daemon("sinkd-postgres", r" ready\b")
        twin.name = "twin"
        load.more(200)
        twin.start(wait=False)
        twin.wait_line("busy")
        load.more(200)
        # Frozen, then replaced by the twin, then awake again with a batch
        # in hand that the twin has written too.
        sink = leat.sink["postgres"]
        sink.signal(signal.SIGSTOP)
        load.more(200)
        leat.batchd.kill()
        leat.batchd.start()
        twin.wait_ready()
        load.more(200)
        sink.signal(signal.SIGCONT)
        load.more(200)
        load.stop()
        check_exactly_once(leat, load)
        twin.stop()
        leat.caught_up()
        assert not twin.reports()


def test_a_batchd_that_stands_still():
    """While one is frozen, no answer is untrue."""
    with Leat() as leat, Load(leat, threads=2) as load:
        load.more(200)
        for _ in range(3):
            leat.batchd.signal(signal.SIGSTOP)
            leat.sink["postgres"].kill()
            leat.batchd.signal(signal.SIGCONT)
            leat.sink["postgres"].start()
            load.more(200)
        load.stop()
        check_exactly_once(leat, load)


def test_a_sink_that_was_never_there_holds_its_events():
    """Named but never connected: kept.  Removed: released, aloud."""
    settings = {"batchd": {"max_bytes": "16M", "segment_bytes": "1M",
                           "retain_seconds": 0}}
    with Leat(also=["later"], settings=settings) as leat:
        with Load(leat, events_per_request=100, padding=500) as load:
            load.saw(503, 60)
            load.stop()
        leat.caught_up()
        status = leat.status()
        assert status["log"]["first_offset"] == 0, status["log"]
        assert not leat.ready()
        leat.ingestd.stop()
        leat.batchd.stop()
        leat.settings["batchd"]["sinks"] = "postgres"
        leat.write_conf()
        leat.batchd.start()
        leat.batchd.wait_line("later")
        leat.ingestd.start()
        leat.intake_open()
        leat.accept(small("after", 5))
        leat.caught_up()
        wait_until(lambda: leat.status()["log"]["first_offset"] > 0,
                   "old segments are deleted")


def test_a_new_sink_starts_where_new_sink_at_points():
    """A second sink on the same store, oldest and newest."""
    with Leat() as leat:
        leat.accept(small("o", 100))
        leat.caught_up()
        for name, start, want in (("old", "oldest", 0), ("new", "newest", 100)):
            leat.batchd.stop()
            sinks = leat.settings["batchd"]["sinks"] + " " + name
            leat.settings["batchd"].update(sinks=sinks, start=start)
            leat.write_conf()
            leat.batchd.start()
            leat.sink["postgres"].wait_line(" ready")
            with Peer(leat, SINK, name) as peer:
                peer.send(pack([SUBSCRIBE, 0, None, 1000, 1 << 20, 10, False, 0, 0]))
                wait_until(lambda: leat.sink_status(name)["connected"],
                           "connected")
                assert leat.sink_status(name)["committed"] == want


def test_a_lost_cursor_means_from_the_oldest():
    """The store's own position still keeps anything from coming twice."""
    with Leat() as leat:
        leat.accept(small("c", 100))
        leat.caught_up()
        leat.batchd.stop()
        for cursor in (leat.directory / "log/cursors").glob("*"):
            cursor.unlink()
        leat.batchd.start()
        leat.intake_open()
        leat.accept(small("c", 100, 100))
        leat.caught_up()
        assert count(leat) == 200


def test_a_position_that_went_back_is_followed():
    """The store lost its last commits: it gets them again."""
    settings = {"batchd": {"retain_seconds": 3600}}
    with Leat(settings=settings) as leat:
        leat.accept(small("b", 100))
        leat.caught_up()
        leat.sink["postgres"].stop()
        leat.pg.query("delete from events where ctid in (select ctid from "
                      "events order by ctid desc limit 40); "
                      "update leat_position set next_offset = 60")
        leat.sink["postgres"].start()
        leat.accept(small("b", 1, 100))
        leat.caught_up()
        assert count(leat) == 101


def test_settings_that_a_restart_cannot_fix_stop_the_daemon():
    with Leat(start=False, postgres=False) as leat:
        leat.settings["batchd"]["fsync"] = "perhaps"
        leat.write_conf()
        for name in ("batchd", "leat"):
            args = ("status",) if name == "leat" else ()
            done = leat.run(name, *args)
            assert name == "leat" or done.returncode == 2, done


def test_status_for_people():
    with Leat() as leat:
        leat.accept(small("s", 42))
        leat.caught_up()
        done = leat.run("leat", "status")
        assert done.returncode == 0, done.stderr
        for word in ("postgres", "42", "ingestd"):
            assert word in done.stdout, done.stdout
        # Since it connected to batchd; it may have been up for longer.
        assert re.search(r"^ingestd pid \d+ connected \d+ s, ", done.stdout,
                         re.M), done.stdout
        leat.batchd.stop()
        done = leat.run("leat", "status")
        assert done.returncode == 1 and done.stderr, done


def test_a_dead_dir_that_cannot_be_used_is_shown_at_once():
    """Not when the first event is rejected; and until it is corrected."""
    with Leat(start=False) as leat:
        parent = leat.directory / "later"
        leat.settings["sinkd-postgres"]["dead_dir"] = parent / "dead"
        leat.write_conf()
        leat.start()
        leat.sink["postgres"].wait_line("dead letters cannot be kept")
        leat.accept(small("d", 3))
        leat.caught_up()
        words = f"dead letters cannot be kept in {parent}/dead/postgres" \
            ".ndjson: No such file"
        wait_until(lambda: words in leat.sink_status()["stats"]["error"],
                   "the status has the reason")
        done = leat.run("leat", "status")
        assert re.search(rf"^    since \S+ \S+Z: {words}", done.stdout,
                         re.M), done.stdout
        assert done.returncode == 3, done
        assert re.search(rf"^PROBLEM postgres: {words}", done.stdout, re.M)
        parent.mkdir()
        wait_until(lambda: not leat.sink_status()["stats"]["error"],
                   "the reason is gone")
        assert (parent / "dead").is_dir()


def start_accepting_gaps(leat):
    return Daemon("batchd", [*leat.batchd.argv, "--accept-gap"],
                  leat.directory / "gap.log", ready=" ready socket=").start()


def accept_the_gap_that_stops_batchd(leat):
    """It does not start, names the option that lets it, and starts with it."""
    leat.batchd.start(wait=False)
    assert leat.batchd.wait(30) == 2
    leat.batchd.wait_line("start once with --accept-gap")
    start_accepting_gaps(leat).stop()


@limit(60)
def test_an_end_lost_below_a_batch_in_flight_is_missed():
    """Else other events got the offsets of those that a store has already,
    under the same token: it would take them for the same, and drop them."""
    with Leat(postgres=False, sinks=(), also=["stable"]) as leat:
        leat.accept(small("a", 5))
        leat.accept(small("a", 5, 5))
        subscribe = pack([SUBSCRIBE, 0, None, 1000, 1 << 20, 10, True, 0, 0])
        with Peer(leat, SINK, "stable") as peer:
            peer.send(subscribe)
            assert peer.receive_type() == BATCH  # 0..10, and no commit
            leat.batchd.kill()
        segment, = (leat.directory / "log").glob("*.seg")
        data = bytearray(segment.read_bytes())
        data[data.index(event_id("a", 7).encode())] ^= 1
        segment.write_bytes(data)
        code = leat.run("leat", "log", "verify")
        assert code.returncode == 3 and "MISSING  offsets=5..10" in \
            code.stdout, code.stdout
        accept_the_gap_that_stops_batchd(leat)
        leat.batchd.start()
        leat.intake_open()
        assert leat.accept(small("b", 5))["offset"] == 10
        with Peer(leat, SINK, "stable") as peer:
            peer.send(subscribe)
            assert peer.receive().count(event_id("b", 0).encode()) == 0


@limit(120)
def test_a_gap_is_counted_once():
    """Though the cursor skips it, and then the sink does."""
    with Leat(settings={"batchd": {"segment_bytes": "1M"}}) as leat:
        log, sink = leat.directory / "log", leat.sink["postgres"]
        leat.accept(small("s", 100))
        leat.caught_up()
        sink.stop()
        sent = 100
        while len(list(log.glob("*.seg"))) < 4:
            leat.accept([{"type": "t", "payload": {"x": "y" * 500}}] * 100)
            sent += 100
        leat.ingestd.stop()
        leat.batchd.stop()
        kept = sorted(log.glob("*.seg"))
        first = int(kept[1].stem)
        kept[0].unlink()
        accepting = start_accepting_gaps(leat)
        sink.start()
        leat.caught_up()
        assert leat.pg.number("select count(*) from events") == sent - (
            first - 100)
        status = leat.sink_status("postgres")
        assert status["skipped_events"] == first - 100, (status, first)
        accepting.wait_line("skipping missing events")
        accepting.stop()


@limit(120)
def test_a_gap_is_accepted_for_good():
    """Even by a sink that is stopped while --accept-gap is given."""
    with Leat(settings={"batchd": {"segment_bytes": "1M"}},
              start=False) as leat:
        leat.batchd.start()
        leat.ingestd.start()
        leat.intake_open()
        log = leat.directory / "log"

        def segments():
            return sorted(log.glob("*.seg"))
        sent = 0
        while len(segments()) < 5:
            leat.accept([{"type": "t", "id": f"{sent + i}",
                          "payload": {"x": "y" * 500}} for i in range(100)])
            sent += 100
        leat.ingestd.stop()
        leat.batchd.stop()
        kept = segments()
        offset = [int(p.stem) for p in kept]
        for i in (0, 2):
            kept[i].unlink()
        gone = offset[1] + offset[3] - offset[2]
        accept_the_gap_that_stops_batchd(leat)
        # The sink was stopped then; batchd does not ask again.
        leat.start()
        leat.caught_up()
        stored = leat.pg.query("select count(*), min(id::int), max(id::int) "
                               "from events")
        assert stored == f"{sent - gone}|{offset[1]}|{sent - 1}", stored
        sink = leat.sink_status("postgres")
        assert sink["skipped_events"] == gone, sink


def with_descriptors(daemon, n):
    daemon.argv = ["prlimit", f"--nofile={n}:{n}", *daemon.argv]


def test_few_descriptors():
    """ingestd lowers its limit of connections; batchd logs what it needs."""
    # No connection is closed by a time limit here.
    with Leat(start=False, settings={
            "ingestd": {"idle_timeout_ms": 600000}}) as leat:
        with_descriptors(leat.ingestd, 84)
        leat.start()
        idle = [socket.create_connection(("127.0.0.1", leat.port))
                for _ in range(60)]
        began = time.monotonic()
        for i in range(20):
            leat.accept(small(f"d{i}", 5))
        assert time.monotonic() - began < 5
        for s in idle:
            s.close()
        leat.caught_up()
        assert count(leat) == 100
        leat.ingestd.wait_line("too few descriptors for max_connections")
        leat.batchd.stop()
        with_descriptors(leat.batchd, 70)
        leat.batchd.start(wait=False)
        assert leat.batchd.wait() == 2
        leat.batchd.wait_line(r"too few descriptors: .* limit=70 need=146")


def test_as_many_descriptors_as_batchd_asks_for_suffice():
    """At the start it reads for each sink how old its oldest event is."""
    sinks = [f"s{i}" for i in range(32)]
    with Leat(postgres=False, sinks=(), also=sinks, start=False,
              settings={"batchd": {"max_connections": 4,
                                   "max_tails": 0}}) as leat:
        batchd = leat.batchd
        plain = batchd.argv
        with_descriptors(batchd, 40)
        batchd.start(wait=False)
        assert batchd.wait() == 2
        line = batchd.wait_line("too few descriptors: .* limit=40 need=")
        need = int(re.search(r"need=(\d+)", line)[1])
        batchd.argv = plain
        with_descriptors(batchd, need)
        leat.start()
        leat.accept([{"type": "before"}])
        batchd.stop()
        batchd.start()
        leat.intake_open()
        leat.accept([{"type": "after"}])
        assert len(leat.status()["sinks"]) == 32
        used = len(os.listdir(f"/proc/{batchd.pid}/fd"))
    fact(f"{used} of {need} descriptors")


def cpu_s(pid):
    """Seconds of CPU time that a process has used."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_batchd_without_descriptors_waits_and_goes_on():
    with Leat(postgres=False, sinks=()) as leat, \
            Peer(leat, CONTROLLER) as before:
        def uptime_s():
            before.send(control(1, "status"))
            return unpack(unpack(before.receive())[1])[0]["batchd"][
                "uptime_ms"] / 1000

        pid = leat.batchd.pid
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        began = uptime_s()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (
            len(os.listdir(f"/proc/{pid}/fd")), limits[1]))
        # They wait to be accepted.
        waiting = [Peer(leat) for _ in range(3)]
        leat.batchd.wait_line("accept failed")
        used = cpu_s(pid)
        wait_until(lambda: uptime_s() >= began + 3, "time passes",
                   pause_s=0.1)
        used = cpu_s(pid) - used
        fact(f"{used:.2f} s of CPU time")
        assert used < 0.75, used
        leat.accept(small("d", 5))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        for peer in waiting:
            peer.send(pack([HELLO, VERSION, CONTROLLER, "test", 1]))
            assert peer.receive_type() == WELCOME
            peer.socket.close()


@limit(60)
def test_a_stop_waits_for_the_batch_in_flight_and_begins_no_other():
    settings = {"batchd": {"drain_ms": 60000}}
    with Leat(postgres=False, sinks=(), also=["none"],
              settings=settings) as leat:
        for n in range(0, 30, 10):
            leat.accept(small("s", 10, n))
        with Peer(leat, SINK, "none") as sink:
            sink.send(pack([SUBSCRIBE, 0, None, 10, 1 << 20, 0, False, 0, 0]))
            assert sink.receive_type() == BATCH
            leat.batchd.signal(signal.SIGTERM)
            leat.batchd.wait_line("stopping signal=")
            assert leat.batchd.running
            sink.send(pack([COMMITTED, 0, 10, 0, 0]))
            assert leat.batchd.wait(20) == 0
            assert BATCH not in sink.until_closed()
        leat.batchd.start()
        assert leat.sink_status("none")["committed"] == 10
