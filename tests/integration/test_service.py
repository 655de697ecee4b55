"""What a service manager and an operator meet: signals, priorities of lines."""
import os
import re
import shutil
import signal
import socket
import subprocess
import time

from events import small
from leat import Leat, limit, need_root, program, wait_until


def priorities(path):
    """(prefix, level) of each line of a log."""
    return [re.match(r"(<\d>)?\S+ (\w+) ", line).groups()
            for line in path.read_text().splitlines()]


@limit(60)
def test_lines_have_a_priority_in_the_journal():
    with Leat(postgres=False, sinks=(), also=["none"]) as leat:
        leat.batchd.stop()
        # A warning, and an error: the socket's directory does not exist.
        leat.settings["batchd"]["fsync"] = "never"
        leat.settings["leat"]["socket"] = "/nonexistent/leat.sock"
        leat.write_conf()
        path = leat.directory / "stderr"

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
        # Even while it waits for its store, and while that is asked.
        leat.pg.stop()
        sink = leat.sink["postgres"]
        leat.accept(small("h", 1, 10))
        sink.wait_line("store unreachable")
        after = len(sink.lines)
        sink.signal(signal.SIGHUP)
        sink.wait_line("restart this sink", after=after)
        leat.pg.start()
        leat.caught_up()


OTHER_UID = 65534


def as_other_user(leat, name, *args):
    """Run one of the programs as another user, who may read our settings."""
    copy = shutil.copy(program(name), leat.directory)  # others may not enter
    return subprocess.run(
        ["setpriv", "--reuid", str(OTHER_UID), "--regid", str(OTHER_UID),
         "--clear-groups", "--", copy, *args, "--config", str(leat.conf)],
        capture_output=True, text=True, timeout=20, check=False)


def needs_root():
    need_root()


def tree(path):
    return sorted(str(p) for p in path.rglob("*"))


@limit(60)
def test_what_root_would_leave_in_the_directories_of_another_user():
    needs_root()
    with Leat(postgres=False, sinks=(), also=["postgres"],
              start=False) as leat:
        words = "belongs to user nobody"
        log, dead, run = (leat.directory / d for d in ("log", "dead", "run"))
        run.mkdir()
        leat.settings["leat"]["socket"] = run / "batchd.sock"
        leat.settings["sinkd-postgres"] = {"dead_dir": dead}
        leat.write_conf()

        def refused(name, *args):
            before = tree(leat.directory)
            done = leat.run(name, *args, timeout_s=20)
            assert done.returncode == 2 and words in done.stderr, done
            assert "runuser -u nobody" in done.stderr, done
            assert tree(leat.directory) == before
        # The log's directory, the one that it would be made in, the socket's.
        os.chown(log, OTHER_UID, OTHER_UID)
        refused("batchd")
        leat.settings["batchd"]["dir"] = log / "below"
        leat.write_conf()
        refused("batchd", "--accept-gap")
        leat.settings["batchd"]["dir"] = leat.directory / "other"
        leat.write_conf()
        os.chown(run, OTHER_UID, OTHER_UID)
        refused("batchd")
        # Dead letters.
        os.chown(dead, OTHER_UID, OTHER_UID)
        refused("sinkd-postgres")
        # A socket that is given to a group may lie in another's directory.
        leat.settings["batchd"]["socket_group"] = str(OTHER_UID)
        leat.write_conf()
        leat.batchd.start()
        leat.batchd.stop()
        # Nor may one user leave files in another's directory.
        os.chown(dead, 12345, OTHER_UID)
        dead.chmod(0o777)
        done = as_other_user(leat, "sinkd-postgres")
        assert done.returncode == 2, done
        assert "belongs to user 12345" in done.stderr, done
        assert tree(dead) == []


@limit(60)
def test_a_user_who_may_not_ask_batchd_learns_who_may():
    needs_root()
    with Leat(postgres=False, sinks=(), also=["none"],
              settings={"batchd": {"socket_group": "12345"}}) as leat:
        done = as_other_user(leat, "leat", "status")
        assert done.returncode == 1, done
        assert "Permission denied: only root, user root and group 12345 " \
            f"may use {leat.directory}/batchd.sock" in done.stderr, done
        assert "running" not in done.stderr, done
        done = as_other_user(leat, "batchd")
        assert done.returncode == 2 and "belongs to" not in done.stderr, done
        # The directory is closed: then that is what is named.
        inner = leat.directory / "inner"
        inner.mkdir(mode=0o700)
        leat.settings["leat"]["socket"] = inner / "batchd.sock"
        leat.write_conf()
        done = as_other_user(leat, "leat", "status")
        assert f"only root and user root may use {inner}:" in done.stderr, done
        done = leat.run("leat", "status")
        assert "start batchd, or see why it ended in its log, or correct " \
            "[leat] socket" in done.stderr, done


@limit(90)
def test_a_sink_that_waits_for_its_store_shows_one_line_and_its_next_retry():
    with Leat(settings={"sinkd-postgres": {"retry_min_ms": 60000,
                                           "retry_max_ms": 60000}}) as leat:
        leat.pg.stop()
        leat.accept(small("r", 1))

        def lines():
            text = leat.run("leat", "status").stdout.splitlines()
            at = [i for i, line in enumerate(text) if "    since " in line]
            return text[at[0]:at[0] + 2] if at else None
        since, following = wait_until(lines, "the reason is shown")
        # libpq's text has several lines.
        assert "abnormally before or while" in since, since
        about = re.fullmatch(r"    next retry at (\S+ \S+Z), in (\S+) s",
                             following)
        assert about, following
        # From a half of retry_min_ms to all of it, as it is drawn.
        assert 20 < float(about[2]) <= 60, following
        stats = leat.sink_status()["stats"]
        assert since.endswith("Z: " + stats["error"]), (since, stats)
        left_s = stats["next_retry_us"] / 1e6 - time.time()
        assert 20 < left_s <= 60, left_s
        # Without the sink nothing retries.
        leat.sink["postgres"].kill()
        wait_until(lambda: "next_retry_us" not in leat.sink_status()["stats"],
                   "the time is not shown any more")
        leat.sink["postgres"].start(wait=False)
        leat.pg.start()
        leat.sink["postgres"].kill()
        leat.sink["postgres"].start()
        leat.caught_up()
        assert "next retry" not in leat.run("leat", "status").stdout


@limit(60)
def test_a_retry_under_way_is_shown():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)  # connections that are not answered
        with Leat(postgres=False, start=False, settings={
                "sinkd-postgres": {
                    "host": "127.0.0.1", "port": silent.getsockname()[1],
                    "timeout_ms": 3000, "retry_max_ms": 100}}) as leat:
            leat.batchd.start()
            sink = leat.sink["postgres"].start(wait=False)
            wait_until(lambda: "    retrying now\n" in
                       leat.run("leat", "status").stdout, "it is shown")
            sink.kill()
