"""A real browser's pages send events: beacons and fetch, across origins."""
import contextlib
import http.server
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading

from leat import Leat, Skip, limit, wait_until
from test_security import make_token

PAGE = """<!doctype html><title>sends</title><script>
const url = "%(url)s", where = "%(where)s";
function events(type) {
  return JSON.stringify([{type: type + "-" + where, payload: {n: 1}}]);
}
navigator.sendBeacon(url, events("text"));
navigator.sendBeacon(url,
  new Blob([events("json")], {type: "application/json"}));
fetch(url, {method: "POST", keepalive: true, body: events("fetch"),
            headers: {"Content-Type": "application/json"}})
  .then(async r => r.status + " " + (await r.json()).accepted)
  .catch(e => "failed " + e.name)
  .then(result => fetch("/result", {method: "POST", body: result}));
</script>"""


class Site:
    """A web server with one page, which keeps what the page reports."""

    def __init__(self):
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                page = site.page.encode() if self.path == "/" else b""
                self.send_response(200 if page else 404)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)

            def do_POST(self):
                n = int(self.headers["Content-Length"])
                site.results.append(self.rfile.read(n).decode())
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.page, self.results = "", []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0),
                                                      Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever,
                         daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@contextlib.contextmanager
def browser(url):
    """Chromium with this page open, and nothing of its own to fetch."""
    program = shutil.which("chromium")
    if not program:
        raise Skip("no chromium program")
    with tempfile.TemporaryDirectory(prefix="leat-browser-",
                                     ignore_cleanup_errors=True) as profile:
        child = subprocess.Popen(
            [program, "--headless", "--no-sandbox", "--disable-gpu",
             "--disable-quic", "--no-first-run", "--disable-sync",
             "--disable-background-networking", "--disable-component-update",
             "--disable-dev-shm-usage", "--remote-debugging-port=0",
             f"--user-data-dir={profile}", url],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
            env=dict(os.environ, HOME=profile))
        try:
            yield child
        finally:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait(20)


def counted(leat, code):
    text = leat.request("GET", "/metrics")[1]
    return int(re.search(rf'responses_total{{code="{code}"}} (\d+)',
                         text)[1])


@limit(120)
def test_pages_send_from_named_origins_only():
    named, other = Site(), Site()
    token, line = make_token("page")
    with tempfile.TemporaryDirectory(prefix="leat-keys-") as keys:
        tokens = pathlib.Path(keys) / "tokens"
        tokens.write_text(line + " public\n")
        settings = {"ingestd": {"cors_origins": named.origin,
                                "tokens_file": tokens, "metrics_open": "yes"}}
        with Leat(settings=settings) as leat:
            url = f"http://127.0.0.1:{leat.port}/v1/events?token={token}"
            named.page = PAGE % {"url": url, "where": "named"}
            other.page = PAGE % {"url": url, "where": "other"}
            with browser(named.origin):
                wait_until(lambda: named.results, "the page has sent", 60)
                wait_until(lambda: leat.status()["log"]["next_offset"] >= 3,
                           "both beacons have come", 30)
            assert named.results == ["202 1"], named.results
            refused = counted(leat, "4xx")
            assert refused == 0
            with browser(other.origin):
                wait_until(lambda: other.results, "the page has tried", 60)
                # The text, and the two preflights.
                wait_until(lambda: counted(leat, "4xx") >= 3,
                           "all of it is refused", 30)
            assert other.results == ["failed TypeError"], other.results
            leat.caught_up()
            assert leat.pg.query(
                "select type from events order by 1").split() == \
                ["fetch-named", "json-named", "text-named"]
    named.close()
    other.close()
