"""Files in the log's directory, and texts, that leat did not make."""
import contextlib
import json
import os
import re
import subprocess

from events import event_id, small
from leat import Leat, limit, program, wait_until
from wire import BATCH, SINK, STATS, SUBSCRIBE, Peer, pack


@contextlib.contextmanager
def stopped(n=5):
    """A leat that holds n events, and is not running."""
    with Leat(postgres=False, sinks=(), also=["none"]) as leat:
        leat.accept(small("s", n))
        leat.stop()
        yield leat


def segment(leat, offset):
    return leat.directory / "log" / f"{offset:020}.seg"


def verify(leat):
    return subprocess.run(
        [program("leat"), "log", "verify", "--dir", str(leat.directory / "log")],
        capture_output=True, text=True, timeout=20)


def refused(leat, name):
    """batchd exits with EXIT_CONFIG and names the file."""
    done = leat.run("batchd", timeout_s=20)
    assert done.returncode == 2, done
    assert name in done.stderr and "move the file away" in \
        done.stderr, done.stderr


@limit(120)
def test_a_segment_that_is_no_part_of_the_log():
    """Wherever its number lies: it would move the log's end, or hide events."""
    with stopped() as leat:
        for offset in (2 ** 64 - 1, 2 ** 63, 2 ** 63 - 1, 999_999, 2):
            stray = segment(leat, offset)
            for content in (b"", b"x" * 100_000):
                stray.write_bytes(content)
                refused(leat, stray.name)
                done = verify(leat)
                assert done.returncode == 3 and stray.name in done.stdout, done
            stray.unlink()
        assert verify(leat).returncode == 0
        leat.start()
        leat.accept(small("t", 1))
        assert leat.status()["log"]["next_offset"] == 6


@limit(60)
def test_verify_meets_no_regular_file():
    """A fifo is not waited for; each is named."""
    with stopped() as leat:
        for name, make in (("fifo", os.mkfifo), ("directory", os.mkdir),
                           ("link", lambda p: os.symlink("/dev/zero", p))):
            for path in (segment(leat, 5 + 1), segment(leat, 0),
                         leat.directory / "log/cursors/none.cursor"):
                kept = path.rename(path.with_suffix(".kept")) \
                    if path.exists() else None
                make(path)
                done = verify(leat)
                # A cursor is damaged; without a segment the log is not read.
                assert done.returncode == \
                    (3 if path.suffix == ".cursor" else 1), (name, path, done)
                assert path.stem[:20] in done.stdout + done.stderr, \
                    (name, path, done)
                path.rmdir() if name == "directory" else path.unlink()
                if kept:
                    kept.rename(path)
        assert verify(leat).returncode == 0


@limit(60)
def test_a_directory_of_the_log_that_is_a_link():
    """What it leads to is neither written to nor removed."""
    with stopped() as leat:
        outside = leat.directory / "outside"
        outside.mkdir()
        victim = outside / "victim.cursor"
        victim.write_bytes(b"x" * 4096)
        for name in ("cursors", "quarantine"):
            directory = leat.directory / "log" / name
            kept = directory.rename(directory.with_suffix(".kept")) \
                if directory.exists() else None
            directory.symlink_to(outside)
            done = leat.run("batchd", timeout_s=20)
            assert done.returncode not in (0, -15), done
            assert f"is a link or another file name={name}" in done.stderr, done.stderr
            assert [p.name for p in outside.iterdir()] == [victim.name]
            directory.unlink()
            if kept:
                kept.rename(directory)
        leat.start()
        leat.accept(small("t", 1))
        assert leat.status()["log"]["next_offset"] == 6


@limit(60)
def test_a_directory_of_the_log_that_becomes_a_link():
    """While batchd runs; nothing is written where it leads to."""
    with Leat(postgres=False, sinks=(), also=["none"]) as leat:
        for n in range(0, 30, 10):
            leat.accept(small("q", 10, n))
        segment, = (leat.directory / "log").glob("*.seg")
        at = segment.read_bytes().index(event_id("q", 15).encode())
        with open(segment, "r+b") as f:
            f.seek(at)
            f.write(b"#")
        outside = leat.directory / "outside"
        outside.mkdir()
        quarantine = leat.directory / "log/quarantine"
        quarantine.rename(quarantine.with_suffix(".kept"))
        quarantine.symlink_to(outside)
        with Peer(leat, SINK, "none") as sink:
            sink.send(pack([SUBSCRIBE, 0, None, 100, 1 << 20, 0, False, 0, 0]))
            assert sink.receive_type() == BATCH
            leat.batchd.wait_line(r"offsets=10\.\.20 .* copy=")
        assert not list(outside.iterdir())
        assert leat.status()["log"]["lost_events"] == 10


NASTY = "x\n\x1b[2J\x9b1m\u202eü"
SHOWN = r"x\n\x1b[2J\u009b1m\u202eü"


def has_no_controls(text):
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]", text), \
        repr(text)


@limit(60)
def test_names_cannot_write_to_the_terminal():
    with stopped() as leat:
        stray = leat.directory / "log/cursors" / f"{NASTY}.cursor"
        stray.write_bytes(b"x" * 4096)
        done = verify(leat)
        assert done.returncode == 3 and SHOWN in done.stdout, done
        has_no_controls(done.stdout)
        leat.batchd.start()
        line = leat.batchd.wait_line("sink is no longer in")
        has_no_controls(line)
        assert SHOWN in line, line


@limit(60)
def test_texts_of_a_sink_cannot_write_to_the_terminal():
    with Leat(postgres=False, sinks=(), also=["none"]) as leat, \
            Peer(leat, SINK, "none") as peer:
        peer.send(pack([STATS]) + b"\x82" + pack("error") + pack(NASTY)
                  + pack("state") + pack("a\u0085b"))
        wait_until(lambda: leat.sink_status("none")["stats"].get("error"),
                   "the status has it")
        done = leat.run("leat", "status")
        # batchd has made it one line, without control bytes.
        shown = SHOWN.replace(r"\n\x1b", " ?")
        assert done.returncode == 3 and shown in done.stdout, done
        has_no_controls(done.stdout)
        done = leat.run("leat", "status", "--json")
        has_no_controls(done.stdout)
        (sink,) = json.loads(done.stdout)["sinks"]
        shown = NASTY.replace("\n", " ").replace("\x1b", "?")
        assert sink["stats"]["error"] == shown, sink
