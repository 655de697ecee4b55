"""The figures that people build alerts on: /metrics and leat status."""
import json
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import time

from events import small
from leat import ROOT, Leat, Skip, fact, free_port, limit, wait_until
from metrics import Page
from process import Daemon
from wire import (CONTROLLER, ERROR, INGEST, SINK, STATS, STATUS, Peer, append,
                  event, order, pack)

FLAT = {"accepted_events": 5, "responses_2xx": 1}


def batchd_alone(**batchd):
    return Leat(sinks=(), also=["one", "two"], postgres=False, start=False,
                settings={"batchd": batchd})


def test_names_pass_promtool():
    if not shutil.which("promtool"):
        raise Skip("no promtool: scripts/install-deps --peers installs "
                   "Debian's package prometheus")
    with Leat(also=["absent"], start=False) as leat:
        tokens = leat.directory / "tokens"
        tokens.write_text(f"shop sha256:{'0' * 64}\n")
        leat.settings["ingestd"].update(tokens_file=tokens,
                                        metrics_open="yes")
        leat.write_conf()
        leat.batchd.start()
        leat.ingestd.start()
        leat.sink["postgres"].start()
        wait_until(lambda: Page(leat)["leat_sink_dead_letters",
                                      "sink=postgres"] is not None,
                   "the sink has reported")
        page = Page(leat)
        checked = subprocess.run(["promtool", "check", "metrics"],
                                 input=page.text, capture_output=True,
                                 text=True, timeout=30)
        assert checked.returncode == 0 and not checked.stdout + \
            checked.stderr, checked
        for name in ("leat_log_sync_seconds", "leat_sink_commit_seconds",
                     "leat_ingestd_durable_seconds"):
            assert page.types[name] == "histogram", page.types
        assert page["leat_ingestd_token_requests_total",
                    f"process={leat.ingestd.pid}", "token=shop"] == 0
        # A sink that has never reported has no figures of its own.
        assert page["leat_sink_lag_events", "sink=absent"] == 0
        assert page["leat_sink_dead_letters", "sink=absent"] is None
        fact(f"{len(page.types)} names, {len(page.values)} series")


def test_the_alert_rules_of_the_documentation():
    if not shutil.which("promtool"):
        raise Skip("no promtool: scripts/install-deps --peers installs "
                   "Debian's package prometheus")
    page = (ROOT / "docs/operations.md").read_text()
    rules = re.search(r"```yaml\n(groups:\n.*?)```", page, re.S)[1]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
        f.write(rules)
        f.flush()
        done = subprocess.run(["promtool", "check", "rules", f.name],
                              capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done
    with Leat() as leat:
        leat.accept(small("a", 1))
        leat.caught_up()
        wait_until(lambda: Page(leat)["leat_sink_dead_letters",
                                      "sink=postgres"] is not None,
                   "the sink has reported")
        known = {k[0] for k in Page(leat).values}
    used = set(re.findall(r"leat_\w+", rules))
    assert used and used <= known, used - known
    fact(f"{rules.count('- alert:')} rules")


class TwoIngestd(Leat):
    """Two more ingestd processes, on the port of the first."""

    def __init__(self):
        super().__init__(settings={"ingestd": {"port": free_port()}})
        self.others = [Daemon(f"ingestd-{n}", self.ingestd.argv,
                              self.directory / f"ingestd-{n}.log",
                              ready=self.ingestd.ready) for n in (2, 3)]

    def daemons(self):
        return [*(d for d in self.others if d.child), *super().daemons()]

    def start(self):
        super().start()
        self.others[0].start()
        self.both(2)

    def both(self, processes):
        wait_until(lambda: Page(self)["leat_ingestd_processes"] == processes,
                   f"{processes} processes are connected")

    def send(self, n):
        """n events, a connection each: the kernel spreads them."""
        for _ in range(n):
            self.accept([{"type": "t"}])

    def sums_to(self, accepted):
        """Ask the process that answers, now and then."""
        wait_until(lambda: Page(self)["leat_ingestd_accepted_events_total"]
                   == accepted, f"{accepted} events are counted", 10)
        end = time.monotonic() + 1.5
        answered = set()
        while time.monotonic() < end:
            page = Page(self)
            assert page["leat_ingestd_accepted_events_total"] == accepted
            answered |= page.series("leat_ingestd_process_requests_total") \
                .keys()
        return page, {l.removeprefix("process=") for (l,) in answered}


@limit(90)
def test_the_sum_of_all_ingestd_is_the_same_whichever_answers():
    with TwoIngestd() as leat:
        first, second = leat.ingestd, leat.others[0]
        leat.send(60)
        page, pids = leat.sums_to(60)
        assert pids == {str(first.pid), str(second.pid)}, pids
        each = page.series("leat_ingestd_process_accepted_events_total")
        assert len(each) == 2 and sum(each.values()) == 60 and \
            min(each.values()) > 0, each
        # By histogram, too: each request once.
        assert page["leat_ingestd_durable_seconds_count"] == 60
        assert page["leat_ingestd_durable_seconds_bucket", "le=+Inf"] == 60
        assert page["leat_ingestd_connections"] == sum(
            page.series("leat_ingestd_process_connections").values())

        # One that has ended keeps its share, killed or stopped.
        second.kill()
        leat.both(1)
        leat.sums_to(60)
        leat.others[1].start()
        leat.both(2)
        leat.send(40)
        first.stop()
        leat.both(1)
        page, pids = leat.sums_to(100)
        assert pids == {str(leat.others[1].pid)}, pids

        # A batchd that starts counts from 0 what happens from then on, with
        # what was refused meanwhile; it does not count anything again.
        leat.batchd.stop()
        status = leat.post([{"type": "t"}])[0]
        assert status == 503
        page = Page(leat)
        assert page["leat_up", "daemon=batchd"] == 0
        assert page["leat_ingestd_accepted_events_total"] is None
        own = f"process={leat.others[1].pid}"
        assert page["leat_ingestd_process_responses_total", own, "code=503"] \
            == 1
        leat.batchd.start()
        leat.intake_open()
        leat.send(7)
        page, _ = leat.sums_to(7)
        assert page["leat_ingestd_responses_total", "code=503"] >= 1
        assert page["leat_ingestd_process_accepted_events_total", own] > 7
        leat.caught_up()


@limit(90)
def test_the_figures_of_a_sink_outlast_its_connection():
    with Leat() as leat:
        def shown():
            page = Page(leat)
            return {k: page["leat_sink_" + k, "sink=postgres"] for k in
                    ("connected", "events_total", "batches_total",
                     "dead_letters", "dead_lettered_events_total")}

        def becomes(**want):
            try:
                wait_until(lambda: want.items() <= shown().items(), "", 10)
            except AssertionError:
                raise AssertionError(f"{shown()}, not {want}") from None
        leat.accept(small("a", 50))
        # jsonb does not take the number.
        leat.accept(b'{"type":"t","payload":{"n":1e200000}}')
        leat.caught_up()
        becomes(connected=1, events_total=50, dead_letters=1,
                dead_lettered_events_total=1)
        batches = shown()["batches_total"]
        for stop in (leat.sink["postgres"].stop, leat.sink["postgres"].kill):
            stop()
            becomes(connected=0, events_total=50, dead_letters=1,
                    batches_total=batches, dead_lettered_events_total=1)
            assert leat.sink_status()["stats"].get("state") is None
            leat.sink["postgres"].start()
            becomes(connected=1, events_total=50, dead_letters=1,
                    batches_total=batches, dead_lettered_events_total=1)
        leat.accept(small("b", 30))
        leat.caught_up()
        becomes(events_total=80)
        # The dead letter is stored: there is none now, and there was one.
        leat.pg.query("alter table events alter payload type text")
        done = leat.retry_dead("postgres")
        assert done.returncode == 0, done
        becomes(dead_letters=0, dead_lettered_events_total=1)
        # Each event and each sync is in its histogram.
        page, log = Page(leat), leat.status()["log"]
        assert page["leat_sink_commit_seconds_count", "sink=postgres"] == 81
        assert page["leat_log_sync_seconds_count"] == log["syncs"] > 0
        assert 0 < page["leat_sink_commit_seconds_sum", "sink=postgres"] < 100
        buckets = [v for k, v in page.values.items()
                   if k[0] == "leat_sink_commit_seconds_bucket"]
        assert buckets == sorted(buckets) and buckets[-1] == 81, buckets


def test_a_pause_and_a_replay_are_counted():
    with Leat(also=["absent"]) as leat:
        def shown(sink="postgres"):
            page = Page(leat)
            return tuple(page[f"leat_sink_{name}", f"sink={sink}"] for name in
                         ("paused", "replayed_events_total"))

        def becomes(*want):
            wait_until(lambda: shown() == want, f"{shown()} becomes {want}")
        leat.accept(small("a", 50))
        leat.caught_up()
        becomes(0, 0)
        order(leat, "pause", "postgres")
        becomes(1, 0)
        order(leat, "seek", "postgres", **{"from": 50, "to": 20})
        becomes(1, 30)
        order(leat, "resume", "postgres")
        leat.caught_up()
        becomes(0, 30)
        order(leat, "seek", "postgres", **{"from": 50, "to": 45})
        leat.caught_up()
        becomes(0, 35)
        # A counter goes on where it was after a restart of batchd.
        leat.batchd.stop()
        leat.batchd.start()
        becomes(0, 35)
        order(leat, "pause", "absent")
        wait_until(lambda: shown("absent") == (1, 0), "the other is paused")
        kinds = Page(leat).types
        assert kinds["leat_sink_paused"] == "gauge", kinds
        assert kinds["leat_sink_replayed_events_total"] == "counter", kinds


@limit(90)
def test_the_exit_status_of_leat_status_tells_whether_all_is_well():
    def status(want, *words):
        def is_so():
            done = leat.run("leat", "status")
            return done if done.returncode == want and \
                all(w in done.stdout for w in words) else None
        done = wait_until(is_so, f"exit status {want}, {words}", 20)
        js = leat.run("leat", "status", "--json")
        assert js.returncode == want, js
        if want != 1:
            listed = json.loads(js.stdout)["problems"]
            assert bool(listed) == (want == 3), listed
            assert [l.removeprefix("PROBLEM ") for l in
                    done.stdout.splitlines() if l.startswith("PROBLEM")] \
                == listed
            wait_until(lambda: Page(leat)["leat_problems"] == len(listed)
                       if leat.ingestd.running else True, "in /metrics, too")
        return done
    with Leat(start=False) as leat:
        assert leat.run("leat", "status").returncode == 1
        leat.batchd.start()
        status(3, "PROBLEM no ingestd is connected",
               "PROBLEM sink postgres is not connected")
        leat.ingestd.start()
        leat.sink["postgres"].start()
        leat.intake_open()
        done = status(0)
        assert "PROBLEM" not in done.stdout
        assert "EVENTS/S" in done.stdout and "LAG BYTES" in done.stdout

        # Lag in bytes, as far as offsets tell; and a rate while it shrinks.
        leat.sink["postgres"].stop()
        leat.accept(small("a", 3000))
        sink = leat.sink_status()
        log = leat.status()["log"]
        assert sink["events_per_s"] == 0 and sink["lag_events"] == 3000, sink
        assert log["appended_bytes"] <= sink["lag_bytes"] \
            <= 1.3 * log["appended_bytes"], (sink, log)
        status(3, "sink postgres is not connected")
        leat.sink["postgres"].start()
        wait_until(lambda: leat.sink_status()["events_per_s"] >= 3000 / 6,
                   "the rate is shown")
        assert leat.sink_status()["lag_bytes"] == 0
        wait_until(lambda: leat.sink_status()["events_per_s"] == 0,
                   "and is over")
        status(0)

        leat.pg.stop()
        leat.accept(small("b", 1))
        status(3, "PROBLEM sink postgres is retrying")
        leat.pg.start()
        leat.caught_up()
        status(0)
        leat.batchd.stop()
        assert leat.run("leat", "status").returncode == 1
        leat.batchd.start()
        leat.intake_open()


@limit(60)
def test_a_batchd_that_is_frozen_is_shown_as_not_up():
    with batchd_alone() as leat:
        leat.batchd.start()
        leat.ingestd.start()
        leat.intake_open()
        assert Page(leat)["leat_up", "daemon=batchd"] == 1
        leat.batchd.signal(signal.SIGSTOP)

        def down():
            began = time.monotonic()
            page = Page(leat)
            assert time.monotonic() - began < 1, "the page waits for batchd"
            return page["leat_up", "daemon=batchd"] == 0 and \
                page["leat_log_open"] is None
        wait_until(down, "batchd is shown as not up", 10)
        leat.batchd.signal(signal.SIGCONT)
        wait_until(lambda: Page(leat)["leat_up", "daemon=batchd"] == 1,
                   "batchd is up again")


def hostile_maps():
    """What a member of the group may send in place of statistics."""
    def head(tag, n):
        return struct.pack(">BI", tag, n)
    deep = b"\x81\xa1a" * 1000 + b"\x01"
    yield from (
        b"", b"\xc1", b"\xff", pack([1, 2]), pack("text"), pack({"a": {}}),
        pack({"a": {"b": 1}}), pack({"a": [1]}), pack({"a": None}),
        pack({"a": True}), pack({1: 2}), pack({None: 1}), pack({"a": -1})[:-1],
        deep, b"\x91" * 4000 + b"\x01", head(0xdf, 0xffffffff),
        head(0xdf, 0xffffffff) + pack("a") + pack(1),
        b"\x81" + pack("a") + head(0xdd, 0xffffffff),
        b"\x81" + pack("a") + head(0xdf, 0xffffffff),
        b"\x81" + head(0xdb, 0xffffffff) + b"x",
        b"\x81" + pack("a") + head(0xc6, 0xffffffff),
        pack({"a": 1}) + b"\x01", pack({"x": "y" * 4096}),
        pack({f"key{i}": i for i in range(1000)}),
    )


def status_answers(leat):
    done = leat.run("leat", "status", "--json")
    assert done.returncode in (0, 3), done
    for_people = leat.run("leat", "status")
    assert for_people.returncode == done.returncode, for_people
    assert all(c >= " " or c == "\n" for c in for_people.stdout)
    return json.loads(done.stdout)


@limit(120)
def test_statistics_that_are_none_are_refused():
    with batchd_alone() as leat:
        leat.batchd.start()
        leat.ingestd.start()
        leat.intake_open()
        roles = ((INGEST, "ingestd"), (SINK, "one"), (CONTROLLER, "leat"))
        bad = [(*role, m) for m in hostile_maps() for role in roles]
        bad += [(*roles[0], pack({"requests": -1})),
                (*roles[1], pack({"events": -1}))]
        for role, name, map_ in bad:
            with Peer(leat, role, name) as peer:
                peer.send(pack([STATS]) + map_)
                assert ERROR in peer.until_closed(), (role, map_[:40])
        status = status_answers(leat)
        assert all(v == 0 for k, v in status["ingest"].items()
                   if k in FLAT), status["ingest"]
        fact(f"{len(bad)} refused")


def test_the_last_report_counts_even_after_events():
    """As where the log is full, and batchd has left the events unread."""
    with batchd_alone() as leat:
        leat.batchd.start()
        with Peer(leat, INGEST, "front") as peer:
            keys = status_answers(leat)["ingest"].keys() - {"processes"}
            peer.send(pack([STATS]) + pack(dict.fromkeys(keys, 0)))
            wait_until(lambda: status_answers(leat)["ingest"]["processes"],
                       "it has reported")
            leat.batchd.signal(signal.SIGSTOP)
            for _ in range(3):
                peer.send(append(1, [event()]))
            peer.send(pack([STATS]) + pack(dict.fromkeys(keys, 5)))
        leat.batchd.signal(signal.SIGCONT)
        wait_until(lambda: status_answers(leat)["ingest"]["requests"] == 5,
                   "its last report is counted")


@limit(120)
def test_status_works_whatever_peers_report():
    """Every place taken, each with the longest texts and odd keys."""
    odd = "\x1b[2J\x9b\u202e\"\\\n\0 \N{PILE OF POO}"
    loud = {"state": odd, "error": odd * 40, "error_since_us": 2**62,
            "events": 2**63 - 1, "dead_letters": 2**60, odd: odd,
            "x" * 300: 1}
    raw = b"\x82" + pack("error") + b"\xd9\x04\xff\xfe\xc3\x28" + \
        b"\xa2\xff\xfe" + b"\x01"
    with batchd_alone(max_connections=600) as leat:
        leat.batchd.start()
        leat.ingestd.start()
        leat.intake_open()
        peers = [Peer(leat, INGEST, f"{'n' * 60}-{i}") for i in range(400)]
        peers += [Peer(leat, CONTROLLER, f"{'c' * 60}-{i}")
                  for i in range(80)]
        sinks = [Peer(leat, SINK, "one"), Peer(leat, SINK, "two")]
        try:
            keys = status_answers(leat)["ingest"].keys()
            for p in peers:
                p.send(pack([STATS]) + pack({**dict.fromkeys(keys, 7),
                                             "k" * 3000: 1}))
                p.send(pack([STATS]) + pack(dict.fromkeys(keys, 2**63 - 1)))
            sinks[0].send(pack([STATS]) + pack(loud))
            sinks[1].send(pack([STATS]) + raw)

            def all_heard():
                status = status_answers(leat)
                by = {s["name"]: s["stats"] for s in status["sinks"]}
                return by["one"].get("events") == 2**63 - 1 and \
                    by["two"].get("error") == "???(" and status
            status = wait_until(all_heard, "the sinks' reports are shown", 20)
            assert status["ingest"]["processes"] == 401
            listed = len(status["daemons"])
            # With the one that asks.
            assert listed + status["daemons_omitted"] == 484
            assert 100 < listed < 400, listed
            # Those that carry events come first.
            assert status["daemons"][0]["role"] == "ingest"
            wait_until(lambda: Page(leat)["leat_sink_dead_letters",
                                          "sink=one"] == 2**60,
                       "/metrics shows it as well", 5)
            page = Page(leat)
            # All of them report pid 1.
            assert len(page.series("leat_ingestd_process_requests_total")) \
                <= 2
            # What they push was pushed to them as well.
            assert peers[0].receive_type() is not None
            leat.accept(small("a", 3))
            fact(f"{listed} daemons listed, "
                 f"{status['daemons_omitted']} not")
        finally:
            for p in peers + sinks:
                p.socket.close()
        wait_until(lambda: len(leat.status()["daemons"]) <= 2, "all are gone")


def test_a_peer_that_does_not_read_misses_the_push_and_no_more():
    with batchd_alone() as leat:
        leat.batchd.start()
        leat.ingestd.start()
        leat.intake_open()
        with Peer(leat, INGEST) as deaf, Peer(leat, INGEST) as hears:
            end = time.monotonic() + 4
            got = 0
            while time.monotonic() < end:
                got += hears.receive_type() == STATUS
            assert 4 <= got <= 8, got
            leat.accept(small("a", 1))
            assert Page(leat)["leat_ingestd_processes"] == 3
            assert deaf.receive_type() is not None
