#!/usr/bin/python3
"""A server that plays every state of the live page, without leat.

    with FakeDashboard() as fake:
        fake.scene = "retrying"     # takes effect with the next tick
        open(fake.url)

By hand: tests/support/dashboard_fake.py [PORT [SCENE]].  A scene is one of
SCENES.  The messages are those of docs/dashboard.md, with invented data.
"""
import http.cookies
import http.server
import json
import math
import pathlib
import random
import sys
import threading
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "sinkd-dashboard/page"
CSP = ("default-src 'none'; script-src 'self'; style-src 'self'; "
       "img-src 'self'; connect-src 'self'; form-action 'self'; "
       "base-uri 'none'; frame-ancestors 'none'")
TYPES = {"index.html": "text/html; charset=utf-8", "app.css": "text/css",
         "app.js": "text/javascript", "icon.svg": "image/svg+xml"}
SCENES = ["well", "retrying", "paused", "misconfigured", "full", "unreachable", "figures",
          "figures_only", "empty", "idle", "sampled", "one_sink", "many_sinks",
          "no_ingest", "too_many_viewers", "silent", "frozen", "down"]
TOKEN = "good"

KINDS = [("page_view", .52), ("order", .17), ("click", .14), ("signup", .07),
         ("search", .06), ("share", .025), ("refund", .015)]
PAYLOADS = {
    "page_view": '{"page":"/products/48210","referrer":"search","ms":412}',
    "order": '{"sum":129.90,"currency":"EUR","items":3,"coupon":null}',
    "click": '{"target":"#buy","x":412,"y":880}',
    "signup": '{"plan":"free","source":"newsletter"}',
    "search": '{"q":"rain jacket","hits":412,"page":1}',
    "share": '{"via":"mail"}', "refund": '{"order":88121,"sum":12.00}'}
FIRST_OFFSET, OFFSET = 8_101_332, 8_812_004


def now_us():
    return time.time_ns() // 1000


def sink(name, **changes):
    return {"name": name, "state": "sending", "level": "ok", "error": None,
            "error_since_us": None, "next_retry_us": None, "lag_ms": 40,
            "lag_events": 0, "events_per_s": 5118, "dead_letters": 0,
            "committed": OFFSET, "paused": None, "order": "", **changes}


class Play:
    """The data of one scene, second by second."""

    def __init__(self, fake):
        self.fake, self.random = fake, random.Random(7)
        self.second = 100_000
        self.started_us = now_us()

    def total(self, second):
        """Events in a second: waves, some noise, and a burst."""
        scene = self.fake.scene
        if scene == "empty":
            return 0
        if scene == "idle":
            return 1 if second % 7 == 0 else 0
        burst = 1400 if 0 <= (second - 99_700) % 900 < 45 else 0
        noise = random.Random(second).random()
        n = int(4300 + 900 * math.sin(second / 130) + 350 * noise + burst)
        return n * 100 if scene == "sampled" else n

    def counts(self, second, read):
        noise = random.Random(second + 1)
        return [[name, int(read * part * (.94 + .12 * noise.random()))]
                for name, part in self.kinds()]

    def kinds(self):
        names = self.fake.names
        return KINDS if not names else \
            [(names[i % len(names)], part) for i, (_, part) in enumerate(KINDS)]

    def share(self):
        return .12 if self.fake.scene == "sampled" else 1

    def hello(self, session):
        show = {"figures": "events" if session else "figures",
                "figures_only": "figures"}.get(self.fake.scene, "events")
        return {"v": 1, "version": "0.1.0", "boot": self.fake.boot,
                "now_us": now_us(), "show": show,
                "login": self.fake.scene == "figures", "session": session,
                "curl": "http://127.0.0.1:8080/v1/events"}

    def snapshot(self, show):
        seconds = range(self.second - 899, self.second + 1)
        events = [self.total(s) for s in seconds]
        read = [int(n * self.share()) for n in events]
        rows = [self.counts(s, r) for s, r in zip(seconds, read)]
        return {"second": self.second, "now_us": now_us(), "events": events,
                "read": read, "types": [] if show == "figures" else
                [{"name": name, "counts": [row[i][1] for row in rows]}
                 for i, (name, _) in enumerate(self.kinds())]}

    def sinks(self):
        scene, now = self.fake.scene, now_us()
        since = self.started_us - 252_000_000
        retry = now + 8_000_000 - now % 8_000_000
        kafka = {
            "retrying": {"state": "retrying", "level": "warn",
                         "error": "127.0.0.1:9092: Connection refused",
                         "error_since_us": since, "next_retry_us": retry,
                         "lag_ms": (now - since) // 1000, "events_per_s": 0,
                         "lag_events": 1_290_240},
            "misconfigured": {
                "state": "misconfigured", "level": "bad",
                "error": 'ERROR:  column "payload" is of type integer but '
                         "expression is of type jsonb (42804); check the "
                         "table's columns against docs/postgres.md",
                "error_since_us": since, "next_retry_us": retry,
                "lag_ms": (now - since) // 1000, "events_per_s": 0,
                "lag_events": 1_290_240},
            "paused": {"state": "paused", "level": "paused",
                       "paused": {"since_us": since, "uid": 1000,
                                  "until_us": since + 1_800_000_000,
                                  "why": "index on events"},
                       "lag_ms": (now - since) // 1000, "events_per_s": 0,
                       "lag_events": 1_290_240},
        }.get(scene, {})
        if scene == "full":
            return [sink("postgres", state="disconnected", level="bad",
                         lag_ms=41_400_000, lag_events=81_290_240,
                         events_per_s=0), sink("kafka"), sink("clickhouse")]
        if scene == "one_sink":
            return [sink("postgres")]
        if scene == "many_sinks":
            return [sink(f"warehouse-{i}", lag_ms=i * 321) for i in range(9)]
        rate = 0 if scene in ("empty", "idle") else 5118
        lag = 0 if rate == 0 else 600
        return [sink("postgres", events_per_s=rate, lag_ms=lag // 15),
                sink("kafka", **{"events_per_s": rate, "lag_ms": lag // 30,
                                 **kafka}),
                sink("clickhouse", events_per_s=rate, lag_ms=lag,
                     lag_events=lag * 5, dead_letters=3 if rate else 0)]

    def verdict(self):
        minutes = (now_us() - self.started_us) // 60_000_000 + 4
        return {
            "retrying": ("warn", f"kafka: retrying for {minutes} min, "
                                 "connection refused"),
            "paused": ("paused", f"kafka: paused for {minutes} min, goes on "
                                 f"in {30 - minutes} min: index on events"),
            "misconfigured": ("bad", f"kafka: misconfigured for {minutes} min"),
            "full": ("bad", "log: takes no events for 4 min, max_bytes is "
                            "reached (and 1 more)"),
            "no_ingest": ("bad", "ingestd: not connected for 4 min, no event "
                                 "can arrive"),
            "unreachable": ("bad", "batchd: unreachable for "
                            f"{(now_us() - self.fake.changed_us) // 1000000} s"
                            ", No such file or directory"),
        }.get(self.fake.scene, ("ok", "All well"))

    def tick(self, show):
        scene = self.fake.scene
        batchd = scene != "unreachable"
        last = self.total(self.second)
        n = last if batchd else 0
        read = int(n * self.share())
        level, verdict = self.verdict()
        total = 0 if scene == "empty" else OFFSET + self.second
        used = {"full": 8_000_000_000, "empty": 65_536}.get(scene, 1.9e9)
        read15 = int(3.9e6 * (100 if scene == "sampled" else 1) * self.share())
        if scene in ("empty", "idle"):
            read15 = 130 if scene == "idle" else 0
        names = [name for name, _ in self.kinds()]
        users = self.fake.names or [
            "user-88121", "user-10277", "user-41906", "user-00951",
            "user-77310", "user-23954", "user-65012", "user-11873"]
        return {
            "n": self.second, "now_us": now_us(), "batchd": batchd,
            "batchd_error": None if batchd else "No such file or directory",
            "stale_since_us": None if batchd else self.fake.changed_us,
            "level": level, "verdict": verdict, "events": n,
            "bytes": n * 211, "read": read,
            "series": [] if show == "figures" else self.counts(
                self.second, read),
            "types": [] if show == "figures" or not read15 else
            [[name, int(read15 * part), 0 if i < 5 else 12]
             for i, (name, part) in enumerate(zip(names, (
                 p for _, p in KINDS)))],
            "users": [] if show != "events" or not read15 else
            [[name, int(read15 * .0023 / (1 + i * .4)) + 1, 3 if i > 3 else 0]
             for i, name in enumerate(users)],
            "distinct_users": 48_210 if show == "events" and read15 else None,
            "distinct_types": len(names) if read15 else 0, "total": total,
            "log": {"bytes": used, "max_bytes": 8e9, "full": scene == "full",
                    "full_reason": "max_bytes is reached; postgres has not "
                                   "stored the oldest events",
                    "full_in_s": {"retrying": 11_400, "misconfigured": 2_100}
                    .get(scene), "first_offset": 0 if scene == "empty" else
                    FIRST_OFFSET, "next_offset": total,
                    "oldest_us": None},
            "ingest": {"processes": 0 if scene == "no_ingest" else 2,
                       "events_per_s": last, "rejected_per_s": 0,
                       "responses_503_per_s": 214 if scene == "full" else 0,
                       "connections": 61 if last else 0},
            "sinks": self.sinks(), "viewers": 3, "max_viewers": 128}

    def events(self, query):
        """At most 50 rows of this second that match, as `events` sends them."""
        if self.fake.scene in ("empty", "unreachable", "full"):
            return None
        n = self.total(self.second)
        wanted = query.get("types", [""])[0].split(",")
        user = query.get("user", [""])[0]
        kinds = self.kinds()
        rows = []
        for i in range(min(n, 12 if not user else 0)):
            name = self.random.choices([k for k, _ in kinds],
                                       [p for _, p in kinds])[0]
            if wanted != [""]:
                if not set(wanted) & {k for k, _ in kinds}:
                    break
                name = wanted[0]
            names = self.fake.names
            rows.append([
                OFFSET + self.second * 12 + i, now_us() - (12 - i) * 23_000,
                name, self.random.choice(names) if names else
                f"user-{self.random.randrange(100_000):05}",
                self.random.choice(names) if names else
                PAYLOADS.get(name, "{}"), 64])
        matched = len(rows) * (n // 12 or 1)
        return {"from": OFFSET + self.second * 12,
                "to": OFFSET + self.second * 12 + n, "matched": matched,
                "rows": rows}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", content="application/json", **headers):
        self.send_response(status)
        for name, value in {
                "Content-Type": content, "Content-Security-Policy": CSP,
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
                **{k.replace("_", "-"): v for k, v in headers.items()}}.items():
            self.send_header(name, value)
        if content != "text/event-stream":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def session(self):
        cookies = http.cookies.SimpleCookie(self.headers.get("Cookie", ""))
        return "leat" in cookies and \
            cookies["leat"].value in self.server.fake.sessions

    def do_GET(self):
        fake = self.server.fake
        url = urllib.parse.urlsplit(self.path)
        path = url.path.removeprefix(fake.prefix).lstrip("/")
        fake.requests.append(self.path)
        if path == "stream":
            self.stream(urllib.parse.parse_qs(url.query))
        elif path.startswith("event/"):
            self.event(int(path[6:]))
        elif path == "api/snapshot":
            play = fake.play
            hello = play.hello(self.session())
            self.answer(200, json.dumps({
                "hello": hello, "snapshot": play.snapshot(hello["show"]),
                "tick": play.tick(hello["show"])}).encode())
        else:
            name = path or "index.html"
            if name in TYPES:
                self.answer(200, (PAGE / name).read_bytes(), TYPES[name])
            else:
                self.answer(404)

    def do_POST(self):
        fake = self.server.fake
        length = int(self.headers.get("Content-Length", 0))
        form = urllib.parse.parse_qs(self.rfile.read(length).decode())
        assert self.headers.get("Origin") == fake.url.rsplit("/", 1)[0] or \
            fake.prefix, self.headers
        if self.path.endswith("/logout"):
            fake.sessions.clear()
            self.answer(303, Location="./")
        elif form.get("token") == [TOKEN]:
            fake.failures = 0
            fake.sessions.add("s1")
            self.answer(303, Location="./", Set_Cookie="leat=s1; HttpOnly; "
                        "SameSite=Strict; Path=/")
        else:
            fake.failures += 1
            self.answer(401 if fake.failures <= 5 else 429,
                        b'{"error":"no such token"}')

    def event(self, offset):
        if self.server.fake.is_deleted(offset):
            self.answer(410, b'{"error":"deleted"}')
            return
        body = self.server.fake.event or (
            '{"offset":%d,"id":"0192c1f0-7c7e-7b3a-9d0e-4c2f1a5b6d7e",'
            '"type":"order","user_id":"user-88121","created_at":'
            '"2026-11-27T14:03:27.001Z","received_at":'
            '"2026-11-27T14:03:27.004Z","payload":{"sum":129.90,"currency":'
            '"EUR","big":12345678901234567890,"items":[{"id":1},{}],'
            '"coupon":null}}' % offset)
        self.answer(200, body.encode())

    def stream(self, query):
        fake, play = self.server.fake, self.server.fake.play
        if fake.scene == "too_many_viewers":
            self.answer(503, b'{"error":"too many viewers"}', Retry_After="7")
            return
        if fake.scene == "down":
            return  # closes the connection
        scene = fake.scene
        if scene == "silent":
            fake.stopped.wait(60)
            return
        try:
            self.answer(200, b"retry: 1000\n\n", "text/event-stream",
                        Connection="close", X_Accel_Buffering="no")
            session = self.session()
            hello = play.hello(session)
            self.send("hello", hello)
            self.send("snapshot", play.snapshot(hello["show"]))
            while not fake.stopped.is_set():
                if fake.scene in ("down", "too_many_viewers", "silent"):
                    return
                if play.hello(self.session())["show"] != hello["show"]:
                    return  # the session is over
                if fake.scene != "frozen":
                    self.send("tick", play.tick(hello["show"]))
                    events = play.events(query)
                    if hello["show"] == "events" and events and \
                            "rows" in query:
                        self.send("events", events)
                    if fake.gap:
                        self.send("gap", {"skipped": fake.gap, "why": "slow"})
                        fake.gap = 0
                fake.ticked.wait(fake.tick_s)
        except OSError:
            pass  # the window was closed
        finally:
            self.close_connection = True

    def send(self, name, message):
        self.wfile.write(f"event: {name}\ndata: {json.dumps(message)}\n\n"
                         .encode())
        self.wfile.flush()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass  # windows close their connections at any time


class FakeDashboard:
    """Serve the page and a stream.  Attributes may be changed at any time."""

    def __init__(self, scene="well", port=0, prefix=""):
        self._scene, self.changed_us = scene, now_us()
        self.names = []    # in place of the names of types and users
        self.event = None  # JSON that any event answers
        self.is_deleted = lambda offset: False  # answered with 410
        self.gap = 0       # reported as skipped once
        self.boot, self.prefix, self.tick_s = "7f3a", prefix, 1.0
        self.sessions, self.failures, self.requests = set(), 0, []
        self.stopped, self.ticked = threading.Event(), threading.Event()
        self.play = Play(self)
        self.server = Server(("127.0.0.1", port), Handler)
        self.server.fake = self
        self.url = f"http://127.0.0.1:{self.server.server_port}{prefix}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        threading.Thread(target=self.count_seconds, daemon=True).start()

    @property
    def scene(self):
        return self._scene

    @scene.setter
    def scene(self, scene):
        self._scene, self.changed_us = scene, now_us()

    def count_seconds(self):
        while not self.stopped.wait(self.tick_s):
            self.play.second += 1

    def close(self):
        self.stopped.set()
        self.ticked.set()
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def main():
    port, scene = (sys.argv[1:] + ["8090", "well"][len(sys.argv) - 1:])[:2]
    with FakeDashboard(scene, int(port)) as fake:
        fake.is_deleted = lambda offset: offset % 100 == 99
        print(fake.url, "scenes:", *SCENES, flush=True)
        for line in sys.stdin:  # a line with a scene changes to it
            fake.scene = line.strip() or fake.scene


if __name__ == "__main__":
    main()
