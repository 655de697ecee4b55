"""The commands in CONTRIBUTING are run."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from leat import ROOT, build_tree, free_port, limit


def blocks():
    """The shell commands of the section on running and debugging, in order."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    section = text[text.index("## Run and debug the daemons"):]
    section = section[:section.index("\n## ", 3)]
    return re.findall(r"^```sh\n(.*?)^```", section, re.M | re.S)


def adapted(script, port, directory):
    """The same commands for a tree that is built, and a port that is free."""
    for before, after in (
            ("make MODE=debug\n", ""),
            ("build/debug/bin", f"{build_tree('release')}/bin"),
            ("$(mktemp -d)", str(directory)),
            ("8080", str(port)),
            ("/var/run/postgresql", str(directory)),
            ("127.0.0.1:8123", f"127.0.0.1:{free_port()}")):
        assert before in script, before
        script = script.replace(before, after)
    return script


# Once gdb is attached to the sink, the sink crashes.
CRASH = """
pid=$(cat $DIR/sinkd-postgres.pid)
(while grep -q '^TracerPid:[[:space:]]0$' /proc/$pid/status; do sleep 0.1; done
kill -SEGV $pid) &
"""


WAIT = """
for _ in $(seq 300); do
  $BIN/leat status --config $DIR/leat.conf 2>&1 | grep -q '^postgres *retrying' && break
  sleep 0.1
done
"""


@limit(200)
def test_four_daemons_run_from_the_build_tree_and_can_be_debugged():
    start, attach, core, crash, stop = blocks()
    # The second command of `attach` waits for a breakpoint.
    attach = "".join(line for line in attach.splitlines(True)
                     if "-ex continue" not in line)
    if not shutil.which("gdb"):
        attach = core = crash = ""
    with tempfile.TemporaryDirectory(prefix="leat-contributing-") as temporary:
        directory = pathlib.Path(temporary, "run")
        directory.mkdir()
        # The sink tries its store a moment after it has started.
        script = start.replace("$BIN/leat status", WAIT + "$BIN/leat status")
        script += attach + core
        if crash:
            script += CRASH + crash
        # Without -e: `leat status` reports that no store can be reached.
        done = subprocess.run(
            ["bash", "-c", adapted(script + stop, free_port(), directory)],
            cwd=ROOT, text=True, timeout=180, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=dict(os.environ, DEBUGINFOD_URLS=""))
        assert not directory.exists(), done.stdout
    assert '"accepted":1' in done.stdout, done.stdout
    assert re.search(r"^postgres +retrying", done.stdout, re.M), done.stdout
    if crash:
        assert done.stdout.count("Saved corefile") == 2, done.stdout
        assert "SIGSEGV" in done.stdout, done.stdout
        assert re.search(r" main \(.*sink_main.c|in main \(", done.stdout), \
            done.stdout


def test_an_editor_gets_the_compilers_commands():
    done = subprocess.run(
        ["make", "--no-print-directory", "-n", "compile_commands.json"],
        cwd=ROOT, text=True, capture_output=True, timeout=60)
    assert done.returncode == 0 and "-std=c17" in done.stdout, done
