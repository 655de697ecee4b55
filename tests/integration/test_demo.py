"""make demo: what a newcomer sees, and that nothing is left running."""
import os
import pathlib
import re
import subprocess
import tempfile
import time

import clickhouse
import kafka
from leat import ROOT, Skip, fact, limit, program


def run_demo(home, **env):
    bin_dir = pathlib.Path(program("batchd", "release")).parent
    return subprocess.run(
        [str(ROOT / "scripts/demo"), "--bin", str(bin_dir)], timeout=110,
        capture_output=True, text=True,
        env=dict(os.environ, LEAT_DEMO_DIR=str(home), DEMO_SECONDS="1",
                 **env))


def stores():
    """Those that this machine has, as the demo calls them."""
    found = ["postgres"]
    try:
        kafka.software()
        found.append("kafka")
    except Skip:
        pass
    try:
        clickhouse.software()
        found.append("clickhouse")
    except Skip:
        pass
    return found


@limit(240)
def test_demo_shows_everything_and_stops():
    with tempfile.TemporaryDirectory(
            dir=os.environ.get("LEAT_TEST_TMP")) as directory:
        os.chmod(directory, 0o755)
        home = pathlib.Path(directory) / "demo"
        program("evload", "release")
        done = run_demo(home)
        out = done.stdout
        assert done.returncode == 0, out + done.stderr
        assert '{"accepted":1,"offset":0}' in out.replace(" ", ""), out
        assert "invalid payload" in out, out
        # Every store that can be had is shown, the others are named.
        for name in ("postgres", "kafka", "clickhouse"):
            stored = re.search(rf"{name} +(\d+) events", out)
            seen = re.search(rf"{name} +P50 \d+ ms, P99 \d+ ms", out)
            if name in stores():
                assert stored and int(stored[1]) == 100003, out
                assert seen, out
            else:
                assert f"Left out: {name} (" in out, out
        assert "(3 rows)" in out and "Stopping" in out, out
        assert "Commands to try" in out and "psql" in out, out
        assert re.search(r"The live page\n  http://127.0.0.1:\d+/\n", out), out


@limit(120)
def test_demo_of_one_store_starts_again_and_quickly():
    with tempfile.TemporaryDirectory(
            dir=os.environ.get("LEAT_TEST_TMP")) as directory:
        os.chmod(directory, 0o755)
        home = pathlib.Path(directory) / "demo"
        for name in ("first", "second"):
            started = time.monotonic()
            done = run_demo(home, SINKS="postgres")
            assert done.returncode == 0, done.stdout + done.stderr
            assert "kafka" not in done.stdout, done.stdout
        assert re.search(r"postgres +100003 events", done.stdout), done.stdout
        fact(f"{name} run {time.monotonic() - started:.1f} s")
