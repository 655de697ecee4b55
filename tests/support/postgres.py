"""A private PostgreSQL cluster for a test: no port, a socket in its directory."""
import fcntl
import glob
import os
import pathlib
import select
import shutil
import signal
import subprocess
import tempfile

from process import Daemon

USER = "leat"
SETTINGS = """
listen_addresses = ''
shared_buffers = 32MB
max_connections = 30
max_wal_size = 1GB
huge_pages = off
timezone = 'UTC'
log_line_prefix = '%m [%p] '
log_checkpoints = off
# In the data directory: a server that is killed leaves nothing elsewhere.
dynamic_shared_memory_type = mmap
"""


def bin_dir():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"),
                   key=lambda p: int(p.split("/")[4]))
    return pathlib.Path(found[-1]).parent


def system_user():
    """PostgreSQL refuses to run as root."""
    return "postgres" if os.geteuid() == 0 else None


def as_user(argv):
    user = system_user()
    if not user:
        return argv
    return ["setpriv", "--reuid", user, "--regid", user, "--init-groups",
            "--"] + argv


def make_cluster(data):
    """initdb; the directory above `data` must belong to system_user()."""
    subprocess.run(as_user([str(bin_dir() / "initdb"), "--no-sync", "-U", USER,
                            "--auth=trust", "--encoding=UTF8", "--locale=C",
                            "-D", str(data)]),
                   check=True, stdout=subprocess.DEVNULL, cwd="/")
    with open(data / "postgresql.conf", "a") as f:
        f.write(SETTINGS)


def own(directory):
    directory.mkdir(parents=True, exist_ok=True)
    if system_user():
        shutil.chown(directory, system_user())


def template():
    """A fresh cluster, made once for all tests of a run."""
    shared = os.environ.get("LEAT_TEST_TMP")
    if not shared:
        return None
    home = pathlib.Path(shared) / "postgres"
    own(home)
    with open(pathlib.Path(shared) / "postgres.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "done").exists():
            make_cluster(home / "data")
            (home / "done").touch()
    return home / "data"


class Postgres(Daemon):
    """Made in `directory` (which others may enter), started by start()."""

    def __init__(self, directory, settings=""):
        self.directory = pathlib.Path(directory)
        own(self.directory)
        data = self.directory / "data"
        ready_made = template()
        if ready_made:
            subprocess.run(["cp", "-a", str(ready_made), str(data)],
                           check=True)
        else:
            make_cluster(data)
        with open(data / "postgresql.conf", "a") as f:
            f.write(settings)
        super().__init__(
            "postgres", [str(bin_dir() / "postgres"), "-D", str(data),
                         "-k", str(self.directory)],
            self.directory / "log", user=system_user(),
            ready="ready to accept connections")

    def stop(self, timeout_s=30, mode="fast"):
        """As pg_ctl stop -m `mode` does it."""
        if not self.running:
            return
        self.signal({"smart": signal.SIGTERM, "fast": signal.SIGINT,
                     "immediate": signal.SIGQUIT}[mode])
        self.wait(timeout_s)

    def kill(self):
        """kill -9 of all its processes: of the first alone is no crash."""
        if not self.running:
            return self.wait()
        task = pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children")
        handles = []
        for pid in task.read_text().split():
            try:
                handles.append(os.pidfd_open(int(pid)))
            except ProcessLookupError:
                pass
        self.child.kill()
        for h in handles:
            try:
                signal.pidfd_send_signal(h, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for h in handles:
            # They share memory that a new server waits for.
            select.select([h], [], [], 30)
            os.close(h)
        return self.wait()

    def query(self, sql, dbname="postgres"):
        """The answer as psql -At prints it."""
        done = subprocess.run(
            ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", str(self.directory),
             "-U", USER, "-d", dbname, "-c", sql],
            capture_output=True, text=True, timeout=110)
        if done.returncode != 0:
            raise RuntimeError(f"psql: {done.stderr.strip()}")
        return done.stdout.rstrip("\n")

    def number(self, sql):
        return int(self.query(sql))


class Locked:
    """A table is locked, so that a write of it waits."""

    def __init__(self, pg, table="events"):
        self.table = table
        self.session = subprocess.Popen(
            ["psql", "-XAtq", "-h", str(pg.directory), "-U", USER, "-d",
             "postgres"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True)

    def __enter__(self):
        self.session.stdin.write(
            f"begin; lock table {self.table} in exclusive mode; "
            "select 'locked';\n")
        self.session.stdin.flush()
        assert self.session.stdout.readline() == "locked\n"
        return self

    def unlock(self):
        if self.session.poll() is None:
            self.session.communicate("commit;\n")

    def __exit__(self, *_):
        self.unlock()


if __name__ == "__main__":  # try it: a cluster that answers
    with tempfile.TemporaryDirectory() as d:
        os.chmod(d, 0o755)
        pg = Postgres(pathlib.Path(d) / "pg").start()
        print(pg.query("select version()"))
        pg.stop()
