"""pgbouncer before a test's PostgreSQL, in transaction mode: one session of
the server serves all clients in turn."""
import pathlib
import re
import shutil
import subprocess

from leat import Skip, free_port
from postgres import USER, own, system_user
from process import Daemon


def keeps_session_after_copy():
    """
    Whether it is a version that never gives back a session in which a COPY
    has failed while rows were on their way (pgbouncer's pull request 1471).
    """
    done = subprocess.run(["pgbouncer", "--version"], capture_output=True,
                          text=True, env={"PATH": "/usr/sbin:/usr/bin"})
    found = re.search(r"PgBouncer (\d+)\.(\d+)", done.stdout)
    return bool(found) and (1, 21) <= tuple(map(int, found.groups())) < (1, 26)


class Pgbouncer(Daemon):
    """Made in `directory`; clients connect to `port` of the loopback address."""

    def __init__(self, directory, pg_directory, pool_size=1):
        path = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin")
        if not path:
            raise Skip("pgbouncer is not installed")
        self.directory, self.port = pathlib.Path(directory), free_port()
        own(self.directory)
        conf = self.directory / "pgbouncer.ini"
        conf.write_text(
            f"[databases]\npostgres = host={pg_directory} dbname=postgres "
            f"user={USER}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {self.port}\nunix_socket_dir =\n"
            "auth_type = any\npool_mode = transaction\n"
            f"default_pool_size = {pool_size}\n")
        super().__init__("pgbouncer", [path, str(conf)], self.directory / "log",
                         user=system_user(), ready="process up")

    def query(self, sql):
        """Run through the pool; the answer as psql -At prints it."""
        done = subprocess.run(
            ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1",
             "-p", str(self.port), "-U", USER, "-d", "postgres", "-c", sql],
            capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(f"psql: {done.stderr.strip()}")
        return done.stdout.rstrip("\n")
