"""Files in the log's directory that leat did not make."""
import contextlib
import os
import subprocess

from events import small
from leat import Leat, limit, program


@contextlib.contextmanager
def stopped(n=5):
    """A leat that holds n events, and is not running."""
    with Leat(postgres=False, sinks=(), also=["none"]) as leat:
        leat.accept(small("s", n))
        leat.stop()
        yield leat


def segment(leat, offset):
    return leat.folder / "log" / f"{offset:020}.seg"


def verify(leat):
    return subprocess.run(
        [program("leat"), "log", "verify", "--dir", str(leat.folder / "log")],
        capture_output=True, text=True, timeout=20)


def refused(leat, name):
    """batchd exits with EXIT_CONFIG and names the file."""
    done = leat.run("batchd", timeout_s=20)
    assert done.returncode == 2, done
    assert name in done.stderr and "move it away" in done.stderr, done.stderr


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
                assert done.returncode == 1 and stray.name in done.stdout, done
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
                         leat.folder / "log/cursors/none.cursor"):
                kept = path.rename(path.with_suffix(".kept")) \
                    if path.exists() else None
                make(path)
                done = verify(leat)
                assert done.returncode == 1, (name, path, done)
                assert path.stem[:20] in done.stdout + done.stderr, \
                    (name, path, done)
                path.rmdir() if name == "directory" else path.unlink()
                if kept:
                    kept.rename(path)
        assert verify(leat).returncode == 0
