"""What a service manager and an operator meet: signals, priorities of lines."""
import os
import re
import signal
import subprocess

from events import small
from leat import Leat, limit, program


def priorities(path):
    """(prefix, level) of each line of a log."""
    return [re.match(r"(<\d>)?\S+ (\w+) ", line).groups()
            for line in path.read_text().splitlines()]


@limit(60)
def test_lines_have_a_priority_in_the_journal():
    with Leat(postgres=False, sinks=(), also=["none"]) as leat:
        leat.batchd.stop()
        # A warning, and an error: the socket's folder does not exist.
        leat.settings["batchd"]["fsync"] = "never"
        leat.settings["leat"]["socket"] = "/nonexistent/leat.sock"
        leat.write_conf()
        path = leat.folder / "stderr"

        def run(stream):
            with open(path, "wb") as f:
                about = os.fstat(f.fileno())
                env = dict(os.environ, JOURNAL_STREAM=stream.format(
                    device=about.st_dev, inode=about.st_ino))
                subprocess.run(
                    [program("batchd"), "--config", str(leat.conf)],
                    stderr=f, env=env, timeout=20, check=False)
            return priorities(path)
        want = {"info": "<6>", "warn": "<4>", "error": "<3>"}
        lines = run("{device}:{inode}")
        assert {level for _, level in lines} >= {"warn", "error"}, lines
        assert all(prefix == want[level] for prefix, level in lines), lines
        # Inherited by a process whose standard error is another file.
        for stream in ("{device}:1", "1:{inode}", "", "{device}", "x:y"):
            lines = run(stream)
            assert lines and not any(p for p, _ in lines), (stream, lines)


@limit(60)
def test_sighup_is_answered_by_a_line():
    with Leat() as leat:
        for daemon, words in ((leat.batchd, "restart batchd"),
                              (leat.sink["postgres"], "restart this sink"),
                              (leat.ingestd, "reloaded")):
            pid = daemon.pid
            for n in range(1, 3):
                after = len(daemon.lines)
                daemon.signal(signal.SIGHUP)
                daemon.wait_line(words, after=after)
            assert daemon.running and daemon.pid == pid
        leat.accept(small("h", 10))
        leat.caught_up()
        # Also while it waits for its store, and while that is asked.
        leat.pg.stop()
        sink = leat.sink["postgres"]
        leat.accept(small("h", 1, 10))
        sink.wait_line("store away")
        after = len(sink.lines)
        sink.signal(signal.SIGHUP)
        sink.wait_line("restart this sink", after=after)
        leat.pg.start()
        leat.caught_up()
