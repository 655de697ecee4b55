"""leat tail: every option, terminals, hostile events, following the log."""
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
import time
import unicodedata

from events import NASTY, PAYLOADS
from leat import Leat, fact, limit, need_root, program, wait_until

# No store: the log alone is looked at.
ALONE = {"postgres": False, "sinks": ()}
# Nothing is deleted: the sink that is never started holds the log.
HELD = {**ALONE, "also": ["none"]}
# Events of 128 KiB.
LARGE = {"settings": {"ingestd": {"max_event_bytes": 128 * 1024}}}


def rows_of(text):
    """Its whole lines.  splitlines() would end one at U+2028, too."""
    return text.split("\n")[:-1]


def tail(leat, *args, status=0, mode="asan"):
    """Run it to its end.  Returns its lines as objects, and its messages."""
    done = leat.run("leat", "tail", *args, mode=mode)
    assert done.returncode == status, done
    return [json.loads(line) for line in rows_of(done.stdout)], done.stderr


def offsets(leat, *args):
    rows, errors = tail(leat, *args)
    assert errors == "", errors
    return [row["offset"] for row in rows]


class Tail:
    """A tail that is running, on a pipe or on a terminal."""

    def __init__(self, leat, *args, columns=None):
        out = inner = None
        if columns:
            outer, inner = pty.openpty()
            fcntl.ioctl(inner, termios.TIOCSWINSZ,
                        struct.pack("HHHH", 50, columns, 0, 0))
            out = os.fdopen(outer, "rb", buffering=0)
        self.child = subprocess.Popen(
            [program("leat"), "tail", *args, "--config", str(leat.conf)],
            stdin=subprocess.DEVNULL, stdout=inner or subprocess.PIPE,
            stderr=subprocess.PIPE)
        if inner:
            os.close(inner)
        self.out, self.errors = bytearray(), bytearray()
        self.readers = [
            threading.Thread(target=self._read, daemon=True, args=pair)
            for pair in (("out", out or self.child.stdout),
                         ("errors", self.child.stderr))]
        for reader in self.readers:
            reader.start()

    def _read(self, name, stream):
        fd = stream.fileno()
        while True:
            try:
                data = os.read(fd, 65536)
            except OSError:  # the other side of the terminal is closed
                data = b""
            if not data:
                return stream.close()
            getattr(self, name).extend(data)

    @property
    def lines(self):
        return rows_of(self.out[:self.out.rfind(b"\n") + 1].decode()
                       .replace("\r\n", "\n"))

    def wait_rows(self, n, timeout_s=30):
        """The first n objects of a tail on a pipe."""
        wait_until(lambda: len(self.lines) >= n, f"{n} rows", timeout_s, 0.002)
        return [json.loads(line) for line in self.lines[:n]]

    def connected(self, leat):
        """Wait until batchd has it."""
        wait_until(lambda: any(d["role"] == "tail" and
                               d["pid"] == self.child.pid
                               for d in leat.status()["daemons"]),
                   "the tail is connected")
        return self

    def end(self, status=0, timeout_s=30):
        assert self.child.wait(timeout_s) == status, self.errors
        for reader in self.readers:
            reader.join(10)
        return self

    def interrupt(self):
        """It must end quietly."""
        self.child.send_signal(signal.SIGINT)
        return self.end()


def fill(leat, n, name="e", **more):
    leat.accept([{"id": f"{name}-{i}", "type": f"type-{i % 3}",
                  "user_id": f"user-{i % 5}", **more} for i in range(n)])


def test_until_end_shows_everything_that_was_accepted():
    with Leat(**HELD) as leat:
        accepted = 0
        assert offsets(leat, "--until-end") == []
        for batch in range(5):
            fill(leat, 200, f"b{batch}")
            accepted += 200
        assert offsets(leat, "--until-end") == list(range(accepted))
        assert offsets(leat, "--from", "0", "--until-end") == \
            list(range(accepted))
        assert offsets(leat, "--from", "newest", "--until-end") == []


def test_json_is_the_event():
    """Whatever is in its texts: each line is one object with the event."""
    with Leat(**HELD) as leat:
        events = [{"id": f"n-{i}", "type": text[:20], "user_id": text}
                  for i, text in enumerate(NASTY)]
        body = ",".join(json.dumps(e)[:-1] + ',"created_at":1700000000000,'
                        '"payload":' + PAYLOADS[i % len(PAYLOADS)] + "}"
                        for i, e in enumerate(events))
        leat.accept(f"[{body}]")
        rows, errors = tail(leat, "--until-end")
        assert errors == "" and len(rows) == len(events)
        for i, (row, event) in enumerate(zip(rows, events)):
            assert list(row) == ["offset", "id", "type", "user_id", "payload",
                                 "created_at", "received_at"], row
            assert row["offset"] == i
            for key in event:
                assert row[key] == event[key], row
            assert row["payload"] == json.loads(PAYLOADS[i % len(PAYLOADS)])
            assert row["created_at"] == "2023-11-14T22:13:20.000000Z"


def test_options_choose_events():
    with Leat(**HELD) as leat:
        fill(leat, 30)
        assert offsets(leat, "--from", "27", "--until-end") == [27, 28, 29]
        assert offsets(leat, "--to", "3") == [0, 1, 2]
        assert offsets(leat, "--from", "10", "--to", "12") == [10, 11]
        assert offsets(leat, "--from", "10", "--to", "10") == []
        assert offsets(leat, "--from", "oldest", "--to", "newest") == \
            list(range(30))
        assert offsets(leat, "--from", "28", "--to", "99",
                       "--until-end") == [28, 29]
        assert offsets(leat, "--from", "5", "--limit", "2") == [5, 6]
        assert offsets(leat, "--from=5", "--limit=2") == [5, 6]
        assert offsets(leat, "--type", "type-1", "--until-end") == \
            list(range(1, 30, 3))
        assert offsets(leat, "--type", "type-1", "--type", "type-2", "--to",
                       "10") == [1, 2, 4, 5, 7, 8]
        assert offsets(leat, "--type", "type", "--until-end") == []
        assert offsets(leat, "--user", "user-4", "--limit", "3", "--from",
                       "oldest") == [4, 9, 14]
        assert offsets(leat, "--user", "user-4", "--type", "type-1",
                       "--until-end") == [4, 19]
        leat.accept([{"type": "type-0"}, {"type": "t", "user_id": ""}])
        assert offsets(leat, "--from", "30", "--user", "", "--until-end") == \
            [31]
        rows, _ = tail(leat, "--from", "30", "--until-end")
        assert [row["user_id"] for row in rows] == [None, ""]


def test_times_choose_events():
    with Leat(**HELD) as leat:
        fill(leat, 10, "before")
        time.sleep(1.2)
        us = time.time_ns() // 1000
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(us // 1000000))
        text = f"{text}.{us % 1000000:06}Z"
        fill(leat, 10, "after")
        assert offsets(leat, "--from", text, "--until-end") == \
            list(range(10, 20))
        assert offsets(leat, "--to", text) == list(range(10))
        assert offsets(leat, "--from", "-10m", "--to", text) == list(range(10))
        assert offsets(leat, "--from", "1970-01-01", "--to", "-0s") == \
            list(range(20))
        assert offsets(leat, "--to", "-1d") == []
        assert offsets(leat, "--from", "-0s", "--until-end") == []
        follower = Tail(leat, "--from", text)
        assert [r["offset"] for r in follower.wait_rows(10)] == \
            list(range(10, 20))
        fill(leat, 1, "later")
        assert follower.wait_rows(11)[-1]["id"] == "later-0"
        follower.interrupt()
        _, errors = tail(leat, "--from", "-0s", "--to", text, status=2)
        assert "--to is before --from" in errors, errors


def test_wrong_options_are_usage_errors():
    with Leat(**HELD) as leat:
        for args, text in (
                (("--from", "yesterday"), "--from must be"),
                (("--from", "2999-01-01"), "out of range"),
                (("--to", "-10x"), "--to must be"),
                (("--to", "9223372036854775808"), "out of range"),
                (("--limit", "0"), "--limit must be"),
                (("--limit", "-1"), "--limit must be"),
                (("--limit", "5x"), "--limit must be"),
                (("--bytes-per-s", "1M"), "--bytes-per-s must be"),
                (("--from", "9", "--to", "5"), "--to is before --from"),
                (("--types", "a"), "unknown argument"),
                (("7",), "too many arguments"),
                (("--type", "t") * 65, "too often")):
            rows, errors = tail(leat, *args, status=2)
            assert rows == [] and text in errors, errors
        done = subprocess.run([program("leat"), "tail", "--type"],
                              capture_output=True, text=True)
        assert done.returncode == 2 and "needs a value" in done.stderr
        done = leat.run("leat", "tail", "--help")
        assert done.returncode == 0, done
        for option in ("--from WHEN", "--to WHEN", "--type TYPE",
                       "--user USER", "--limit N", "--bytes-per-s N",
                       "--until-end", "--json"):
            assert option in done.stdout, done.stdout
        _, errors = tail(leat, "--from", "5", status=1)
        assert "the log ends before" in errors, errors


def test_batchd_that_is_unreachable_is_an_error():
    with Leat(**HELD) as leat:
        leat.stop()
        for args in ((), ("--until-end",), ("--from", "-1m")):
            rows, errors = tail(leat, *args, status=1)
            assert rows == [] and "start batchd" in errors, errors


def test_there_are_at_most_max_tails():
    with Leat(**HELD, settings={"batchd": {"max_tails": 1}}) as leat:
        t = Tail(leat).connected(leat)
        _, errors = tail(leat, "--until-end", status=1)
        assert "max_tails" in errors, errors
        t.interrupt()
        wait_until(lambda: leat.run("leat", "tail", "--until-end"
                                    ).returncode == 0, "there is room again")


# --- on a terminal ---

def columns(text):
    """The columns that a line takes on a terminal."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    zero = sum(unicodedata.category(c) in ("Mn", "Me") or c == "\u200d"
               for c in text)
    return len(text) + wide - zero


def check_safe(text):
    for c in text:
        assert c == "\n" or unicodedata.category(c) not in \
            ("Cc", "Cs", "Zl", "Zp"), repr(text)
        assert c not in "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e" \
            "\u2066\u2067\u2068\u2069\ufeff", repr(text)


def test_columns_fit_the_terminal():
    with Leat(**HELD) as leat:
        leat.accept([
            {"type": "order", "user_id": "ann", "payload": {"sum": 12.5}},
            {"type": "a" * 128, "user_id": "b" * 256,
             "payload": {"c": "d" * 400}},
            {"type": "東京" * 20, "user_id": "東京" * 20,
             "payload": {"東京": "東京" * 200}},
            {"type": "none"}])
        for width in (80, 200):
            t = Tail(leat, "--until-end", columns=width).end()
            assert not t.errors, t.errors
            lines = t.lines
            assert len(lines) == 6, lines
            assert re.fullmatch(r"TIME \(UTC\) +TYPE +USER +PAYLOAD",
                                lines[0]), lines
            assert re.fullmatch(r"\d{4}-\d\d-\d\d", lines[1]), lines
            assert re.fullmatch(
                r'\d\d:\d\d:\d\d\.\d{3}  order +ann +\{"sum": 12\.5\}',
                lines[2]), lines
            assert columns(lines[3]) == width, lines
            assert lines[3].count("…") == 3, lines
            assert width - 1 <= columns(lines[4]) <= width, lines
            starts = [line.index("{") for line in lines[2:4]]
            assert starts[0] == starts[1] == lines[0].index("PAYLOAD"), lines
            assert columns(lines[4][:lines[4].index("{")]) == starts[0], lines
        # JSON on a terminal when it is asked for.
        t = Tail(leat, "--until-end", "--json", columns=80).end()
        assert [json.loads(line)["offset"] for line in t.lines] == \
            [0, 1, 2, 3]


HOSTILE = ["\x1b[2J\x1b[H", "\x1b]0;title\x07", "\x1b]52;c;cm0gLXJm\x07",
           "\x9b31m", "\x9d0;x\x9c", "\x90q\x9c", "\x8d", "\x85",
           "\u202egpj.exe", "\u2066x\u2069", "\u200fabc", "\u2028\u2029",
           "\ufeffx", "\x01\x02", "\x7f\x7f\x7f", "a\rb", "a\nb", "a\x08b",
           "\U000e0041", "\u061cx", "a" + "\u0301" * 100, "\u0301x", *NASTY]


def test_hostile_events_do_not_act_on_the_terminal():
    """In each field, raw in the payload where JSON allows that, and escaped."""
    with Leat(**HELD) as leat:
        leat.accept([
            {"type": text[:20], "user_id": text[:40],
             "payload": {text: text}} for text in HOSTILE])
        # Raw characters in the payload's text.
        body = ",".join(
            json.dumps({"type": "raw"})[:-1] + ',"payload":{\n\t"k":' +
            json.dumps(text, ensure_ascii=False) + "\r\n}}"
            for text in HOSTILE)
        leat.accept(f"[{body}]".encode())
        for args, width in (((), 80), ((), 200), (("--json",), 200)):
            t = Tail(leat, "--until-end", *args, columns=width).end()
            text = t.out.decode().replace("\r\n", "\n")
            check_safe(text)
            lines = t.lines
            assert len(lines) == 2 * len(HOSTILE) + (0 if args else 2)
            if not args:
                assert max(map(columns, lines)) <= width
                assert "⟨U+001B⟩[2J" in text and "⟨U+202E⟩" in text
                continue
            for line, hostile in zip(lines[len(HOSTILE):], HOSTILE):
                assert json.loads(line)["payload"]["k"] == hostile, line


def test_an_event_of_the_largest_size():
    with Leat(**HELD, **LARGE) as leat:
        text = "x" * (128 * 1024 - 300)
        leat.accept([{"type": "big", "payload": {"t": text}}])
        leat.accept([{"type": "small"}])
        rows, _ = tail(leat, "--until-end")
        assert rows[0]["payload"]["t"] == text and len(rows) == 2
        lines = Tail(leat, "--until-end", columns=80).end().lines
        assert len(lines) == 4 and columns(lines[2]) == 80, lines


# --- live ---

def test_new_events_are_shown_at_once():
    with Leat(**HELD) as leat:
        fill(leat, 10, "old")
        t = Tail(leat).connected(leat)
        slowest = 0
        for i in range(20):
            start = time.monotonic()
            fill(leat, 1, f"new{i}")
            rows = t.wait_rows(i + 1)
            slowest = max(slowest, time.monotonic() - start)
            assert rows[i]["offset"] == 10 + i
        fact(f"{1000 * slowest:.0f} ms at most from sending to the row")
        assert slowest < 1
        t.interrupt()
        assert not t.errors, t.errors
        # With a limit it ends by itself; only what is shown counts.
        t = Tail(leat, "--limit", "2", "--type", "type-1").connected(leat)
        fill(leat, 5, "x")
        t.end()
        assert [row["id"] for row in t.wait_rows(2)] == ["x-1", "x-4"]
        # An end that is not there yet is waited for.
        t = Tail(leat, "--from", "34", "--to", "36").connected(leat)
        assert t.wait_rows(1)[0]["offset"] == 34
        fill(leat, 5, "y")
        t.end()
        assert [row["offset"] for row in t.wait_rows(2)] == [34, 35]


def test_a_restart_of_batchd_loses_no_row():
    with Leat(**HELD) as leat:
        fill(leat, 10, "old")
        live, history = Tail(leat).connected(leat), Tail(leat, "--from", "5")
        shown = 0
        for i in range(3):
            fill(leat, 10, f"r{i}")
            shown += 10
            live.wait_rows(shown)
            history.wait_rows(shown + 5)
            if i == 2:
                break
            leat.batchd.kill() if i else leat.batchd.stop()
            wait_until(lambda: live.errors.count(b"\n") > i,
                       "the loss is reported")
            leat.batchd.start()
            leat.intake_open()
        for t, first in ((live, 10), (history, 5)):
            rows = t.wait_rows(shown + 10 - first)
            assert [row["offset"] for row in rows] == \
                list(range(first, shown + 10))
            t.interrupt()
            text = t.errors.decode()
            assert text.count("connection to batchd lost") == 2 and \
                text.count("\n") == 2, text
            assert "offset=20" in text, text
        # With an end, a script would wait for it: it fails.
        t = Tail(leat, "--from", "30", "--to", "1000")
        t.wait_rows(10)
        leat.batchd.stop()
        t.end(status=1)
        assert b"batchd" in t.errors
        leat.batchd.start()


def test_an_interrupt_ends_it_wherever_it_is():
    """While it waits for its reader, for events, and for batchd."""
    with Leat(**HELD) as leat:
        for i in range(20):
            fill(leat, 100, f"i{i}", payload={"x": "y" * 200})
        child = subprocess.Popen(
            [program("leat"), "tail", "--from", "oldest", "--config",
             str(leat.conf)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)

        def full():
            waiting = fcntl.ioctl(child.stdout, termios.FIONREAD, bytes(4))
            return struct.unpack("i", waiting)[0] >= 65536
        wait_until(full, "the pipe, which is not read, is full")
        child.send_signal(signal.SIGINT)
        assert child.wait(30) == 0 and child.stderr.read() == b""
        child.stdout.close()
        child.stderr.close()
        t = Tail(leat).connected(leat)
        leat.batchd.stop()
        wait_until(lambda: t.errors, "the loss is reported")
        t.interrupt()
        assert t.errors.count(b"\n") == 1, t.errors
        leat.batchd.start()
        leat.intake_open()


def test_a_log_that_was_replaced_ends_the_tail():
    with Leat(**HELD) as leat:
        fill(leat, 10)
        t = Tail(leat).connected(leat)
        leat.batchd.stop()
        (leat.directory / "log").rename(leat.directory / "old")
        (leat.directory / "log").mkdir()
        leat.batchd.start()
        t.end(status=1)
        assert b"another log" in t.errors, t.errors
        leat.intake_open()


def test_the_end_of_its_reader_ends_it_quietly():
    with Leat(**HELD) as leat:
        fill(leat, 100)
        for args in ("--until-end", "--from oldest", ""):
            command = f"{program('leat')} tail {args} --config {leat.conf}"
            child = subprocess.Popen(
                ["bash", "-c", f"{command} | head -1; "
                 "echo status ${PIPESTATUS[0]}"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            if not args:  # live, and idle after its only event
                wait_until(lambda: any(d["role"] == "tail" for d in
                                       leat.status()["daemons"]), "tail")
                fill(leat, 1, "new")
            out, errors = child.communicate(timeout=30)
            assert errors == "", errors
            row, status = out.splitlines()
            assert json.loads(row)["id"] == ("e-0" if args else "new-0")
            assert status == "status 0", out
        # What cannot be written is an error.
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [program("leat"), "tail", "--until-end", "--config",
                 str(leat.conf)], stdout=full, stderr=subprocess.PIPE)
        assert done.returncode == 1 and b"No space left" in done.stderr


# --- what cannot be shown ---

SKIPPED = re.compile(r"events skipped count=(\d+) from=(\d+) to=(\d+)")


def segments(leat):
    return sorted((leat.directory / "log").glob("*.seg"))


def test_deleted_events_are_reported():
    with Leat(**ALONE, settings={"batchd": {
            "max_bytes": "4M", "segment_bytes": "1M",
            "retain_seconds": 0}}) as leat:
        for i in range(100):
            fill(leat, 100, f"d{i}", payload={"x": "y" * 500})
        first = wait_until(lambda: leat.status()["log"]["first_offset"],
                           "deletion")
        rows, errors = tail(leat, "--from", "0", "--until-end")
        found = SKIPPED.findall(errors)
        assert found[0][1] == "0" and int(found[0][2]) >= first, errors
        skipped = sum(int(count) for count, _, _ in found)
        assert skipped + len(rows) == 10000
        assert rows[0]["offset"] == int(found[0][2])
        # They were not asked for here.
        rows, errors = tail(leat, "--from", "oldest", "--until-end")
        assert errors == "" and rows[0]["offset"] > 0
        rows, errors = tail(leat, "--from", "3", "--to", "7")
        assert rows == [] and SKIPPED.findall(errors) == [("4", "3", "7")]


def test_damaged_events_are_reported():
    with Leat(**HELD, settings={"batchd": {"segment_bytes": "1M"}}) as leat:
        for i in range(60):
            fill(leat, 100, f"d{i}", payload={"x": "y" * 500})
        wait_until(lambda: len(segments(leat)) > 2, "three segments")
        with open(segments(leat)[0], "r+b") as f:
            f.seek(200_000)
            byte = f.read(1)[0]
            f.seek(200_000)
            f.write(bytes([byte ^ 1]))
        rows, errors = tail(leat, "--until-end")
        found = SKIPPED.findall(errors)
        assert len(found) == 1, errors
        count, start, end = map(int, found[0])
        assert count == end - start > 0
        assert [row["offset"] for row in rows] == \
            [*range(start), *range(end, 6000)]


@limit(120)
def test_what_a_live_tail_skips_is_reported():
    with Leat(mode="release", **HELD, **LARGE) as leat:
        fill(leat, 1)
        t = Tail(leat).connected(leat)
        t.child.send_signal(signal.SIGSTOP)
        big = {"x": "y" * 100_000}
        for i in range(90):
            leat.accept([{"type": "big", "payload": big} for _ in range(9)])
        t.child.send_signal(signal.SIGCONT)
        fill(leat, 1, "last")
        wait_until(lambda: b'"last-0"' in t.out, "the newest event")
        t.interrupt()
        found = SKIPPED.findall(t.errors.decode())
        skipped = sum(int(count) for count, _, _ in found)
        assert skipped > 0 and skipped + len(t.lines) == 811, t.errors
        fact(f"{skipped} of 811 events skipped")
        # History is paced by its reader.
        assert offsets(leat, "--from", "0", "--until-end") == \
            list(range(812))


@limit(120)
def test_a_live_tail_takes_no_more_bytes_than_it_may():
    """1 MiB a second, and the newest events, unless it asks for more."""
    big = {"x": "y" * 100_000}
    with Leat(mode="release", **HELD, **LARGE) as leat:
        t, all_of_it = Tail(leat), Tail(leat, "--bytes-per-s", "0")
        t.connected(leat)
        all_of_it.connected(leat)
        start_s = time.monotonic()
        for i in range(40):
            leat.accept([{"type": "big", "payload": big} for _ in range(9)])
        fill(leat, 1, "last")
        wait_until(lambda: b'"last-0"' in t.out, "the newest event")
        took_s = time.monotonic() - start_s
        # A second's worth may come at once, and a frame beyond it.
        assert len(t.out) < (took_s + 1) * 2 ** 20 + 2 ** 18, len(t.out)
        t.interrupt()
        found = SKIPPED.findall(t.errors.decode())
        skipped = sum(int(count) for count, _, _ in found)
        assert skipped > 0 and skipped + len(t.lines) == 361, t.errors
        wait_until(lambda: len(all_of_it.lines) == 361, "all events")
        all_of_it.interrupt()
        assert not SKIPPED.search(all_of_it.errors.decode())


def test_a_time_needs_the_log_of_batchd():
    need_root()
    with Leat(**HELD, settings={"batchd": {"socket_group": "nogroup"}}) as leat:
        fill(leat, 10)
        leat.directory.chmod(0o755)

        def as_another_user(*args):
            return subprocess.run(
                ["setpriv", "--reuid", "daemon", "--regid", "nogroup",
                 "--clear-groups", "--", program("leat"), "tail", *args,
                 "--config", str(leat.conf)],
                capture_output=True, text=True, timeout=30)

        done = as_another_user("--from", "-1h", "--until-end")
        assert done.returncode == 1 and done.stdout == "", done
        assert "give an offset" in done.stderr and \
            "run this as one of them" in done.stderr, done.stderr
        done = as_another_user("--from", "0", "--until-end")
        assert done.returncode == 0, done
        assert len(done.stdout.splitlines()) == 10
