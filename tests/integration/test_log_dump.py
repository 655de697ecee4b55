"""leat log ls, leat log dump and leat health, beside a batchd and without."""
import http.server
import json
import subprocess
import threading

from events import event_id, small
from leat import Leat, fact, limit, program

PAYLOAD = {"text": "x" * 500}
NOT_WELL = 3


def leat_log(verb, directory, *args):
    return subprocess.run([program("leat"), "log", verb, "--dir",
                           str(directory), *args], capture_output=True,
                          text=True, timeout=60)


def dump(directory, *args):
    done = leat_log("dump", directory, *args)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def offsets(events):
    return [e["offset"] for e in events]


def fill(leat, requests, name="d"):
    for i in range(requests):
        leat.accept([{"type": "t", "id": f"{name}{i}-{j}", "payload": PAYLOAD}
                     for j in range(100)])


@limit(120)
def test_dump_is_what_tail_shows():
    with Leat(postgres=False, sinks=(), also=["none"],
              settings={"batchd": {"segment_bytes": "1M"}}) as leat:
        fill(leat, 60)
        leat.accept([{"type": "order", "user_id": "ann\u202e", "id": "z",
                      "payload": {"a": ["\x1b[2J", 1.5]}}])
        log = leat.directory / "log"
        done = leat.run("leat", "log", "dump")
        assert done.returncode == 0, done
        tail = leat.run("leat", "tail", "--until-end")
        assert done.stdout == tail.stdout
        everything = dump(log)
        assert offsets(everything) == list(range(6001))
        assert everything[-1]["user_id"] == "ann\u202e"
        # A part of it, within a record and across segments.
        part = dump(log, "--from", "150", "--to", "5999")
        assert offsets(part) == list(range(150, 5999))
        assert dump(log, "--from", "6001") == []
        assert dump(log, "--from", "newest") == []
        assert dump(log, "--to", "oldest") == []
        assert offsets(dump(log, "--from", "-1h")) == offsets(everything)
        # Segments as the files are.
        done = leat_log("ls", log)
        assert done.returncode == 0 and done.stderr == "", done
        rows = [line.split() for line in done.stdout.splitlines()[1:]]
        names = sorted(p.name for p in log.glob("0*.seg"))
        assert [r[0] for r in rows] == names and len(names) > 2, rows
        assert sum(int(r[2]) for r in rows) == 6001, rows
        assert rows[-1][1] == "6001" and rows[-1][-1] == "newest", rows
        assert {r[-1] for r in rows[:-1]} == {"complete"}, rows
        leat.stop()
        assert dump(log) == everything
        assert leat_log("ls", log).stdout.splitlines()[-1].split()[1] == "6001"


@limit(120)
def test_dump_beside_a_batchd_that_deletes_and_uses_files_again():
    with Leat(settings={"batchd": {"max_bytes": "4M", "segment_bytes": "1M",
                                   "retain_seconds": 0}}) as leat:
        done = threading.Event()
        problems, dumps = [], []

        def look():
            while not done.is_set():
                for verb in ("dump", "ls"):
                    got = leat_log(verb, leat.directory / "log")
                    if got.returncode not in (0, NOT_WELL) or \
                            "no events" in got.stderr:
                        problems.append(got.stderr)
                    if verb == "dump":
                        dumps.append(got)

        watcher = threading.Thread(target=look)
        watcher.start()
        for i in range(100):
            while leat.post([{"type": "t", "id": f"b{i}-{j}",
                              "payload": PAYLOAD}
                             for j in range(100)])[0] == 503:
                leat.intake_open()
        done.set()
        watcher.join()
        assert not problems, problems[:3]
        holes = 0
        for got in dumps:
            # What was deleted before the first event is not missing.
            seen = offsets(map(json.loads, got.stdout.splitlines()))
            missing = sum(b - a - 1 for a, b in zip(seen, seen[1:]))
            assert seen == sorted(set(seen)), "out of order"
            assert (got.returncode == NOT_WELL) == (missing > 0), \
                (missing, got.stderr)
            holes += missing > 0
        fact(f"{len(dumps)} dumps, {holes} with holes")


@limit(120)
def test_dump_goes_on_after_damage():
    with Leat(postgres=False, sinks=(), also=["none"]) as leat:
        for name in "abc":
            leat.accept(small(name, 5))
        leat.stop()
        log = leat.directory / "log"
        segment, *others = sorted(log.glob("0*.seg"))
        good = segment.read_bytes()
        at = good.index(event_id("b", 2).encode())
        segment.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1:])
        done = leat_log("dump", log)
        assert done.returncode == NOT_WELL, done
        assert offsets(map(json.loads, done.stdout.splitlines())) == \
            [*range(5), *range(10, 15)], done.stdout
        assert "offsets=5..10 events=5" in done.stderr, done.stderr
        # Damage outside the range does not count.
        assert offsets(dump(log, "--to", "5")) == [*range(5)]
        assert offsets(dump(log, "--from", "10")) == [*range(10, 15)]
        # A header that is damaged.
        segment.write_bytes(b"\0" * 64 + good[64:])
        done = leat_log("ls", log)
        assert done.returncode == NOT_WELL and "HEADER DAMAGED" in \
            done.stdout, done
        for other in others:
            other.unlink()
        assert leat_log("dump", log).returncode == 1
        # Any other bytes end in an error or in events, never in a crash.
        runs = 0
        for cut in range(0, 8000, 997):
            for bad in (good[:cut], good[:cut] + b"\xff" * 300,
                        good[:cut] + good[:4096]):
                segment.write_bytes(bad)
                for verb in ("dump", "ls"):
                    done = leat_log(verb, log)
                    assert done.returncode in (0, 1, NOT_WELL), done
                runs += 1
        fact(f"{runs} damaged files")


@limit(60)
def test_without_a_log_or_with_a_wrong_range():
    with Leat(postgres=False, sinks=(), also=["none"]) as leat:
        leat.stop()
        for verb in ("ls", "dump"):
            for directory in (leat.directory / "nothing", leat.directory,
                              "/dev/null"):
                done = leat_log(verb, directory)
                assert done.returncode == 1 and done.stdout == "", done
                assert "log" in done.stderr, done
        for args in (("--from", "x"), ("--from", "9", "--to", "8"),
                     ("--to", "2999-01-01"), ("--from",)):
            done = leat_log("dump", leat.directory / "log", *args)
            assert done.returncode == 2 and done.stdout == "", done


@limit(60)
def test_dump_to_a_reader_that_stops_and_to_a_full_disk():
    with Leat(postgres=False, sinks=(), also=["none"]) as leat:
        fill(leat, 20)
        log = str(leat.directory / "log")
        done = subprocess.run(f"{program('leat')} log dump --dir {log} | "
                              "head -n 1", shell=True, capture_output=True,
                              text=True, timeout=30)
        assert '"offset":0,' in done.stdout and done.stderr == "", done
        for verb in ("ls", "dump"):
            with open("/dev/full", "w") as full:
                done = subprocess.run([program("leat"), "log", verb, "--dir",
                                       log], stdout=full, text=True,
                                      stderr=subprocess.PIPE, timeout=30)
            assert done.returncode == 1, done
            assert "cannot write to standard output" in done.stderr, done


class NotReady(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if self.path == "/readyz" else 200)
        self.end_headers()

    def log_message(self, *_):
        pass


@limit(60)
def test_health():
    with Leat(postgres=False, sinks=(), also=["none"]) as leat:
        url = f"http://127.0.0.1:{leat.port}"
        for args in (("--url", url), ("--url", url + "/"), ("--url", "none")):
            done = leat.run("leat", "health", *args)
            assert done.returncode == 0 and done.stderr == "", done
            assert done.stdout.startswith("well: batchd replies"), done
        server = http.server.HTTPServer(("127.0.0.1", 0), NotReady)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = leat.run("leat", "health", "--url",
                        f"http://127.0.0.1:{server.server_port}")
        assert done.returncode == NOT_WELL and done.stdout == "", done
        assert "not ready" in done.stderr and "status=503" in done.stderr, done
        server.shutdown()
        server.server_close()
        for bad in (f"http://127.0.0.1:{server.server_port}", "file:///etc",
                    "nonsense://x", ""):
            done = leat.run("leat", "health", "--url", bad)
            assert done.returncode == 1 and done.stdout == "", (bad, done)
            assert "ingestd does not answer" in done.stderr, done
        leat.batchd.kill()
        done = leat.run("leat", "health", "--url", url)
        assert done.returncode == 1 and "batchd does not answer" in \
            done.stderr, done
