"""The live page in a real browser, with the real daemons."""
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import time

from browser import Browser
from leat import Leat, fact, limit, program, wait_until
from load import Load
from test_dashboard_page import EXPECTED, element, has
from test_poison import UUID_TABLE
from test_security import make_token
from wire import order

# An operator sees trouble within two seconds.
SHOWN_S = 2 * float(os.environ.get("LEAT_TIME_FACTOR", 1))
# Notes how long it takes from one tick to the next.
GAPS = """
const show = handlers.tick;
let last = performance.now();
window.gaps = [];
handlers.tick = m => {
  gaps.push(performance.now() - last);
  last = performance.now();
  show(m);
};
"""


class Live(Leat):
    """A leat with a dashboard, and a token that sees events."""

    def __init__(self, *args, settings=None, **more):
        self.token, line = make_token("ann")
        super().__init__(*args, settings=settings, **more)
        tokens = pathlib.Path(self.directory) / "tokens"
        tokens.write_text(line + " events\n")
        tokens.chmod(0o600)
        self.settings["sinkd-dashboard"] = {"port": 0, "tokens_file": tokens}
        self.write_conf()
        self.dashboard = self.daemon("sinkd-dashboard", r" ready address=")

    def daemons(self):
        return [self.dashboard] + super().daemons() \
            if hasattr(self, "dashboard") else super().daemons()

    def start(self):
        self.dashboard.start(wait=False)
        super().start()

    @property
    def url(self):
        line = self.dashboard.wait_line(r" ready address=")
        return "http://127.0.0.1:%s/" % re.search(r"port=(\d+)", line)[1]


@contextlib.contextmanager
def live(**more):
    """Daemons, and a browser that is logged in."""
    with Live(**more) as leat, Browser() as browser:
        browser.open(leat.url)
        browser.wait(has("#login", "token"), "the form is shown")
        browser.click("#token")
        browser.keys(leat.token + "\n")
        browser.wait("page.show === 'events' && page.tick", "logged in")
        browser.run(GAPS)
        yield leat, browser
        assert browser.problems(EXPECTED) == []


def shown(browser, what, *conditions, seconds=SHOWN_S):
    """Wait until the page shows it, and return how long it took.

    On a machine that is too busy to send a tick each second, it may take as
    much longer as the latest tick was late.
    """
    started = time.monotonic()
    browser.run("(window.gaps ||= []).length = 0")
    for condition in conditions:
        browser.wait(condition, f"{what}: {condition}", max(20, seconds))
    took = time.monotonic() - started
    late = browser.run("return Math.max(1000, ...(window.gaps || []))") - 1000
    assert took < seconds + 2 * late / 1000, \
        f"{what}: shown after {took:.1f} s; a tick was late by {late:.0f} ms"
    return took


def number(text):
    return int(text.replace(",", "").replace("≈", ""))


def ranks(browser, name):
    rows = browser.run(
        "return [...document.querySelectorAll(arguments[0] + ' li')].filter("
        "e => e.checkVisibility()).map(e => [e.querySelector('.name')"
        ".textContent, e.querySelector('.count').textContent])", name)
    return {key: number(count) for key, count in rows}


def events(kind, n, users=1):
    return [{"type": kind, "user_id": f"u{i % users}",
             "payload": {"n": i, "text": "<b>"}} for i in range(n)]


@limit(120)
def test_what_is_sent_is_shown():
    with live(table=UUID_TABLE) as (leat, browser):
        browser.wait(has("#first-curl", "/v1/events"), "nothing has been sent")
        leat.accept(events("order", 300, 3))
        leat.accept(events("click", 150))
        leat.accept(events("signup", 50))
        took = shown(browser, "the total", has("#in-total", "500"))
        browser.wait("[...document.querySelectorAll('#types .count')].map(e => "
                     "e.textContent).join() === '300,150,50'", "the types")
        assert ranks(browser, "#types") == {"order": 300, "click": 150,
                                            "signup": 50}
        assert ranks(browser, "#users") == {"u0": 300, "u1": 100, "u2": 100}
        assert browser.run("return " + element("#first") + ".hidden")
        # The sum of the chart is what was sent, by type too.
        sums = browser.run(
            "const sums = {events: 0}; for (let i = 0; i < 900; i++) sums."
            "events += series.events[i] || 0; for (const r of series.types) "
            "if (r.name) sums[r.name] = r.counts.reduce((a, b) => a + b); "
            "return sums")
        assert sums == {"events": 500, "order": 300, "click": 150,
                        "signup": 50}, sums
        leat.caught_up()
        browser.wait(has("#sinks", "up to date"), "the sink has written")
        # The newest events, and one of them whole.
        wait_until(lambda: browser.run("return view.matched") == 500, "all")
        browser.wait(has("#rows", "signup"), "the newest are shown")
        offset = browser.text("#rows button")
        assert offset == "499", offset
        browser.click("#rows button")
        browser.wait(has("#event-text", '"payload"'), "the event")
        text = json.loads(browser.text("#event-text"))
        assert text["offset"] == 499 and text["type"] == "signup", text
        assert text["payload"] == {"n": 49, "text": "<b>"}, text
        browser.keys("\ue00c")
        # A filter has the rest counted.
        browser.click("#filter-type")
        browser.keys("order")
        time.sleep(1)
        browser.wait("link.types === 'order' && link.state === 'live'",
                     "the filter is set")
        leat.accept(events("click", 40))
        browser.wait(has("#events-state", "None of the 40 events"), "no match")
        leat.accept(events("order", 2))
        browser.wait(has("#shown", "2 of 2 matching events shown, of 42"),
                     "matches")
        # What no store can take becomes a dead letter.
        leat.accept([{"type": "bad", "id": "no uuid", "payload": {}}])
        leat.caught_up()
        wait_until(lambda: leat.sink_status()["stats"]["dead_letters"] == 1,
                   "status counts it")
        browser.wait(has(".sink dd.some", "1"), "the page counts it")
        status = leat.status()
        browser.wait(has("#in-total", str(status["log"]["next_offset"])),
                     "the page agrees with leat status")
        fact(f"shown {took:.2f} s after the 202")


@limit(120)
def test_a_steady_rate_is_shown_exactly():
    with live() as (leat, browser):
        for rate in (10, 5000):
            before = browser.run("return page.tick.total")
            with Load(leat, threads=2, events_per_request=max(1, rate // 200),
                      rate=rate) as load:
                time.sleep(6)
                rate_text = browser.text("#in-events")
            sent = len(load.acked)
            browser.wait(f"page.tick.total === {before + sent}", "all of it")
            total = browser.run(
                "let n = 0; for (let i = 0; i < 900; i++) n += "
                "series.events[i] || 0; return n")
            assert total == before + sent, (total, before, sent)
            assert number(rate_text) > 0, (rate, rate_text)
        assert ranks(browser, "#types") == {"load": before + sent}


@limit(120)
def test_full_speed_is_shown_exactly():
    """As fast as this machine takes events; only a part of them is read."""
    with live(mode="release", sinks=(), also=("postgres",), postgres=False) \
            as (leat, browser):
        done = subprocess.run(
            [program("evload", "release"), "--json", "--port", str(leat.port),
             "--events", "3000000", "--events-per-request", "1000",
             "--connections", "8"],
            capture_output=True, text=True, timeout=90)
        assert done.returncode == 0, done
        end = leat.status()["log"]["next_offset"]
        assert end >= 3000000, done.stdout
        browser.wait(f"page.tick.total === {end}", "all of it")
        total, read, most = browser.run(
            "let n = 0, read = 0, most = 0; for (let i = 0; i < 900; i++) { "
            "n += series.events[i] || 0; read += series.read[i]; most = "
            "Math.max(most, series.events[i] || 0); } return [n, read, most]")
        assert total == end, (total, end)
        # Shares are scaled to all events.
        types = browser.run("return page.tick.types.map(t => t[1]).reduce("
                            "(a, b) => a + b, 0)")
        assert 0.98 * read <= types <= read + 1, (types, read)
        if read < 0.99 * total:
            browser.wait(has("#chart-note", "≈ from the"), "it is marked")
        fact(f"{most:,} events in the fastest second, "
             f"{100 * read / total:.0f} % of all read")


@limit(240)
def test_troubles_are_shown_within_two_seconds():
    with live() as (leat, browser):
        took = {}

        def becomes(what, *conditions, **more):
            took[what] = shown(browser, what, *conditions, **more)

        with Load(leat, threads=1, events_per_request=5, rate=100) as load:
            load.more(50)
            becomes("all well", has("#verdict", "All well"),
                  has("#sinks", "writing"), seconds=20)
            # A sink is killed.
            leat.sink["postgres"].kill()
            becomes("sink killed", has("#verdict", "postgres: not connected"),
                  has("#sinks", "disconnected"))
            leat.sink["postgres"].start()
            becomes("sink back", has("#verdict", "All well"),
                  has("#sinks", "writing"), seconds=20)
            # It is paused: no fault, but the first thing to be read.
            order(leat, "pause", "postgres", for_ms=3_600_000,
                  why="index on events")
            load.more(20)
            becomes("sink paused", has("#verdict", "postgres: paused"),
                    has("#verdict", "goes on in 59 min: index on events"),
                    has("#verdict-shape", "‖"), has("#sinks", "‖paused"),
                    has("#sinks", "events to go"), has("#sinks", ", until "),
                    has("#sinks", "index on events, by uid "),
                    "document.title === '‖ leat'", seconds=SHOWN_S + 1)
            assert "postgres: paused" in browser.text("#announce")
            order(leat, "resume", "postgres")
            becomes("sink resumed", has("#verdict", "All well"),
                    has("#sinks", "up to date"), seconds=20)
            # Its store is stopped.
            leat.pg.stop(mode="immediate")
            load.more(20)
            becomes("store stopped", has("#verdict", "postgres: retrying"),
                  has("#sinks", "▲retrying"), has("#sinks", "failing for"),
                  seconds=SHOWN_S + 1)
            leat.pg.start()
            becomes("store back", has("#verdict", "All well"), seconds=30)
        # ingestd stops.
        leat.ingestd.stop()
        becomes("ingestd stopped", has("#verdict", "ingestd: not connected"),
              has("#in-processes", "0"))
        leat.ingestd.start()
        becomes("ingestd back", has("#verdict", "All well"), seconds=20)
        # batchd stops: the last figures stay, with their age.
        total = browser.text("#in-total")
        leat.batchd.kill()
        becomes("batchd killed", has("#verdict", "batchd: unreachable"),
              "document.body.classList.contains('stale')",
              has("#age", "as of"))
        assert browser.text("#in-total") == total
        leat.batchd.start()
        becomes("batchd back", has("#verdict", "All well"),
              "!document.body.classList.contains('stale')", seconds=30)
        # The dashboard itself is frozen, then killed.
        leat.dashboard.signal(signal.SIGSTOP)
        becomes("dashboard frozen", has("#live", "no answer"),
              seconds=SHOWN_S + 3)
        leat.dashboard.signal(signal.SIGCONT)
        becomes("dashboard thawed", has("#live", "live"),
              has("#verdict", "All well"), seconds=20)
        port = leat.url.split(":")[2].rstrip("/")
        leat.dashboard.kill()
        becomes("dashboard killed", has("#live", "reconnecting"),
              has("#verdict", "No connection"))
        leat.settings["sinkd-dashboard"]["port"] = port
        leat.write_conf()
        leat.dashboard.start()
        # Logins end with the process, and the page asks for a new one.
        becomes("dashboard back", has("#live", "live"),
              has("#verdict", "All well"), has("#login", "token"), seconds=30)
        fact(", ".join(f"{what} {s:.1f} s" for what, s in took.items()))


@limit(120)
def test_a_full_log_is_shown():
    with live(settings={"batchd": {"max_bytes": "16M",
                                   "segment_bytes": "1M"}}) as (leat, browser):
        leat.sink["postgres"].stop()
        body = json.dumps([{"type": "big", "payload": {"x": "x" * 30000}}] * 30)
        wait_until(lambda: leat.post(body)[0] == 503, "the log is full", 60)
        shown(browser, "the full log", has("#log-full", "takes no events"))
        browser.wait(has("#verdict", "log: takes no events"), "in words")
        browser.wait("document.querySelector('#log-why').textContent", "why")
        leat.sink["postgres"].start()
        browser.wait(has("#verdict", "All well"), "it recovers", 60)
        assert leat.post(body)[0] == 202
