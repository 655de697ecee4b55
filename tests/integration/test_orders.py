"""leat pause, resume, replay and skip: what they send, show and answer.

batchd is played by the test, so that each refusal and each broken answer can
be had; what a real batchd does with the orders is in other tests.
"""
import contextlib
import pathlib
import re
import socket
import subprocess
import tempfile
import threading
import time

from leat import program
from wire import ERROR, REPLY, pack, unpack

NOT_WELL = 3


def status(**sink):
    return {"version": "0.1.0", "now_us": 1, "problems": [],
            "log": {"first_offset": 1000, "next_offset": 9_000_000,
                    "durable_offset": 9_000_000, "bytes": 1 << 30,
                    "max_bytes": 8 << 30},
            "sinks": [{"name": "postgres", "connected": True, "order": "",
                       "committed": 8_812_004, "stats": {"dead_letters": 3},
                       **sink},
                      {"name": "kafka", "connected": False, "order": "",
                       "committed": 5, "stats": {}}]}


class Fake:
    """A batchd that replies to each verb as `replies` has it."""

    def __init__(self, **replies):
        self.replies = {"status": status(), **replies}
        self.requests = []
        self.directory = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.directory.name)
        self.conf = self.path / "leat.conf"
        self.conf.write_text(f"[leat]\nsocket = {self.path}/s\n[batchd]\n"
                             f"dir = {self.path}/log\n"
                             "sinks = postgres kafka\n")
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(self.path / "s"))
        self.listener.listen(8)

    def __enter__(self):
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.directory.cleanup()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                self.serve_one(connection)

    def serve_one(self, connection):
        connection.recv(1 << 18)  # hello
        frame, body = unpack(connection.recv(1 << 18))
        verb, arguments = frame[2], unpack(body)[0]
        if verb != "status":
            self.requests.append((verb, arguments))
        reply = self.replies.get(verb, "unknown verb")
        if reply is None:  # silence
            connection.recv(1)
        elif isinstance(reply, bytes):
            connection.send(reply)
        elif isinstance(reply, str):
            connection.send(pack([REPLY, frame[1], False, reply]) + pack({}))
        else:
            connection.send(pack([REPLY, frame[1], True, ""]) + pack(reply))

    def run(self, *args):
        return subprocess.run(
            [program("leat"), *args, "--config", str(self.conf)],
            capture_output=True, text=True, timeout=30)

    def ok(self, *args):
        done = self.run(*args)
        assert done.returncode == 0 and done.stderr == "", done
        return done.stdout


def test_a_pause_reports_what_was_done():
    with Fake(pause={"position": 8812004}) as fake:
        text = fake.ok("pause", "postgres")
        assert text.startswith("postgres is paused at offset 8812004; "
                               "nothing is in flight"), text
        assert "leat resume postgres" in text, text
        text = fake.ok("pause", "postgres", "--for", "30m", "--why",
                       "index – on events")
        assert re.search(r"until \d{4}-.*Z \(index – on events\)", text), text
        fake.replies["pause"] = {"position": None}
        assert "paused; nothing" in fake.ok("pause", "postgres")
        assert fake.requests == [
            ("pause", {"sink": "postgres"}),
            ("pause", {"for_ms": 1800000, "why": "index – on events",
                       "sink": "postgres"}),
            ("pause", {"sink": "postgres"})], fake.requests


def test_a_resume_reports_what_was_done():
    with Fake(resume={}) as fake:
        assert fake.ok("resume", "postgres").startswith("postgres is resumed")
        assert fake.requests == [("resume", {"sink": "postgres"})]


def test_a_replay_is_shown_before_it_is_done():
    with Fake(seek={"position": 8604977}) as fake:
        text = fake.ok("replay", "postgres", "--from", "8604977")
        for part in ("present position 8,812,004, new position 8,604,977",
                     "207,027 events are sent to the store again", "TWICE",
                     "keeps events from offset 1,000", "3 dead letters",
                     "of 8.0G", "Nothing was changed.  Add --execute"):
            assert part in text, (part, text)
        assert fake.requests == []
        done = fake.ok("replay", "postgres", "--from", "8604977", "--execute")
        assert done.startswith(text.split("    Nothing")[0]), done
        assert done.endswith("Done: postgres moved from 8,812,004 to "
                             "8,604,977; 207,027 events are sent again.\n")
        assert fake.requests == [("seek", {"sink": "postgres",
                                           "from": 8812004, "to": 8604977})]
        fake.conf.write_text(fake.conf.read_text() +
                             "[sinkd-postgres]\ndedup_by_id = yes\n")
        text = fake.ok("replay", "postgres", "--from", "oldest")
        assert "not stored again" in text and "TWICE" not in text, text


def test_a_skip_is_shown_before_it_is_done():
    with Fake(seek={"position": 9_000_000}) as fake:
        text = fake.ok("skip", "postgres", "--to", "newest")
        for part in ("new position 9,000,000", "187,996 events are NEVER",
                     "Nothing was changed.  Add --execute"):
            assert part in text, (part, text)
        assert fake.requests == []
        done = fake.ok("skip", "postgres", "--to", "newest", "--execute")
        assert "187,996 events are skipped." in done, done
        assert fake.requests == [("seek", {"sink": "postgres",
                                           "from": 8812004, "to": 9000000})]


def test_a_move_to_the_present_position_is_nothing_to_do():
    with Fake() as fake:
        for args in (("replay", "postgres", "--from", "8812004"),
                     ("skip", "postgres", "--to", "8812004", "--execute")):
            assert "nothing to do" in fake.ok(*args)
        assert fake.requests == []


def test_refused_moves_are_not_sent():
    with Fake() as fake:
        for args, text in (
                (("replay", "postgres", "--from", "9000000"), "leat skip"),
                (("skip", "postgres", "--to", "1000"), "leat replay"),
                (("replay", "postgres", "--from", "999"), "offset 1,000"),
                (("skip", "postgres", "--to", "9000001"), "ends at offset"),
                (("skip", "kafka", "--to", "newest"), "not connected"),
                (("replay", "nosuch", "--from", "1"), "postgres kafka")):
            for more in ((), ("--execute",)):
                done = fake.run(*args, *more)
                assert done.returncode == NOT_WELL, done
                assert text in done.stderr and done.stdout == "", done
        fake.replies["status"] = status(order="pausing")
        done = fake.run("skip", "postgres", "--to", "newest", "--execute")
        assert done.returncode == NOT_WELL and "(pausing)" in done.stderr, done
        assert fake.requests == []


ORDERS = {"pause": ("pause", "postgres"), "resume": ("resume", "postgres"),
          "replay": ("replay", "postgres", "--from", "1000", "--execute"),
          "skip": ("skip", "postgres", "--to", "newest", "--execute")}


def test_an_order_that_batchd_refuses_has_the_reason():
    why = "another order is in progress: wait"
    with Fake(pause=why, resume=why, seek=why) as fake:
        for args in ORDERS.values():
            done = fake.run(*args)
            assert done.returncode == NOT_WELL, done
            assert f"refused: {why}" in done.stderr, done
            assert "Done" not in done.stdout and "is paused" not in \
                done.stdout, done


def test_an_order_that_takes_too_long_goes_on():
    with Fake(pause=None, resume=None, seek=None) as fake:
        for args in ORDERS.values():
            begin = time.monotonic()
            done = fake.run(*args, "--timeout", "1s")
            assert 0.9 < time.monotonic() - begin < 10
            assert done.returncode == NOT_WELL, done
            assert "not done after 1 s; the order goes on" in done.stderr, done


def test_an_unreachable_batchd_is_status_1():
    with Fake() as fake:
        fake.listener.close()
        for args in ORDERS.values():
            done = fake.run(*args)
            assert done.returncode == 1 and done.stdout == "", done
            assert "batchd does not answer" in done.stderr, done


def test_broken_answers_are_status_1():
    """Of a status, and of an order."""
    for broken in (b"\xc1", pack([REPLY, 1, True, ""]) + b"\xdf\xff\xff\xff",
                   pack([ERROR, "version", "other version"]),
                   pack([REPLY, 1, True, ""]) + pack([1])):
        with Fake(pause=broken, resume=broken, seek=broken) as fake:
            for args in ORDERS.values():
                done = fake.run(*args)
                assert done.returncode == 1, (broken, done)
                assert "batchd" in done.stderr, done
            fake.replies["status"] = broken
            for args in ORDERS.values():
                assert fake.run(*args).returncode == 1
    for odd in ({}, {"sinks": 5}, {"sinks": [5, None, {"name": 7}]},
                {"sinks": [{"name": "postgres"}]},
                {"sinks": [{"name": "postgres", "committed": "x",
                            "stats": 5, "connected": 1}], "log": []}):
        with Fake(status=odd) as fake:
            for args in (ORDERS["replay"], ORDERS["skip"]):
                assert fake.run(*args).returncode in (0, 3), odd
            assert fake.requests == []


def test_wrong_options_are_status_2():
    with Fake() as fake:
        for args, text in (
                (("pause", "postgres", "--for", "soon"), "--for must be"),
                (("pause", "postgres", "--for", "0s"), "--for must be"),
                (("pause", "postgres", "--for", "99999999999999d"),
                 "--for must be"),
                (("pause", "postgres", "--why", "a\nb"), "--why must be"),
                (("pause", "postgres", "--why", "\x1b[2J"), "--why must be"),
                (("pause", "postgres", "--why", "\u202e"), "--why must be"),
                (("pause", "postgres", "--why", "x" * 201), "--why must be"),
                (("pause", "postgres", "--timeout", "1"), "--timeout must"),
                (("resume", "postgres", "--timeout", "99d"), "at most 24d"),
                (("replay", "postgres"), "--from is missing"),
                (("skip", "postgres"), "--to is missing"),
                (("replay", "postgres", "--from", "x"), "--from must be"),
                (("skip", "postgres", "--to", "2999-01-01"), "out of range"),
                (("pause",), "too few arguments"),
                (("pause", "a", "b"), "too many arguments")):
            done = fake.run(*args)
            assert done.returncode == 2 and text in done.stderr, (args, done)
        assert fake.requests == []


def test_texts_of_batchd_do_not_act_on_the_terminal():
    with Fake(pause="a\x1b[31m\u202eb") as fake:
        fake.replies["status"] = status()
        fake.replies["status"]["sinks"][1]["name"] = "\x1b]0;x\x07"
        for args in (ORDERS["pause"], ("pause", "nosuch")):
            done = fake.run(*args)
            assert done.returncode == NOT_WELL, done
            assert not set("\x1b\x07\u202e") & set(done.stderr), done
