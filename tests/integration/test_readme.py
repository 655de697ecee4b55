"""The senders in README are run: against leat, and against one that fails."""
import hashlib
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import time

from leat import ROOT, Leat, Skip, build_tree, limit, wait_until

URL = "http://localhost:8080/v1/events"
EVENTS = [{"type": "order", "user_id": "ann", "payload": {"sum": 12.5}}]
RETRY_AFTER_S = 1
GO = """package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand"
	"net/http"
	"os"
	"strconv"
	"time"
)

%s
func main() {
	events := []map[string]any{{"type": "order", "user_id": "ann",
		"payload": map[string]any{"sum": 12.5}}}
	if err := send(os.Args[1], os.Args[2], events); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
"""
# Before Node 20 a script has no global `crypto`.
JS = """globalThis.crypto ??= require("crypto").webcrypto;
%s
send(%s, ...process.argv.slice(2)).then(console.log, error => {
  console.error(error.message); process.exit(1); });
"""


def block(language):
    """The first such block of README's section on sending."""
    text = (ROOT / "README.md").read_text()
    section = text[text.index("## Send events"):]
    return re.search(rf"^```{language}\n(.*?)^```", section, re.M | re.S)[1]


def need(tool):
    if not shutil.which(tool):
        raise Skip(f"there is no {tool}")


def python(directory, url, token):
    path = directory / "send.py"
    text = block("python").replace("token=None", f"token={token!r}")
    assert URL in text and repr(token) in text
    path.write_text(text.replace(URL, url))
    return ["python3", str(path)]


def go(directory, url, token):
    need("go")
    # The cache is kept from one run to the next: it holds all of net/http.
    cache = build_tree("release").parent.resolve() / "go-cache"
    path = directory / "send.go"
    path.write_text(GO % block("go"))
    binary = directory / "send-go"
    done = subprocess.run(
        ["go", "build", "-o", str(binary), str(path)], capture_output=True,
        text=True, cwd=directory,
        env=dict(os.environ, GO111MODULE="off", GOFLAGS="", CGO_ENABLED="0",
                 GOTOOLCHAIN="local", GOTELEMETRY="off", GOCACHE=str(cache),
                 GOPATH=str(directory / "gopath")))
    assert done.returncode == 0, done.stderr
    return [str(binary), url, token or ""]


def js(directory, url, token):
    need("node")
    path = directory / "send.js"
    path.write_text(JS % (block("js"), json.dumps(EVENTS)))
    return ["node", str(path), url] + ([token] if token else [])


def curl(directory, url, token):
    """The command is followed by what it prints."""
    text = block("")
    assert URL in text and text.rstrip().endswith('{"accepted":1,"offset":0}')
    command = text[:text.rindex('{"accepted"')].strip().replace(URL, url)
    if token:
        path = directory / "header"
        path.write_text(f"Authorization: Bearer {token}\n")
        command += f" -H @{path}"
    return ["sh", "-c", command]


SENDERS = [python, js, curl, go]


class Failing(http.server.ThreadingHTTPServer):
    """Gives these answers in turn: a status, or None to hang up."""

    def __init__(self, *script):
        super().__init__(("127.0.0.1", 0), Answer)
        self.script, self.requests = list(script), []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1/events"


class Answer(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        server.requests.append((time.monotonic(), body,
                                self.headers["Authorization"]))
        status = server.script[min(len(server.requests),
                                   len(server.script)) - 1]
        self.close_connection = True
        if status is None:
            return
        text = b'{"error":"invalid payload"}' if status == 400 else \
            b'{"accepted":1,"offset":0}'
        self.send_response(status)
        if status not in (202, 400):
            self.send_header("Retry-After", str(RETRY_AFTER_S))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def run(argv):
    return subprocess.run(argv, capture_output=True, text=True, timeout=60)


def sends_the_same_again(sender):
    script = [None, 503, 429, 504, 202]
    with tempfile.TemporaryDirectory(prefix="leat-readme-") as directory, \
            Failing(*script) as server:
        done = run(sender(pathlib.Path(directory), server.url, "leat_t"))
        assert done.returncode == 0, done.stderr
        assert len(server.requests) == len(script), server.requests
        bodies = {body for _, body, _ in server.requests}
        assert len(bodies) == 1, bodies
        (event,) = json.loads(bodies.pop())
        assert event["id"] and event["type"] == "order", event
        assert {authorization for _, _, authorization in server.requests} == \
            {"Bearer leat_t"}, server.requests
        times = [at for at, _, _ in server.requests]
        for i, status in enumerate(script[:-1]):
            waited = times[i + 1] - times[i]
            assert waited >= (RETRY_AFTER_S if status else 0), (i, waited)
        # What would be refused again is not sent again.
        server.script, server.requests = [400], []
        done = run(sender(pathlib.Path(directory), server.url, None))
        assert len(server.requests) == 1, server.requests
        assert server.requests[0][2] is None, server.requests
        assert "invalid payload" in done.stdout + done.stderr, done
        server.shutdown()


def test_python_sends_the_same_again():
    sends_the_same_again(python)


@limit(300)
def test_go_sends_the_same_again():
    sends_the_same_again(go)


def test_javascript_sends_the_same_again():
    sends_the_same_again(js)


def test_curl_sends_the_same_again():
    sends_the_same_again(curl)


@limit(300)
def test_each_sends_to_leat_while_it_starts():
    """Begun when nothing listens: each event is stored once all the same."""
    token = "leat_of_a_reader"
    with Leat(start=False, settings={
            "sinkd-postgres": {"dedup_by_id": "yes"}}) as leat, \
            tempfile.TemporaryDirectory(prefix="leat-readme-") as directory:
        tokens = leat.directory / "tokens"
        digest = hashlib.sha256(token.encode()).hexdigest()
        tokens.write_text(f"reader sha256:{digest}\n")
        leat.settings["ingestd"]["tokens_file"] = tokens
        leat.write_conf()
        leat.batchd.start()
        leat.ingestd.start()
        url = f"http://127.0.0.1:{leat.port}/v1/events"
        leat.settings["ingestd"]["port"] = leat.port
        leat.write_conf()
        commands = []
        for sender in SENDERS:
            try:
                commands.append(sender(pathlib.Path(directory), url,
                                       token))
            except Skip:
                pass
        leat.ingestd.stop()
        leat.batchd.stop()
        running = [subprocess.Popen(c, stdout=subprocess.DEVNULL)
                   for c in commands]
        leat.ingestd.start()
        # The first answers are 503: there is no batchd.
        wait_until(lambda: leat.request("GET", "/readyz")[0] == 503, "503")
        leat.batchd.start()
        leat.sink["postgres"].start()
        for r in running:
            assert r.wait(60) == 0
        leat.caught_up()
        assert leat.pg.number("select count(*) from events where type = "
                              "'order' and user_id = 'ann' and "
                              "payload->>'sum' ~ '^12.50?$'") == len(commands)
