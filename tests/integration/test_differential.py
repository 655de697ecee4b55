"""libhttp against other servers, on requests that are broken in every place.

tests/differential has the requests, the other servers and the comparison;
tests/differential/run is the program for longer runs.  LEAT_CASES and LEAT_SEED
change how many requests there are, and which; LEAT_TIME_FACTOR the time.
"""
import collections
import contextlib
import functools
import http.client
import json
import os
import pathlib
import shutil
import sys
import tempfile
import threading

from leat import Leat, fact, limit

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "differential"))

import compare  # noqa: E402  (the path comes first)
import exchange  # noqa: E402
import generator  # noqa: E402
import proxies  # noqa: E402
import servers  # noqa: E402

FACTOR = float(os.environ.get("LEAT_TIME_FACTOR", "1"))
CASES = int(os.environ.get("LEAT_CASES", "20000"))
SEED = int(os.environ.get("LEAT_SEED", "1"))

# Cases that are sent split at every byte, besides the valid ones.
SPLIT_CASES = min(CASES, 400)
SPLIT_BYTES = 700  # of a case; a longer one has too many places

# A client that hears nothing for so long leaves.  Most often its request is
# not complete; if it was only early, the test sees one answer less.
QUIET_S = 0.25

SENDERS = 8
POSTS = 100  # of each sender


@contextlib.contextmanager
def scratch():
    path = pathlib.Path(tempfile.mkdtemp(
        prefix="leat-", dir=os.environ.get("LEAT_TEST_TMP")))
    path.chmod(0o755)
    try:
        yield path
    finally:
        if not os.environ.get("LEAT_KEEP"):
            shutil.rmtree(path, ignore_errors=True)


@limit(240)
def test_no_server_reads_a_request_otherwise():
    cases = list(generator.cases(SEED, CASES))
    with scratch() as directory, servers.all_of_them(directory) as running:
        report = compare.run(cases, running.addresses,
                             stop_after_s=180 * FACTOR)
    print(report.text())
    assert report.cases == CASES
    assert not report.faults, f"seed {SEED}"
    # A test of nothing would pass as well.
    assert report.requests > CASES // 4 and report.divided > CASES // 20
    fact(report.text().splitlines()[0])


@limit(60)
def test_the_accepted_differences_are_documented():
    text = (servers.HERE / "differences.md").read_text()
    words = " ".join(text.replace("`", "").split())
    for d in compare.DIFFERENCES:
        assert f"\n## {d.name}\n" in text, d.name
        assert " ".join(d.reason.replace("`", "").split()) in words, d.name
    assert text.count("\n## ") == len(compare.DIFFERENCES) + 2


def outcome(data, case):
    return [(a.status, a.content, a.fields.get("x-seen"),
             a.fields.get("connection"))
            for a in exchange.answers(data, case.data)]


@limit(180)
def test_a_request_means_the_same_split_at_any_byte():
    cases = [c for c in generator.cases(SEED, 10 * SPLIT_CASES)
             if len(c.data) <= SPLIT_BYTES]
    step = len(cases) // SPLIT_CASES + 1
    cases = [c for i, c in enumerate(cases) if c.total or i % step == 0]
    with scratch() as directory:
        path = str(directory / "echo.sock")
        with servers.Running([servers.http_echo(directory, "--unix", path)]):
            whole = {t.key: outcome(t.got, t.key) for t in
                     exchange.converse_in_pieces(path, (
                         exchange.Pieces(c, [c.data]) for c in cases))}
            talks = (exchange.Pieces((c, n), [c.data[:n], c.data[n:]])
                     for c in cases for n in range(1, len(c.data)))
            splits = check_pieces(path, talks, whole)
            talks = (exchange.Pieces((c, "all"), [
                c.data[n:n + 1] for n in range(len(c.data))]) for c in cases)
            check_pieces(path, talks, whole)
    fact(f"{len(cases)} cases, {splits} splits in two, and each byte apart; "
         f"{sum(map(len, whole.values()))} answers each")


def check_pieces(path, talks, whole):
    count = 0
    for talk in exchange.converse_in_pieces(path, talks):
        case, at = talk.key
        got = outcome(talk.got, case)
        assert got == whole[case], \
            f"split at {at}: {got}, else {whole[case]}: {case.data!r}"
        count += 1
    return count


# Through proxies.

def seen_of(answer):
    """What http_echo saw of the request; None: the answer is not its."""
    try:
        return json.loads(answer.fields.get("x-seen") or answer.content)
    except ValueError:
        return None


def identities(seen):
    return [v for n, v in seen["fields"] if n.lower() == "x-proxy-request"]


def has_marker(data, case):
    """Whether the answer to the last request of the case has come."""
    if b"-marker" not in data:
        return False
    try:
        exchange.answers(data, case.data)
    except ValueError:
        return False
    return True


def victim_talk(n):
    return exchange.Talk(n, b"GET /victim-%d HTTP/1.1\r\nHost: h\r\n"
                         b"Connection: close\r\n\r\n" % n, False)


def attacks_and_victims(cases):
    for n, case in enumerate(cases):
        yield exchange.Talk(case, case.data, False, functools.partial(
            has_marker, case=case), QUIET_S)
        yield victim_talk(n)


class Witness:
    """What clients of a proxy got; complains of what is not theirs."""

    def __init__(self):
        self.faults, self.over = [], collections.Counter()
        self.answered = {}  # by identity
        self.statuses = collections.Counter()

    def hear(self, talk):
        self.over[talk.over] += 1
        victim = isinstance(talk.key, int)
        try:
            answers = exchange.answers(talk.got, talk.data)
        except ValueError:
            # An answer without a head, as HTTP/0.9 has it, or one that was
            # not complete when the client closed.
            answers = []
            if victim:
                self.faults.append(f"a victim got {talk.got!r}")
        for answer in answers:
            self.statuses[answer.status] += 1
            if answer.status == 200:
                self.check_answer(talk, answer)
        if victim and [a.status for a in answers] != [200]:
            self.faults.append(f"victim {talk.key} got {talk.got!r}")

    def check_answer(self, talk, answer):
        seen = seen_of(answer)
        identity = answer.fields.get("x-proxy-answer")
        if not seen or identities(seen) != [identity]:
            self.faults.append(f"{talk.data!r} got an answer that is not its "
                               f"own: {answer.fields} {answer.content!r}")
            return
        self.answered[identity] = seen
        path = seen["path"].encode("latin-1")
        if path not in talk.data and path != b"/":  # of http://host
            self.faults.append(f"{talk.data!r} got another's {seen}")

    def check_log(self, lines):
        """The requests that the server saw against those forwarded."""
        logged = {}
        for line in lines:
            if not line.startswith("seen "):
                continue
            seen = json.loads(line.removeprefix("seen "))
            identity = identities(seen)
            if len(identity) != 1:
                self.faults.append(f"a smuggled request: {seen}")
                continue
            # A proxy sends a request again when the connection had closed.
            if logged.setdefault(identity[0], seen) != seen:
                self.faults.append(f"{logged[identity[0]]} became {seen}")
        for identity, seen in self.answered.items():
            if logged.get(identity) != seen:
                self.faults.append(f"answered, but not seen: {seen}")
        return len(logged)


@limit(240)
def test_proxies_and_libhttp_agree_on_every_request():
    cases = list(generator.cases(SEED, CASES))
    for name, make in proxies.PROXIES.items():
        with scratch() as directory:
            echo, witness = servers.http_echo(directory, "--log"), Witness()
            with servers.Running([echo]):
                proxy = make(directory, servers.port_of(echo))
                with servers.Running([proxy]):
                    for _, talk in exchange.converse(
                            {name: ("127.0.0.1", proxy.port)},
                            {name: attacks_and_victims(cases)}):
                        witness.hear(talk)
            seen = witness.check_log(echo.lines)
        for fault in witness.faults[:20]:
            print(f"{name}: {fault[:3000]}")
        assert not witness.faults, f"{name}: {len(witness.faults)} faults"
        assert sum(witness.over.values()) == 2 * CASES
        assert seen >= CASES + CASES // 10, seen
        fact(f"{name}: {len(cases)} cases and as many victims, {seen} "
             f"requests forwarded, {witness.statuses[400]} times 400")


def send_events(port, count, errors):
    """One keep-alive sender through a proxy."""
    try:
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for _ in range(count):
            c.request("POST", "/v1/events", b'[{"type":"t"}]',
                      {"Content-Type": "application/json"})
            answer = c.getresponse()
            text = answer.read()
            assert answer.status == 202, (answer.status, text)
            assert not answer.will_close, answer.headers
        c.close()
    except Exception as e:  # reported by the test's main thread
        errors.append(e)


@limit(120)
def test_senders_are_served_through_proxies():
    for name, make in proxies.PROXIES.items():
        with Leat(sinks=(), postgres=False,
                  settings={"batchd": {"sinks": ""}}) as leat:
            before = leat.status()["log"]["next_offset"]
            proxy, errors = make(leat.directory, leat.port), []
            with servers.Running([proxy]):
                threads = [threading.Thread(target=send_events, args=(
                    proxy.port, POSTS, errors)) for _ in range(SENDERS)]
                for t in threads:
                    t.start()
                for t in threads:
                    t.join()
                assert not errors, errors
            after = leat.status()["log"]["next_offset"]
            assert after - before == SENDERS * POSTS, after - before
            fact(f"{name}: {SENDERS * POSTS} events of {SENDERS} senders")
