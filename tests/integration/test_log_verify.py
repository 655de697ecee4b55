"""leat log verify: beside a batchd at work, and on damage."""
import re
import subprocess
import threading

from events import event_id, small
from leat import Leat, limit, program, wait_until
from wire import BATCH, COMMITTED, SINK, SUBSCRIBE, Peer, pack

PAYLOAD = {"text": "x" * 500}


def verify(leat, mode="asan"):
    done = leat.run("leat", "log", "verify", mode=mode)
    assert done.returncode in (0, 1, 3), done.stderr
    return done.returncode, done.stdout


def fill(leat, requests, name="v"):
    for i in range(requests):
        events = [{"type": "t", "id": f"{name}{i}-{j}", "payload": PAYLOAD}
                  for j in range(100)]
        while (status := leat.post(events)[0]) == 503:
            leat.intake_open()  # the log is full now and then
        assert status == 202, status


def segments(leat):
    return sorted((leat.directory / "log").glob("*.seg"))


def flip(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 1]))


@limit(120)
def test_verify_beside_a_batchd_at_work():
    """Segments are appended to, deleted and used again under its eyes."""
    with Leat(settings={"batchd": {"max_bytes": "4M", "segment_bytes": "1M",
                                   "retain_seconds": 0}}) as leat:
        sender = threading.Thread(target=fill, args=(leat, 300))
        sender.start()
        runs = 0
        while sender.is_alive() or runs < 10:
            code, text = verify(leat, "release")
            assert code == 0, text
            runs += 1
        sender.join()
        leat.caught_up()
        leat.stop()
        code, text = verify(leat)
        assert code == 0 and "cursor   postgres offset=30000" in text, text


@limit(120)
def test_verify_tells_damage_with_its_offsets():
    with Leat(postgres=False, sinks=(), also=["none"],
              settings={"batchd": {"segment_bytes": "1M"}}) as leat:
        fill(leat, 60)
        wait_until(lambda: len(segments(leat)) > 2, "three segments")
        leat.stop()
        code, text = verify(leat)
        assert code == 0 and "events=6000" in text, text
        assert "cursor   none offset=0 pending=6000" in text, text
        first = segments(leat)[0]
        flip(first, 200_000)
        code, text = verify(leat)
        damage = re.search(r"DAMAGED +(\S+) bytes=(\d+)\.\.(\d+) "
                         r"offsets=(\d+)\.\.(\d+) events=(\d+)", text)
        assert code == 3 and damage, text
        assert damage[1] == first.name
        assert int(damage[2]) <= 200_000 < int(damage[3])
        assert int(damage[5]) - int(damage[4]) == int(damage[6]) > 0
        # batchd reports the same.
        lost = int(damage[6])
        second = segments(leat)[1]
        gone = int(segments(leat)[2].name[:20]) - int(second.name[:20])
        second.unlink()
        code, text = verify(leat)
        assert code == 3 and f"lost_events={lost + gone}" in text, text
        assert f"MISSING  offsets={int(second.name[:20])}.." in text, text


@limit(60)
def test_damage_in_what_was_stored_loses_no_event():
    """And batchd does not log that any is lost."""
    with Leat(postgres=False, sinks=(), also=["none"]) as leat:
        for n in range(0, 30, 10):
            leat.accept(small("q", 10, n))
        with Peer(leat, SINK, "none") as sink:
            sink.send(pack([SUBSCRIBE, 0, None, 20, 1 << 20, 0, False, 0, 0]))
            assert sink.receive_type() == BATCH
            sink.send(pack([COMMITTED, 0, 20, 0, 0]))
            wait_until(lambda: leat.sink_status("none")["committed"] == 20,
                       "20 are committed")
        leat.batchd.stop()
        first = segments(leat)[0]
        flip(first, first.read_bytes().index(event_id("q", 15).encode()))
        leat.batchd.start()
        with Peer(leat, SINK, "none") as sink:
            sink.send(pack([SUBSCRIBE, 0, 20, 100, 1 << 20, 0, False, 0, 0]))
            assert sink.receive_type() == BATCH
            line = leat.batchd.wait_line(r"offsets=20\.\.20 events=0")
        assert "damaged or missing record: no event that is still to be " \
            "stored is lost" in line, line
        assert not leat.batchd.count_lines("events are lost")
        assert leat.status()["log"]["lost_events"] == 0


@limit(60)
def test_a_clean_stop_records_where_the_log_ends():
    """So damage in the very last record is no torn write."""
    with Leat(postgres=False, sinks=(), also=["none"]) as leat:
        leat.accept(small("v", 3))
        leat.stop()
        last, empty = segments(leat)
        assert empty.name == f"{3:020}.seg"
        flip(last, last.stat().st_size - 20)
        code, text = verify(leat)
        assert code == 3 and "offsets=0..3 events=3" in text, text


@limit(60)
def test_verify_without_a_log():
    with Leat(postgres=False, sinks=(), also=["none"]) as leat:
        leat.accept(small("v", 3))
        leat.stop()
        leat.settings["batchd"]["dir"] = leat.directory / "nothing"
        leat.write_conf()
        code, text = verify(leat)
        assert code == 1 and text == "", text
        done = subprocess.run(
            [program("leat"), "log", "verify", "--dir",
             str(leat.directory / "log")], capture_output=True, text=True,
            timeout=30)
        assert done.returncode == 0 and "events=3" in done.stdout, done
        (leat.directory / "log/cursors/none.cursor").write_bytes(b"x" * 4096)
        done = subprocess.run(
            [program("leat"), "log", "verify", "--dir",
             str(leat.directory / "log")], capture_output=True, text=True,
            timeout=30)
        assert done.returncode == 3 and "cursor of none" in done.stdout, done
