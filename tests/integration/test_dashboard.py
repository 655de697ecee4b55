"""The live page's server: who sees what, and that what is seen is true.

No browser: a stream is read from its socket, as it is sent.
"""
import contextlib
import hashlib
import http.client
import json
import os
import re
import resource
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import threading
import time
import urllib.parse

from batchd_fake import FakeBatchd
from certificate import certificate
from events import NASTY, small
from leat import Leat, Skip, fact, free_port, limit, program, wait_until
from process import Daemon
from wire import (CONTROL, HELLO, STREAM, TAIL, VERSION, WELCOME, Peer, order,
                  pack, unpack)

TOKENS = {"all": "events", "types": "dashboard", "send": ""}
SERVER_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self'; img-src 'self'; connect-src 'self'; form-action "
    "'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff", "cache-control": "no-store",
    "referrer-policy": "no-referrer"}


class Stream:
    """The messages of /stream, read by a thread: (event, data), ..."""

    def __init__(self, port, query="", token=None, headers=None,
                 receive_bytes=0):
        self.messages, self.changed = [], threading.Condition()
        self.sock = socket.socket()
        if receive_bytes:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                                 receive_bytes)
        self.sock.settimeout(30)
        self.sock.connect(("127.0.0.1", port))
        lines = [f"GET /stream{query} HTTP/1.0", f"Host: localhost:{port}"]
        if token:
            lines.append(f"Authorization: Bearer {token}")
        lines += [f"{k}: {v}" for k, v in (headers or {}).items()]
        self.sock.sendall("\r\n".join([*lines, "", ""]).encode())
        self.file = self.sock.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = {}
        while line := self.file.readline().decode().strip():
            name, _, value = line.partition(": ")
            self.headers[name.lower()] = value
        self.thread = None
        self.ended = False

    def start(self):
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        return self

    def _read(self):
        event = None
        with contextlib.suppress(OSError, ValueError):
            for line in self.file:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "event":
                    event = value
                elif name == "data":
                    with self.changed:
                        self.messages.append((event, json.loads(value)))
                        self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def wait(self, predicate, what, timeout_s=20):
        """The data of the first message for which it is true."""
        deadline, at = time.monotonic() + timeout_s, 0
        with self.changed:
            while True:
                for event, data in self.messages[at:]:
                    if predicate(event, data):
                        return data
                at = len(self.messages)
                left = deadline - time.monotonic()
                assert left > 0, f"not within {timeout_s} s: {what}"
                assert not self.ended or at < len(self.messages), \
                    f"the stream ended before: {what}"
                self.changed.wait(left)

    def tick(self, predicate=lambda t: True, what="a tick", timeout_s=20):
        return self.wait(lambda e, d: e == "tick" and predicate(d), what,
                         timeout_s)

    def of(self, event):
        with self.changed:
            return [d for e, d in self.messages if e == event]

    def rows(self):
        return [row for m in self.of("events") for row in m["rows"]]

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        if self.thread:
            self.thread.join(10)
        self.sock.close()


class Board:
    """A leat with a dashboard, which has the tokens of TOKENS."""

    def __init__(self, leat, daemon):
        self.leat, self.daemon = leat, daemon

    @property
    def port(self):
        line = self.daemon.wait_line(r" ready address=")
        return int(re.search(r"port=(\d+)", line)[1])

    def request(self, method, path, body=None, token=None, **headers):
        """(status, JSON or text, headers)"""
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        headers.setdefault("Host", f"localhost:{self.port}")
        if token:
            headers["Authorization"] = f"Bearer {token}"
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        c.request(method, path, body, headers)
        r = c.getresponse()
        text = r.read()
        fields = {k.lower(): v for k, v in r.getheaders()}
        c.close()
        if fields.get("content-type") == "application/json":
            return r.status, json.loads(text), fields
        return r.status, text.decode(), fields

    def snapshot(self, token=None):
        status, data, _ = self.request("GET", "/api/snapshot", token=token)
        assert status == 200, data
        return data

    def login(self, token, **headers):
        headers.setdefault("Origin", f"http://localhost:{self.port}")
        return self.request(
            "POST", "/login", urllib.parse.urlencode({"token": token}),
            Content_Type="application/x-www-form-urlencoded", **headers)

    def stream(self, query="", token=None, **more):
        stream = Stream(self.port, query, token, **more)
        assert stream.status == 200, stream.status
        return stream.start()

    def total(self, n, token=None):
        """Wait until the dashboard shows n events."""
        return wait_until(
            lambda: (s := self.snapshot(token))["tick"]["total"] == n and s,
            f"the page shows {n} events", pause_s=0.1)


@contextlib.contextmanager
def board(mode="asan", also=(), tokens=True, batchd=None, **settings):
    with Leat(mode, sinks=(), also=also, postgres=False, settings={
            "batchd": batchd or {},
            "sinkd-dashboard": {"port": 0, **settings}}) as leat:
        if tokens:
            path = leat.directory / "tokens"
            path.write_text("".join(
                f"{name} sha256:{hashlib.sha256(name.encode()).hexdigest()} "
                f"{mark}\n" for name, mark in TOKENS.items()))
            path.chmod(0o600)
            leat.settings["sinkd-dashboard"]["tokens_file"] = path
            leat.write_conf()
        daemon = leat.daemon("sinkd-dashboard", r" ready address=", mode)
        try:
            daemon.start()
            b = Board(leat, daemon)
            # It watches the newest events from before its first status on.
            wait_until(lambda: b.snapshot()["tick"].get("batchd"),
                       "the dashboard has the status")
            yield b
            daemon.stop()
        except BaseException:
            for line in daemon.lines[-20:]:
                print("  " + line)
            raise
        finally:
            if daemon.running:
                daemon.kill()
        assert not daemon.reports(), daemon.reports()


def events(n, types=("order", "click", "view"), users=7):
    return [{"type": types[i % len(types)], "user_id": f"user-{i % users}",
             "payload": {"i": i}} for i in range(n)]


def test_figures_are_those_of_leat_status():
    with board(also=["one"]) as b:
        stream = b.stream("?rows=1", "all")
        stream.tick(lambda t: t["batchd"], "batchd answers")
        for _ in range(20):
            b.leat.accept(events(300))
        snapshot = b.total(6000, "all")
        # Each event is counted in one second, and none in two.
        stream.tick(lambda t: t["total"] == 6000, "the stream shows all")
        ticks = stream.of("tick")
        assert sum(t["events"] for t in ticks) == 6000, ticks
        assert sum(t["read"] for t in ticks) == 6000, ticks
        numbers = [t["n"] for t in ticks]
        assert numbers == sorted(set(numbers)), numbers
        per_type = {}
        for tick in ticks:
            for name, n in tick["series"]:
                per_type[name] = per_type.get(name, 0) + n
        assert per_type == dict.fromkeys(("order", "click", "view"), 2000)
        assert sorted(ticks[-1]["types"]) == [
            [name, 2000, 0] for name in ("click", "order", "view")]
        assert len(ticks[-1]["users"]) == 7
        assert ticks[-1]["distinct_users"] == 7
        # The same from the snapshot.
        seconds = snapshot["snapshot"]
        assert len(seconds["events"]) == len(seconds["read"]) == 900
        assert sum(seconds["events"]) == 6000, sum(seconds["events"])
        assert {t["name"]: sum(t["counts"]) for t in seconds["types"]} == \
            per_type
        # And the same as leat status, of a sink that has not connected.
        status, tick = b.leat.status(), snapshot["tick"]
        for key in ("first_offset", "next_offset", "bytes", "max_bytes",
                    "oldest_us"):
            assert tick["log"][key] == status["log"][key], key
        assert abs(status["log"]["oldest_us"] / 1e6 - time.time()) < 600
        shown, sink = tick["sinks"][0], status["sinks"][0]
        for key in ("name", "state", "lag_events", "events_per_s",
                    "committed"):
            assert shown[key] == sink[key], (key, shown, sink)
        assert abs(shown["lag_ms"] - sink["lag_ms"]) < 3000
        assert tick["ingest"]["processes"] == status["ingest"]["processes"]
        assert "one: not connected" in tick["verdict"], tick
        # Rows are the newest; all are in the matches.
        matched = sum(m["matched"] for m in stream.of("events"))
        assert matched == 6000 and not stream.of("gap"), matched
        row = stream.rows()[-1]
        assert row[0] == 5999 and row[2:] == [
            "view", "user-5", '{"i": 299}', 10], row
        stream.close()


def test_a_pause_is_that_of_leat_status():
    with board(also=["one"]) as b:
        def shown():
            tick = b.snapshot()["tick"]
            return tick, tick["sinks"][0]
        assert shown()[1]["paused"] is None
        order(b.leat, "pause", "one", for_ms=3_600_000, why='"<b>&\\')
        tick, sink = wait_until(
            lambda: (s := shown())[1]["paused"] and s, "it is shown")
        status = b.leat.sink_status("one")
        assert sink["paused"] == {
            key: status["paused_" + key]
            for key in ("since_us", "until_us", "uid", "why")}, sink
        assert sink["paused"]["until_us"] - sink["paused"]["since_us"] == \
            3_600_000_000, sink
        assert sink["paused"]["why"] == '"<b>&\\', sink
        assert sink["state"] == status["state"] == "disconnected", sink
        assert sink["order"] == "", sink
        # That it is not connected is a fault; that it is paused is another
        # finding, as it is another problem of leat status.
        assert "one: not connected" in tick["verdict"], tick
        order(b.leat, "pause", "one")
        _, sink = wait_until(
            lambda: (s := shown())[1]["paused"]["until_us"] is None and s,
            "the end of the pause is changed")
        assert sink["paused"]["why"] == "", sink
        order(b.leat, "resume", "one")
        wait_until(lambda: shown()[1]["paused"] is None, "it is over")


def test_an_event_is_on_the_page_within_a_moment():
    with board("release") as b:
        stream = b.stream("?rows=1", "all")
        stream.tick(lambda t: t["batchd"], "batchd answers")
        times = []
        for i in range(40):
            answer = b.leat.accept(small("l", 1, i))
            begin = time.monotonic()
            stream.wait(lambda e, d: e == "events" and
                        d["rows"][-1][0] == answer["offset"], "the row", 5)
            times.append(time.monotonic() - begin)
        times.sort()
        fact(f"from the 202 to the row: P50 {times[20] * 1000:.0f} ms, "
             f"max {times[-1] * 1000:.0f} ms")
        assert times[20] < 1, times
        stream.close()


def test_without_a_login_there_are_figures_only():
    for tokens in (True, False):
        with board(tokens=tokens) as b:
            stream = b.stream("?rows=1&types=secret-type")
            stream.tick(lambda t: t["batchd"], "batchd answers")
            b.leat.accept([{"type": "secret-type", "user_id": "secret-user",
                            "id": "secret-id", "payload": {"secret": 1}}])
            snapshot = b.total(1)
            stream.tick(lambda t: t["total"] == 1, "the event is counted")
            assert "secret" not in json.dumps(snapshot)
            assert "secret" not in json.dumps(stream.messages)
            assert not stream.of("events")
            hello = snapshot["hello"]
            assert hello["show"] == "figures" and hello["login"] == tokens
            assert sum(snapshot["snapshot"]["events"]) == 1
            assert b.request("GET", "/event/0")[0] == 401
            page = b.request("GET", "/metrics")[1]
            assert "leat_dashboard_events_read_total 1\n" in page
            assert "secret" not in page
            stream.close()
            if not tokens:
                assert b.login("all")[0] == 403


def test_a_login_shows_what_its_token_is_marked_for():
    with board() as b:
        b.leat.accept([{"type": "a-type", "user_id": "a-user", "id": "an-id",
                        "payload": {"k": "<b>"}, "created_at":
                        "2026-01-02T03:04:05Z"}])
        wait_until(lambda: b.snapshot("all")["tick"]["users"], "it was read")
        text = json.dumps(b.snapshot("types"))
        assert "a-type" in text and "a-user" not in text
        assert b.request("GET", "/event/0", token="types")[0] == 403
        status, event, _ = b.request("GET", "/event/0", token="all")
        assert status == 200 and event["id"] == "an-id" and \
            event["payload"] == {"k": "<b>"} and event["offset"] == 0 and \
            event["created_at"] == "2026-01-02T03:04:05.000000Z", event
        assert b.request("GET", "/event/1", token="all")[0] == 404
        assert b.request("GET", "/event/x", token="all")[0] == 404
        assert b.request("GET", "/event/-1", token="all")[0] == 404
        # The page's own login.
        assert b.login("send")[0] == 401 and b.login("")[0] == 401
        status, _, fields = b.login("all")
        assert status == 303 and fields["location"] == "./", fields
        cookie, *attributes = fields["set-cookie"].split("; ")
        assert re.fullmatch("leat=[0-9a-f]{64}", cookie), cookie
        assert set(attributes) == {"Path=/", "Max-Age=43200", "HttpOnly",
                                   "SameSite=Strict"}, attributes
        stream = b.stream("?rows=1", headers={"Cookie": cookie})
        hello = stream.wait(lambda e, d: e == "hello", "hello")
        assert hello["show"] == "events" and hello["session"], hello
        b.leat.accept(small("s", 1))
        stream.wait(lambda e, d: e == "events", "a row")
        # The stream ends with the session.
        status, _, fields = b.request("POST", "/logout", Cookie=cookie,
                                      Origin=f"http://localhost:{b.port}")
        assert status == 303 and "Max-Age=0" in fields["set-cookie"]
        wait_until(lambda: stream.ended, "the stream ends")
        assert b.request("GET", "/event/0", Cookie=cookie)[0] == 401
        # SIGHUP ends all, and a removed token does not log in again.
        cookie = b.login("all")[2]["set-cookie"].split(";")[0]
        assert b.request("GET", "/event/0", Cookie=cookie)[0] == 200
        # That of a script that sent its token with the request ends too.
        stream = b.stream("?rows=1", "all")
        path = b.leat.directory / "tokens"
        path.write_text("\n".join(line for line in
                                  path.read_text().splitlines()
                                  if not line.startswith("all ")) + "\n")
        b.daemon.signal(signal.SIGHUP)
        b.daemon.wait_line(" reloaded tokens=2")
        wait_until(lambda: stream.ended, "the stream of a token ends")
        assert b.request("GET", "/event/0", Cookie=cookie)[0] == 401
        assert b.request("GET", "/event/0", token="all")[0] == 401
        log = "\n".join(b.daemon.lines)
        assert "login token=all address=127.0.0.1" in log
        assert "event shown offset=0 token=all address=127.0.0.1" in log


def test_show_and_mask_users_limit_every_login():
    with board(show="types") as b:
        b.leat.accept(events(3))
        wait_until(lambda: b.snapshot("all")["tick"]["types"], "it was read")
        assert "user-" not in json.dumps(b.snapshot("all"))
        assert b.request("GET", "/event/0", token="all")[0] == 403
    with board(mask_users="yes") as b:
        b.leat.accept(events(14))
        users = wait_until(lambda: b.snapshot("all")["tick"]["users"],
                           "they were read")
        assert all(re.fullmatch("[0-9a-f]{8}", u[0]) and u[1] == 2
                   for u in users) and len(users) == 7, users
        user = b.request("GET", "/event/0", token="all")[1]["user_id"]
        assert user in [u[0] for u in users]


def test_with_tls_the_cookie_is_for_tls_only():
    with board() as b:
        b.daemon.stop()
        cert, key = certificate(b.leat.directory, "live")
        key.chmod(0o600)
        b.leat.settings["sinkd-dashboard"].update(tls_certificate=cert,
                                                  tls_key=key)
        b.leat.write_conf()
        b.daemon.start()

        def request(method, path, body=None, **headers):
            c = http.client.HTTPSConnection(
                "localhost", b.port, timeout=30,
                context=ssl.create_default_context(cafile=str(cert)))
            c.request(method, path, body, headers)
            r = c.getresponse()
            return r.status, r.read(), r.getheader("Set-Cookie")
        status, _, cookie = request(
            "POST", "/login", "token=all", Origin=f"https://localhost:{b.port}",
            **{"Content-Type": "application/x-www-form-urlencoded"})
        assert status == 303 and cookie.startswith("__Host-leat="), cookie
        assert "; Secure" in cookie and "Domain" not in cookie, cookie

        def sees_events():
            _, body, _ = request("GET", "/api/snapshot",
                                 Cookie=cookie.split(";")[0])
            return json.loads(body)["hello"]["show"] == "events"
        assert sees_events()
        # A certificate that is not valid changes nothing: no login ends.
        valid = cert.read_bytes()
        cert.write_bytes(b"no certificate")
        b.daemon.signal(signal.SIGHUP)
        b.daemon.wait_line("reload failed")
        cert.write_bytes(valid)
        assert sees_events()


def test_foreign_hosts_pages_and_methods_are_refused():
    with board(hosts="live.example.org") as b:
        own = f"http://localhost:{b.port}"
        for host, status in [("evil.example.org", 421), ("live.example.org", 200),
                             (f"127.0.0.1:{b.port}", 200), ("[::1]", 200),
                             ("localhost.evil.org", 421)]:
            for path in ("/", "/stream", "/api/snapshot", "/metrics"):
                if status == 421 or path != "/stream":
                    assert b.request("GET", path, Host=host)[0] == status, host
        for path in ("/login", "/logout"):
            assert b.request("POST", path)[0] == 403
            assert b.request("POST", path, Origin="null")[0] == 403
            assert b.request("POST", path,
                             Origin="http://evil.example.org")[0] == 403
        assert b.request("GET", "/stream",
                         Origin="http://evil.example.org")[0] == 403
        assert b.login("all", Origin="https://live.example.org")[0] == 303
        assert "Secure" in b.login(
            "all", Origin="https://live.example.org")[2]["set-cookie"]
        assert b.request("GET", "/login")[0] == 405
        assert b.request("POST", "/", Origin=own)[0] == 405
        assert b.request("DELETE", "/event/0")[0] == 405
        assert b.request("GET", "/../etc/passwd")[0] == 404
        assert b.request("POST", "/login", "token=all", Origin=own,
                         Content_Type="text/plain")[0] == 415
        assert b.request("POST", "/login", "x" * 5000, Origin=own,
                         Content_Type="application/x-www-form-urlencoded"
                         )[0] == 413
        # Whatever is answered has the headers.
        for method, path, headers in [
                ("GET", "/", {}), ("GET", "/app.js", {}),
                ("GET", "/app.css", {}), ("GET", "/icon.svg", {}),
                ("GET", "/api/snapshot", {}), ("GET", "/nothing", {}),
                ("GET", "/metrics", {}), ("GET", "/healthz", {}),
                ("GET", "/", {"Host": "evil.example.org"}),
                ("GET", "/event/1", {}), ("POST", "/login", {}),
                ("HEAD", "/", {}), ("GET", "/event/1", {"token": "all"})]:
            fields = b.request(method, path, **headers)[2]
            for name, value in SERVER_HEADERS.items():
                assert fields.get(name) == value, (method, path, name, fields)
        assert b.request("HEAD", "/stream")[0] == 200
        assert b.snapshot()["tick"]["viewers"] == 0
        stream = b.stream()
        for name, value in SERVER_HEADERS.items():
            assert stream.headers[name] == value, name
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.headers["x-accel-buffering"] == "no"
        stream.close()


def test_a_thousand_wrong_logins():
    with board() as b:
        got = [b.login(f"wrong-{i}")[0] for i in range(1000)]
        assert got == [401] * 5 + [429] * 995, got[:10]
        status, _, fields = b.login("all")
        assert status == 429 and 0 < int(fields["retry-after"]) <= 60
        assert b.request("GET", "/", token="all")[0] == 429
        assert b.request("GET", "/")[0] == 200
        assert b.daemon.count_lines("login refused") <= 10


def test_hostile_texts_are_valid_json():
    with board() as b:
        stream = b.stream("?rows=1", "all")
        stream.tick(lambda t: t["batchd"], "batchd answers")
        texts = [t for t in NASTY if len(t.encode()) <= 128]
        for i, text in enumerate(texts):
            b.leat.accept([{"type": text, "user_id": text, "id": f"{i}",
                            "payload": {text: text}}])
        wait_until(lambda: len(stream.rows()) == len(texts), "all rows")
        for text, row in zip(texts, stream.rows()):
            assert row[2] == text and row[3] == text, (text, row)
            assert json.loads(row[4]) == {text: text}, (text, row)
        tick = b.snapshot("all")["tick"]
        for name, _, _ in tick["types"] + tick["users"]:
            assert any(t.startswith(name) for t in texts), name
        # A long payload is cut on the page and whole when it is opened.
        b.leat.accept([{"type": "long", "payload": {"x": "é" * 5000}}])
        row = wait_until(lambda: [r for r in stream.rows() if r[2] == "long"],
                         "the long one")[0]
        assert len(row[4].encode()) in (2047, 2048) and row[5] > 10000, row
        event = b.request("GET", f"/event/{row[0]}", token="all")[1]
        assert event["payload"] == {"x": "é" * 5000}
        stream.close()


def test_filters():
    with board() as b:
        streams = {q: b.stream(q, "all") for q in (
            "?rows=1&types=order", "?rows=1&types=order,view&user=user-1",
            "?rows=1&user=user-99", "?types=order")}
        for s in streams.values():
            s.tick(lambda t: t["batchd"], "batchd answers")
        b.leat.accept(events(21))
        for s in streams.values():
            s.tick(lambda t: t["total"] == 21, "all were read")
        time.sleep(0.6)  # two rounds of rows
        order, two, none, quiet = streams.values()
        assert [r[2] for r in order.rows()] == ["order"] * 7
        assert {(r[2], r[3]) for r in two.rows()} == {
            ("order", "user-1"), ("view", "user-1")}, two.rows()
        assert not none.of("events") and not quiet.of("events")
        for s in streams.values():
            s.close()
        # A part of a filter is not left out.
        for query in ("types=" + ",".join(map(str, range(17))),
                      "types=" + "t" * 2064, "user=" + "u" * 2064):
            refused = Stream(b.port, "?rows=1&" + query, "all")
            assert refused.status == 400, query[:20]
            refused.close()
        b.stream("?types=" + ",".join(map(str, range(16)))).close()
        b.stream("?types=" + ",".join(f"{i:0128}" for i in range(16))).close()


def flood(b, rate, seconds):
    """Send so many events per second; returns their number."""
    done = subprocess.run(
        [program("evload", "release"), "--port", str(b.leat.port),
         "--connections", "4", "--events-per-request", "200", "--json",
         "--rate", str(rate), "--seconds", str(seconds)], check=True,
        capture_output=True, text=True, timeout=100)
    return json.loads(done.stdout)["acked_events"]


@limit(120)
def test_a_slow_viewer_misses_events_and_is_given_their_number():
    with board("release", max_viewers=4) as b:
        fast = b.stream("?rows=1", "all")
        slow = Stream(b.port, "?rows=1", "all", receive_bytes=4096)
        fast.tick(lambda t: t["batchd"], "batchd answers")
        before = b.daemon.private_bytes()
        total = flood(b, 60000, 12)
        b.total(total)
        time.sleep(1)  # the last rows
        grown = b.daemon.private_bytes() - before
        # The viewer that read nothing held up no other.
        numbers = [t["n"] for t in fast.of("tick")]
        assert numbers == list(range(numbers[0], numbers[-1] + 1)), numbers
        slow.start()
        gap = slow.wait(lambda e, d: e == "gap" and d["why"] == "slow",
                        "it learns what it missed")
        tick = b.snapshot()["tick"]
        slow.tick(lambda t: t["n"] >= tick["n"], "it shows the present")
        assert gap["skipped"] > 1000, gap
        looked_at = sum(d["skipped"] for d in fast.of("gap")) + sum(
            m["matched"] for m in fast.of("events"))
        assert looked_at == total, (looked_at, total)
        fact(f"missed {gap['skipped']}, memory {grown / 1e6:+.1f} MB")
        assert grown < 2e6, grown
        fast.close()
        slow.close()


def per_tick(stream, load):
    """The median number of `events` between two ticks, while `load` runs."""
    with stream.changed:
        begin = len(stream.messages)
    load()
    with stream.changed:
        kinds = [kind for kind, _ in stream.messages[begin:]]
    counts = [0]
    for kind in kinds:
        if kind == "tick":
            counts.append(0)
        elif kind == "events":
            counts[-1] += 1
    return statistics.median(counts[1:-1])


def test_a_sample_of_the_events_comes_half_as_often():
    with board("release") as b:
        stream = b.stream("?rows=1", "all")
        stream.tick(lambda t: t["batchd"], "batchd answers")
        quiet = per_tick(stream, lambda: flood(b, 2000, 6))
        sample = per_tick(stream, lambda: flood(b, 300000, 6))
        gaps = [g for g in stream.of("gap") if g["why"] == "moved ahead"]
        assert len(gaps) > 5, gaps
        stream.close()
    fact(f"messages with events a second: {quiet}, and {sample} with a sample")
    assert 3 <= quiet <= 4.5, quiet
    assert 1.5 <= sample <= 2.5, sample


def test_a_frozen_viewer_and_too_many():
    with board(max_viewers=3) as b:
        frozen = [Stream(b.port, "?rows=1", "all") for _ in range(2)]
        alive = b.stream()
        first = alive.tick()
        refused = Stream(b.port)
        assert refused.status == 503 and refused.headers["retry-after"] == "5"
        refused.close()
        b.leat.accept(events(1000))
        alive.tick(lambda t: t["n"] >= first["n"] + 3, "the others go on")
        assert alive.of("tick")[-1]["viewers"] == 3
        frozen[0].close()
        wait_until(lambda: b.snapshot()["tick"]["viewers"] == 2,
                   "it has made room")
        again = b.stream()
        again.tick()
        for s in (again, alive, frozen[1]):
            s.close()


def connect_from(address, port):
    """A connection from another address of this machine."""
    s = socket.socket()
    s.bind((address, 0))
    s.connect(("127.0.0.1", port))
    return s


@limit(120)
def test_many_connections_of_another_address_end_no_stream():
    many = int(os.environ.get("LEAT_CONNECTIONS", "1000"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (
        min(many + 500, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
        resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with board("release") as b:
        stream = b.stream()
        first = stream.tick()
        before = b.daemon.private_bytes()
        open_now = []
        for i in range(many):
            s = connect_from("127.0.0.2", b.port)
            if i % 2:  # the beginning of a request
                with contextlib.suppress(OSError):
                    s.sendall(b"GET /stream HTTP/1.1\r\nHost: ")
            open_now.append(s)
        stream.tick(lambda t: t["n"] >= first["n"] + 2, "the stream goes on")
        assert b.request("GET", "/")[0] == 200
        grown = b.daemon.private_bytes() - before
        for s in open_now:
            s.close()
        assert not stream.ended
        fact(f"{many} connections, memory {grown / 1e6:+.1f} MB")
        assert grown < 12e6, grown
        stream.close()


def test_a_stopped_batchd_is_shown_and_recovered_from():
    with board() as b:
        stream = b.stream()
        stream.tick(lambda t: t["batchd"], "batchd answers")
        b.leat.accept(events(10))
        b.total(10)
        for stop, start in ((b.leat.batchd.stop, b.leat.batchd.start),
                            (lambda: b.leat.batchd.signal(signal.SIGSTOP),
                             lambda: b.leat.batchd.signal(signal.SIGCONT))):
            seen = len(stream.of("tick"))
            begin = time.monotonic()
            stop()
            tick = wait_until(
                lambda: [t for t in stream.of("tick")[seen:]
                         if not t["batchd"]], "it is shown")[0]
            took = time.monotonic() - begin
            assert took < 3.2, took
            fact(f"shown after {took:.1f} s: {tick['verdict']}")
            assert tick["level"] == "bad" and tick["total"] == 10, tick
            assert tick["verdict"].startswith("batchd: unreachable"), tick
            assert tick["stale_since_us"] < tick["now_us"]
            assert b.request("GET", "/event/0", token="all")[0] in (200, 503)
            start()
            seen = len(stream.of("tick"))
            wait_until(lambda: any(t["batchd"] for t in
                                   stream.of("tick")[seen:]), "it is back")
        b.leat.intake_open()
        b.leat.accept(events(5))
        tick = b.total(15)["tick"]
        assert tick["log"]["next_offset"] == 15
        stream.close()


def test_events_from_while_batchd_was_lost_are_shown():
    with board() as b:
        stream = b.stream("?rows=1", "all")
        stream.tick(lambda t: t["batchd"], "batchd answers")
        b.leat.accept(events(10))
        wait_until(lambda: len(stream.rows()) == 10, "the rows before")
        # It learns of the end of batchd only when the next one has events.
        b.daemon.signal(signal.SIGSTOP)
        b.leat.batchd.kill()
        b.leat.batchd.start()
        b.leat.intake_open()
        b.leat.accept(events(20))
        b.daemon.signal(signal.SIGCONT)
        stream.tick(lambda t: t["batchd"] and t["total"] == 30, "it is back")
        wait_until(lambda: len(stream.rows()) == 30, "the rows of meanwhile")
        assert [r[0] for r in stream.rows()] == list(range(30))
        assert not stream.of("gap"), stream.of("gap")
        # Offsets of another log tell nothing.
        b.daemon.signal(signal.SIGSTOP)
        b.leat.batchd.kill()
        shutil.rmtree(b.leat.directory / "log")
        b.leat.batchd.start()
        b.leat.intake_open()
        b.leat.accept(events(40))
        b.daemon.signal(signal.SIGCONT)
        stream.tick(lambda t: t["batchd"] and t["total"] == 40, "it is back")
        b.leat.accept(events(1))
        wait_until(lambda: stream.rows()[-1][0] == 40, "the newest row")
        assert len(stream.rows()) == 31 and not stream.of("gap"), stream.rows()
        stream.close()


def assert_no_tick_is_missing(streams):
    """
    If the machine is so busy that the daemon makes one tick of two seconds,
    all have the same.
    """
    numbers = [[t["n"] for t in s.of("tick")] for s in streams]
    first, last = max(n[0] for n in numbers), min(n[-1] for n in numbers)
    ticks = {n for each in numbers for n in each if first <= n <= last}
    fact(f"{len(ticks)} ticks in {last + 1 - first} s")
    for each in numbers:
        assert ticks <= set(each), (ticks - set(each), each)


def test_no_tick_is_missing_on_a_busy_machine():
    with board() as b:
        streams = [b.stream() for _ in range(10)]
        first = max(s.tick()["n"] for s in streams)
        # It gets the CPU for a moment, six times a second.
        deadline = time.monotonic() + 60
        while not all(s.of("tick")[-1]["n"] > first + 4 for s in streams):
            assert time.monotonic() < deadline
            b.daemon.signal(signal.SIGSTOP)
            time.sleep(0.13)
            b.daemon.signal(signal.SIGCONT)
            time.sleep(0.03)
        assert_no_tick_is_missing(streams)
        for s in streams:
            s.close()


class SlowBatchd(FakeBatchd):
    """Replies to every second question shortly before the next one."""

    def _serve(self, peer):
        with peer, contextlib.suppress(OSError):
            while data := peer.recv(1 << 17):
                header, body = unpack(data)
                if header[0] == HELLO:
                    peer.send(pack([WELCOME, VERSION, 1 << 17]))
                    peer.send(pack([STREAM, 0, "x", 0, 0]))
                elif header[0] == CONTROL:
                    if header[1] % 2:
                        time.sleep(max(0, 0.8 - time.monotonic() % 1))
                    peer.send(self._reply(header[1], header[2], body))


def stop_batchd(b):
    """Returns the path of its socket, at which another may listen."""
    b.leat.batchd.stop()
    path = b.leat.settings["leat"]["socket"]
    path.unlink(missing_ok=True)
    return path


def test_no_tick_is_missing_if_batchd_replies_late():
    with board() as b:
        path = stop_batchd(b)
        with SlowBatchd(path, []):
            streams = [b.stream() for _ in range(10)]
            first = max(s.tick(lambda t: t["batchd"])["n"] for s in streams)
            for s in streams:
                s.tick(lambda t: t["n"] > first + 6)
            assert_no_tick_is_missing(streams)
            for s in streams:
                s.close()
        path.unlink()
        b.leat.batchd.start()


def test_what_is_no_batchd_is_tried_less_and_less():
    with board() as b:
        path = stop_batchd(b)
        logged, opened = len(b.daemon.lines), 0
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as fake:
            fake.bind(str(path))
            fake.listen(16)
            end = time.monotonic() + 5
            while (left := end - time.monotonic()) > 0:
                fake.settimeout(left)
                with contextlib.suppress(OSError):
                    peer, _ = fake.accept()
                    with peer:
                        role = unpack(peer.recv(1 << 18))[0][2]
                        if role == TAIL:
                            opened += 1
                            peer.send(pack([WELCOME, VERSION, 1 << 17]))
                            peer.send(pack([STREAM, 0, "x", 0, 0]))
                            peer.send(b"garbage")
        path.unlink()
        lines = len(b.daemon.lines) - logged
        fact(f"{opened} connections, {lines} lines in the log")
        assert 4 <= opened <= 12 and lines <= 12, (opened, lines)
        b.leat.batchd.start()
        stream = b.stream()
        stream.tick(lambda t: t["batchd"], "it is back")
        stream.close()


def test_a_killed_dashboard_starts_again():
    with board() as b:
        b.leat.accept(events(10))
        boot = b.total(10)["hello"]["boot"]
        b.daemon.kill()
        b.leat.accept(events(10))
        b.daemon.start()
        snapshot = b.total(20)
        assert snapshot["hello"]["boot"] != boot
        # It keeps nothing: what came before is not drawn.
        assert sum(snapshot["snapshot"]["events"]) == 0


def test_an_event_is_read_by_a_tail_of_its_own():
    with board(batchd={"max_tails": 2}) as b:
        b.leat.accept(events(3))
        b.total(3)
        with Peer(b.leat, TAIL):
            status, error, _ = b.request("GET", "/event/0", token="all")
            assert status == 503 and "max_tails" in error["reason"], error
        wait_until(lambda: b.request("GET", "/event/0",
                                     token="all")[0] == 200,
                   "a tail is free")


def test_deleted_events_are_gone():
    with board(batchd={"max_bytes": "4M", "segment_bytes": "1M",
                       "retain_seconds": 0}) as b:
        for i in range(40):
            b.leat.accept([{"type": "t", "payload": {"x": "y" * 3000}}] * 40)
        first = wait_until(
            lambda: b.snapshot()["tick"]["log"]["first_offset"], "deleted")
        assert b.request("GET", "/event/0", token="all")[0] == 410
        last = b.leat.accept(small("d", 1))["offset"]
        assert b.request("GET", f"/event/{last}", token="all")[0] == 200
        fact(f"first_offset {first}")


def test_many_users_do_not_grow_memory():
    with board("release") as b:
        names = [f"u{i:06}" for i in range(40000)]

        def send(part):
            for i in range(0, len(part), 1000):
                b.leat.accept([{"type": n, "user_id": n,
                                "payload": {"x": "z" * 150}}
                               for n in part[i:i + 1000]])
        send(names[:30000])  # touches what was allocated
        b.total(30000)
        before = b.daemon.private_bytes()
        send(names[30000:])
        time.sleep(1.1)
        tick = b.snapshot()["tick"]
        # Some may have been more than it reads in a second.
        read = int(re.search(r"events_read_total (\d+)",
                             b.request("GET", "/metrics")[1])[1])
        grown = b.daemon.private_bytes() - before
        fact(f"memory {grown / 1e6:+.2f} MB of {before / 1e6:.0f}, "
             f"{tick['distinct_users']} users")
        assert grown < 1 << 20, grown
        assert read > 5000, read
        # Four times 1.6 %.
        assert abs(tick["distinct_users"] - read) < 0.065 * read, (tick, read)


def test_a_session_ends_by_itself():
    with board(session_seconds=2) as b:
        # The first message of the stream comes within the two seconds, also on
        # a slow machine: the login is made again until it does.
        def stream_of_a_new_session():
            fields = b.login("all")[2]
            assert "Max-Age=2" in fields["set-cookie"], fields
            cookie = fields["set-cookie"].split(";")[0]
            stream = b.stream("?rows=1", headers={"Cookie": cookie})
            hello = stream.wait(lambda e, d: e == "hello", "hello")
            return hello["session"] and (cookie, stream)
        cookie, stream = wait_until(stream_of_a_new_session, "a session")
        wait_until(lambda: stream.ended, "the stream ends with the session")
        assert b.request("GET", "/event/0", Cookie=cookie)[0] == 401
        hello = b.stream("", headers={"Cookie": cookie}).wait(
            lambda e, d: e == "hello", "hello")
        assert hello["show"] == "figures" and not hello["session"], hello


def test_nginx_with_its_defaults_passes_the_stream_on():
    if not shutil.which("nginx"):
        raise Skip("no nginx: scripts/install-deps --peers installs it")
    with board(hosts="live.example.org") as b:
        port, d = free_port(), b.leat.directory
        conf = d / "nginx.conf"
        conf.write_text(
            f"daemon off; pid {d}/nginx.pid; error_log stderr;\n"
            "events {}\nhttp { access_log off;\n"
            + "".join(f"{k}_temp_path {d}/{k};" for k in (
                "client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
            + f"\nserver {{ listen 127.0.0.1:{port};\nlocation /leat/ {{ "
            f"proxy_pass http://127.0.0.1:{b.port}/; }} }} }}\n")
        nginx = Daemon("nginx", ["nginx", "-e", "stderr", "-c", str(conf)],
                       d / "nginx.log", ready="")
        nginx.start(wait=False)
        try:
            def get(path, **headers):
                c = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                c.request("GET", path, headers={"Host": "live.example.org",
                                                **headers})
                return c, c.getresponse()

            def up():
                with contextlib.suppress(OSError):
                    return get("/leat/")[1].status == 200
                return False
            wait_until(up, "nginx answers")
            connection, response = get("/leat/stream")
            at = []
            while len(at) < 3:
                line = response.readline()
                assert line, "the stream ended"
                if line.startswith(b"event: tick"):
                    at.append(time.monotonic())
            assert all(0.5 < y - x < 1.6 for x, y in zip(at[1:], at[2:])), at
            connection.close()
            # A login from a page that came through it.
            c = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            c.request("POST", "/leat/login", "token=all", {
                "Host": "live.example.org",
                "Origin": "https://live.example.org",
                "Content-Type": "application/x-www-form-urlencoded"})
            r = c.getresponse()
            assert r.status == 303, r.read()
            cookie = r.getheader("Set-Cookie")
            assert "Secure" in cookie
            c.close()
            _, r = get("/leat/api/snapshot", Cookie=cookie.split(";")[0])
            assert json.loads(r.read())["hello"]["show"] == "events"
        finally:
            nginx.signal(signal.SIGQUIT)
            nginx.wait(20)
