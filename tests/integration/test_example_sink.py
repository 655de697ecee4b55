"""A fourth sink is one directory: docs/adding-a-sink.md, built and run."""
import json
import os
import pathlib
import random
import shutil
import subprocess
import time

from events import small
from leat import ROOT, Leat, fact, free_port, limit
from load import Load
from process import Daemon

EXAMPLE = ROOT / "tests/example-sink/sinkd-file"
ROUNDS = int(os.environ.get("LEAT_ROUNDS", "20"))


def build(tree):
    """Copy the directory beside the others, and make it: nothing else."""
    tree.mkdir()
    for name in ("Makefile", "libbase", "libproto", "libsink"):
        (tree / name).symlink_to(ROOT / name)
    shutil.copytree(EXAMPLE, tree / EXAMPLE.name)
    done = subprocess.run(
        ["make", "-s", "WERROR=1", "MODE=asan", "build/asan/bin/sinkd-file"],
        cwd=tree, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return tree / "build/asan/bin/sinkd-file"


def stored(path):
    """The events in the file, and its position lines."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return ([e for e in lines if "id" in e],
            [e["leat_position"] for e in lines if "id" not in e])


@limit(240)
def test_exactly_once_through_kills():
    with Leat(sinks=(), also=("file",), postgres=False,
              settings={"ingestd": {"port": free_port()}}) as leat:
        program = build(leat.directory / "tree")
        path = leat.directory / "events.ndjson"
        leat.settings["sinkd-file"] = {"path": path, "batch_wait_ms": 10,
                                       "retry_max_ms": 200,
                                       "dead_dir": leat.directory / "dead"}
        leat.write_conf()
        sink = Daemon("sinkd-file", [str(program), "--config",
                                     str(leat.conf)],
                      leat.directory / "sinkd-file.log", ready=r" ready\b")
        leat.sinks, leat.sink = ["file"], {"file": sink}
        sink.start()
        moment = random.Random()
        with Load(leat) as load:
            for _ in range(ROUNDS):
                load.more(200)
                time.sleep(moment.uniform(0, 0.05))  # any moment
                sink.kill()
                sink.start()
            load.more(200)
            load.stop()
        leat.caught_up()
        events, positions = stored(path)
        ids = [e["id"] for e in events]
        assert len(ids) == len(set(ids)), "stored twice"
        assert set(load.acked) <= set(ids), "accepted and lost"
        offsets = [p["next_offset"] for p in positions]
        assert offsets == sorted(set(offsets)), offsets
        assert offsets[-1] == len(ids)
        assert len({p["stream"] for p in positions}) == 1

        # What a crash left after the last position is not there.
        sink.stop()
        with open(path, "a") as f:
            f.write('{"id":"half a batch"}\n{"id":"torn')
        sink.start()
        leat.accept(small("file", 10))
        leat.caught_up()
        events, _ = stored(path)
        assert [e["id"] for e in events[-10:]] == \
            [e["id"] for e in small("file", 10)]
        assert len(events) == len(ids) + 10
        fact(f"{ROUNDS} kills, {len(ids)} stored")
