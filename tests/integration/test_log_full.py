"""The log's budget and the disk run out: pressure reaches the sender."""
import json
import os
import signal
import subprocess
import time

from leat import Leat, Skip, fact, limit, own_mounts, wait_until
from load import Load, check_exactly_once
from metrics import Page


def fill_then_drain(leat):
    """With no sink running: fill the log, see 503, then let it drain."""
    with Load(leat, threads=3, events_per_request=50, padding=400) as load:
        load.saw(503, 60)
        assert leat.request("GET", "/healthz")[0] == 200
        assert leat.request("GET", "/readyz")[0] == 503
        log = leat.status()["log"]
        assert not log["open"] and log["reason"], log
        # Who watches sees it, although batchd reads no events now.
        page = None
        refused = ("leat_ingestd_responses_total", "code=503")

        def shown():
            nonlocal page
            page = Page(leat)
            return page["leat_up", "daemon=batchd"] == 1 and \
                page["leat_log_open"] == 0 and \
                page["leat_sink_connected", "sink=postgres"] == 0 and \
                page[refused] is not None  # ingestd has reported once
        wait_until(shown, "/metrics shows a log that is full", 5)
        assert leat.run("leat", "status").returncode == 3
        # Still full, still answering; nothing more is promised.
        load.saw(503)
        before = page[refused]
        wait_until(lambda: (Page(leat)[refused] or 0) > before,
                   "the 503 are counted while the log is full", 20)
        leat.sink["postgres"].start()
        # By itself, without a restart of anything.
        load.more(2000, 60)
        load.stop()
        assert all(int(r) >= 1 for r in load.retry_after), load.retry_after
        stored = check_exactly_once(leat, load)
        assert "lost" not in load.statuses, load.statuses
    fact(f"{stored} stored, {load.statuses[503]} requests refused")
    return log


@limit(150)
def test_a_budget_of_16_mib():
    settings = {"batchd": {"max_bytes": "16M", "segment_bytes": "2M",
                           "retain_seconds": 0}}
    with Leat(settings=settings, start=False) as leat:
        leat.batchd.start()
        leat.ingestd.start()
        leat.intake_open()
        log = fill_then_drain(leat)
        assert log["bytes"] <= 16 << 20, log
        used = sum(f.stat().st_blocks * 512
                   for f in (leat.directory / "log").glob("*.seg"))
        assert used <= 17 << 20, used


@limit(150)
def test_the_first_request_that_meets_a_full_log_is_refused_whole():
    """At once, and the ones before it were kept as a whole."""
    settings = {"batchd": {"max_bytes": "16M", "segment_bytes": "2M",
                           "retain_seconds": 0}}
    padding = "x" * 8000
    with Leat(settings=settings, start=False) as leat:
        leat.batchd.start()
        leat.ingestd.start()
        leat.intake_open()
        kept = []
        for n in range(1000):
            ids = [f"{n}-{i}" for i in range(30)]  # two frames
            began = time.monotonic()
            status, text, _ = leat.request(
                "POST", "/v1/events",
                json.dumps([{"id": i, "type": "t", "payload": {"p": padding}}
                            for i in ids]))
            took_s = time.monotonic() - began
            if status != 202:
                break
            kept += ids
        assert status == 503, (status, text)
        assert "max_bytes" in text["reason"], text
        assert took_s < 2, took_s
        leat.batchd.wait_line("log is full")
        leat.sink["postgres"].start()
        leat.caught_up()
        leat.batchd.wait_line("log has room again")
        stored = leat.pg.query("select id from events").splitlines()
        assert sorted(stored) == sorted(kept)
        assert leat.accept([{"type": "after"}])
    fact(f"{len(kept)} kept, the next refused after {took_s:.3f} s")


def private_tmpfs(directory, size):
    """A small file system that goes away with this process."""
    own_mounts()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}",
                           "leat-test", str(directory)],
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise Skip(f"cannot mount a tmpfs: {done.stderr.strip()}")


@limit(150)
def test_a_full_file_system():
    """Other files take the space: intake stops, sinks drain, it resumes."""
    settings = {"batchd": {"max_bytes": "1G", "segment_bytes": "2M",
                           "min_free_bytes": "2M", "retain_seconds": 0}}
    with Leat(settings=settings, start=False) as leat:
        private_tmpfs(leat.directory / "log", "24M")
        leat.batchd.start()
        leat.ingestd.start()
        leat.intake_open()
        fill_then_drain(leat)
        leat.stop()
        subprocess.run(["umount", str(leat.directory / "log")], check=True)


@limit(150)
def test_another_program_fills_the_file_system():
    """It matters only while a sink lags: otherwise segments are used again."""
    settings = {"batchd": {"max_bytes": "1G", "segment_bytes": "2M",
                           "min_free_bytes": "2M", "retain_seconds": 0}}
    with Leat(settings=settings, start=False) as leat:
        private_tmpfs(leat.directory / "log", "24M")
        leat.start()
        leat.accept([{"type": "before"}])
        filler = leat.directory / "log" / "of-another-program"
        with open(filler, "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"x" * 65536)
            except OSError:
                pass
        with Load(leat, padding=400) as load:
            leat.sink["postgres"].signal(signal.SIGSTOP)
            load.saw(503, 60)
            leat.sink["postgres"].signal(signal.SIGCONT)
            load.more(20000, 60)  # several segments
            filler.unlink()
            load.more(1000, 60)
            load.stop()
            leat.caught_up()
            stored = set(leat.pg.query("select id from events").splitlines())
            assert set(load.acked) <= stored
        wait_until(leat.ready, "ready again")
        leat.stop()
        subprocess.run(["umount", str(leat.directory / "log")], check=True)
