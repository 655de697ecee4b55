"""A private ClickHouse for a test, on a port of 127.0.0.1.

Debian's clickhouse-server; or, with LEAT_CHDB_PYTHON naming the python of a
virtual environment that has chdb, the current engine behind chdb_server.py.
"""
import contextlib
import http.client
import os
import pathlib
import shutil
import signal
import tempfile
import urllib.parse

from leat import Skip, free_port, wait_until
from process import Daemon

CONFIG = """<?xml version="1.0"?>
<yandex>
  <logger><level>warning</level><console>1</console></logger>
  <listen_host>127.0.0.1</listen_host>
  <http_port>{http_port}</http_port>
  <tcp_port>{tcp_port}</tcp_port>
  <path>{folder}/data/</path>
  <tmp_path>{folder}/tmp/</tmp_path>
  <mark_cache_size>67108864</mark_cache_size>
  <timezone>UTC</timezone>
  <keep_alive_timeout>10</keep_alive_timeout>
  <users_config>users.xml</users_config>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
</yandex>
"""

PASSWORD = "s3cret"  # of the user leat
USERS = f"""<yandex>
  <users>
    <default><password></password>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile><quota>default</quota></default>
    <leat><password>{PASSWORD}</password>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile><quota>default</quota></leat>
  </users>
  <profiles><default></default></profiles>
  <quotas><default></default></quotas>
</yandex>
"""


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
    def __init__(self, folder):
        self.port = free_port()
        for name in ("data", "tmp"):
            (folder / name).mkdir(parents=True)
        (folder / "config.xml").write_text(CONFIG.format(
            http_port=self.port, tcp_port=free_port(), folder=folder))
        (folder / "users.xml").write_text(USERS)
        super().__init__(folder, ["clickhouse-server", "--config-file",
                                  str(folder / "config.xml")])


class Current(Server):
    current = True

    def __init__(self, folder, python):
        self.port = free_port()
        script = pathlib.Path(__file__).with_name("chdb_server.py")
        super().__init__(folder, [python, str(script), str(folder / "data"),
                                  str(self.port)])


@contextlib.contextmanager
def clickhouse():
    """A running server; its folder is gone afterwards."""
    python = os.environ.get("LEAT_CHDB_PYTHON")
    if not python and not shutil.which("clickhouse-server"):
        raise Skip("no clickhouse-server")
    folder = pathlib.Path(tempfile.mkdtemp(
        prefix="leat-clickhouse-", dir=os.environ.get("LEAT_TEST_TMP")))
    server = Current(folder, python) if python else Debian(folder)
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
