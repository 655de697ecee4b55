"""The servers of the differential test, each started as a Daemon.

All of them answer a request that they have read to its end with 200 and a
JSON object:

    {"method": "POST", "target": "/a?b", "minor": 1,
     "fields": [["Host", "h"], ...], "body": "..."}

Texts have one character for each byte (latin-1), and the JSON is printable
ASCII.  Where an answer has no content, as that to HEAD, the header
X-Seen has it.  http_echo, on
libhttp, has "path" and "query" (null if there is none) in place of "target".
A request that is refused, or not complete when the client has sent its last
byte, is answered with another status or not at all.

LEAT_NODE, LEAT_GO and LEAT_PYTHON name other programs than those of the PATH.
"""
import os
import pathlib
import re
import shutil
import subprocess

from leat import ROOT, Skip, build_tree
from process import Daemon

HERE = pathlib.Path(__file__).resolve().parent
READY = r"^ready port=\d+"


def find(variable, *names):
    """The program that a variable names, else the first of names there is."""
    for name in [os.environ.get(variable, ""), *names]:
        path = name and shutil.which(name)
        if path:
            return path
    raise Skip(f"there is no {names[0]} here")


def port_of(daemon):
    return int(re.search(r"port=(\d+)", daemon.wait_line(daemon.ready))[1])


def http_echo(directory, *options, mode="asan"):
    path = build_tree(mode) / "tests/support/http_echo"
    if not path.exists():
        raise AssertionError(f"{path} is not built")
    return Daemon("http_echo", [str(path), "--port", "0", *options],
                  directory / "http_echo.log", ready=READY)


def node_echo(directory):
    return Daemon("node", [find("LEAT_NODE", "node", "nodejs"),
                           str(HERE / "node_echo.js")],
                  directory / "node.log", ready=READY)


def go_echo(directory):
    go = find("LEAT_GO", "go")
    build = pathlib.Path(os.environ.get("LEAT_BUILD", ROOT / "build"))
    program = directory / "go_echo"
    # The cache is kept from one run to the next: it holds all of net/http.
    env = dict(os.environ, GOCACHE=str((build / "go-cache").resolve()),
               GOPATH=str(directory / "gopath"), GOFLAGS="", GO111MODULE="on",
               GOPROXY="off", GOTOOLCHAIN="local", GOTELEMETRY="off",
               CGO_ENABLED="0")
    done = subprocess.run([go, "build", "-o", str(program), "."], env=env,
                          cwd=HERE / "go_echo", capture_output=True,
                          text=True, timeout=170)
    assert done.returncode == 0, f"go build: {done.stderr}"
    return Daemon("go", [str(program)], directory / "go.log", ready=READY)


def h11_echo(directory):
    python = find("LEAT_PYTHON", "/usr/bin/python3")
    if subprocess.run([python, "-c", "import h11"],
                      capture_output=True).returncode != 0:
        raise Skip(f"{python} has no h11")
    return Daemon("h11", [python, "-B", str(HERE / "h11_echo.py")],
                  directory / "h11.log", ready=READY)


REFERENCES = {"node": node_echo, "go": go_echo, "h11": h11_echo}


class Running:
    """Daemons for the length of a block; each must end well."""

    def __init__(self, daemons):
        self.daemons = list(daemons)

    def __enter__(self):
        try:
            for d in self.daemons:
                d.start(wait=False)
            for d in self.daemons:
                d.wait_ready()
            self.addresses = {d.name: ("127.0.0.1", port_of(d))
                              for d in self.daemons if d.ready}
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, kind, error, trace):
        try:
            if not error:
                for d in self.daemons:
                    assert d.running, f"{d.name} has ended: {d.lines[-20:]}"
                    d.stop()
        finally:
            self.kill()
        bad = [f"{d.name}: {line}" for d in self.daemons
               for line in d.reports()]
        assert not bad, "sanitizer reports:\n" + "\n".join(bad)

    def kill(self):
        for d in self.daemons:
            if d.running:
                d.kill()


def all_of_them(directory, mode="asan"):
    """http_echo and the others; `with` gives the running ones."""
    return Running([http_echo(directory, mode=mode)]
                   + [make(directory) for make in REFERENCES.values()])
