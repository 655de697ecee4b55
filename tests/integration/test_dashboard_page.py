"""The live page in a real browser, with a server that plays its states."""
import contextlib
import hashlib
import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile
import time

from browser import Browser
from dashboard_fake import FakeDashboard, TOKEN
from leat import ROOT, Skip, fact, limit

RULES = (ROOT / "tests/support/accessibility.js").read_text()
# What the browser itself logs about refusals that a test asked for.
EXPECTED = ["Failed to load resource"]
AXE = "axe-core@4.10.3"
AXE_SHA256 = "0f2b4d7dcdf7d1219df8d1959ad68e565f51d14c3f0d88bb71cd59abeb956292"


@contextlib.contextmanager
def page(scene="well", before=(), query="", **size):
    """The fake, and a browser that shows its page; checks what it reports."""
    with FakeDashboard(scene) as fake, Browser(**size) as browser:
        for script in before:
            browser.before(script)
        browser.open(fake.url + query)
        yield fake, browser
        assert browser.problems(EXPECTED) == []


def element(selector):
    return f"document.querySelector({selector!r})"


def has(selector, text):
    """An expression: the element is visible and has this text in it."""
    e = element(selector)
    return (f"{e} && {e}.checkVisibility() && "
            f"{e}.innerText.includes({json.dumps(text)})")


def is_hidden(selector):
    return f"!{element(selector)}.checkVisibility()"


# --- states ---

@limit(120)
def test_states_are_shown_in_words():
    with page() as (fake, browser):
        def becomes(scene, *conditions, seconds=10):
            fake.scene = scene
            started = time.monotonic()
            for condition in conditions:
                browser.wait(condition, f"{scene}: {condition}", seconds)
            return time.monotonic() - started

        becomes("well", has("#verdict", "All well"), has("#live", "live"),
                has("#sinks", "writing"), has("#in-events", ","),
                has("#log-full", "not at this rate"), is_hidden("#first"),
                is_hidden("#notice"), "document.title === 'leat'",
                has("#users-note", "≈ 48,210 users (± 1.6 %)"),
                has("#clock", "UTC") if time.tzname[0] == "UTC" else "true")
        took = becomes("retrying", has("#verdict", "kafka: retrying"),
                       has("#sinks", "▲retrying"),
                       has("#sinks", "Connection refused"),
                       has("#sinks", "1,290,240 events to go"),
                       has("#sinks", "failing for 4 min"),
                       has("#sinks", "next try in"),
                       has("#log-full", "3 h 10 min"),
                       "document.title === '▲ leat'")
        assert took < 2.5, took
        assert "kafka: retrying" in browser.text("#announce")
        becomes("paused", has("#verdict", "kafka: paused for 4 min, goes on in "
                              "26 min: index on events"),
                has("#verdict-shape", "‖"), has("#sinks", "‖paused"),
                has("#sinks", "1,290,240 events to go"),
                has("#sinks", "paused for 4 min"), has("#sinks", ", until "),
                has("#sinks", " in 25 min"),
                has("#sinks", "index on events, by uid 1000"),
                "document.title === '‖ leat'")
        assert "kafka: paused" in browser.text("#announce")
        becomes("misconfigured", has("#sinks", "■misconfigured"),
                has("#sinks", "integer but expression"))
        becomes("full", has("#log-node", "takes no events"),
                has("#log-why", "max_bytes is reached"),
                has("#in-503", "214/s"), has("#sinks", "disconnected"))
        becomes("no_ingest", has("#in-processes", "0"),
                has("#verdict", "ingestd: not connected"))
        # The last figures stay, grey and with their age.
        becomes("unreachable", has("#verdict", "batchd: unreachable for"),
                "document.body.classList.contains('stale')",
                has("#age", "as of "), has("#age", " 2 s ago"),
                has("#log-bytes", "1.9 GB"), has("#in-events", ","))
        becomes("well", has("#verdict", "All well"),
                "!document.body.classList.contains('stale')",
                "document.querySelector('#age').textContent === ''")
        becomes("frozen", has("#live", "no answer"),
                has("#verdict", "No figures from the dashboard for"),
                "document.body.classList.contains('stale')")
        becomes("well", has("#live", "live"), has("#verdict", "All well"))
        becomes("down", has("#live", "reconnecting in"),
                has("#verdict", "No connection"),
                has("#notice", "does not answer"),
                "document.body.classList.contains('stale')")
        becomes("too_many_viewers", has("#notice", "Too many viewers"),
                seconds=20)
        fake.scene = "well"
        browser.click("#retry")
        becomes("well", has("#live", "live"), is_hidden("#notice"))
        becomes("empty", has("#first", "Nothing has been sent yet"),
                has("#first-curl", "curl --json '{\"type\": \"hello\"}' "
                    "http://127.0.0.1:8080/v1/events"))
        becomes("well", is_hidden("#first"))
        browser.run("arguments[0].value = 'nope'; arguments[0].dispatchEvent("
                    "new Event('input', {bubbles: true}))",
                    browser.run("return " + element("#filter-type")))
        becomes("well", has("#events-state", "None of the"),
                has("#events-state", "has type nope"))
        browser.click("#filter-clear")
        becomes("well", is_hidden("#events-state"),
                has("#rows", "page_view"))
        fake.gap = 18322
        becomes("well", has("#shown", "18,322 skipped"))
        becomes("sampled", has("#chart-note",
                               "≈ from the "), seconds=30)
        becomes("many_sinks", has("#sinks", "warehouse-8"))
        becomes("one_sink", "[...document.querySelectorAll('.sink')]"
                ".filter(e => e.checkVisibility()).length === 1")
        # Another process of the server: the page loads its script again.
        browser.run("window.before = true")
        fake.boot = "another"
        fake.scene = "down"
        becomes("down", has("#live", "reconnecting"))
        becomes("well", "window.before === undefined",
                has("#live", "live"), seconds=20)


@limit(60)
def test_no_hello_names_the_limit_of_browsers():
    with page("silent") as (fake, browser):
        started = time.monotonic()
        browser.wait(has("#notice", "six windows"), "the limit is named")
        assert 3 < time.monotonic() - started < 10
        fake.scene = "well"
        browser.click("#retry")
        browser.wait(has("#live", "live") + " && " + is_hidden("#notice"),
                     "it is live")


@limit(60)
def test_hidden_window_closes_its_stream():
    clock = ("window.skew = 0; const real_now = performance.now.bind("
             "performance); performance.now = () => real_now() + skew;"
             "Object.defineProperty(document, 'hidden', {get: () => "
             "Boolean(window.is_hidden)});")
    with page(before=[clock]) as (fake, browser):
        browser.wait(has("#live", "live"), "it is live")
        browser.run("is_hidden = true; document.dispatchEvent("
                    "new Event('visibilitychange'))")
        time.sleep(2.5)
        browser.run("skew += 25000")
        time.sleep(1.5)
        assert len([r for r in fake.requests if "stream" in r]) == 1
        assert browser.run("return link.state") == "live"
        browser.run("skew += 6000")
        browser.wait("link.state === 'hidden'", "the stream is closed")
        browser.run("is_hidden = false; document.dispatchEvent("
                    "new Event('visibilitychange'))")
        browser.wait(has("#live", "live") + " && " +
                     "!document.body.classList.contains('stale')",
                     "it is live again")
        assert len([r for r in fake.requests if "stream" in r]) == 2


@limit(120)
def test_ten_windows_of_one_browser():
    with page() as (fake, browser):
        browser.driver.set_page_load_timeout(20)
        browser.wait(has("#live", "live"), "it is live")
        for _ in range(9):
            browser.driver.switch_to.new_window("tab")
            browser.open(fake.url)
            browser.wait(has("#live", "live"), "the new window is live", 10)
        first = browser.driver.window_handles[0]
        browser.driver.switch_to.window(first)
        browser.wait(has("#live", "live") + " && page.tick && "
                     "!document.body.classList.contains('stale')",
                     "the first one is live again", 10)


@limit(60)
def test_login_and_session():
    with page("figures") as (fake, browser):
        browser.wait(has("#login", "token"), "the form is shown")
        browser.wait(has("#verdict", "All well"), "figures are shown")
        for selector in ("#types-section", "#users-section", "#rows-table",
                         "#filters", "#logout", "#legend"):
            assert browser.run("return " + is_hidden(selector)), selector
        browser.click("#token")
        browser.keys("wrong\n")
        browser.wait(has("#login-error", "No token is like that"), "refused")
        for _ in range(5):
            browser.keys("\n")
            time.sleep(.1)
        browser.wait(has("#login-error", "Too many attempts"), "limited")
        browser.run("document.querySelector('#token').value = ''")
        browser.keys(TOKEN + "\n")
        browser.wait(has("#rows", "page_view"), "events are shown")
        assert browser.run("return document.cookie") == ""
        assert browser.run("return " + element("#token") + ".value") == ""
        assert browser.run("return " + is_hidden("#login"))
        assert not any("good" in r for r in fake.requests), fake.requests
        # The session ends: what was shown by it is gone.
        fake.sessions.clear()
        browser.wait(has("#login-why", "Your session is over"), "it is over")
        assert browser.run("return " + is_hidden("#rows-table"))
        assert "user-" not in browser.run("return document.body.textContent")
        browser.wait("document.querySelector('#announce').textContent"
                     ".includes('session is over')", "it is announced")
        browser.click("#token")
        browser.keys(TOKEN + "\n")
        browser.wait(has("#rows", "page_view"), "events are shown again")
        browser.click("#logout button")
        browser.wait(has("#login", "token"), "logged out")
        assert "over" not in browser.text("#login-why")
        # Nothing that only a login shows is left in the page.
        time.sleep(1.2)
        left = browser.run("return document.body.textContent")
        assert "page_view" not in left and "user-" not in left, left
        fake.scene = "figures_only"
        browser.run("connect()")
        browser.wait(has("#events-state", "tokens_file"), "no login possible")
        assert browser.run("return " + is_hidden("#login"))


@limit(60)
def test_works_below_a_path():
    with FakeDashboard(prefix="/ops/leat") as fake, Browser() as browser:
        browser.open(fake.url)
        browser.wait(has("#rows", "page_view"), "events are shown")
        browser.click("#rows button")
        browser.wait(has("#event-text", "12345678901234567890"), "an event")
        assert all(r.startswith("/ops/leat/") for r in fake.requests)
        assert browser.problems(EXPECTED) == []


# --- hostile texts ---

def hostile_texts():
    """At least 200 texts that have broken other pages, or could."""
    markup = [
        "<script>ran.push(1)</script>", "<img src=x onerror=ran.push(2)>",
        "<svg/onload=ran.push(3)>", "</textarea><script>ran.push(4)</script>",
        "<iframe srcdoc='<script>parent.ran.push(5)</script>'>",
        "\"><img src=x onerror=ran.push(6)>", "'-ran.push(7)-'",
        "javascript:ran.push(8)", "<a href=javascript:ran.push(9)>x</a>",
        "<style>*{display:none}</style>", "<base href=//evil.example/>",
        "<meta http-equiv=refresh content='0;url=//evil.example'>",
        "<form action=//evil.example><button>Log in</button></form>",
        "<link rel=stylesheet href=//evil.example/x.css>", "<!--", "-->",
        "<![CDATA[", "<body onload=ran.push(10)>", "<details open "
        "ontoggle=ran.push(11)>", "<input autofocus onfocus=ran.push(12)>",
        "<math><mtext></p><img src onerror=ran.push(13)>", "${ran.push(14)}",
        "{{constructor.constructor('ran.push(15)')()}}", "&lt;b&gt;&#x41;",
        "%3Cscript%3E", "\\u003cscript\\u003e", "__proto__", "constructor",
        "toString", "hasOwnProperty", "valueOf", "null", "undefined", "NaN",
        "true", "0", "-1", "1e999", "other", "", " ", "a,b", "a&b=c", "a=b",
        "#", "?", "../../etc/passwd", "//evil.example", "C:\\x", "'; drop",
        "\"", "'", "`", "\\", "]]>", "*/", "//", "url(//evil.example)",
        "expression(ran.push(16))", "}</style>", "A" * 64, "é" * 64, "𝕏" * 40,
    ]
    controls = [chr(c) for c in [
        *range(0, 32), 127, 0x85, 0x9b, 0xad, 0x61c, 0x200b, 0x200c, 0x200d,
        0x200e, 0x200f, 0x2028, 0x2029, *range(0x202a, 0x202f),
        *range(0x2066, 0x206a), 0xfeff, 0xfff9, 0x115f, 0x3164, 0x2800,
        0xe0001, 0xe0041, 0x180e]]
    other = ["مرحبا", "שלום עולם", "\u202eevil\u202c", "Z\u0351\u036b" * 20,
             "a\nevent: tick\ndata: {}\n\n", "\r\n\r\n", "\x1b[31mred\x1b[0m",
             "\ud800", "\udc00x", "x\ud83d", "👩‍👩‍👧‍👦", "🇩🇪", "ﷺ" * 20, "\u0300" * 30,
             "W" * 300, "\u3000", "\u00a0", "⟨U+202E⟩"]
    texts = markup + [f"a{c}b" for c in controls] + other
    texts += [f"{c}{m}" for m, c in itertools.product(
        markup[:12], ["\u202e", "\0", "\n", " ", "\u200b"])]
    return list(dict.fromkeys(texts))


@limit(120)
def test_hostile_texts_stay_texts():
    texts = hostile_texts()
    assert len(texts) >= 200, len(texts)
    with page(before=["window.ran = [];"]) as (fake, browser):
        browser.wait(has("#rows", "page_view"), "events are shown")
        elements = ("return [...new Set([...document.querySelectorAll('*')]"
                    ".map(e => e.tagName))].sort().join(' ')")
        tags = browser.run(elements)
        shown = set()
        fake.tick_s = .4
        for i in range(0, len(texts), 8):
            fake.names = (texts + texts)[i:i + 8]
            fake.event = json.dumps({"offset": 1, "type": fake.names[0],
                                     fake.names[1]: fake.names[2:]},
                                    ensure_ascii=False)
            # Lone surrogates cannot be sent raw; JSON has an escape for them.
            if re.search("[\ud800-\udfff]", fake.event):
                fake.event = json.dumps({"x": fake.names})
            for name in ("verdict", "sink"):
                browser.run(
                    "const t = {...page.tick, n: page.tick.n};"
                    "t.verdict = arguments[0]; t.level = arguments[0];"
                    "t.batchd_error = arguments[0];"
                    "t.log = {...t.log, full: true, full_reason: arguments[0]};"
                    "t.sinks = [{...t.sinks[0], name: arguments[0], state: "
                    "arguments[0], error: arguments[0], level: arguments[0], "
                    "order: arguments[0], paused: {since_us: arguments[0], "
                    "until_us: arguments[0], uid: arguments[0], why: "
                    "arguments[0]}}];"
                    "on_tick(t); announce_tick(t);"
                    "on_hello({boot: page.boot, show: 'events', now_us: "
                    "t.now_us, version: arguments[0], curl: arguments[0], "
                    "session: true});",
                    json.loads(json.dumps(fake.names[0 if name == "sink"
                                                     else 1])))
                shown.add(browser.text("body"))
            browser.wait(f"view.newest.some(r => r[2] === "
                         f"{json.dumps(fake.names[0])})", "rows have come")
            browser.run("event_open(1)")
            browser.wait(element("#event-text") + ".textContent !== '…'",
                         "the event is shown")
            shown.add(browser.text("body"))
            browser.run(element("#event") + ".close()")
            browser.run(element("#as-table") + ".click()")
            shown.add(browser.text("body"))
        assert browser.run(elements).replace("TABLE ", "") == \
            tags.replace("TABLE ", ""), browser.run(elements)
        assert browser.run("return document.querySelectorAll('script, style, "
                           "img, iframe, link').length") == 3  # its own
        raw = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f"
                         "\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
        for text in shown:
            assert not raw.search(text), ascii(raw.search(text))
        everything = "".join(shown)
        for marked in ("⟨U+202E⟩", "⟨U+0000⟩", "⟨U+001B⟩", "⟨U+D800⟩",
                       "⟨U+200B⟩", "⟨U+FEFF⟩", "⟨U+E0041⟩"):
            assert marked in everything, marked
        assert "<img src=x onerror=ran.push(2)>" in everything
        assert browser.run("return ran") == []
        # The page still works, and nothing is wider than the window.
        fake.names, fake.scene = [], "retrying"
        browser.wait(has("#verdict", "kafka: retrying"), "it goes on")
        assert browser.run("return document.documentElement.scrollWidth") <= \
            browser.run("return innerWidth")
        fact(f"{len(texts)} texts")


# --- memory ---

FEED = """
const real_fetch = window.fetch;
window.feed = null;
window.fetch = (url, options) => String(url).startsWith("stream") ?
  Promise.resolve(new Response(new ReadableStream(
    {start(controller) { window.feed = controller; }}))) :
  real_fetch(url, options);
window.is_hidden = false;
Object.defineProperty(document, "hidden", {get: () => is_hidden});
"""
# Ticks with types, users, sinks and rows of which some never come again.
REPLAY = """
const [from, n, drawn, done] = arguments;
const encoder = new TextEncoder();
const names = ["page_view", "order", "click", "signup", "search", "share"];
const send = (name, m) => feed.enqueue(encoder.encode(
  `event: ${name}\\ndata: ${JSON.stringify(m)}\\n\\n`));
const turn = () => new Promise(r => {
  const c = new MessageChannel();
  c.port1.onmessage = r;
  c.port2.postMessage(0);
});
const now = i => 1.79e15 + i * 1e6;
if (from === 0) {
  send("hello", {v: 1, version: "0", boot: "b", now_us: now(0), show: "events",
    login: false, session: true});
  send("snapshot", {second: 0, now_us: now(0), events: new Array(900).fill(5),
    read: new Array(900).fill(5), types: []});
}
(async () => {
  for (let i = from + 1; i <= from + n; i++) {
    is_hidden = i % drawn !== 0;
    if (!is_hidden) document.dispatchEvent(new Event("visibilitychange"));
    const types = names.concat("t" + i, "u" + (i >> 4));
    send("tick", {n: i, now_us: now(i), batchd: i % 90 !== 0,
      level: i % 50 ? "ok" : "warn", verdict: "v" + i % 7, events: 800,
      bytes: 1e5, read: 800, series: types.map((t, k) => [t, 100 + i % 17]),
      types: types.map((t, k) => [t, 9000 - k * 100 + i % 50, k]),
      users: types.map((t, k) => ["user-" + t, 900 - k, k]),
      distinct_users: 1000 + i, distinct_types: 8, total: i * 900,
      log: {bytes: 1e9 + i, max_bytes: 8e9, full: i % 60 === 0,
        full_reason: "r" + i, full_in_s: 1e4, first_offset: 0,
        next_offset: i * 900, oldest_us: now(0)},
      ingest: {processes: 2, events_per_s: 900, responses_503_per_s: 0,
        rejected_per_s: 0, connections: i % 90},
      sinks: ["postgres", "kafka", "s" + (i >> 6)].map((name, k) => ({name,
        state: i % 20 ? "sending" : "retrying", level: i % 20 ? "ok" : "warn",
        error: i % 20 ? null : "refused " + i, error_since_us: now(i - 5),
        next_retry_us: now(i + 5), lag_ms: i % 900, lag_events: i % 7,
        events_per_s: i, dead_letters: k, committed: i})),
      viewers: 1, max_viewers: 128});
    if (i % 4 === 0) {
      const rows = [];
      for (let k = 0; k < 20; k++)
        rows.push([i * 20 + k, now(i), types[k % 8], "user-" + i + k,
          `{"n":${i},"text":"${"x".repeat(200)}"}`, 220]);
      send("events", {from: 0, to: 20, matched: 20, rows});
    }
    if (i % 1000 === 0) send("gap", {skipped: 5, why: "slow"});
    await turn();
  }
  done(document.getElementById("in-total").textContent);
})();
"""


@limit(600)
def test_memory_of_a_tab_stays_flat():
    """100,000 ticks, of which one in LEAT_TICKS_DRAWN (20) is drawn."""
    drawn = int(os.environ.get("LEAT_TICKS_DRAWN", 20))
    with page(before=[FEED]) as (_, browser):
        browser.wait("feed !== null", "the page asks for the stream")
        browser.driver.set_script_timeout(500)
        heap, step, started = [], 10_000, time.monotonic()
        for i in range(0, 100_000, step):
            total = browser.driver.execute_async_script(REPLAY, i, step, drawn)
            assert total == f"{(i + step) * 900:,}", total
            heap.append(browser.heap())
        ticks = [(i + 1) * step for i in range(len(heap))]
        # The first 10,000 are left out: compiled code is kept.
        xs, ys = ticks[1:], heap[1:]
        mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
        slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys)) / \
            sum((x - mean_x) ** 2 for x in xs)
        fact(f"heap {heap[0] / 1e6:.2f} MB after 10,000 ticks, "
             f"{heap[-1] / 1e6:.2f} MB after 100,000; slope "
             f"{slope:.2f} bytes a tick; {time.monotonic() - started:.0f} s")
        assert abs(slope) < 1, (slope, heap)
        nodes = browser.run("return document.querySelectorAll('*').length")
        assert nodes < 1500, nodes


# --- reading without being disturbed ---

@limit(60)
def test_ticks_move_nothing():
    shifts = ("window.shifts = []; new PerformanceObserver(list => { for (const"
              " e of list.getEntries()) shifts.push([e.value, e.sources.map(s "
              "=> s.node && (s.node.id || s.node.className || s.node.nodeName)"
              ")]); }).observe({type: 'layout-shift', buffered: true});")
    with page(before=[shifts], width=1280, height=1600) as (_, browser):
        browser.wait("view.newest.length === 50", "the rows are full")
        browser.run("shifts.length = 0")
        time.sleep(5)
        moved = browser.run("return shifts")
        assert moved == [], moved


@limit(60)
def test_rows_wait_for_their_reader():
    with page(width=1280, height=1600) as (fake, browser):
        rows = "[...document.querySelectorAll('#rows tr')].map(e => e.innerText)"
        fake.tick_s = .5
        browser.wait("view.newest.length === 50", "the rows are full")
        x, y = browser.run("const r = document.querySelector('#rows tr:nth-"
                           "child(5)').getBoundingClientRect();"
                           "return [r.left + 300, r.top + 5]")
        browser.move_to(x, y)
        before = browser.run("return " + rows)
        browser.wait(has("#shown", "not moved while you read"), "it waits")
        assert browser.run("return " + rows) == before
        browser.move_to(5, 5)
        browser.wait(f"{rows}[0] !== {json.dumps(before[0])}", "it goes on")
        # The space bar pauses at once, and what passes is counted.
        browser.run("document.activeElement.blur()")
        browser.keys(" ")
        before = browser.run("return " + rows)
        browser.wait(has("#shown", "paused, ") + " && view.passed > 1000",
                     "it counts")
        assert browser.run("return " + rows) == before
        assert browser.text("#pause") == "Continue"
        assert "events paused" in browser.text("#live")
        browser.keys(" ")
        browser.wait(f"{rows}[0] !== {json.dumps(before[0])}", "it continues")
        # A list keeps its order while the pointer is in it.
        browser.run("document.querySelector('#types').scrollIntoView()")
        x, y = browser.run("const r = document.querySelector('#types li')"
                           ".getBoundingClientRect(); return [r.left + 9, "
                           "r.top + 9]")
        browser.move_to(x, y)
        order = ("[...document.querySelectorAll('#types .name')]"
                 ".map(e => e.textContent).join()")
        before = browser.run("return " + order)
        fake.names = ["aa", "bb", "cc", "dd", "ee", "ff", "gg"]
        time.sleep(1.5)
        assert browser.run("return " + order) == before
        browser.move_to(5, 5)
        browser.wait(order + ".startsWith('aa,bb')", "the new order is shown")
        # A click in the list filters by it.
        browser.click("#types li:nth-child(2) button")
        browser.wait("[...document.querySelectorAll('#rows .t')].every(e => "
                     "!e.checkVisibility() || e.textContent === 'bb')",
                     "only these are shown")
        browser.wait(has("#shown", "matching events shown, of"), "it counts")


@limit(60)
def test_chart_is_read_by_pointer_and_keys():
    with page() as (_, browser):
        browser.wait(has("#legend", "page_view"), "the chart is there")
        value = "return document.querySelector('#chart').ariaValueText"
        assert browser.run(value) == "now"
        browser.run("document.querySelector('#chart').focus()")
        browser.keys("\ue012")  # left
        text = browser.run(value)
        assert re.match(r"\d\d:\d\d:\d\d, [\d,]+ events/s, page_view [\d,]+, "
                        r"order [\d,]+, ", text), text
        time.sleep(2.2)  # ticks do not change what is being read
        assert browser.run(value) == text
        assert text.split(",")[0] in browser.text("#reading")
        browser.keys("\ue00f")  # a minute back
        minute = browser.run(value)
        seconds = [sum(a * int(b) for a, b in zip((3600, 60, 1),
                                                  t[:8].split(":")))
                   for t in (text, minute)]
        assert (seconds[1] - seconds[0]) % 86400 == 60 or \
            (seconds[0] - seconds[1]) % 86400 == 60, (text, minute)
        # What is shown is what was sent: the values add up.
        shown = [int(n.replace(",", "")) for n in re.findall(
            r"(?<=[a-z] )[\d,]*\d", minute.split("events/s")[1])]
        events = int(re.search(r", ([\d,]+) events", minute)[1]
                     .replace(",", ""))
        rest = int(browser.text("#legend li:nth-child(7) b").replace(",", ""))
        assert abs(sum(shown) + rest - events) <= 4, (minute, rest)
        browser.keys("\ue011")  # Home
        assert browser.run("return document.querySelector('#chart')"
                           ".ariaValueNow") == "0"
        browser.keys("\ue00c")  # Escape
        assert browser.run(value) == "now"
        box = browser.run("const r = document.querySelector('#chart')"
                          ".getBoundingClientRect(); return [r.left + "
                          "r.width / 2, r.top + 50]")
        browser.move_to(*box)
        browser.wait(has("#reading", "events/s"), "the pointer reads")
        browser.click("#as-table")
        browser.wait(has("#chart-table", "page_view"), "the table")
        cells = browser.run("return [...document.querySelectorAll("
                            "'#chart-table tbody tr')].map(r => [...r.children]"
                            ".map(c => c.textContent))")
        assert len(cells) == 15 and all(len(row) == 9 for row in cells), cells
        for row in cells[1:]:
            numbers = [float(c.replace(",", "")) for c in row[1:]]
            assert abs(sum(numbers[1:]) - numbers[0]) < 5, row


# --- keyboard, screen readers, schemes ---

@limit(60)
def test_keyboard_alone_is_enough():
    with page() as (fake, browser):
        browser.wait(has("#rows", "page_view"), "events are shown")
        active = ("const e = document.activeElement; const s = "
                  "getComputedStyle(e); const r = e.getBoundingClientRect();"
                  "return [e.id || e.className || e.tagName, s.outlineStyle, "
                  "parseFloat(s.outlineWidth), r.width * r.height]")
        browser.keys("\ue004")
        assert browser.run(active)[0] == "skip"
        seen = []
        for _ in range(90):
            browser.keys("\ue004")
            name, style, width, area = browser.run(active)
            seen.append(name)
            if name == "BODY":  # after the end; the next is the beginning
                break
            assert style != "none" and width >= 2 and area > 0, seen
        for name in ("chart", "as-table", "filter-type", "filter-user",
                     "pause"):
            assert name in seen, seen
        # Rows are held while one has the focus; Enter opens it, Esc returns.
        browser.run("document.querySelector('#rows button').focus()")
        offset = browser.run("return document.activeElement.textContent")
        browser.keys("\ue007")
        browser.wait(has("#event-text", "12345678901234567890"), "an event")
        assert browser.text("#event-title") == "Event " + offset
        assert browser.run(active)[0] == "event-close"
        browser.keys("\ue00c")
        assert browser.run("return document.activeElement.textContent") == \
            offset
        browser.run("document.querySelector('#as-table').focus()")
        browser.keys("\ue007")
        assert browser.run("return document.querySelector('#as-table')"
                           ".ariaPressed") == "true"


def each_look(browser, fake):
    """Show each state in each scheme and size; yield its name."""
    looks = itertools.product(
        ["well", "retrying", "paused", "full", "unreachable", "figures",
         "empty", "too_many_viewers"], ["light", "dark"], [360, 1280])
    for scene, scheme, width in looks:
        if scene in ("full", "empty", "paused") and width == 360:
            continue
        browser.size(width, 900, mobile=width < 500)
        browser.media(prefers_color_scheme=scheme)
        fake.scene = "well" if scene == "unreachable" else scene
        browser.open(fake.url)
        if scene == "unreachable":
            browser.wait(has("#verdict", "All well"), "it is live")
            fake.scene = scene
            browser.wait("document.body.classList.contains('stale')", scene)
        elif scene == "too_many_viewers":
            browser.wait(has("#notice", "Too many"), scene)
        else:
            browser.wait("page.tick && (page.show !== 'events' || "
                         "page.tick.total === 0 || view.newest.length || "
                         "page.tick.log.full)", scene)
        yield f"{scene}, {scheme}, {width}"


@limit(240)
def test_accessibility_rules():
    with page() as (fake, browser):
        least = 99
        for look in each_look(browser, fake):
            found, worst = browser.run(RULES)
            assert found == [], (look, found)
            least = min(least, worst)
        fake.scene = "well"
        browser.open(fake.url)
        browser.wait(has("#rows", "page_view"), "events are shown")
        browser.click("#as-table")
        browser.click("#rows button")
        browser.wait(has("#event-text", "12345678901234567890"), "an event")
        found, _ = browser.run(RULES)
        assert found == [], found
        # Names and roles as the browser gives them to a screen reader.
        browser.cdp("Accessibility.enable")
        unnamed = [
            node for node in
            browser.cdp("Accessibility.getFullAXTree")["nodes"]
            if node.get("role", {}).get("value") in
            ("button", "link", "textbox", "slider", "table", "dialog",
             "searchbox", "region") and not node["ignored"] and
            not node.get("name", {}).get("value")]
        assert unnamed == [], unnamed
        # Live regions have state changes, never ticks.
        browser.run(element("#event") + ".close()")
        browser.run("window.heard = []; new MutationObserver(() => heard.push("
                    "document.querySelector('#announce').textContent))"
                    ".observe(document.querySelector('#announce'), {childList: "
                    "true, characterData: true, subtree: true})")
        time.sleep(3.2)
        assert browser.run("return heard") == []
        fake.scene = "retrying"
        browser.wait("heard.length", "it is announced")
        time.sleep(2.2)
        assert len(browser.run("return heard")) == 1
        fact(f"least contrast {least:.2f}")


@limit(60)
def test_motion_and_forced_colours():
    with page("retrying") as (_, browser):
        browser.wait(has("#verdict", "kafka"), "it is live")
        moves = ("return [...document.querySelectorAll('*')].filter(e => { "
                 "const s = getComputedStyle(e); return s.animationName !== "
                 "'none' || s.transitionDuration !== '0s'; }).length")
        browser.media(prefers_reduced_motion="reduce")
        assert browser.run(moves) == 0
        browser.media(forced_colors="active")
        time.sleep(.5)
        # A state is still a word and a shape, and the series differ.
        assert "▲retrying" in re.sub(r"\s", "", browser.text("#sinks"))
        fills = browser.run("return [...document.querySelectorAll('.key')]"
                            ".slice(0, 7).map(e => getComputedStyle(e)"
                            ".backgroundColor)")
        assert len(set(fills)) == 7, fills


def axe_source(directory):
    """axe.min.js, from npm's registry by npm itself."""
    if not shutil.which("npm"):
        raise Skip("no npm to get axe-core with; test_accessibility_rules "
                   "has the rules that matter")
    got = subprocess.run(["npm", "pack", "--silent", AXE], cwd=directory,
                         capture_output=True, text=True, timeout=60)
    files = list(pathlib.Path(directory).glob("*.tgz"))
    if got.returncode or not files:
        raise Skip("npm cannot get axe-core; test_accessibility_rules has the "
                   "rules that matter")
    assert hashlib.sha256(files[0].read_bytes()).hexdigest() == AXE_SHA256
    with tarfile.open(files[0]) as tar:
        return tar.extractfile("package/axe.min.js").read().decode()


@limit(240)
def test_axe():
    with tempfile.TemporaryDirectory(prefix="leat-axe-") as directory:
        source = axe_source(directory)
    with page() as (fake, browser):
        looks = rules = 0
        for look in each_look(browser, fake):
            browser.run(source + "; window.axe = axe;")
            result = browser.driver.execute_async_script(
                "const done = arguments[0]; axe.run(document, {resultTypes: "
                "['violations', 'passes']}).then(done, e => done(String(e)))")
            assert isinstance(result, dict), result
            bad = [(v["id"], [n["html"][:200] + str(n["any"][:1])
                              for n in v["nodes"]][:4])
                   for v in result["violations"]]
            assert bad == [], (look, bad)
            looks, rules = looks + 1, max(rules, len(result["passes"]))
        fact(f"axe-core finds nothing in {looks} looks ({rules} rules passed)")
