"""A private ClickHouse for a test, on a port of 127.0.0.1.

Debian's server, from scripts/clickhouse-server; or, with LEAT_CHDB_PYTHON
naming the python of a virtual environment that has chdb, the current engine
behind chdb_server.py.
"""
import contextlib
import http.client
import os
import pathlib
import shutil
import signal
import tempfile
import urllib.parse

from leat import ROOT, Skip, free_port, wait_until
from process import Daemon

SCRIPT = str(ROOT / "scripts" / "clickhouse-server")
PASSWORD = "s3cret"  # of the user leat


class QueryError(RuntimeError):
    """The server's words."""


class Server(Daemon):
    """Keeps its data over restarts.  current: knows tokens and new types."""

    current = False

    def __init__(self, folder, argv):
        super().__init__("clickhouse", argv, folder / "server.log", ready="")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def wait_ready(self, timeout_s=30):
        """When it answers: its log says less than that."""
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


class Debian(Server):
    """tls: certificate and key, for https as well, at `tls_port`."""

    def __init__(self, folder, tls=None):
        self.port, self.tls_port = free_port(), free_port()
        if tls:
            (folder / "config.d").mkdir()
            (folder / "config.d/tls.xml").write_text(
                f"<yandex><https_port>{self.tls_port}</https_port>"
                "<openSSL><server>"
                f"<certificateFile>{tls[0]}</certificateFile>"
                f"<privateKeyFile>{tls[1]}</privateKeyFile>"
                "<verificationMode>none</verificationMode>"
                "</server></openSSL></yandex>")
        super().__init__(folder, [SCRIPT, "run", str(folder),
                                  str(self.port)])


class Current(Server):
    current = True

    def __init__(self, folder, python):
        self.port = free_port()
        script = pathlib.Path(__file__).with_name("chdb_server.py")
        super().__init__(folder, [python, str(script), str(folder / "data"),
                                  str(self.port)])


@contextlib.contextmanager
def clickhouse(tls=None):
    """A running server; its folder is gone afterwards."""
    python = os.environ.get("LEAT_CHDB_PYTHON")
    if python and tls:
        raise Skip("the shim has no TLS")
    if not python and not shutil.which("clickhouse-server"):
        raise Skip("no clickhouse-server")
    folder = pathlib.Path(tempfile.mkdtemp(
        prefix="leat-clickhouse-", dir=os.environ.get("LEAT_TEST_TMP")))
    server = Current(folder, python) if python \
        else Debian(folder, tls)
    try:
        yield server.start()
    finally:
        if server.running:
            server.kill()
        if not os.environ.get("LEAT_KEEP"):
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":  # try it: a server that answers
    with clickhouse() as ch:
        print(ch.query("select version()"))
