"""A private ClickHouse server for a test, from the distribution's package."""
import http.client
import pathlib
import shutil
import signal
import tempfile
import urllib.parse

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

USERS = """<yandex>
  <users>
    <default><password></password>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile><quota>default</quota></default>
    <leat><password>s3cret</password>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile><quota>default</quota></leat>
    <reader><password></password>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>readonly</profile><quota>default</quota></reader>
  </users>
  <profiles><default></default>
    <readonly><readonly>2</readonly></readonly></profiles>
  <quotas><default></default></quotas>
</yandex>
"""


class QueryError(RuntimeError):
    """The server's words."""


def installed():
    return shutil.which("clickhouse-server") is not None


class ClickHouse(Daemon):
    """Made in `folder`, started by start(); keeps its data over restarts."""

    def __init__(self, folder, http_port, tcp_port):
        self.folder = pathlib.Path(folder)
        self.port = http_port
        for name in ("data", "tmp"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "config.xml").write_text(CONFIG.format(
            http_port=http_port, tcp_port=tcp_port, folder=self.folder))
        (self.folder / "users.xml").write_text(USERS)
        super().__init__(
            "clickhouse", ["clickhouse-server", "--config-file",
                           str(self.folder / "config.xml")],
            self.folder / "log", ready="Ready for connections")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def wait_ready(self, timeout_s=30):
        """It answers; its log says so only at a level that is too chatty."""
        self.wait_answer(timeout_s)

    def wait_answer(self, timeout_s):
        from leat import wait_until

        def answers():
            assert self.running, "clickhouse-server has ended"
            try:
                return self.query("select 1") == "1"
            except (OSError, http.client.HTTPException):
                return False
        wait_until(answers, "ClickHouse answers", timeout_s, 0.05)

    def stop(self, timeout_s=60):
        if not self.running:
            return
        self.signal(signal.SIGTERM)
        self.wait(timeout_s)

    def query(self, sql, timeout_s=110, **settings):
        """The answer's text, as TabSeparated unless sql says FORMAT."""
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


if __name__ == "__main__":  # try it: a server that answers
    from leat import free_port
    with tempfile.TemporaryDirectory() as d:
        ch = ClickHouse(d, free_port(), free_port()).start()
        print(ch.query("select version()"))
        ch.stop()
