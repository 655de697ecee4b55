"""A private ClickHouse for a test, on a port of 127.0.0.1.

Debian's server; or, where Debian has none or with LEAT_CLICKHOUSE=current, the
current engine (see scripts/clickhouse-server).
"""
import contextlib
import functools
import http.client
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import urllib.parse

from leat import ROOT, Skip, fetched, free_port, wait_until
from process import Daemon

SCRIPT = str(ROOT / "scripts" / "clickhouse-server")
PASSWORD = "s3cret"  # of the user leat


def is_current():
    """Whether it is the current engine: it knows tokens and new types."""
    done = subprocess.run([SCRIPT, "which"], capture_output=True, text=True,
                          check=True)
    return done.stdout.strip() == "current"


@functools.cache
def software():
    """The directory of the engine, downloaded once where it is needed."""
    return fetched("ClickHouse", SCRIPT)


class QueryError(RuntimeError):
    """The server's message."""


class Server(Daemon):
    """
    Keeps its data over restarts.  tls: certificate and key, for https as well,
    at `tls_port`; of Debian's server only.
    """

    def __init__(self, directory, tls=None):
        self.current = is_current()
        self.port, self.tls_port = free_port(), free_port()
        if tls and self.current:
            raise Skip("the current engine is run without TLS")
        if tls:
            (directory / "config.d").mkdir()
            (directory / "config.d/tls.xml").write_text(
                f"<yandex><https_port>{self.tls_port}</https_port>"
                "<openSSL><server>"
                f"<certificateFile>{tls[0]}</certificateFile>"
                f"<privateKeyFile>{tls[1]}</privateKeyFile>"
                "<verificationMode>none</verificationMode>"
                "</server></openSSL></yandex>")
        super().__init__("clickhouse",
                         [SCRIPT, "run", str(software()), str(directory),
                          str(self.port)],
                         directory / "server.log", ready="")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def wait_ready(self, timeout_s=30):
        """Wait until it answers: its log does not show that."""
        def answers():
            assert self.running, "\n".join(["the server ended:"] + self.lines)
            try:
                return self.query("select 1") == "1"
            except (OSError, http.client.HTTPException):
                return False
        wait_until(answers, "ClickHouse answers", timeout_s, 0.02)

    def stop(self, timeout_s=60):
        if self.running:
            self.signal(signal.SIGTERM)
            self.wait(timeout_s)

    def query(self, sql, timeout_s=110, **settings):
        """The answer's text, TabSeparated unless sql names a format."""
        c = http.client.HTTPConnection("127.0.0.1", self.port,
                                       timeout=timeout_s)
        try:
            c.request("POST", "/?" + urllib.parse.urlencode(settings),
                      sql.encode())
            r = c.getresponse()
            text = r.read().decode()
        finally:
            c.close()
        if r.status != 200:
            raise QueryError(text.strip())
        return text.rstrip("\n")

    def number(self, sql):
        return int(self.query(sql))


@contextlib.contextmanager
def clickhouse(tls=None):
    """A running server; its directory is gone afterwards."""
    directory = pathlib.Path(tempfile.mkdtemp(
        prefix="leat-clickhouse-", dir=os.environ.get("LEAT_TEST_TMP")))
    server = None
    try:
        server = Server(directory, tls)
        yield server.start()
    finally:
        if server and server.running:
            server.kill()
        if not os.environ.get("LEAT_KEEP"):
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":  # try it: a server that answers
    with clickhouse() as ch:
        print(ch.query("select version()"))
