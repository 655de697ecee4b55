"""Compare what libhttp makes of a byte stream with what others make of it.

The rule: what any of Node, Go and h11 refuses, libhttp refuses; what libhttp
accepts means the same to all of them; and it never sees more requests than
any of them.  Being stricter is always allowed.  Exceptions are in DIFFERENCES,
with their reasons; differences.md explains them.

libhttp also keeps its own rules: a refusal is one answer and a closed
connection, a case that names the status it deserves gets it, and every valid
case is accepted.
"""
import collections
import json
import re
import time

import exchange
import generator


class Request:
    """A request as one server saw it, in terms that all of them have."""

    __slots__ = ("method", "path", "query", "minor", "host", "fields", "body",
                 "absolute")

    def __init__(self, seen):
        self.method, self.minor = seen["method"], seen["minor"]
        self.body = seen["body"]
        if "target" in seen:
            self.path, self.query, self.absolute = split_target(
                seen["target"])
        else:
            self.path, self.query = seen["path"], seen["query"]
            self.absolute = False
        self.fields, self.host = {}, []
        for name, value in seen["fields"]:
            name = name.lower()
            if name == "host":
                self.host.append(value)
            elif name == "transfer-encoding":
                self.fields.setdefault(name, []).append(value.lower())
            else:
                self.fields.setdefault(name, []).append(value)

    def __repr__(self):
        return json.dumps({name: getattr(self, name)
                           for name in self.__slots__})[:1000]


def split_target(target):
    """Path, query and whether it was in the absolute form."""
    absolute = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*", target)
    if absolute:
        target = target[absolute.end():]
        if not target.startswith("/"):
            target = "/" + target
    path, mark, query = target.partition("?")
    return path, query if mark else None, absolute is not None


# A request that a server answered without telling what it saw.
UNKNOWN = object()


class View:
    """What one server made of one stream."""

    __slots__ = ("server", "seen", "refusal", "answers", "over")

    def __init__(self, server, talk):
        self.server, self.over = server, talk.over
        self.answers = exchange.answers(talk.got, talk.data)
        self.seen, self.refusal = [], None
        for answer in self.answers:
            if answer.status != 200:
                self.refusal = self.refusal or answer
                continue
            text = answer.fields.get("x-seen") or answer.content
            seen = json.loads(text) if text else {}
            # Node 20.19 parses QUERY and gives it no name.
            self.seen.append(Request(seen) if "method" in seen else UNKNOWN)

    def __repr__(self):
        lines = [f"{self.server}: {len(self.seen)} requests, then "
                 + (f"{self.refusal.status}" if self.refusal else "nothing")
                 + f", {self.over}"]
        lines += [f"    {'?' if r is UNKNOWN else r}" for r in self.seen]
        if self.refusal:
            lines.append(f"    why: {self.refusal.fields.get('x-why', '')} "
                         f"{self.refusal.content[:200]!r}")
        return "\n".join(lines)


def go_fields(request):
    """The fields as net/http gives them to a handler."""
    fields = {k: v for k, v in request.fields.items() if k != "trailer"}
    if fields.get("pragma", [""])[0] == "no-cache":
        fields.setdefault("cache-control", ["no-cache"])
    return fields


def unequal(mine, theirs, server):
    """The names of what differs, as far as the server lets it be seen."""
    parts = [name for name in ("method", "path", "query", "minor", "host",
                               "fields", "body")
             if getattr(mine, name) != getattr(theirs, name)]
    if server == "go":
        # net/http takes the host out of an absolute target, has no way to
        # tell an empty Host from none, and changes two of the fields.
        if "host" in parts and (theirs.absolute or
                                (mine.host, theirs.host) == ([""], [])):
            parts.remove("host")
        if "fields" in parts and go_fields(mine) == theirs.fields:
            parts.remove("fields")
    return parts


class Found:
    """
    One difference of libhttp to a server: the n-th request is one that the
    server did not see (parts is None), or has other parts.
    """

    def __init__(self, case, mine, theirs, n, parts):
        self.case, self.mine, self.theirs = case, mine, theirs
        self.n, self.parts = n, parts
        self.request = mine.seen[n]
        self.other = theirs.seen[n] if parts is not None else None
        self.last = theirs.seen[-1] if theirs.seen else None

    @property
    def status(self):
        """The status that the server refused the request with, or None."""
        return self.theirs.refusal and self.theirs.refusal.status

    @property
    def why(self):
        return self.theirs.refusal.fields.get("x-why", "") \
            if self.theirs.refusal else ""


class Difference:
    """covers(found): whether this is the one that was found."""

    def __init__(self, name, server, covers, reason):
        self.name, self.server = name, server
        self.covers, self.reason = covers, reason


# llhttp knows these, and refuses all others.
NODE_METHODS = frozenset(
    "ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK M-SEARCH MERGE "
    "MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY OPTIONS PATCH POST PROPFIND "
    "PROPPATCH PURGE PUT REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE "
    "UNBIND UNLINK UNLOCK UNSUBSCRIBE".split())

TAB_VALUE = re.compile(rb"^(?:content-length|transfer-encoding|connection):"
                       rb"[^\r\n]*\t", re.I | re.M)


def lists(request, name, word):
    """Whether a list header of the request has this word."""
    words = ",".join(request.fields.get(name, ())).lower().split(",")
    return word in [w.strip(" \t") for w in words]


DIFFERENCES = [
    Difference(
        "Node knows a fixed list of methods", "node",
        lambda f: f.status == 400 and f.request.method not in NODE_METHODS,
        "RFC 9110 lets any token be a method.  libhttp leaves it to the "
        "program to answer 405.  Where a request ends does not depend on it."),
    Difference(
        "Node takes no tab around framing values", "node",
        lambda f: f.parts is None and TAB_VALUE.search(f.case.data),
        "RFC 9110 allows a tab wherever it allows a space around a value.  "
        "Node refuses it after Content-Length and Transfer-Encoding, and does "
        "not recognize `keep-alive` before one."),
    Difference(
        "Node heeds Proxy-Connection", "node",
        lambda f: f.last and lists(f.last, "proxy-connection", "close"),
        "Proxy-Connection is no header of HTTP.  Node reads it as Connection, "
        "and closes; all others ignore it."),
    Difference(
        "Node drops what follows an upgrade", "node",
        lambda f: f.parts is None and f.last and not f.theirs.refusal and
        "upgrade" in f.last.fields and lists(f.last, "connection", "upgrade"),
        "A server may ignore Upgrade.  Node does, but loses the bytes that it "
        "has received after that request."),
    Difference(
        "h11 closes after HTTP/1.0", "h11",
        lambda f: f.parts is None and f.last and f.last.minor == 0 and
        not f.theirs.refusal,
        "h11 does not implement `Connection: keep-alive` of HTTP/1.0, and "
        "closes after its answer.  Proxies use it, so libhttp keeps it."),
]


def difference(found):
    for d in DIFFERENCES:
        if d.server == found.theirs.server and d.covers(found):
            return d
    return None


def compare(case, mine, theirs):
    """The first difference of libhttp's view to a server's, or None."""
    for n, request in enumerate(mine.seen):
        if n >= len(theirs.seen):
            return Found(case, mine, theirs, n, None)
        if UNKNOWN in (request, theirs.seen[n]):
            continue
        parts = unequal(request, theirs.seen[n], theirs.server)
        if parts:
            return Found(case, mine, theirs, n, parts)
    return None


def own_faults(case, view):
    """Where libhttp does not keep its own word."""
    refused = [i for i, a in enumerate(view.answers) if a.status != 200]
    if refused and refused != [len(view.answers) - 1]:
        yield "something follows a refusal"
    for i, answer in enumerate(view.answers):
        close = answer.fields.get("connection", "").lower() == "close"
        if close and i != len(view.answers) - 1:
            yield "something follows an answer that closes"
        if answer.status != 200 and not close:
            yield "a refusal does not close"
    if view.over == "late":
        yield "the connection was not closed"
    if case.total is not None and len(view.seen) != case.total:
        yield f"{len(view.seen)} of {case.total} valid requests were taken"
    if case.refuse is not None:
        wanted = case.refuse if isinstance(case.refuse, tuple) \
            else (case.refuse,)
        if len(view.seen) != case.before:
            yield f"{len(view.seen)} requests were taken, not {case.before}"
        elif not view.refusal or view.refusal.status not in wanted:
            yield f"not refused with {wanted}"


class Report:
    def __init__(self):
        self.cases = self.requests = self.equal = self.divided = 0
        self.accepted = collections.Counter()    # by difference
        self.stricter = collections.Counter()    # by reason of libhttp's
        self.examples = {}
        self.kept = []
        self.faults = []
        self.seconds = 0

    def add(self, case, views, subject):
        self.cases += 1
        mine = views[subject]
        self.requests += len(mine.seen)
        for fault in own_faults(case, mine):
            self.faults.append((fault, case, views))
        others = [v for name, v in views.items() if name != subject]
        same = True
        for theirs in others:
            found = compare(case, mine, theirs)
            if not found:
                continue
            same = False
            d = difference(found)
            if d:
                self.accepted[d.name] += 1
                self.examples.setdefault(d.name, (case, views))
            else:
                self.faults.append((
                    f"{theirs.server} did not see request {found.n}"
                    if found.parts is None else
                    f"{theirs.server} saw another request {found.n}: "
                    + ", ".join(found.parts), case, views))
        if same and all(len(v.seen) > len(mine.seen) for v in others):
            why = reason(mine)
            self.stricter[why] += 1
            self.examples.setdefault(why, (case, views))
        self.equal += same and all(len(v.seen) == len(mine.seen)
                                   for v in others)
        self.divided += any(
            len(v.seen) != len(others[0].seen) or compare(case, v, others[0])
            for v in others[1:])

    def text(self, faults=20):
        lines = [f"{self.cases} cases in {self.seconds:.0f} s, "
                 f"{self.requests} requests taken, {self.equal} cases read "
                 f"alike by all, {self.divided} on which the others differ, "
                 f"{sum(self.accepted.values())} accepted differences, "
                 f"{len(self.faults)} faults"]
        for name, n in self.accepted.most_common():
            lines.append(f"  {n:6} accepted: {name}")
        for name, n in self.stricter.most_common():
            lines.append(f"  {n:6} stricter than all: {name}")
        for what, case, views in self.faults[:faults]:
            lines.append(f"FAULT {what}: case {case.index}, {case.label}")
            lines.append(f"    {case.data[:1500]!r}")
            lines += [f"  {view!r}" for view in views.values()]
        return "\n".join(lines)


def reason(view):
    """The reason that libhttp gave for its refusal."""
    if not view.refusal:
        return "no answer"
    text = view.refusal.content.decode("latin-1")
    try:
        text = json.loads(text)["reason"]
    except (ValueError, KeyError, TypeError):
        pass
    return f"{view.refusal.status} {text}"


def run(cases, addresses, subject="http_echo", stop_after_s=None, keep=False):
    """Send the cases to all servers; `subject` is the one under test."""
    report, started = Report(), time.monotonic()
    pending = {}

    def talks(name):
        for case in cases:
            if stop_after_s and time.monotonic() > started + stop_after_s:
                raise AssertionError(
                    f"only {report.cases} cases in {stop_after_s} s")
            # Refusals of the subject must close by themselves.
            yield exchange.Talk(case, case.data,
                                name != subject or case.refuse is None)

    for name, talk in exchange.converse(
            addresses, {name: talks(name) for name in addresses}):
        case = talk.key
        views = pending.setdefault(case.index, {})
        views[name] = View(name, talk)
        if len(views) == len(addresses):
            del pending[case.index]
            if keep:
                report.kept.append((case, views))
            report.add(case, {n: views[n] for n in addresses}, subject)
    report.seconds = time.monotonic() - started
    return report
