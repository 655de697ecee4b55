"""Each answer that ingestd gives, on real sockets."""
import gzip
import json
import re
import shutil
import socket
import subprocess

from events import small
from leat import ROOT, Leat, Skip, wait_until

JSON = {"Content-Type": "application/json"}


def post(leat, body, headers=None, path="/v1/events", connection=None):
    return leat.request("POST", path, body, {**JSON, **(headers or {})},
                        connection)


def raw(leat, data, timeout_s=15):
    """Send bytes as they are; everything that comes back until it closes."""
    with socket.create_connection(("127.0.0.1", leat.port), timeout_s) as s:
        s.sendall(data)
        out = b""
        try:
            while chunk := s.recv(65536):
                out += chunk
        except ConnectionResetError:
            pass
        return out


def statuses(answer):
    """The status codes of the responses in a stream."""
    return [int(m[1]) for m in re.finditer(rb"HTTP/1\.1 (\d+) ", answer)]


def test_accepted():
    with Leat() as leat:
        status, answer, headers = post(leat, b'[{"type":"a"},{"type":"b"}]')
        assert status == 202 and answer == {"accepted": 2, "offset": 0}
        assert headers["content-type"].startswith("application/json")
        assert leat.post({"type": "one"}) == (202, {"accepted": 1,
                                                    "offset": 2})
        assert leat.post([]) == (202, {"accepted": 0})
        body = b'{"type":"n1"}\n\n{"type":"n2"}\r\n{"type":"n3"}'
        status, answer, _ = post(leat, body,
                                 {"Content-Type": "application/x-ndjson"})
        assert (status, answer["accepted"]) == (202, 3), answer
        leat.caught_up()
        assert leat.pg.query("select type from events order by ctid").split() \
            == ["a", "b", "one", "n1", "n2", "n3"]
        # Defaults: an id, nobody, an empty payload, created when received.
        assert leat.pg.number(
            "select count(*) from events where substr(id, 15, 1) = '7' and "
            "length(id) = 36 and user_id is null and payload::text = '{}' "
            "and created_at = received_at") == 6
        assert leat.pg.number("select count(distinct id) from events") == 6


def test_refused_with_reasons():
    with Leat() as leat:
        c = leat.connect()
        bad = [{"type": "ok"}, {}, {"type": ""}, {"type": "t", "typo": 1},
               {"type": "t", "payload": [1]}, {"type": "t", "id": 5},
               {"type": "t", "created_at": "yesterday"}]
        status, answer, _ = post(leat, json.dumps(bad).encode(), connection=c)
        assert status == 400 and answer["error"] == "invalid payload", answer
        assert [e["index"] for e in answer["errors"]] == [1, 2, 3, 4, 5, 6]
        assert [e["field"] for e in answer["errors"]] == \
            ["type", "type", "typo", "payload", "id", "created_at"], answer
        assert all(e["reason"] for e in answer["errors"])
        # The first ten of many.
        status, answer, _ = post(leat, json.dumps([{}] * 25).encode(),
                                 connection=c)
        assert status == 400 and len(answer["errors"]) == 10
        assert answer["rejected"] == 25, answer
        for body in (b"", b"{", b"[1]", b'"x"', b"[{}", b'[{"type":"t"}]x',
                     b'[{"type":"\xff"}]', b'[{"type":"\\u0000"}]',
                     b'[{"type":"\\ud800"}]', b'[{"type":"t","type":"u"}]',
                     b'[{"type":"t","payload":{"a":01}}]',
                     b'[{"type":"t","payload":' + b'{"a":' * 65 + b"1"
                     + b"}" * 65 + b"}]",
                     b'[{"type":"t","received_at":1}]',
                     json.dumps([{"type": "t" * 129}]).encode()):
            status, answer, _ = post(leat, body, connection=c)
            assert status == 400, (body[:60], status, answer)
        # All or nothing, and the connection is as good as before.
        leat.accept([{"type": "after"}], connection=c)
        c.close()
        leat.caught_up()
        assert leat.pg.query("select type from events") == "after"


def test_partial():
    with Leat() as leat:
        body = b'[{"type":"a"},{"no":1},{"type":"b"}]'
        status, answer, _ = post(leat, body, path="/v1/events?partial=1")
        assert status == 202 and answer["accepted"] == 2, answer
        assert answer["rejected"] == 1 and answer["errors"][0]["index"] == 1
        status, answer, _ = post(leat, b"[{}]", path="/v1/events?partial=1")
        assert (status, answer["accepted"]) == (202, 0), answer
        # What cannot be parsed to its end is refused whole.
        status, _, _ = post(leat, b'[{"type":"a"},{"ty',
                            path="/v1/events?partial=1")
        assert status == 400
        leat.caught_up()
        assert leat.pg.query("select type from events order by ctid").split() \
            == ["a", "b"]


def test_other_answers_keep_the_connection():
    with Leat() as leat:
        c = leat.connect()
        for method, path, headers, want in [
                ("GET", "/nothing", {}, 404),
                ("POST", "/v1/event", JSON, 404),
                ("GET", "/v1/events", {}, 405),
                ("DELETE", "/v1/events", {}, 405),
                ("POST", "/healthz", JSON, 405),
                ("POST", "/v1/events", {"Content-Type": "text/html"}, 415),
                ("POST", "/v1/events",
                 {**JSON, "Content-Encoding": "br"}, 415)]:
            body = b'[{"type":"t"}]' if method == "POST" else None
            status, answer, fields = leat.request(method, path, body, headers,
                                                  c)
            assert status == want, (method, path, status, answer)
            assert answer["error"], answer
            if status == 405:
                allowed = fields["allow"].replace(" ", "").split(",")
                assert ("POST" if "events" in path else "GET") in allowed
        assert leat.request("GET", "/healthz", connection=c)[0] == 200
        assert leat.request("GET", "/readyz", connection=c)[0] == 200
        leat.accept([{"type": "t"}], connection=c)
        c.close()


def test_too_large():
    settings = {"ingestd": {"max_body_bytes": "64K",
                            "max_event_bytes": "8K"}}
    with Leat(settings=settings) as leat:
        big = json.dumps(small("b", 2000)).encode()
        assert len(big) > 100_000
        status, answer, _ = post(leat, big)
        assert status == 413 and answer["error"], answer
        # The limit holds for the unpacked size: a bomb stays small.
        bomb = gzip.compress(b" " * 50_000_000 + b"[]")
        assert len(bomb) < 65_000
        status, answer, _ = post(leat, bomb, {"Content-Encoding": "gzip"})
        assert status == 413, (status, answer)
        one = json.dumps([{"type": "t", "payload": {"p": "x" * 9000}}])
        status, answer, _ = post(leat, one.encode())
        assert status in (400, 413), (status, answer)
        head = (b"POST /v1/events HTTP/1.1\r\nHost: x\r\nX: "
                + b"h" * 100_000 + b"\r\n\r\n")
        assert statuses(raw(leat, head))[:1] == [431]
        leat.accept([{"type": "t", "payload": {"p": "x" * 7000}}])
        leat.caught_up()
        assert leat.pg.number("select count(*) from events") == 1


def test_encodings():
    with Leat() as leat:
        body = json.dumps(small("z", 300)).encode()
        c = leat.connect()
        status, answer, _ = post(leat, gzip.compress(body),
                                 {"Content-Encoding": "gzip"}, connection=c)
        assert (status, answer["accepted"]) == (202, 300), answer
        for broken in (b"no gzip at all", gzip.compress(body)[:-9],
                       gzip.compress(body) + b"more"):
            status, answer, _ = post(leat, broken,
                                     {"Content-Encoding": "gzip"},
                                     connection=c)
            assert status == 400, (status, answer)
        c.close()
        leat.caught_up()
        assert leat.pg.number("select count(*) from events") == 300


def test_zstd():
    if not shutil.which("zstd"):
        raise Skip("no zstd program")
    with Leat() as leat:
        body = json.dumps(small("z", 300)).encode()
        packed = subprocess.run(["zstd", "-c"], input=body, check=True,
                                capture_output=True).stdout
        status, answer, _ = post(leat, packed, {"Content-Encoding": "zstd"})
        assert (status, answer["accepted"]) == (202, 300), answer
        status, answer, _ = post(leat, packed[:-5],
                                 {"Content-Encoding": "zstd"})
        assert status == 400, (status, answer)


def chunked(body, size):
    parts = [body[i:i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts) + b"0\r\n\r\n"


def test_chunked_body():
    with Leat() as leat:
        head = (b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: "
                b"application/json\r\nTransfer-Encoding: chunked\r\n"
                b"Connection: close\r\n\r\n")
        body = json.dumps(small("c", 500)).encode()
        for size in (7, 1000, 1 << 20):
            answer = raw(leat, head + chunked(body, size))
            assert statuses(answer) == [202], answer
        assert leat.status()["log"]["next_offset"] == 1500


def test_expect_100_continue():
    with Leat() as leat, \
            socket.create_connection(("127.0.0.1", leat.port), 10) as s:
        body = b'[{"type":"t"}]'
        s.sendall(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: "
                  b"application/json\r\nExpect: 100-continue\r\n"
                  b"Content-Length: %d\r\nConnection: close\r\n\r\n"
                  % len(body))
        assert b"100 Continue" in s.recv(1000)
        s.sendall(body)
        out = b""
        while chunk := s.recv(1000):
            out += chunk
        assert b" 202 " in out, out


def test_pipelined_requests_are_answered_in_order():
    with Leat() as leat:
        one = b'[{"type":"t"}]'
        request = (b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: "
                   b"application/json\r\nContent-Length: %d\r\n\r\n%s"
                   % (len(one), one))
        last = request.replace(b"Host: x", b"Host: x\r\nConnection: close")
        answer = raw(leat, request * 19 + last)
        assert statuses(answer) == [202] * 20, answer[-300:]
        offsets = [json.loads(m[0])["offset"]
                   for m in re.finditer(rb"\{.*?\}", answer)]
        assert offsets == list(range(20)), offsets


def test_a_sender_that_goes_away_in_mid_request():
    with Leat() as leat:
        for cut in (10, 60, 130):
            with socket.create_connection(("127.0.0.1", leat.port), 10) as s:
                s.sendall((b"POST /v1/events HTTP/1.1\r\nHost: x\r\n"
                           b"Content-Type: application/json\r\n"
                           b"Content-Length: 1000\r\n\r\n"
                           b'[{"type":"t"},')[:cut])
        leat.accept([{"type": "t"}])
        assert leat.status()["log"]["next_offset"] == 1


def test_metrics():
    with Leat() as leat:
        leat.accept(small("m", 42))
        leat.post([{}])
        leat.caught_up()

        def metric(name):
            status, text, headers = leat.request("GET", "/metrics")
            assert status == 200
            assert headers["content-type"].startswith("text/plain")
            for line in text.splitlines():
                if line.startswith(name):
                    return float(line.split()[-1])
            return None
        assert metric("leat_ingestd_accepted_events") == 42
        wait_until(lambda: metric('leat_sink_lag_events{sink="postgres"}')
                   == 0, "lag is shown and 0")
        # What the page for operators names is there.
        page = (ROOT / "docs/operations.md").read_text()
        for name in set(re.findall(r"`(leat_(?:sink|log|ingestd)_[a-z_]+)", page)):
            assert metric(name) is not None, name
