"""Each answer that ingestd gives, on real sockets."""
import gzip
import json
import re
import shutil
import signal
import socket
import subprocess

from events import small
from leat import ROOT, Leat, Skip, wait_until
from metrics import Page

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
        # Defaults: an id, no user, an empty payload, created when received.
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


def test_partial_is_read_or_refused():
    with Leat(sinks=(), postgres=False) as leat:
        c = leat.connect()
        body = b'[{"type":"a"},{}]'
        for word in ("1", "true", "yes", "on"):
            status, answer, _ = post(leat, body, connection=c,
                                     path=f"/v1/events?partial={word}")
            assert (status, answer["rejected"]) == (202, 1), (word, answer)
        for word in ("0", "false", "no", "off"):
            status, answer, _ = post(leat, body, connection=c,
                                     path=f"/v1/events?partial={word}")
            assert status == 400 and answer["errors"], (word, answer)
        for word in ("", "maybe", "2", "TRUE", "1,1", "%31%00", "x" * 9000):
            status, answer, _ = post(leat, b'[{"type":"a"}]',
                                     path=f"/v1/events?partial={word}")
            assert status == 400, (word, answer)
            if "%" not in word:
                assert "partial must be" in answer["reason"], answer
        # NDJSON: the index is the number of the line that is not blank.
        lines = b'{"type":"a"}\n\nno json\n  \n{"type":"b"}\n{}\n[1\n'
        status, answer, _ = post(leat, lines, connection=c,
                                 headers={"Content-Type":
                                          "application/x-ndjson"},
                                 path="/v1/events?partial=1")
        assert (status, answer["accepted"], answer["rejected"]) == \
            (202, 2, 3), answer
        assert [e["index"] for e in answer["errors"]] == [1, 3, 4], answer
        c.close()


def test_values_that_senders_really_send():
    with Leat() as leat:
        nulls = b'{"type":"n","id":null,"user_id":null,"payload":null,' \
                b'"created_at":null}'
        assert post(leat, nulls)[0] == 202
        assert post(leat, b"\xef\xbb\xbf" + nulls)[0] == 202
        assert post(leat, b"\xef\xbb\xbf" + nulls + b"\n" + nulls,
                    {"Content-Type": "application/x-ndjson"})[0] == 202
        digits = "1" * 500
        assert leat.post({"type": "long", "created_at":
                          f"2026-01-02T03:04:05.{digits}+01:00"})[0] == 202
        status, answer, _ = post(
            leat, b'{"type":"s","created_at":1700000000}')
        assert status == 400 and answer["errors"][0] == {
            "index": 0, "field": "created_at",
            "reason": "looks like seconds; send milliseconds"}, answer
        leat.caught_up()
        assert leat.pg.query("select payload, user_id is null, created_at = "
                             "received_at, length(id) from events where "
                             "type = 'n'").splitlines() == ["{}|t|t|36"] * 4
        assert leat.pg.query(
            "select created_at at time zone 'UTC' from events where type = "
            "'long'") == "2026-01-02 02:04:05.111111"


def test_ignored_fields_are_reported():
    settings = {"ingestd": {"unknown_fields": "ignore"}}
    with Leat(sinks=(), postgres=False, settings=settings) as leat:
        body = b'[{"type":"a","usr":"x","ts":1},{"type":"b","usr":"y"}]'
        status, answer, _ = post(leat, body)
        assert (status, answer["ignored_fields"]) == (202, 3), answer
        assert "ignored_fields" not in leat.accept([{"type": "t"}])
        line = leat.ingestd.wait_line("unknown fields ignored")
        assert "fields=3" in line and 'first="usr"' in line, line
        wait_until(lambda: Page(leat)["leat_ingestd_ignored_fields_total"]
                   == 3, "they are counted")
        # One line, however many there are.
        for _ in range(50):
            post(leat, body)
        assert len([l for l in leat.ingestd.lines
                    if "unknown fields ignored" in l]) <= 11


def test_options_lists_what_is_allowed():
    with Leat(sinks=(), postgres=False) as leat:
        c = leat.connect()
        for path, allow in (("/v1/events", "POST, OPTIONS"),
                            ("/healthz", "GET, HEAD, OPTIONS"),
                            ("/readyz", "GET, HEAD, OPTIONS"),
                            ("/metrics", "GET, HEAD, OPTIONS"),
                            ("/", "GET, HEAD, POST, OPTIONS"),
                            ("*", "GET, HEAD, POST, OPTIONS")):
            status, text, fields = leat.request("OPTIONS", path, connection=c)
            assert (status, text, fields["allow"]) == (204, "", allow), path
        assert leat.request("OPTIONS", "/nothing", connection=c)[0] == 404
        assert leat.request("GET", "/", connection=c)[0] == 404
        c.close()


def test_an_outcome_that_is_unknown_is_504():
    """503 means that nothing was kept; these may have been."""
    settings = {"ingestd": {"append_timeout_ms": 3000}}
    with Leat(sinks=(), postgres=False, settings=settings) as leat:
        c = leat.connect()
        leat.accept([{"type": "t"}], connection=c)
        # batchd takes the events, and does not answer.
        leat.batchd.signal(signal.SIGSTOP)
        try:
            status, answer, fields = post(leat, b'[{"type":"late"}]',
                                          connection=c)
        finally:
            leat.batchd.signal(signal.SIGCONT)
        assert status == 504 and answer["error"] == "unknown", answer
        assert "append_timeout_ms" in answer["reason"]
        assert "same ids" in answer["reason"]
        assert int(fields["retry-after"]) >= 1
        # batchd was killed with them.
        leat.intake_open()
        leat.batchd.signal(signal.SIGSTOP)
        c.request("POST", "/v1/events", b'[{"type":"lost"}]', JSON)
        # ingestd has one thread: once it has answered others twice, it has
        # handed the events over.
        assert leat.request("GET", "/healthz")[0] == 200
        assert leat.request("GET", "/healthz")[0] == 200
        own = f"process={leat.ingestd.pid}"
        leat.batchd.kill()
        response = c.getresponse()
        answer = json.loads(response.read())
        assert response.status == 504, answer
        # The time-out may come first, on a busy machine.
        assert "became unreachable" in answer["reason"] or \
            "append_timeout_ms" in answer["reason"], answer
        # Nothing was handed over: 503.
        assert post(leat, b'[{"type":"t"}]', connection=c)[0] == 503
        leat.batchd.start()
        leat.intake_open()
        # Of this process: the sums begin again with batchd.
        wait_until(lambda: Page(leat)["leat_ingestd_process_responses_total",
                                      "code=504", own] == 2
                   and Page(leat)["leat_ingestd_process_unknown_events_total",
                                  own] == 2, "both are counted")
        c.close()


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
            if "br" in headers.values():
                assert fields["accept-encoding"] == "gzip, zstd"
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
        assert statuses(raw(leat, head)) == [431]
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


def test_a_sender_that_closes_during_a_request():
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
        wait_until(lambda: metric("leat_ingestd_accepted_events") == 42,
                   "the sum over all ingestd is shown")
        wait_until(lambda: metric('leat_sink_lag_events{sink="postgres"}')
                   == 0, "lag is shown and 0")
        # What the page for operators names is there.
        page = (ROOT / "docs/operations.md").read_text()
        for name in set(re.findall(r"`(leat_(?:sink|log|ingestd)_[a-z_]+)", page)):
            assert metric(name) is not None, name
