"""Who gets in, and what gets out: tokens, TLS, CORS, sockets, secrets."""
import base64
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import re
import resource
import select
import shutil
import signal
import socket
import ssl
import stat
import struct
import subprocess
import tempfile
import threading
import time

from certificate import certificate
from events import small
from leat import Leat, fact, limit, need_root, program, wait_until
from wire import CONTROLLER, Peer

EVENT = b'[{"type":"t"}]'


def make_token(name):
    """Returns (token, line for the file), as an operator gets them."""
    done = subprocess.run([program("leat"), "token", name],
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done
    token = done.stderr.splitlines()[1]
    assert re.fullmatch(r"leat_[A-Za-z0-9_-]{43}", token), done.stderr
    digest = hashlib.sha256(token.encode()).hexdigest()
    assert done.stdout == f"{name} sha256:{digest}\n", done.stdout
    return token, done.stdout.strip()


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


class Guarded(Leat):
    """A leat with only a log, and tokens in `tokens`: name -> (token, line)."""

    def __init__(self, tokens=None, **ingestd):
        mode = ingestd.pop("mode", "asan")
        self.extra = tempfile.TemporaryDirectory(prefix="leat-keys-")
        self.tokens_file = pathlib.Path(self.extra.name) / "tokens"
        if tokens:
            self.write_tokens(tokens)
            ingestd["tokens_file"] = self.tokens_file
        super().__init__(mode, sinks=(), also=("postgres",), postgres=False,
                         settings={"ingestd": ingestd})

    def write_tokens(self, lines):
        self.tokens_file.write_text("# who may send\n" + "\n".join(lines)
                                    + "\n")

    def reload(self, pattern=r"reloaded"):
        at = len(self.ingestd.lines)
        self.ingestd.signal(signal.SIGHUP)
        return self.ingestd.wait_line(pattern, after=at)

    def connect(self, timeout_s=30):
        if "tls_certificate" not in self.settings["ingestd"]:
            return super().connect(timeout_s)
        return http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=timeout_s,
            context=ssl._create_unverified_context())

    def send(self, headers=None, events=EVENT, path="/v1/events", **more):
        return self.request("POST", path, events, headers or {}, **more)

    def __exit__(self, *args):
        try:
            return super().__exit__(*args)
        finally:
            self.extra.cleanup()


def test_tokens():
    shop, line = make_token("shop")
    old, old_line = make_token("old")
    page, page_line = make_token("page")
    prom, prom_line = make_token("prom")
    lines = [line, old_line, page_line + " public", prom_line + " metrics"]
    with Guarded(lines) as leat:
        c = leat.connect()
        basic = base64.b64encode(b"user:" + shop.encode()).decode()
        as_user = base64.b64encode(old.encode() + b":").decode()
        for headers in (bearer(shop), {"Authorization": f"Basic {basic}"},
                        {"Authorization": f"Basic {as_user}"}, bearer(page)):
            assert leat.send(headers, connection=c)[0] == 202
        for headers in ({}, bearer("leat_wrong"), bearer(""), bearer(shop[:-1]),
                        {"Authorization": "Basic !"},
                        bearer(line.split(":")[1])):
            status, answer, fields = leat.send(headers, connection=c)
            assert status == 401 and answer["error"] == "unauthorized", answer
            assert fields["www-authenticate"].startswith("Bearer ")
            assert "Basic " in fields["www-authenticate"]
        # In a URL only what is public anyway.
        for token, want in ((page, 202), (shop, 401)):
            assert leat.send(path=f"/v1/events?token={token}",
                             connection=c)[0] == want
        # Each for its own end; whether we live is no secret.
        assert leat.send(bearer(prom), connection=c)[0] == 403
        assert leat.request("GET", "/metrics")[0] == 401
        assert leat.request("GET", "/metrics", None, bearer(shop))[0] == 403
        assert leat.request("GET", "/healthz")[0] == 200
        assert leat.request("GET", "/readyz")[0] == 200
        page_text = leat.request("GET", "/metrics", None, bearer(prom))[1]
        for name, value in (("requests", 3), ("events", 2), ("refused", 1)):
            assert f'leat_ingestd_token_{name}_total{{process="' \
                f'{leat.ingestd.pid}",token="shop"}} {value}\n' \
                in page_text, page_text
        # The sums come from batchd, once a second.
        wait_until(lambda: "leat_ingestd_unauthorized_total 8\n" in
                   leat.request("GET", "/metrics", None, bearer(prom))[1],
                   "all 8 are counted")

        # A bad file changes nothing, and the reason is logged.
        leat.write_tokens(lines + ["broken"])
        assert ":6: the hash must begin" in leat.reload(r"cannot load")
        assert leat.send(bearer(old), connection=c)[0] == 202
        new, new_line = make_token("new")
        leat.write_tokens([line, new_line])
        leat.reload(r"reloaded .* tokens=2")
        assert leat.send(bearer(old), connection=c)[0] == 401
        assert leat.send(bearer(new), connection=c)[0] == 202
        assert leat.send(bearer(shop), connection=c)[0] == 202
        c.close()
        log = "\n".join(leat.ingestd.lines)
        assert "unauthorized address=127.0.0.1" in log
        assert not [t for t in (shop, old, page, prom, new) if t in log]
        assert leat.status()["log"]["next_offset"] == 8


def test_anonymous_only_where_it_is_configured():
    def check(text):
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as conf:
            conf.write("[ingestd]\n" + text)
            conf.flush()
            return subprocess.run([program("ingestd"), "--check", "--config",
                                   conf.name], capture_output=True, text=True,
                                  timeout=20)
    for address in ("0.0.0.0", "::", "192.0.2.1", "::ffff:192.0.2.1"):
        done = check(f"listen = {address}\n")
        assert done.returncode == 2, done
        assert "tokens_file" in done.stderr and "allow_anonymous" in \
            done.stderr, done.stderr
        assert check(f"listen = {address}\nallow_anonymous = yes\n") \
            .returncode == 0
    for address in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"):
        assert check(f"listen = {address}\n").returncode == 0
    for text in ("tokens_file = /nonexistent\n", "tls_key = /etc/passwd\n",
                 "tls_certificate = /etc/passwd\ntls_key = /etc/passwd\n",
                 "cors_origins = example.org\n"):
        done = check(text)
        assert done.returncode == 2 and "settings refused" in done.stderr, done
    shop, line = make_token("shop")
    with Guarded([line], allow_anonymous="yes", metrics_open="yes") as leat:
        assert leat.send()[0] == 202
        assert leat.send(bearer(shop))[0] == 202
        assert leat.send(bearer("leat_wrong"))[0] == 401
        assert leat.request("GET", "/metrics")[0] == 200


def test_rate_limit():
    slow, line = make_token("slow")
    free, free_line = make_token("free")
    with Guarded([line + " rate=20 burst=100", free_line]) as leat:
        c = leat.connect()
        started = time.monotonic()
        assert leat.send(bearer(slow), json.dumps(small("a", 100)),
                         connection=c)[0] == 202
        status, answer, fields = leat.send(
            bearer(slow), json.dumps(small("b", 60)), connection=c)
        # Seconds may have passed since, on a busy machine.
        if status != 202:
            assert status == 429 and answer["error"] == "rate limit", answer
            assert answer["rate"] == 20 and answer["burst"] == 100
            wait_s = int(fields["retry-after"])
            assert 1 <= wait_s <= 3 and answer["retry_after_s"] == wait_s
        # Other clients are not held up.
        for _ in range(20):
            assert leat.send(bearer(free), json.dumps(small("f", 100)),
                             connection=c)[0] == 202
        sent = 0
        while time.monotonic() < started + 3:
            status, answer, _ = leat.send(
                bearer(slow), json.dumps(small("c", 7, sent)), connection=c)
            assert status in (202, 429), answer
            sent += 7 if status == 202 else 0
        passed_s = time.monotonic() - started
        assert 20 * 2 - 7 <= sent <= 20 * passed_s + 100, (sent, passed_s)
        c.close()


def begin_body(leat, token, n, sent):
    s = socket.create_connection(("127.0.0.1", leat.port), timeout=30)
    s.sendall(f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: "
              f"Bearer {token}\r\nContent-Length: {n}\r\n\r\n".encode()
              + b" " * sent)
    return s


@limit(90)
def test_unfinished_bodies_of_one_token_leave_room_for_others():
    """They use up the memory for bodies, and begin again once closed."""
    greedy, greedy_line = make_token("greedy")
    honest, honest_line = make_token("honest")
    with Guarded([greedy_line + " rate=1", honest_line], max_body_bytes="1M",
                 max_request_events=1000,
                 max_pending_bytes=(4 << 20) + 64_000) as leat:
        sockets = [begin_body(leat, greedy, 60_000, 50_000)
                   for _ in range(150)]
        stop, renewed = threading.Event(), 0

        def renew():
            nonlocal renewed
            while not stop.is_set():
                readable, _, _ = select.select(sockets, [], [], 0.05)
                for s in readable:  # refused or closed
                    sockets.remove(s)
                    s.close()
                    sockets.append(begin_body(leat, greedy, 60_000, 50_000))
                    renewed += 1
        thread = threading.Thread(target=renew)
        thread.start()
        try:
            answers, event = [], b'[{"type":"t"}]'
            for _ in range(40):
                s = begin_body(leat, honest, 20_000, 5000)
                for _ in range(2):  # in pieces that are not whole
                    time.sleep(0.01)
                    s.sendall(b" " * 5000)
                time.sleep(0.01)
                s.sendall(b" " * (5000 - len(event)) + event)
                answers.append(s.recv(4096)[:12])
                s.close()
        finally:
            stop.set()
            thread.join()
            for s in sockets:
                s.close()
        assert answers == [b"HTTP/1.1 202"] * 40, answers
        assert renewed > 0
        fact(f"{renewed} bodies begun again")


def test_a_body_counts_as_large_as_it_came():
    """One that unpacks to nothing takes as much of the rate as another."""
    slow, line = make_token("slow")
    empty_frame = bytes.fromhex("28b52ffd2000010000")
    with Guarded([line + " rate=1 burst=1"]) as leat:
        many = {**bearer(slow), "Content-Encoding": "zstd"}
        status, answer, _ = leat.send(many, empty_frame * 200_000)
        assert status == 400, answer  # no JSON
        status, answer, _ = leat.send(bearer(slow))
        # 1.8 MB are 27 events of the largest kind.
        assert status == 429 and answer["retry_after_s"] > 20, answer


def s_client(port, *args):
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *args],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    return done.stdout + done.stderr


def test_tls():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="leat-tls-"))
    try:
        check_tls(directory)
    finally:
        shutil.rmtree(directory)


def check_tls(directory):
    first = certificate(directory, "first")
    second = certificate(directory, "second")
    cert, key = directory / "cert.pem", directory / "key.pem"

    def install(pair):
        shutil.copy(pair[0], cert)
        shutil.copy(pair[1], key)

    install(first)
    token, line = make_token("shop")
    with Guarded([line], tls_certificate=cert, tls_key=key) as leat:
        def curl(*args, ca=first[0]):
            return subprocess.run(
                ["curl", "-sS", "-m", "20", "--cacert", ca, *args,
                 "-H", f"Authorization: Bearer {token}",
                 f"https://localhost:{leat.port}/v1/events"],
                capture_output=True, text=True, timeout=30)

        # What is suspended until it is durable, small and large.
        done = curl("--json", EVENT.decode())
        assert json.loads(done.stdout) == {"accepted": 1, "offset": 0}, done
        big = directory / "big.json"
        big.write_text(json.dumps(small("big", 40_000)))
        assert big.stat().st_size > 2_000_000
        assert json.loads(curl("--json", f"@{big}").stdout)["accepted"] \
            == 40_000
        assert json.loads(curl("--json", EVENT.decode(), "-H",
                               "Transfer-Encoding: chunked").stdout)[
                                   "accepted"] == 1
        context = ssl.create_default_context(cafile=first[0])
        raw = socket.create_connection(("127.0.0.1", leat.port), 20)
        with context.wrap_socket(raw, server_hostname="localhost") as s:
            request = (b"POST /v1/events HTTP/1.1\r\nHost: x\r\n"
                       b"Authorization: Bearer %s\r\nContent-Length: %d\r\n"
                       b"\r\n%s" % (token.encode(), len(EVENT), EVENT))

            def exchange(n):
                s.sendall(request * n)
                out = b""
                while out.count(b" 202 ") < n or not out.endswith(b"}\n"):
                    chunk = s.recv(65536)
                    assert chunk, out
                    out += chunk
            exchange(1)
            exchange(30)  # pipelined, in one record

            # A new certificate, while a connection of the old one lives.
            install(second)
            leat.reload(r"reloaded .*tls=yes")
            assert "CN=second" in s_client(leat.port).replace(" ", "")
            exchange(1)
            assert curl(ca=first[0]).returncode == 60
            # One that is no pair changes nothing.
            shutil.copy(first[1], key)
            leat.reload(r"cannot load the certificate")
            assert "CN=second" in s_client(leat.port).replace(" ", "")
            exchange(1)

        for version, works in (("-tls1_2", True), ("-tls1_3", True),
                               ("-tls1_1", False), ("-tls1", False)):
            text = s_client(leat.port, version, "-CAfile", str(second[0]),
                            "-cipher", "ALL:@SECLEVEL=0")
            assert ("Verify return code: 0 (ok)" in text
                    and "Cipher is (NONE)" not in text) == works, text
        text = s_client(leat.port, "-tls1_2", "-cipher",
                        "kRSA:@SECLEVEL=0")
        assert "Cipher is (NONE)" in text, text
        # Neither silence nor plain HTTP harms other clients.
        idle = [socket.create_connection(("127.0.0.1", leat.port), 20)
                for _ in range(50)]
        for s in idle[::2]:
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        done = curl("--json", EVENT.decode(), ca=second[0])
        assert json.loads(done.stdout)["accepted"] == 1, done
        for s in idle:
            s.close()


def test_cors():
    here, there = "https://shop.example", "https://evil.example"
    with Guarded(cors_origins=f"{here} http://localhost:3000") as leat:
        def ask(method, origin, **more):
            return leat.request(method, "/v1/events",
                                EVENT if method == "POST" else None,
                                {"Origin": origin, **more})
        preflight = {"Access-Control-Request-Method": "POST",
                     "Access-Control-Request-Headers": "content-type"}
        status, text, fields = ask("OPTIONS", here, **preflight)
        assert (status, text) == (204, ""), (status, text)
        assert fields["access-control-allow-origin"] == here
        assert fields["access-control-allow-credentials"] == "true"
        assert fields["access-control-allow-methods"] == "POST"
        assert "content-type" in \
            fields["access-control-allow-headers"].lower()
        assert int(fields["access-control-max-age"]) > 0
        assert fields["vary"] == "Origin"
        # As sendBeacon does it, and what the page may read.
        for kind in ("text/plain;charset=UTF-8", "application/json"):
            status, _, fields = ask("POST", here, **{"Content-Type": kind})
            assert status == 202
            assert fields["access-control-allow-origin"] == here
            assert fields["vary"] == "Origin"
        status, answer, fields = leat.request(
            "POST", "/v1/events", b"[{}]", {"Origin": here})
        assert status == 400 and answer["errors"]
        assert fields["access-control-allow-origin"] == here
        for method, more in (("OPTIONS", preflight), ("POST", {})):
            status, answer, fields = ask(method, there, **more)
            assert status == 403 and "origin" in answer["reason"], answer
            assert "access-control-allow-origin" not in fields
            assert "access-control-allow-credentials" not in fields
            assert fields["vary"] == "Origin"
        assert leat.send()[0] == 202  # no page at all
        assert leat.status()["log"]["next_offset"] == 3
    token, line = make_token("page")
    with Guarded([line + " public"], cors_origins="*") as leat:
        # A preflight never carries a token.
        status, _, fields = leat.request(
            "OPTIONS", "/v1/events", None,
            {"Origin": there, "Access-Control-Request-Method": "POST"})
        assert status == 204
        assert fields["access-control-allow-origin"] == "*"
        for path, want in ((f"/v1/events?token={token}", 202),
                           ("/v1/events", 401)):
            status, _, fields = leat.request(
                "POST", path, EVENT, {"Origin": there,
                                      "Content-Type": "text/plain"})
            assert status == want
            assert fields["access-control-allow-origin"] == "*"
    with Guarded() as leat:
        # Without origins the header means nothing.
        status, _, fields = leat.request("OPTIONS", "/v1/events", None,
                                         {"Origin": there})
        assert (status, fields["allow"]) == (204, "POST, OPTIONS")
        assert "access-control-allow-origin" not in fields


def as_another(path, groups, uid=65534):
    """What another user's process gets from batchd's socket."""
    code = ("import socket,sys\n"
            "s=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET)\n"
            "s.settimeout(10)\n"
            "try:\n"
            f" s.connect({str(path)!r})\n"
            " s.send(bytes.fromhex('950101') + b'\\x03\\xa1n\\x01')\n"
            " print(len(s.recv(1000)))\n"
            "except OSError as e: print(type(e).__name__)\n")
    return subprocess.run(
        ["setpriv", "--reuid", str(uid), "--regid", "65534", *groups, "--",
         "/usr/bin/python3", "-c", code], capture_output=True, text=True,
        timeout=20, check=True).stdout.strip()


def test_who_may_connect_to_batchd():
    need_root()
    with Leat(sinks=(), also=("postgres",), postgres=False,
              settings={"batchd": {"socket_group": "12345",
                                   "socket_owner": "23456"}}) as leat:
        path = leat.directory / "batchd.sock"
        about = path.stat()
        assert stat.S_IMODE(about.st_mode) == 0o660
        assert (about.st_uid, about.st_gid) == (23456, 12345)
        none, ours = ["--clear-groups"], ["--groups", "12345"]
        assert as_another(path, none) == "PermissionError"
        path.chmod(0o666)  # by accident: the kernel's word still counts
        assert as_another(path, none) in ("0", "ConnectionResetError",
                                          "BrokenPipeError")
        leat.batchd.wait_line(r"peer refused: .* uid=65534")
        assert int(as_another(path, ours)) > 10
        assert int(as_another(path, none, uid=23456)) > 10
        with Peer(leat, CONTROLLER, "test"):
            pass


def test_only_root_gives_the_socket_away():
    need_root()
    with tempfile.TemporaryDirectory() as d:
        conf = pathlib.Path(d) / "leat.conf"
        batchd = shutil.copy(program("batchd"), d)  # others may not enter
        for key in ("socket_owner", "socket_group"):
            for who, code, words in (
                    ("no-such-one", 2, f"{key} = no-such-one: no such"),
                    ("0", 1, f"only root can give the socket to another")):
                conf.write_text(f"[leat]\nsocket = {d}/b.sock\n[batchd]\n"
                                f"dir = {d}/log\n{key} = {who}\n")
                os.chmod(d, 0o755)
                os.makedirs(f"{d}/log", exist_ok=True)
                for path in (d, f"{d}/log", *pathlib.Path(d).rglob("*")):
                    os.chown(path, 65534, 65534)
                done = subprocess.run(
                    ["setpriv", "--reuid", "65534", "--regid", "65534",
                     "--clear-groups", "--", batchd, "--config", str(conf)], capture_output=True, text=True, timeout=20)
                assert done.returncode == code, done
                assert words in done.stderr, done


def test_files_are_readable_by_their_owner_only():
    before = os.umask(0)
    try:
        with Leat() as leat:
            leat.accept(small("f", 10))
            # jsonb cannot hold such a number: a dead letter.
            leat.accept('[{"type":"t","payload":{"a":1e200000}}]')
            leat.caught_up()
            found = [p for p in leat.directory.rglob("*")
                     if p.parts[len(leat.directory.parts)] in ("log", "dead")]
            assert any(p.suffix == ".seg" for p in found)
            assert any(p.suffix == ".cursor" for p in found)
            assert any(p.suffix == ".ndjson" for p in found)
            for p in found:
                mode = stat.S_IMODE(p.stat().st_mode)
                if p.is_file():
                    locked = p.name in ("lock", "postgres.lock")
                    assert mode == (0o600 if locked else 0o640), \
                        (p, oct(mode))
                elif p.name not in ("log", "dead"):  # made by the test
                    assert mode == 0o750, (p, oct(mode))
    finally:
        os.umask(before)


class Refuser:
    """A store that hears a password out, notes it, and refuses it."""

    def __init__(self, converse):
        self.converse, self.heard = converse, set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return  # closed: the end
            # Whatever goes wrong, the next connection may do better.
            with s, contextlib.suppress(Exception):
                s.settimeout(10)
                self.heard.add(self.converse(s, s.makefile("rb")))

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def refuse_postgres(s, f):
    f.read(struct.unpack(">i", f.read(4))[0] - 4)  # the startup message
    s.sendall(struct.pack(">cii", b"R", 8, 3))     # in clear, please
    assert f.read(1) == b"p"
    password = f.read(struct.unpack(">i", f.read(4))[0] - 4)[:-1].decode()
    text = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed\0\0"
    s.sendall(b"E" + struct.pack(">i", len(text) + 4) + text)
    return password


def refuse_kafka(s, f):
    """An old broker: versions, a handshake, and the token of SASL PLAIN."""
    def ask():
        return f.read(struct.unpack(">i", f.read(4))[0])

    def answer(data):
        s.sendall(struct.pack(">i", len(data)) + data)

    while True:
        key, version, number = struct.unpack(">hhi", ask()[:8])
        if key == 18 and version > 0:
            answer(struct.pack(">ihi", number, 35, 0))
        elif key == 18:
            answer(struct.pack(">ihi6h", number, 0, 2, 17, 0, 0, 18, 0, 0))
        else:
            break
    answer(struct.pack(">ihih", number, 0, 1, 5) + b"PLAIN")
    return ask().split(b"\0")[2].decode()


def refuse_clickhouse(s, f):
    password = None
    while (line := f.readline()) not in (b"\r\n", b""):
        name, _, value = line.decode().partition(":")
        if name.lower() == "x-clickhouse-key":
            password = value.strip()
    text = b"Code: 516. DB::Exception: leat: Authentication failed"
    s.sendall(b"HTTP/1.1 403 Forbidden\r\nX-ClickHouse-Exception-Code: 516"
              b"\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
              % (len(text), text))
    return password


REFUSERS = {"postgres": refuse_postgres, "kafka": refuse_kafka,
            "clickhouse": refuse_clickhouse}


def refused_settings(stores):
    at = {name: f"127.0.0.1:{s.port}" for name, s in stores.items()}
    return {
        "sinkd-postgres": {"host": "127.0.0.1", "sslmode": "disable",
                           "port": stores["postgres"].port, "user": "leat"},
        "sinkd-kafka": {"brokers": at["kafka"]},
        "sinkd-kafka.rdkafka": {
            "security.protocol": "SASL_PLAINTEXT", "sasl.mechanisms": "PLAIN",
            "sasl.username": "leat"},
        "sinkd-clickhouse": {"url": f"http://{at['clickhouse']}"}}


def check_refused(by_file):
    """Each sink has sent its password, and it is nowhere else."""
    secrets = {name: f"hunter2-{name}-swordfish" for name in REFUSERS}
    stores = {name: Refuser(f) for name, f in REFUSERS.items()}
    with Leat(mode="release", sinks=tuple(REFUSERS), postgres=False,
              settings=refused_settings(stores), start=False) as leat:
        env = {}
        for name, secret in secrets.items():
            if by_file:
                path = leat.directory / f"{name}.password"
                path.write_text(secret + "\n")
                leat.settings[f"sinkd-{name}"]["password_file"] = path
            else:
                env[f"LEAT_{name.upper()}_PASSWORD"] = secret
                leat.sink[name].env = {k: env[k] for k in list(env)[-1:]}
        leat.write_conf()
        leat.batchd.start()
        leat.ingestd.start()
        for sink in leat.sink.values():
            sink.start(wait=False)
        seen = []
        for name, sink in leat.sink.items():
            wait_until(lambda n=name: secrets[n] in stores[n].heard,
                       f"{name} has heard the password", 30)
            sink.wait_line(r"warn")
            seen.append(pathlib.Path(f"/proc/{sink.pid}/cmdline").read_text())
            done = subprocess.run(
                [program(f"sinkd-{name}", "release"), "--check", "--config",
                 str(leat.conf)], env=dict(os.environ, **env),
                capture_output=True, text=True, timeout=20)
            assert done.returncode == 0, done
            seen += [done.stdout, done.stderr]
        # The reason is reported for each, in the store's own text.
        wait_until(lambda: all(s["stats"].get("error")
                               for s in leat.status()["sinks"]),
                   "all report why", 30)
        for args in (("status",), ("status", "--json")):
            done = leat.run("leat", *args, mode="release")
            assert done.returncode == 3 and "kafka" in done.stdout, done
            seen.append(done.stdout)
        seen += ["\n".join(d.lines) for d in leat.daemons()]
        for text in seen:
            assert not [s for s in secrets.values() if s in text], text
            assert "swordfish" not in text, text
        for d in leat.daemons():
            check_no_core(d)
    for s in stores.values():
        s.close()


def check_no_core(daemon):
    """Its limit is 0, no memory would go into a dump, and none is made."""
    proc = pathlib.Path(f"/proc/{daemon.pid}")
    assert resource.prlimit(daemon.pid, resource.RLIMIT_CORE) == (0, 0)
    assert int((proc / "coredump_filter").read_text(), 16) == 0
    daemon.signal(signal.SIGABRT)
    end = os.waitid(os.P_PID, daemon.pid, os.WEXITED | os.WNOWAIT)
    assert end.si_status == signal.SIGABRT, end
    # One that is piped away is not bound by the limit, but has no memory.
    pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text()
    assert end.si_code == os.CLD_KILLED or pattern.startswith("|"), end
    daemon.wait()


def test_passwords_that_are_sent_stay_in():
    """Of all sinks, from a file: nowhere but on the wire."""
    check_refused(by_file=True)


def test_passwords_of_the_environment_stay_in():
    check_refused(by_file=False)


def test_secrets_stay_in():
    """In no argument, log line, --check or core dump of any daemon."""
    secret = "hunter2-swordfish"
    token, line = make_token("shop")
    with Leat(mode="release", start=False) as leat:
        keys = pathlib.Path(tempfile.mkdtemp(prefix="keys-",
                                             dir=leat.directory))
        keys.chmod(0o755)
        (keys / "tokens").write_text(line + "\n")
        (keys / "password").write_text(secret + "\n")
        (keys / "password").chmod(0o644)
        leat.settings["ingestd"]["tokens_file"] = keys / "tokens"
        leat.settings["sinkd-postgres"]["password_file"] = keys / "password"
        leat.write_conf()
        leat.start()
        assert leat.request("POST", "/v1/events", EVENT,
                            bearer(token))[0] == 202
        assert leat.request("POST", "/v1/events", EVENT,
                            bearer(token + "x"))[0] == 401
        assert leat.request("POST", f"/v1/events?token={token}", EVENT)[0] \
            == 401
        leat.caught_up()
        leat.pg.stop()  # and what a sink logs of an unreachable store
        leat.request("POST", "/v1/events", EVENT, bearer(token))
        leat.sink["postgres"].wait_line(r"warn")
        seen = []
        for d in leat.daemons():
            proc = pathlib.Path(f"/proc/{d.pid}")
            seen.append((proc / "cmdline").read_text())
            done = leat.run(d.name, "--check")
            assert done.returncode == 0, done
            seen += [done.stdout, done.stderr, "\n".join(d.lines)]
        for text in seen:
            assert secret not in text and token not in text, text
        assert str(keys / "tokens") in seen[1]
        for d in leat.daemons():
            check_no_core(d)
    for section, pair in (
            ("sinkd-postgres", f"conninfo = password={secret}"),
            ("sinkd-postgres", f"conninfo = postgres://u:{secret}@h/d"),
            ("sinkd-postgres", f"dbname = password={secret}"),
            ("sinkd-clickhouse", f"url = http://u:{secret}@127.0.0.1:8123")):
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as conf:
            conf.write(f"[{section}]\n{pair}\n")
            conf.flush()
            done = subprocess.run([program(section), "--check", "--config",
                                   conf.name], capture_output=True, text=True,
                                  timeout=20)
        assert done.returncode == 2, (pair, done)
        assert secret not in done.stdout + done.stderr, done
