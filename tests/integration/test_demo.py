"""make demo: what a newcomer sees, and that nothing stays behind."""
import os
import pathlib
import re
import subprocess
import tempfile
import time

from leat import ROOT, fact, limit, program


def run_demo(home):
    bin_dir = pathlib.Path(program("batchd", "release")).parent
    return subprocess.run(
        [str(ROOT / "scripts/demo"), "--bin", str(bin_dir)], timeout=110,
        capture_output=True, text=True,
        env=dict(os.environ, LEAT_DEMO_DIR=str(home), DEMO_SECONDS="1"))


@limit(150)
def test_demo_shows_everything_and_stops():
    with tempfile.TemporaryDirectory(
            dir=os.environ.get("LEAT_TEST_TMP")) as folder:
        os.chmod(folder, 0o755)
        home = pathlib.Path(folder) / "demo"
        program("evload", "release")
        done = run_demo(home)
        out = done.stdout
        assert done.returncode == 0, out + done.stderr
        assert '{"accepted":1,"offset":0}' in out.replace(" ", ""), out
        assert "invalid payload" in out, out
        stored = re.search(r"in PostgreSQL: (\d+) events", out)
        assert stored and int(stored[1]) == 100003, out
        assert re.search(r"visible in PostgreSQL: P50 \d+ ms, P99 \d+ ms",
                         out), out
        assert "(3 rows)" in out and "Stopping" in out, out
        assert "Go on by hand" in out and "psql" in out, out
        # A second run starts anew, and quickly.
        started = time.monotonic()
        done = run_demo(home)
        assert done.returncode == 0, done.stdout + done.stderr
        fact(f"second run {time.monotonic() - started:.1f} s")
