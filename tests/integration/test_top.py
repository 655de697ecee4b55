"""leat top in a real terminal, with a real batchd and with a scripted one."""
import os
import pathlib
import signal
import subprocess
import tempfile

from batchd_fake import FakeBatchd, sink
from leat import Leat, limit, program, wait_until
from terminal import Terminal

ALONE = {"postgres": False, "sinks": ()}
HOSTILE = "\x1b[2J\x1b]0;x\x07 \u202e\x9b31m 東京 \n end"


def top(leat, columns=80, rows=24, mode="release"):
    return Terminal([program("leat", mode), "top", "--config",
                     str(leat.conf)], columns, rows)


class Scripted:
    """A scripted batchd and the settings that name it."""

    def __init__(self, sinks):
        self.directory = tempfile.TemporaryDirectory()
        path = pathlib.Path(self.directory.name)
        self.conf = path / "leat.conf"
        self.conf.write_text(f"[leat]\nsocket = {path}/socket\n")
        self.batchd = FakeBatchd(path / "socket", sinks)

    def __enter__(self):
        self.batchd.__enter__()
        return self

    def __exit__(self, *args):
        self.batchd.__exit__()
        self.directory.cleanup()


def rows_of(lines):
    """The names of the sinks shown, from top to bottom."""
    return [line[1:].split()[0] for line in lines
            if line[1:8] in {f"sink-{i:02}" for i in range(20)}]


def selected(lines):
    return [line[1:].split()[0] for line in lines if line[:1] == ">"]


def test_a_real_batchd_is_shown_stopped_and_started_again():
    with Leat(**ALONE, also=["none", "other"]) as leat:
        leat.accept([{"type": "t"}] * 7)
        with top(leat) as terminal:
            terminal.wait("batchd pid")
            terminal.wait("offsets 0 .. 7")
            terminal.wait(">none ")
            terminal.wait(" other ")
            terminal.wait("disconnected")
            leat.batchd.stop()
            terminal.wait("start batchd")
            terminal.wait("batchd (figures of ")
            # The keys are read all the same.
            terminal.keys("Down")
            terminal.wait(lambda lines: selected(lines) == ["other"])
            leat.batchd.start()
            terminal.wait(lambda lines: lines[0].startswith("leat "))
            leat.intake_open()
            leat.accept([{"type": "t"}] * 5)
            terminal.wait("offsets 0 .. 12")
            terminal.keys("q")
            terminal.ended()


def test_a_frozen_batchd_does_not_freeze_the_keys():
    with Leat(**ALONE, also=["none", "other"]) as leat:
        with top(leat) as terminal:
            terminal.wait(">none ")
            leat.batchd.signal(signal.SIGSTOP)
            terminal.wait("it does not reply")
            terminal.keys("j")
            terminal.wait(lambda lines: selected(lines) == ["other"])
            leat.batchd.signal(signal.SIGCONT)
            terminal.wait(lambda lines: lines[0].startswith("leat "))
            leat.batchd.signal(signal.SIGSTOP)
            terminal.wait("it does not reply")
            terminal.keys("q")
            terminal.ended()
            leat.batchd.signal(signal.SIGCONT)


def test_twenty_sinks_of_a_real_batchd():
    names = [f"sink-{i:02}" for i in range(20)]
    with Leat(**ALONE, also=names) as leat, top(leat, 200, 60) as terminal:
        leat.accept([{"type": "t"}] * 7)
        terminal.wait(lambda lines: rows_of(lines) == names and sum(
            "disconnected" in line for line in lines) == 20)
        terminal.wait("offsets 0 .. 7")
        terminal.keys("p", "y")
        terminal.wait("pause sink-00: done")
        lines = [f'leat_sink_lag_events{{sink="{n}"}} 7\n' for n in names]

        def shown():
            page = leat.request("GET", "/metrics")[1]
            return all(line in page for line in lines)
        wait_until(shown, "/metrics shows them")
        terminal.keys("q")
        terminal.ended()


def test_twenty_sinks_on_terminals_of_any_size():
    names = [f"sink-{i:02}" for i in range(20)]
    sinks = [sink(n, committed=1000 - i, lag_events=i)
             for i, n in enumerate(names)]
    with Scripted(sinks) as s, top(s, 200, 60) as terminal:
        terminal.wait(lambda lines: rows_of(lines) == names)
        assert any("COMMITTED" in line for line in terminal.screen())
        terminal.resize(80, 24)
        terminal.wait("SINK 1-15/20")
        terminal.keys("End")
        terminal.wait(lambda lines: rows_of(lines) == names[5:] and
                      selected(lines) == names[19:])
        terminal.resize(20, 5)
        terminal.wait(lambda lines: rows_of(lines) == names[18:] and
                      lines[4].startswith("q quit"))
        terminal.resize(200, 60)
        terminal.wait(lambda lines: rows_of(lines) == names)
        terminal.keys("s")
        terminal.wait("s sort: lag")
        terminal.wait(lambda lines: rows_of(lines) == names[::-1] and
                      selected(lines) == names[19:])
        terminal.keys("s", "s", "s")
        terminal.wait(lambda lines: rows_of(lines) == names)
        terminal.keys("C-c")
        terminal.ended()


def test_a_pause_is_asked_for_and_confirmed():
    with Scripted([sink("postgres"), sink("kafka")]) as s, \
            top(s) as terminal:
        terminal.wait(">postgres")
        terminal.keys("Down", "p")
        terminal.wait("y/n: pause kafka?")
        terminal.keys("n")
        terminal.wait("q quit")
        assert s.batchd.orders == []
        terminal.keys("p", "y")
        terminal.wait("pause kafka: done")
        terminal.wait(lambda lines: any(
            line.split()[:2] == [">kafka", "paused"] for line in lines))
        assert s.batchd.orders == [
            ("pause", {"sink": "kafka", "why": "leat top"})]
        terminal.keys("p")
        terminal.wait("y/n: resume kafka?")
        terminal.keys("y")
        terminal.wait("resume kafka: done")
        assert s.batchd.orders[1:] == [("resume", {"sink": "kafka"})]
        terminal.wait(lambda lines: any(
            line.split()[:2] == [">kafka", "writing"] for line in lines))
        s.batchd.refusal = "kafka is being replayed"
        terminal.keys("p", "y")
        terminal.wait("pause kafka: kafka is being replayed")
        terminal.keys("q")
        terminal.ended()


def test_hostile_texts_do_not_act_on_the_terminal():
    sinks = [sink("postgres", stats={"state": "retrying", "error": HOSTILE}),
             sink(HOSTILE[:20]), sink("last")]
    with Scripted(sinks) as s, top(s) as terminal:
        s.batchd.status["problems"] = [HOSTILE]
        terminal.wait("⟨U+001B⟩[2J")
        terminal.wait("⟨U+202E⟩")
        terminal.wait(" last ")
        terminal.keys("q")
        terminal.ended()


def test_suspended_and_continued():
    with Scripted([sink("postgres")]) as s, top(s) as terminal:
        terminal.wait(">postgres")
        terminal.keys("C-z")
        terminal.wait(lambda lines: any(x.startswith("READY>")
                                        for x in lines))
        terminal.line("fg")
        terminal.wait(">postgres")
        terminal.keys("q")
        terminal.ended()


def test_it_needs_a_terminal():
    with Scripted([]) as s:
        done = subprocess.run([program("leat"), "top", "--config",
                               str(s.conf)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)
        assert done.returncode == 2 and "status --watch" in done.stderr
        command = ["env", "TERM=none-such", program("leat"), "top",
                   "--config", str(s.conf)]
        with Terminal(command, 80, 24) as terminal:
            terminal.wait("set TERM")
            terminal.ended(1)


@limit(120)
def test_it_is_cheap():
    """Less than one per cent of a core, with twenty sinks that change."""
    with Scripted([sink(f"sink-{i:02}") for i in range(20)]) as s, \
            top(s, 200, 60) as terminal:
        terminal.wait(">sink-00")
        pid = subprocess.run(
            ["pgrep", "-f", f"leat top --config {s.conf}"],
            capture_output=True, text=True, check=True).stdout.split()[-1]

        def used_s():
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text()
            ticks = fields.rsplit(")", 1)[1].split()[11:13]
            return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

        before = used_s()
        uptime = s.batchd.status["batchd"]["uptime_ms"]
        wait_until(lambda: s.batchd.status["batchd"]["uptime_ms"] >=
                   uptime + 20000, "twenty refreshes", 60)
        assert used_s() - before < 0.2, used_s() - before
        terminal.keys("q")
        terminal.ended()


def test_status_watches_and_shows_a_pause():
    paused = sink("kafka", paused=True, state="paused", paused_uid=7,
                  paused_since_us=1795701600000000,
                  paused_until_us=1795708800000000, paused_why="moving")
    with Scripted([paused]) as s:
        child = subprocess.Popen(
            [program("leat"), "status", "--watch", "1", "--config",
             str(s.conf)], stdout=subprocess.PIPE, text=True)
        seen = [child.stdout.readline() for _ in range(12)]
        child.kill()
        child.wait()
        child.stdout.close()
        assert sum(line.startswith("--- 20") for line in seen) >= 2, seen
        assert any(line.split()[:2] == ["kafka", "paused"]
                   for line in seen), seen
        assert "    paused since 2026-11-26 14:00:00Z until 2026-11-26 " \
            "16:00:00Z by uid 7: moving\n" in seen, seen
        for args in (["--watch", "0"], ["--watch", "x"], ["5"]):
            done = subprocess.run([program("leat"), "status", *args,
                                   "--config", str(s.conf)],
                                  capture_output=True, text=True)
            assert done.returncode == 2 and "--watch" in done.stderr, done
