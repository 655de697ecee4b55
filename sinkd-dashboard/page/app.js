/*
 * The live page.  It shows what the event stream `stream` sends, and asks for
 * nothing else but a whole event when its row is opened.
 *
 * Names and payloads come from senders and may be hostile.  They enter the page
 * by textContent only, so that no text can become markup, and plain() makes the
 * characters visible that would be invisible or would reorder their neighbours.
 *
 * The page runs for weeks.  Everything that time would let grow has a fixed
 * size: SECONDS seconds of SERIES types, and ROWS rows that are reused.
 *
 * A tick comes once a second.  It must not move what is being read or clicked:
 * widths are fixed, texts are set only where they differ, and a list keeps its
 * order while the pointer or the focus is in it.
 */
"use strict";

const SECONDS = 900;      // of the chart; the server keeps as many
const SERIES = 65;        // types with counts of their own at the server, and "other"
const COLOURS = 6;        // types with a colour of their own; the rest is "other"
const ROWS = 50;          // of the newest events
const RANKS = 10;         // of the top types and users
const CELL_CHARS = 400;   // of a payload in its row
const SENT_BYTES = 2048;  // of a payload that the server sends with a row
const HELLO_MS = 5000;    // a stream without hello by then has no connection
const LATE_MS = 3000;     // the figures are old when no tick came for this long
const SILENT_MS = 12000;  // the server sends a comment after 10 s of silence
const HIDDEN_MS = 30000;  // a hidden window gives its connection back after this
const RETRY_MS = 15000;   // longest wait for the next attempt
const BUFFER_CHARS = 16 << 20;  // no message is as long as this

const $ = id => document.getElementById(id);

/* ------------------------------------------------------------------- texts */

/*
 * Controls, format characters (which include the bidirectional controls of
 * UAX 9 and the zero-width ones), separators of lines, unpaired surrogates, and
 * the fillers that have no glyph.
 */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0]/gu;

function plain(text) {
  return String(text).replace(UNSAFE, c =>
    "⟨U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0") + "⟩");
}

/* At most n characters of a text, without half of a surrogate pair at the end. */
function cut(text, n) {
  return text.length <= n ? text : text.slice(0, n).replace(/[\ud800-\udbff]$/, "") + "…";
}

const grouped = new Intl.NumberFormat("en-US", {maximumFractionDigits: 0});

function known(n) {
  return typeof n === "number" && Number.isFinite(n);
}

function number(n) {
  if (!known(n)) return "–";
  return n > 0 && n < 9.95 && n % 1 !== 0 ? n.toFixed(1) : grouped.format(n);
}

function per_second(n) {
  return known(n) ? number(n) + "/s" : "–";
}

/* As number(), but in millions from a number on whose digits would not fit. */
function short(n, from = 1e7) {
  const scaled = (value, unit) => +value.toPrecision(3) + unit;
  return n < from ? number(n) : n < 9.995e8 ? scaled(n / 1e6, " M") : scaled(n / 1e9, " G");
}

/* Three significant digits: what was estimated claims no more. */
function rounded(n) {
  if (n < 1000) return Math.round(n);
  const unit = 10 ** (Math.floor(Math.log10(n)) - 2);
  return Math.round(n / unit) * unit;
}

function bytes(n) {
  if (!known(n)) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let i = 0;
  for (; n >= 999.5 && i < units.length - 1; i++) n /= 1000;
  return (n < 9.95 && i > 0 ? n.toFixed(1) : n.toFixed(0)) + " " + units[i];
}

/* A duration as an operator reads it: 0.4 s, 12 s, 4 min 12 s, 3 h 10 min, 9 days. */
function duration(ms) {
  if (!known(ms)) return "–";
  const s = Math.max(0, ms / 1000);
  if (s < 9.95) return s.toFixed(1) + " s";
  if (s < 59.5) return s.toFixed(0) + " s";
  const m = Math.floor(s / 60);
  if (m < 60) return m + " min" + (m < 10 ? " " + Math.floor(s % 60) + " s" : "");
  const h = Math.floor(m / 60);
  if (h < 48) return h + " h " + (m % 60) + " min";
  return Math.floor(h / 24) + " days";
}

/* The same in whole seconds, for ages that are counted as they pass. */
function age(us) {
  return duration(Math.max(0, Math.floor(us / 1e6)) * 1000).replace(".0", "");
}

/* Times are the server's; only the zone is this browser's, and is shown with them. */
const zone = new Intl.DateTimeFormat("en-GB", {hour: "2-digit", timeZoneName: "short"})
  .formatToParts(new Date()).find(p => p.type === "timeZoneName").value;
const two = n => String(n).padStart(2, "0");

function clock(us, ms) {
  const d = new Date(us / 1000);
  return two(d.getHours()) + ":" + two(d.getMinutes()) + ":" + two(d.getSeconds()) +
    (ms ? "." + String(d.getMilliseconds()).padStart(3, "0") : "");
}

/* As clock(), with the day in place of the seconds when it is another one. */
function moment(us, now_us, ms = true) {
  const d = new Date(us / 1000);
  if (Math.abs(now_us - us) < 43200e6 || d.toDateString() === new Date(now_us / 1000).toDateString())
    return clock(us, ms);
  return d.getFullYear() + "-" + two(d.getMonth() + 1) + "-" + two(d.getDate()) + " " + clock(us).slice(0, 5);
}

/* ---------------------------------------------------------------- elements */

/* Set a text only where it differs, so that nothing is laid out for nothing. */
function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function hide(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden;
}

function classes(element, names) {
  if (element.className !== names) element.className = names;
}

function attribute(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

function make(tag, names, ...children) {
  const e = document.createElement(tag);
  if (names) e.className = names;
  e.append(...children);
  return e;
}

/* Show the first n children of a list, which are made when first needed. */
function resize(list, n, create) {
  while (list.children.length < n) list.append(create(list.children.length));
  for (let i = 0; i < list.children.length; i++) hide(list.children[i], i >= n);
}

/* A finger leaves :hover where it has touched; only a mouse still points there. */
let pointer = "";

function on_pointer(e) {
  pointer = e.pointerType;
}

/* Whether an element is being pointed at or has the focus. */
function in_use(element) {
  return pointer === "mouse" && element.matches(":hover") || element.contains(document.activeElement);
}

/* ------------------------------------------------------------------- state */

const SHAPES = {ok: "●", paused: "‖", warn: "▲", bad: "■", idle: "○"};

const page = {
  show: "figures", login: false, session: false, curl: null, boot: null,
  now_us: 0, tick_ms: 0,     // the server's time at the newest tick, and ours
  tick: null,                // the newest tick, for a window that is shown again
};

/* The server's time now. */
function now_us() {
  return page.now_us + (performance.now() - page.tick_ms) * 1000;
}

function level_of(level) {
  return Object.hasOwn(SHAPES, level) ? level : "idle";
}

function show_verdict(level, text) {
  level = level_of(level);
  classes($("verdict"), "verdict " + level);
  put($("verdict-shape"), SHAPES[level]);
  put($("verdict-text"), plain(text));
  const title = (level === "ok" || level === "idle" ? "" : SHAPES[level] + " ") + "leat";
  if (document.title !== title) document.title = title;
}

/*
 * Give a text to screen readers if the state of a topic, `key`, has changed.
 * The texts alone would not do: they have durations in them, which change every
 * second.  Texts of one moment are joined, so that none replaces another.
 */
const announced = {keys: {}, ms: -1e9};

function announce(topic, key, text) {
  if (key === announced.keys[topic]) return;
  announced.keys[topic] = key;
  const joined = performance.now() - announced.ms < 1000;
  put($("announce"), cut((joined ? $("announce").textContent + ". " : "") + plain(text), 1000));
  announced.ms = performance.now();
}

/* ---------------------------------------------------------------- pipeline */

function show_ingest(tick) {
  const ingest = tick.ingest || {};
  if (tick.batchd !== false) {  // else the last values stay, with their age
    put($("in-events"), number(tick.events));
    put($("in-bytes"), known(tick.bytes) ? bytes(tick.bytes) + "/s" : "–");
  }
  put($("in-connections"), number(ingest.connections));
  put($("in-total"), number(tick.total));
  put($("in-processes"), number(ingest.processes));
  put($("in-processes-unit"), ingest.processes === 1 ? "process" : "processes");
  put($("in-accepted"), per_second(ingest.events_per_s));
  put($("in-rejected"), per_second(ingest.rejected_per_s));
  put($("in-503"), per_second(ingest.responses_503_per_s));
  classes($("in-503"), ingest.responses_503_per_s > 0 ? "warn" : "");
  classes($("ingest-node"), "node" + (ingest.processes === 0 ? " bad" :
    ingest.responses_503_per_s > 0 ? " warn" : ""));
}

function show_log(log, now) {
  log = log || {};
  const share = log.max_bytes ? log.bytes / log.max_bytes : 0;
  const soon = known(log.full_in_s) && log.full_in_s < 3600;
  classes($("log-node"), "node" + (log.full ? " bad" : soon || share > 0.9 ? " warn" : ""));
  put($("log-bytes"), bytes(log.bytes));
  put($("log-max"), bytes(log.max_bytes));
  $("log-bar").style.width = Math.min(100, 100 * share).toFixed(1) + "%";
  put($("log-full-name"), log.full ? "state" : "full in");
  put($("log-full"), log.full ? "takes no events" :
    known(log.full_in_s) ? duration(log.full_in_s * 1000) :
    known(log.bytes) ? "not at this rate" : "–");
  put($("log-events"), known(log.next_offset) ? number(log.next_offset - log.first_offset) + " events" : "–");
  hide($("log-oldest").parentElement, log.oldest_us === null);
  put($("log-oldest"), log.oldest_us > 0 ? age(now - log.oldest_us) + " ago" : "–");
  hide($("log-why"), !log.full);
  put($("log-why"), log.full ? plain(log.full_reason || "the log is full") : "");
}

function figure(name) {
  return make("div", "", make("dt", "", name), make("dd", ""));
}

function make_sink() {
  return make("li", "sink",
    make("h3", ""),
    make("p", "word", make("span", "shape"), make("span", "")),
    make("dl", "", figure("lag"), figure("events/s"), figure("dead letters")),
    make("p", "note"), make("p", "why"));
}

/*
 * What a sink that works does changes many times a second, so its word is
 * "idle" or "writing" by whether it has written in the last seconds.
 */
const WORKS = new Set(["idle", "waiting", "sending", "in_flight", "writing", "committing"]);
const WRITING_TICKS = 5;
const wrote = new Map();  // name of a sink -> number of the tick in which it last wrote

function sink_word(sink, tick) {
  if (!WORKS.has(sink.state)) return sink.state;
  if (sink.paused) return "pausing";
  if (sink.events_per_s > 0) wrote.set(sink.name, tick.n);
  return tick.n - (wrote.get(sink.name) ?? -Infinity) < WRITING_TICKS ? "writing" : "idle";
}

function sink_text(sink, now) {
  const parts = [sink.lag_events > 0 ? number(sink.lag_events) + " events to go" : "up to date"];
  if (known(sink.error_since_us) && sink.error_since_us) parts.push("failing for " + age(now - sink.error_since_us));
  if (sink.next_retry_us > now) parts.push("next try in " + age(sink.next_retry_us - now + 999999));
  if (sink.paused) parts.push(pause_text(sink.paused, now));
  if (sink.order && sink.order !== "pausing") parts.push(plain(sink.order));
  return parts.join(" · ");
}

function pause_text(pause, now) {
  return "paused for " + age(now - pause.since_us) + (known(pause.until_us) && pause.until_us ?
    `, until ${moment(pause.until_us, now, false)} ${zone}, in ${age(pause.until_us - now + 999999)}` :
    ", until it is resumed");
}

/* Why the sink is paused, and what is wrong with it. */
function sink_why(sink) {
  const parts = [];
  if (sink.paused) parts.push((sink.paused.why || "no reason was given") + `, by uid ${sink.paused.uid}`);
  if (sink.error) parts.push(cut(sink.error, 600));
  return plain(parts.join(" · "));
}

function show_sinks(tick, now) {
  const sinks = (tick.sinks || []).slice(0, 64);
  if (wrote.size > 64) wrote.clear();
  resize($("sinks"), sinks.length, make_sink);
  $("flow").classList.toggle("many", sinks.length > 4);
  sinks.forEach((sink, i) => {
    const [name, state, figures, text, why] = $("sinks").children[i].children;
    const level = level_of(sink.level);
    classes($("sinks").children[i], "sink " + level);
    put(name, plain(sink.name));
    put(state.children[0], SHAPES[level]);
    attribute(state.children[0], "aria-hidden", "true");
    put(state.children[1], plain(sink_word(sink, tick)).replaceAll("_", " "));
    put(figures.children[0].lastChild, duration(sink.lag_ms));
    put(figures.children[1].lastChild, number(sink.events_per_s));
    put(figures.children[2].lastChild, number(sink.dead_letters));
    classes(figures.children[2].lastChild, sink.dead_letters > 0 ? "some" : "");
    put(text, sink_text(sink, now));
    put(why, sink_why(sink));
  });
}

/*
 * One text for screen readers whenever a state has changed.  The verdict has
 * only what is worst, so pauses beside it are added.
 */
function announce_tick(tick) {
  const sinks = tick.sinks || [];
  const states = sinks.map(s => s.name + ":" + (WORKS.has(s.state) ? "" : s.state) + ":" + Boolean(s.paused));
  const pauses = tick.batchd === false ? [] : sinks.map(s => s.paused ? s.name + ": paus" : "")
    .filter(text => text && !tick.verdict.startsWith(text)).map(text => text + "ed");
  announce("state", [tick.level, tick.batchd, Boolean(tick.log && tick.log.full), ...states].join("|"),
    [tick.verdict, ...pauses].join(". "));
}

/* ------------------------------------------------------------------ series */

/*
 * What the chart shows, at index second % SECONDS.  Seconds are the server's
 * monotonic ones, so that a clock that is set back draws no loop.  A second of
 * which nothing is known has NaN events and leaves a gap.
 */
const series = {
  second: 0, now_us: 0,
  zero_us: 0,  // the time of second 0
  events: new Float64Array(SECONDS).fill(NaN), read: new Float64Array(SECONDS),
  types: Array.from({length: SERIES}, () => ({name: null, counts: new Float64Array(SECONDS)})),
};
let colours = [];       // for each colour, the type that has it, or null
let colour_rows = [];   // for each colour, the type's row in series.types, or null

const slot = second => ((second % SECONDS) + SECONDS) % SECONDS;

/*
 * The newest second, and its time.  A tick can be late by some milliseconds, so
 * the times of all seconds stay until the clock differs by more: otherwise the
 * time of a second that is being read would change.
 */
function set_second(second, now_us) {
  const zero_us = now_us - second * 1e6;
  if (Math.abs(zero_us - series.zero_us) > 500e3) series.zero_us = zero_us;
  series.second = second;
  series.now_us = now_us;
}

function series_row(name) {
  let free = null;
  for (const row of series.types) {
    if (row.name === name) return row;
    if (row.name === null) free ??= row;
  }
  if (free) {
    free.name = name;
    free.counts.fill(0);
  }
  return free;
}

function series_load(m) {
  set_second(m.second, m.now_us);
  for (const row of series.types) row.name = null;
  const load = (into, values) => {
    for (let i = 0; i < SECONDS; i++)
      into[slot(m.second - i)] = values[values.length - 1 - i] || 0;
  };
  load(series.events, m.events);
  load(series.read, m.read);
  for (const {name, counts} of m.types) {
    const row = series_row(name);
    if (row) load(row.counts, counts);
  }
}

function series_tick(m) {
  if (m.n <= series.second) return;  // the snapshot has it
  for (let s = Math.max(series.second + 1, m.n - SECONDS + 1); s <= m.n; s++) {
    series.events[slot(s)] = NaN;
    series.read[slot(s)] = 0;
    for (const row of series.types) row.counts[slot(s)] = 0;
  }
  set_second(m.n, m.now_us);
  if (m.batchd === false) return;
  series.events[slot(m.n)] = m.events;
  series.read[slot(m.n)] = m.read;
  for (const row of series.types)  // a type that the server has dropped leaves its row
    if (row.name !== null && !m.series.some(([name]) => name === row.name)) row.name = null;
  for (const [name, count] of m.series) {
    const row = series_row(name);
    if (row) row.counts[slot(m.n)] = count;
  }
  find_colour_rows();
}

/* A type keeps its colour as long as it is among the most frequent ones. */
function choose_colours() {
  const sums = series.types.filter(r => r.name !== null && r.name !== "other")
    .map(r => [r.name, r.counts.reduce((a, b) => a + b, 0)])
    .filter(([, sum]) => sum > 0).sort((a, b) => b[1] - a[1])
    .slice(0, COLOURS).map(([name]) => name);
  const next = colours.map(name => sums.includes(name) ? name : null);
  for (const name of sums) {
    if (next.includes(name)) continue;
    const free = next.indexOf(null);
    if (free >= 0) next[free] = name; else next.push(name);
  }
  colours = next;
  find_colour_rows();
}

function find_colour_rows() {
  colour_rows = colours.map(name => name === null ? null : series.types.find(r => r.name === name) ?? null);
}

/* The class with the colour of a type: "other" has the last one. */
function colour_of(name) {
  const i = colours.indexOf(name);
  return "c" + (i < 0 ? COLOURS : i);
}

/*
 * Add the events of a second to sums, one for each colour and the last for the
 * rest.  Counts are of what was read, and are scaled to all events.
 */
function add_second(sums, second) {
  const at = slot(second), events = series.events[at];
  if (!(events > 0)) return !Number.isNaN(events);
  const scale = series.read[at] > 0 ? events / series.read[at] : 0;
  let rest = events;
  for (let i = 0; i < colour_rows.length; i++) {
    if (colour_rows[i] === null) continue;
    const value = Math.min(rest, colour_rows[i].counts[at] * scale);
    sums[i] += value;
    rest -= value;
  }
  sums[COLOURS] += rest;
  return true;
}

function sum_of(values) {
  let sum = 0;
  for (const v of values) if (v > 0) sum += v;
  return sum;
}

/* ------------------------------------------------------------------- chart */

const SVG = "http://www.w3.org/2000/svg";
const GRID = 4;   // at most as many lines above zero
const TIMES = 4;  // labels below
const chart = {
  w: 0, h: 0, text: 11,  // the size of the drawing and of its texts
  svg: null, areas: [], grid: [], labels: [], times: [], cursor: null,
  full: 0,        // value at the top line
  reading: null,  // second that is being read, or null for now
  left: 0, width: 0, by_key: false,
  xs: new Array(SECONDS).fill(""), lows: new Array(SECONDS).fill(""), base: new Float64Array(SECONDS),
  sums: Array.from({length: SECONDS}, () => new Float64Array(COLOURS + 1)),
  seconds: new Uint8Array(SECONDS),
};

function svg_make(tag, names) {
  const e = document.createElementNS(SVG, tag);
  if (names) e.setAttribute("class", names);
  chart.svg.append(e);
  return e;
}

function chart_make() {
  chart.svg = document.createElementNS(SVG, "svg");
  chart.svg.setAttribute("aria-hidden", "true");
  for (let i = 0; i <= GRID; i++) {
    chart.grid.push(svg_make("line", "grid"));
    chart.labels.push(svg_make("text"));
  }
  for (let i = 0; i <= COLOURS; i++) chart.areas.push(svg_make("path", "area c" + i));
  for (let i = 0; i < TIMES; i++) chart.times.push(svg_make("text"));
  chart.cursor = svg_make("line", "cursor");
  $("chart").append(chart.svg);
}

/* The smallest of 1, 2, 5, 10, 20 ... of which GRID reach max. */
function grid_step(max) {
  let step = 1;
  for (let i = 0; step * GRID < max; i++) step *= [2, 2.5, 2][i % 3];
  return step;
}

/* Where the axis ends: at the first line that reaches max. */
function grid_end(max) {
  const step = grid_step(max);
  return step * Math.max(2, Math.ceil(max / step));
}

/*
 * Sum the seconds into bins of `step` seconds, and return how many there are.
 * Bins begin at multiples of `step`, so that a bin, once complete, keeps its
 * height while it moves to the left.
 */
function chart_bins(step, first_bin, last_bin) {
  for (let b = first_bin; b <= last_bin; b++) {
    const sums = chart.sums[b - first_bin];
    let n = 0;
    sums.fill(0);
    for (let s = b * step; s < (b + 1) * step; s++)
      if (s <= series.second && s > series.second - SECONDS && add_second(sums, s)) n++;
    for (let k = 0; k <= COLOURS; k++) sums[k] = n ? sums[k] / n : NaN;
    chart.seconds[b - first_bin] = n;
  }
  return last_bin - first_bin + 1;
}

/*
 * The outline of one layer: a closed piece for each run of known bins.  chart.xs
 * has the places of the bins, and chart.lows the lower edge of the layer, which
 * becomes its upper edge, where the next layer begins.
 */
function chart_path(layer, bins, y) {
  const {xs, lows, base, sums, seconds} = chart;
  let path = "";
  for (let i = 0; i < bins; i++) {
    if (!seconds[i]) continue;
    const from = i;
    let up = "", down = "";
    for (; i < bins && seconds[i]; i++) {
      down = "L" + xs[i] + "," + lows[i] + down;
      base[i] += sums[i][layer];
      lows[i] = y(base[i]);
      up += (i > from ? "L" : "M") + xs[i] + "," + lows[i];
    }
    // A single bin has no width: draw it one unit wide.
    path += up + (from === i - 1 ? "h1" : "") + down + "Z";
  }
  return path;
}

function place(element, values) {
  for (const name in values) attribute(element, name, values[name]);
}

function axis_text(value) {
  return short(value, 1e6);
}

function chart_axes(w, h, left, bottom, top, y, text) {
  const step = grid_step(chart.full);
  for (let i = 0; i <= GRID; i++) {
    const value = step * i, at = y(value), visibility = value <= chart.full ? "visible" : "hidden";
    attribute(chart.grid[i], "visibility", visibility);
    attribute(chart.labels[i], "visibility", visibility);
    place(chart.grid[i], {x1: left, x2: w, y1: at, y2: at});
    place(chart.labels[i], {x: left - 8, y: +at + text / 3, "text-anchor": "end"});
    put(chart.labels[i], axis_text(value));
  }
  for (let i = 0; i < TIMES; i++) {
    const share = i / (TIMES - 1);
    place(chart.times[i], {x: left + share * (w - left), y: h - 3,
      "text-anchor": i === 0 ? "start" : i === TIMES - 1 ? "end" : "middle"});
    put(chart.times[i], i === TIMES - 1 ? "now" :
      series.now_us ? clock(series.now_us - (1 - share) * SECONDS * 1e6).slice(0, 5) : "");
  }
}

/* Only a change of size asks for the layout, not each tick. */
function chart_resize() {
  chart.w = $("chart").clientWidth;
  chart.h = $("chart").clientHeight;
  chart.text = parseFloat(getComputedStyle(chart.labels[0]).fontSize);
  chart_draw();
}

function chart_draw() {
  const {w, h, text} = chart;
  if (!w || !h) return;
  const bottom = Math.round(text * 1.8), top = Math.round(text * .7);
  const step = Math.max(1, Math.ceil(SECONDS / (w / 2)));
  const last_bin = Math.floor(series.second / step);
  const first_bin = Math.floor((series.second - SECONDS + 1) / step) + (step > 1 ? 1 : 0);
  const bins = chart_bins(step, first_bin, last_bin);
  let max = 1;
  for (let i = 0; i < bins; i++) max = Math.max(max, sum_of(chart.sums[i]));
  // The scale grows at once and shrinks with some reserve, so that it does not swing.
  if (max > chart.full || grid_end(max * 1.1) < chart.full) chart.full = grid_end(max);
  const left = Math.round(text * (0.62 * Math.max(5, axis_text(chart.full).length) + 1));
  const x_of = second => left + (w - left) * (second - series.second + SECONDS - 1) / (SECONDS - 1);
  const x = i => {
    const b = first_bin + i;
    const middle = b === last_bin ? series.second : b * step + (step - 1) / 2;
    return Math.max(left, x_of(middle)).toFixed(1);
  };
  const y = v => (h - bottom - v * (h - bottom - top) / chart.full).toFixed(1);
  for (let i = 0; i < bins; i++) {
    chart.xs[i] = x(i);
    chart.lows[i] = y(0);
  }
  attribute(chart.svg, "viewBox", `0 0 ${w} ${h}`);
  chart_axes(w, h, left, bottom, top, y, text);
  chart.base.fill(0);
  for (let k = 0; k <= COLOURS; k++)
    attribute(chart.areas[k], "d", chart_path(k, bins, y));
  attribute(chart.areas[COLOURS], "class", "area c" + (page.show === "figures" ? 0 : COLOURS));
  chart.left = left;
  chart.width = w - left;
  if (chart.reading !== null) {
    const at = x_of(Math.max(chart.reading, series.second - SECONDS + 1)).toFixed(1);
    place(chart.cursor, {x1: at, x2: at, y1: top, y2: h - bottom});
  }
  attribute(chart.cursor, "visibility", chart.reading === null ? "hidden" : "visible");
}

/* The legend has the values of the second that is being read, or of now. */
function legend_draw() {
  const second = chart.reading ?? series.second;
  const sums = legend_draw.sums.fill(0);
  const is_known = add_second(sums, second);
  const some = page.show !== "figures" && colours.some(name => name !== null);
  hide($("legend"), !some || $("chart").hidden);
  resize($("legend"), COLOURS + 1, i =>
    make("li", "", make("span", "key c" + i), make("span", "name"), make("b", "")));
  for (let i = 0; i <= COLOURS; i++) {
    const li = $("legend").children[i];
    const name = i === COLOURS ? "other" : colours[i] ?? null;
    hide(li, name === null);
    if (name === null) continue;
    const text = i === COLOURS ? name : plain(name);
    put(li.children[1], text);
    attribute(li.children[1], "title", text);
    put(li.children[2], is_known ? number(Math.round(sums[i])) : "–");
  }
  return [sums, is_known];
}
legend_draw.sums = new Float64Array(COLOURS + 1);

function second_us(second) {
  return series.zero_us + second * 1e6;
}

function reading_draw() {
  if (chart.reading !== null && chart.reading <= series.second - SECONDS) chart.reading = null;
  const [sums, is_known] = legend_draw();
  const second = chart.reading ?? series.second;
  const events = is_known ? number(Math.round(sum_of(sums))) + " events/s" : "not known";
  put($("reading"), chart.reading === null ? "" : clock(second_us(second)) + " " + zone + ": " + events);
  // A slider's value is read out when it changes.  Ticks must not be, so the
  // value of "now" has no figure.
  if (chart.reading !== null && !chart.by_key) return;
  attribute($("chart"), "aria-valuenow", chart.reading === null ? SECONDS - 1 :
    SECONDS - 1 - (series.second - second));
  attribute($("chart"), "aria-valuetext", chart.reading === null ? "now" :
    clock(second_us(second)) + ", " + events + colours.map((name, i) =>
      name !== null && sums[i] >= .5 ? `, ${plain(name)} ${number(Math.round(sums[i]))}` : "").join(""));
}

/*
 * The same figures by minutes of the clock.  Only the first row, the minute
 * that is not over, changes with each tick.
 */
function table_draw() {
  const box = $("chart-table");
  if (box.hidden) return;
  if (!box.firstChild)
    box.append(make("table", "", make("thead", "", make("tr", "")), make("tbody", "")));
  const [head, body] = [box.querySelector("tr"), box.querySelector("tbody")];
  const columns = [];
  for (let i = 0; i <= COLOURS; i++)
    if (page.show !== "figures" && (i === COLOURS || (colours[i] ?? null) !== null)) columns.push(i);
  resize(head, columns.length + 2, () => {
    const th = make("th", "");
    th.scope = "col";
    return th;
  });
  put(head.children[0], "minute, " + zone);
  put(head.children[1], "events/s");
  columns.forEach((c, i) => put(head.children[i + 2], c === COLOURS ? "other" : plain(colours[c])));
  const first = Math.floor(series.now_us / 60e6);
  resize(body, SECONDS / 60, () => make("tr", "", make("th", "")));
  for (let r = 0; r < SECONDS / 60; r++) {
    const row = body.children[r], sums = legend_draw.sums.fill(0);
    let n = 0;
    for (let s = 0; s < 60; s++) {
      const back = Math.floor(series.now_us / 1e6) - ((first - r) * 60 + s);
      if (back >= 0 && back < SECONDS && add_second(sums, series.second - back)) n++;
    }
    resize(row, columns.length + 2, () => make("td", ""));
    row.firstChild.scope = "row";
    put(row.firstChild, clock((first - r) * 60e6).slice(0, 5));
    put(row.children[1], n ? number(sum_of(sums) / n) : "–");
    columns.forEach((c, i) => put(row.children[i + 2], n ? number(sums[c] / n) : "–"));
  }
}

/* ------------------------------------------------------------------- lists */

/* The order to show: while the list is in use, that of before. */
function rank_order(list, entries) {
  const before = list.shown || [];
  if (!in_use(list) || before.length === 0) return list.shown = entries.slice(0, RANKS);
  const newest = new Map(entries.map(e => [e[0], e]));
  return list.shown = before.map(e => newest.get(e[0]) || e);
}

function make_rank(list, filter) {
  return i => {
    const button = make("button", "", make("i", ""), make("span", "name"), make("span", "share"), make("span", "count"));
    button.type = "button";
    button.addEventListener("click", () => {
      $(filter).value = list.shown[i][0];
      filter_changed();
      $("events").scrollIntoView({block: "nearest"});
    });
    return make("li", "", button);
  };
}

/*
 * Counts are of the events that were read, of which there were `read`; they are
 * scaled to `events` when those are more.
 */
function show_rank(list, filter, entries, events, read) {
  const shown = rank_order(list, entries), scale = read > 0 ? Math.max(1, events / read) : 1;
  const most = Math.max(1, ...shown.map(e => e[1]));
  resize(list, shown.length, make_rank(list, filter));
  shown.forEach(([name, count, error], i) => {
    const button = list.children[i].firstChild, [bar, label, share, value] = button.children;
    const about = error > 0 || scale > 1.005;
    bar.style.width = (100 * count / most).toFixed(1) + "%";
    const text = plain(name);
    put(label, text);
    attribute(button, "title", text + (error > 0 ? `, at most ${number(error * scale)} too high` : ""));
    const percent = read > 0 ? Math.min(100, 100 * count / read) : 0;
    put(share, percent < 0.01 ? "< 0.01 %" : percent.toFixed(percent < 0.995 ? 2 : percent < 9.95 ? 1 : 0) + " %");
    put(value, about ? "≈ " + short(rounded(count * scale), 1e6) : short(count));
    if (button.disabled !== (page.show !== "events")) button.disabled = page.show !== "events";
  });
}

function show_lists(tick) {
  let events = 0, read = 0;
  for (let i = 0; i < SECONDS; i++)
    if (series.events[i] > 0) {
      events += series.events[i];
      read += series.read[i];
    }
  const part = read > 0 && read < events * 0.995 ?
    `≈ from the ${Math.max(1, Math.round(100 * read / events))} % of the events that were read` : "";
  hide($("types-section"), page.show === "figures");
  hide($("users-section"), page.show !== "events");
  classes($("columns"), "columns " + page.show);
  show_rank($("types"), "filter-type", tick.types || [], events, read);
  show_rank($("users"), "filter-user", tick.users || [], events, read);
  const note = (n, what) => n > 0 ? number(n) + " " + what : "";
  // The server leaves out names that are no more frequent than many others.
  const none = n => n > 0 ? "None is more frequent than the others." : "None in the last 15 minutes.";
  put($("types-note"), !(tick.types || []).length ? none(tick.distinct_types) : note(tick.distinct_types, tick.distinct_types === 1 ? "type" : "types"));
  put($("users-note"), !(tick.users || []).length ? none(tick.distinct_users) :
    known(tick.distinct_users) ? "≈ " + note(tick.distinct_users, "users (± 1.6 %)") : "");
  put($("chart-note"), page.show === "figures" ? "" : part);
}

/* ------------------------------------------------------------------ events */

const view = {
  paused: false, filtered: false,
  newest: [],       // at most ROWS rows as received, newest first
  fresh: 0,         // of them, not yet shown
  drawn_ms: 0, touched_ms: -1e9, selected: false,
  seen: 0, matched: 0, shown: 0, skipped: 0,  // since the filters were set
  passed: 0,        // matched since the rows were last shown
};

function make_row(i) {
  const open = make("button", "");
  open.type = "button";
  const cell = (names, ...children) => {
    const td = make("td", names, ...children);
    td.setAttribute("role", "cell");
    return td;
  };
  const tr = make("tr", "", cell("o", open), cell("r"), cell("t", make("span", "key"), make("span", "")),
    cell("u"), cell("p"));
  tr.setAttribute("role", "row");
  tr.addEventListener("click", () => {
    if (String(getSelection()) === "") event_open(tr.offset);
  });
  return tr;
}

function payload_text(row) {
  const text = row[4].replace(/[ \t\r\n]+/g, " ");
  const shown = plain(cut(text, CELL_CHARS));
  return text.length > CELL_CHARS || row[5] > SENT_BYTES ? shown + " (" + bytes(row[5]) + ")" : shown;
}

function rows_draw() {
  const rows = $("rows"), now = now_us();
  resize(rows, view.newest.length, make_row);
  view.newest.forEach((row, i) => {
    const tr = rows.children[i], [o, r, t, u, p] = tr.children;
    if (tr.offset !== row[0]) {
      tr.offset = row[0];
      put(o.firstChild, grouped.format(row[0]));
      attribute(o.firstChild, "aria-label", grouped.format(row[0]) + ", open this event");
      put(t.lastChild, plain(row[2]));
      attribute(t, "title", plain(row[2]));
      put(u, plain(row[3] ?? ""));
      attribute(u, "title", plain(row[3] ?? ""));
      put(p, payload_text(row));
    }
    put(r, moment(row[1], now));
    classes(t.firstChild, "key " + colour_of(row[2]));
  });
  view.shown += view.fresh;
  view.fresh = view.passed = 0;
  view.drawn_ms = performance.now();
}

/* Asked for only here, because the answer needs the layout. */
function on_selection() {
  const selection = getSelection();
  view.selected = !selection.isCollapsed && $("rows").contains(selection.anchorNode);
}

/* Whether the rows must stay as they are because they are being read. */
function rows_held() {
  return in_use($("rows")) || $("event").open || view.selected || performance.now() - view.touched_ms < 1000;
}

/* Show new rows: at once when they are few, and once a second when they are many. */
function rows_update() {
  if (!view.fresh || view.paused || document.hidden || rows_held()) return;
  if (view.fresh > 3 && performance.now() - view.drawn_ms < 900) return;
  rows_draw();
}

function on_events(m) {
  view.matched += m.matched;
  view.passed += m.matched;
  if (!view.paused) {
    view.newest = m.rows.slice(-ROWS).reverse().concat(view.newest).slice(0, ROWS);
    view.fresh = Math.min(view.fresh + m.rows.length, ROWS);
    rows_update();
  }
  events_state();
}

function empty_text() {
  const types = $("filter-type").value.trim(), user = $("filter-user").value.trim();
  if (!view.filtered) return link.state === "live" ? "No event has come since this window was opened." : "";
  const what = [types && `type ${plain(types)}`, user && `user ${plain(user)}`].filter(Boolean).join(" and ");
  return view.seen ? `None of the ${number(view.seen)} events since the filter was set has ${what}.`
    : `No event has come since the filter was set to ${what}.`;
}

function shown_text() {
  const parts = [view.filtered ?
    `${number(view.shown)} of ${number(view.matched)} matching events shown, of ${number(view.seen)} in all` :
    `${number(view.shown)} of ${number(view.matched)} events shown`];
  if (view.skipped) parts.push(`${number(view.skipped)} skipped, which came too fast for this window`);
  if (view.paused) parts.push(`paused, ${number(view.passed)} have passed since`);
  else if (view.fresh && rows_held()) parts.push(`not moved while you read, ${number(view.passed)} newer`);
  return parts.join(" · ");
}

function events_state() {
  const may = page.show === "events", empty = view.newest.length === 0;
  hide($("filters"), !may);
  hide($("rows-table"), !may || empty);
  hide($("shown"), !may || empty);
  hide($("login"), may || !page.login || page.session);
  const text = may ? empty ? empty_text() : ""
    : page.session ? "Your login shows no events: its token is not marked events, or the dashboard's setting show leaves them out. Log out to use another token."
    : page.login || !page.boot ? ""
    : "This page shows figures only. To see events, give the dashboard a tokens_file with a token that is marked events.";
  hide($("events-state"), text === "");
  put($("events-state"), text);
  if (may && !empty) put($("shown"), shown_text());
}

/*
 * JSON with line breaks and indents.  It is not parsed, because numbers and
 * repeated names must appear exactly as they were sent.
 */
function indented(json) {
  const tokens = /\{\s*\}|\[\s*\]|"[^"\\]*(?:\\[^][^"\\]*)*"|[{}[\],:]|[^\s{}[\],:"]+|"/g;
  let out = "", depth = 0;
  const line = () => "\n" + "  ".repeat(Math.min(depth, 32));
  for (const [token] of json.matchAll(tokens)) {
    if (token === "{" || token === "[") {
      depth++;
      out += token + line();
    } else if (token === "}" || token === "]") {
      depth = Math.max(0, depth - 1);
      out += line() + token;
    } else {
      out += token === "," ? "," + line() : token === ":" ? ": " : plain(token);
    }
  }
  return out;
}

/* The reason that the server gives for a refusal. */
async function reason(answer) {
  const text = await answer.text();
  try {
    const m = JSON.parse(text);
    return plain(m.reason || m.error);
  } catch {
    return plain(cut(text, 200));
  }
}

async function event_open(offset) {
  const dialog = $("event");
  put($("event-title"), "Event " + grouped.format(offset));
  put($("event-text"), "…");
  if (!dialog.open) dialog.showModal();
  let text;
  try {
    const answer = await fetch("event/" + offset, {cache: "no-store"});
    text = answer.ok ? indented(await answer.text())
      : answer.status === 410 ? "The log has deleted this event."
      : answer.status === 401 || answer.status === 403 ? "Your session is over. Log in again to see this event."
      : `The dashboard answered ${answer.status}: ${await reason(answer)}.`;
  } catch {
    text = "The dashboard does not answer.";
  }
  put($("event-text"), text);
}

function set_paused(paused) {
  view.paused = paused;
  view.passed = 0;
  put($("pause"), paused ? "Continue" : "Pause");
  classes($("pause"), paused ? "on" : "");
  announce("paused", paused, paused ? "Events are paused" : "Events continue");
  if (!paused) rows_update();
  show_live();
  events_state();
}

let filter_timer = 0;

function filter_changed() {
  clearTimeout(filter_timer);
  filter_timer = setTimeout(filter_apply, 300);
}

function filter_apply() {
  const types = $("filter-type").value.trim(), user = $("filter-user").value.trim();
  $("filter-clear").disabled = !(types || user);
  if (types === (link.types ?? "") && user === (link.user ?? "")) return;
  view.newest = [];
  view.fresh = view.seen = view.matched = view.shown = view.skipped = view.passed = 0;
  connect();
  events_state();
}

/* ------------------------------------------------------------------ stream */

/*
 * The stream is read with fetch, not with EventSource, because EventSource
 * hides the status of a refusal and the time to wait.  `state` is one of
 * connecting, live, waiting (for the next attempt) and hidden.
 */
const link = {
  state: "connecting", abort: null, types: null, user: null,
  opened_ms: 0, heard_ms: 0, retry_at_ms: 0, attempts: 0, base_ms: 2000,
  hidden_ms: 0, stale_script: false, logging_out: false,
};

function show_live() {
  const left = Math.max(0, Math.ceil((link.retry_at_ms - performance.now()) / 1000));
  const late = performance.now() - page.tick_ms;
  const [names, text] = {
    connecting: ["live", "↻ connecting"],
    live: late > LATE_MS && page.tick_ms ? ["live off", "▲ no answer"]
      : view.paused ? ["live", "‖ events paused"] : ["live on", "● live"],
    waiting: ["live off", left ? `↻ reconnecting in ${left} s` : "↻ reconnecting"],
    hidden: ["live", "‖ window hidden"],
  }[link.state];
  classes($("live"), names);
  put($("live"), text);
}

/* The bar at the foot of the window: it covers, and so moves nothing. */
function notice(text) {
  hide($("notice"), !text);
  put($("notice-text"), text);
}

/* The figures stay when their source is gone, but grey and with their age. */
function show_age() {
  const tick = page.tick;
  if (!tick) return;
  const late = performance.now() - page.tick_ms > LATE_MS || link.state !== "live";
  const since = tick.batchd === false ? tick.stale_since_us || page.now_us : page.now_us;
  const stale = late || tick.batchd === false;
  document.body.classList.toggle("stale", stale);
  put($("age"), stale ? `as of ${clock(since)} ${zone}, ${age(now_us() - since)} ago` : "");
}

function stop(state) {
  const abort = link.abort;
  link.abort = null;
  link.state = state;
  if (abort) abort.abort();
}

/* Try again after a while: twice as long each time, and at least `least_ms`. */
function lost(text, least_ms = 0) {
  stop("waiting");
  const ms = Math.max(least_ms, Math.min(RETRY_MS, link.base_ms * 2 ** Math.min(link.attempts, 8)));
  link.retry_at_ms = performance.now() + ms;
  link.attempts++;
  notice(text);
  announce("state", text, text);
  show_verdict("bad", "No connection to the dashboard");
  show_live();
  show_age();
}

function refused(status, retry_after) {
  const wait_ms = Math.min(60, Number(retry_after) || 0) * 1000;
  if (status === 503 || status === 429)
    lost("Too many viewers: the dashboard already serves as many windows as it may. This window tries again by itself.",
      Math.max(wait_ms, 5000));
  else if (status === 401 || status === 403)
    lost("The dashboard refuses this window. Reload the page.", 10000);
  else
    lost(`The dashboard answered ${status}.`);
}

function stream_url() {
  const query = [];
  link.types = $("filter-type").value.trim();
  link.user = $("filter-user").value.trim();
  if (link.types)
    query.push("types=" + link.types.split(",").map(t => encodeURIComponent(t.trim())).filter(Boolean).join(","));
  if (link.user) query.push("user=" + encodeURIComponent(link.user));
  if (!document.documentElement.classList.contains("wall")) query.push("rows=1");
  view.filtered = Boolean(link.types || link.user);
  return "stream" + (query.length ? "?" + query.join("&") : "");
}

function on_message(text) {
  let name = "", data = "";
  for (const line of text.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data += line.slice(5).trim();
    else if (line.startsWith("retry:")) link.base_ms = Math.min(10000, Math.max(500, Number(line.slice(6)) || 2000));
  }
  if (Object.hasOwn(handlers, name) && data) handlers[name](JSON.parse(data));
}

async function read_stream(body, abort) {
  const reader = body.getReader(), decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const {done, value} = await reader.read();
    if (link.abort !== abort) return;
    if (done) return;
    link.heard_ms = performance.now();
    text += decoder.decode(value, {stream: true});
    let end;
    while ((end = text.indexOf("\n\n")) >= 0) {
      on_message(text.slice(0, end));
      if (link.abort !== abort) return;
      text = text.slice(end + 2);
    }
    if (text.length > BUFFER_CHARS) throw new Error("endless message");
  }
}

async function connect() {
  stop("connecting");
  const abort = link.abort = new AbortController();
  link.opened_ms = link.heard_ms = performance.now();
  show_live();
  try {
    const answer = await fetch(stream_url(), {signal: abort.signal, cache: "no-store",
      headers: {Accept: "text/event-stream"}});
    if (link.abort !== abort) return;
    if (!answer.ok) {
      refused(answer.status, answer.headers.get("Retry-After"));
      return;
    }
    await read_stream(answer.body, abort);
  } catch (error) {
    if (link.abort === abort && error.name !== "TypeError" && error.name !== "AbortError") console.error(error);
  }
  if (link.abort === abort) lost("The dashboard does not answer. The figures are the last ones it sent.");
}

/* ---------------------------------------------------------------- messages */

/* Remove what a login has shown: no other person may find it in this window. */
function forget() {
  for (const id of ["rows", "types", "users", "legend", "chart-table"]) {
    $(id).replaceChildren();
    $(id).shown = null;
  }
  for (const row of series.types) row.name = null;
  $("filters").reset();
  $("event").close();
  put($("event-text"), "");
  colours = [];
  colour_rows = [];
  view.newest = [];
  page.tick = null;
}

function on_hello(m) {
  if (page.boot !== null && page.boot !== m.boot) link.stale_script = true;
  const over = page.show === "events" && m.show !== "events" && m.login && !link.logging_out;
  if (m.show !== page.show && m.show !== "events") forget();
  link.state = "live";
  link.attempts = 0;
  link.logging_out = false;
  Object.assign(page, {boot: m.boot, show: m.show, login: Boolean(m.login),
    session: Boolean(m.session), curl: m.curl, now_us: m.now_us, tick_ms: performance.now()});
  notice("");
  if (over) announce("session", m.now_us, "Your session is over. Log in again to see events.");
  put($("login-why"), (over ? "Your session is over. " : "") +
    "Events, their types and their users are shown with a token that is marked events.");
  hide($("logout"), !page.session);
  put($("version"), m.version ? "leat " + plain(m.version) : "");
  put($("shows"), {figures: "shows figures only", types: "shows figures and types",
    events: "shows figures and events"}[m.show] || "");
  put($("rows-zone"), "(" + zone + ")");
  show_live();
  events_state();
}

function on_snapshot(m) {
  series_load(m);
  choose_colours();
  if (!document.hidden) figures_draw();
}

function show_first(tick) {
  const nothing = tick.total === 0 && tick.batchd !== false;
  hide($("first"), !nothing);
  if (nothing)
    put($("first-curl"), `curl --json '{"type": "hello"}' ` + plain(page.curl || "http://HOST:8080/v1/events"));
}

/* Everything that shows a tick; a hidden window leaves it out. */
function figures_draw() {
  chart_draw();
  reading_draw();
  table_draw();
  const tick = page.tick;
  if (!tick) return;
  show_first(tick);
  show_ingest(tick);
  show_log(tick.log, tick.now_us);
  show_sinks(tick, tick.now_us);
  show_lists(tick);
  put($("viewers"), known(tick.viewers) ? `${number(tick.viewers)} of ${number(tick.max_viewers)} viewers` : "");
}

function on_tick(m) {
  page.tick = m;
  page.now_us = m.now_us;
  page.tick_ms = performance.now();
  // After a snapshot the second that it ends with comes once more.
  if (m.n > series.second && m.events > 0) view.seen += m.events;
  series_tick(m);
  if (m.n % 10 === 0 || colours.length < COLOURS) choose_colours();
  show_verdict(m.level, m.verdict);
  announce_tick(m);
  if (document.hidden) return;
  put($("clock"), clock(m.now_us) + " " + zone);
  figures_draw();
  show_live();
  show_age();
  rows_update();
  events_state();
}

function on_gap(m) {
  view.skipped += m.skipped;
  events_state();
}

const handlers = {
  hello: on_hello, snapshot: on_snapshot, tick: on_tick, events: on_events, gap: on_gap,
};

/* Whether reloading the page now would take something from its reader. */
function busy() {
  return view.paused || $("event").open || /^(INPUT|BUTTON)$/.test(document.activeElement.tagName) ||
    !getSelection().isCollapsed;
}

/* Once a second: what no message brings. */
function watch() {
  const now = performance.now();
  if (document.hidden) {
    link.hidden_ms ||= now;
    if (link.abort && now - link.hidden_ms > HIDDEN_MS) stop("hidden");
    return;
  }
  if (link.hidden_ms) figures_draw();
  link.hidden_ms = 0;
  if (link.state === "hidden") connect();
  if (link.stale_script && !busy()) location.reload();
  if (link.state === "connecting" && now - link.opened_ms > HELLO_MS) {
    const text = "No answer yet. Either the dashboard is stuck, or this browser already has six windows of it open, which is as many connections as browsers allow to one address. Close one of them.";
    notice(text);
    announce("state", "six", text);
  }
  if (link.state === "live" && now - link.heard_ms > SILENT_MS)
    lost("The dashboard has sent nothing for 12 s. The figures are the last ones it sent.");
  if (link.state === "live" && page.tick && now - page.tick_ms > LATE_MS) {
    show_verdict("warn", `No figures from the dashboard for ${age((now - page.tick_ms) * 1000)}`);
    announce("state", "late", "No figures from the dashboard");
  }
  if (link.state === "waiting" && now >= link.retry_at_ms) connect();
  show_live();
  show_age();
}

/*
 * A browser makes six connections to one address, and a seventh window could not
 * even load its page.  So a window that opens asks the hidden ones for theirs.
 */
const windows = new BroadcastChannel("leat " + location.pathname);

function on_window_opened() {
  if (document.hidden && link.abort) {
    stop("hidden");
    show_live();
  }
}

/* ---------------------------------------------------------------- controls */

async function log_in(e) {
  e.preventDefault();
  put($("login-error"), "");
  let text = "";
  try {
    const answer = await fetch("login", {method: "POST", redirect: "manual",
      body: new URLSearchParams({token: $("token").value})});
    if (answer.type !== "opaqueredirect" && !answer.ok)
      text = answer.status === 401 ? "No token is like that."
        : answer.status === 403 ? "This token may not see the dashboard."
        : answer.status === 429 ? "Too many attempts. Wait a minute."
        : "The dashboard answered " + answer.status + ".";
  } catch {
    text = "The dashboard does not answer.";
  }
  put($("login-error"), text);
  if (text) return;
  $("token").value = "";
  connect();
}

async function log_out(e) {
  e.preventDefault();
  link.logging_out = true;
  try {
    await fetch("logout", {method: "POST", redirect: "manual"});
  } catch { /* connect() shows it */ }
  forget();
  connect();
}

function on_key(e) {
  if (e.key !== " " || e.ctrlKey || e.altKey || e.metaKey || page.show !== "events") return;
  if (/^(INPUT|BUTTON|A|PRE|TEXTAREA|SELECT)$/.test(e.target.tagName) || $("event").open) return;
  e.preventDefault();
  set_paused(!view.paused);
}

function read_second(second, by_key) {
  chart.reading = second === null ? null :
    Math.min(series.second, Math.max(series.second - SECONDS + 1, second));
  chart.by_key = by_key;
  chart_draw();
  reading_draw();
}

function on_chart_key(e) {
  const step = {ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -60, PageUp: 60}[e.key];
  const at = chart.reading ?? series.second;
  if (e.key === "Escape") read_second(null, true);
  else if (e.key === "Home") read_second(series.second - SECONDS + 1, true);
  else if (e.key === "End") read_second(series.second, true);
  else if (step) read_second(at + step, true);
  else return;
  e.preventDefault();
}

function on_chart_move(e) {
  const share = (e.clientX - $("chart").getBoundingClientRect().left - chart.left) / chart.width;
  if (share < 0 || share > 1) return;
  read_second(series.second - Math.round((1 - share) * (SECONDS - 1)), false);
}

function on_table() {
  const table = $("chart-table").hidden;
  hide($("chart-table"), !table);
  hide($("chart"), table);
  attribute($("as-table"), "aria-pressed", table);
  table_draw();
  chart_resize();
  legend_draw();
}

function start() {
  if (new URLSearchParams(location.search).has("wall")) document.documentElement.classList.add("wall");
  chart_make();
  new ResizeObserver(chart_resize).observe($("chart"));
  $("as-table").addEventListener("click", on_table);
  $("chart").addEventListener("keydown", on_chart_key);
  $("chart").addEventListener("blur", () => read_second(null, true));
  $("chart").addEventListener("pointermove", on_chart_move);
  $("chart").addEventListener("pointerdown", on_chart_move);
  // A finger that is lifted leaves the reading, until the chart loses the focus.
  $("chart").addEventListener("pointerleave", e => {
    if (e.pointerType === "mouse") read_second(null, true);
  });
  $("pause").addEventListener("click", () => set_paused(!view.paused));
  $("filters").addEventListener("submit", e => e.preventDefault());
  $("filters").addEventListener("input", filter_changed);
  $("filters").addEventListener("reset", () => setTimeout(filter_apply, 0));
  $("rows").addEventListener("pointerdown", () => view.touched_ms = performance.now());
  $("login").addEventListener("submit", log_in);
  $("logout").addEventListener("submit", log_out);
  $("retry").addEventListener("click", connect);
  document.addEventListener("keydown", on_key);
  document.addEventListener("pointermove", on_pointer, {passive: true});
  document.addEventListener("pointerdown", on_pointer, {passive: true});
  document.addEventListener("selectionchange", on_selection);
  document.addEventListener("visibilitychange", watch);
  setInterval(watch, 1000);
  windows.addEventListener("message", on_window_opened);
  windows.postMessage("opened");
  events_state();
  connect();
}

start();
