"""A private Kafka for a test: one broker on a port of 127.0.0.1.

The broker comes from scripts/kafka-server, which downloads it once into
var/kafka (or $LEAT_KAFKA_DIR).  What is stored is read with kcat, a client
that shares no code with the test and sees only what is committed.
"""
import contextlib
import fcntl
import os
import pathlib
import shutil
import subprocess
import tempfile

from leat import ROOT, Skip, free_port
from process import Daemon

SCRIPT = str(ROOT / "scripts" / "kafka-server")


def software():
    """The folder with Kafka in it, downloaded when it is not there yet."""
    for tool in ("java", "kcat"):
        if not shutil.which(tool):
            raise Skip(f"no {tool}")
    home = pathlib.Path(os.environ.get("LEAT_KAFKA_DIR", ROOT / "var/kafka"))
    home.mkdir(parents=True, exist_ok=True)
    with open(f"{home}.lock", "w") as lock:  # tests run side by side
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run([SCRIPT, "fetch", str(home)],
                              capture_output=True, text=True)
    if done.returncode != 0:
        words = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Skip(f"Kafka cannot be had: {words}")
    return home


def template(home):
    """An empty broker's data, made once for all tests of a run."""
    shared = os.environ.get("LEAT_TEST_TMP")
    if not shared:
        return None
    data = pathlib.Path(shared) / "kafka"
    with open(f"{data}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (data / "log/meta.properties").exists():
            subprocess.run([SCRIPT, "format", str(home), str(data)],
                           check=True)
    return data


class Message:
    """One message, as kcat prints it below."""

    def __init__(self, partition, offset, timestamp, headers, key, value):
        self.partition, self.offset = partition, offset
        self.timestamp_ms, self.headers = timestamp, headers
        self.key, self.value = key, value


class Kafka(Daemon):
    """Keeps its data and its port over restarts."""

    def __init__(self, folder, home):
        self.port = free_port()
        ready_made = template(home)
        if ready_made:
            shutil.copytree(ready_made, folder / "data")
        super().__init__("kafka", [SCRIPT, "run", str(home),
                                   str(folder / "data"), str(self.port)],
                         folder / "log", ready="Kafka Server started")

    def wait_ready(self, timeout_s=60):
        return super().wait_ready(timeout_s)

    @property
    def brokers(self):
        return f"127.0.0.1:{self.port}"

    def kcat(self, *args, timeout_s=100):
        return subprocess.run(["kcat", "-b", self.brokers, *args], check=True,
                              stdout=subprocess.PIPE,
                              timeout=timeout_s).stdout

    def messages(self, topic="events", isolation="read_committed"):
        """All that a consumer sees now."""
        out = self.kcat("-C", "-t", topic, "-o", "beginning", "-e", "-q",
                        "-X", f"isolation.level={isolation}",
                        "-X", "check.crcs=true",
                        "-f", "%p %o %T %K %S %h\\n%k%s\\n")
        at = 0
        while at < len(out):
            end = out.index(b"\n", at)
            p, o, t, k, s, h = out[at:end].split(b" ", 5)
            key_at, key_bytes = end + 1, max(int(k), 0)
            value_at = key_at + key_bytes
            at = value_at + int(s) + 1
            yield Message(int(p), int(o), int(t),
                          dict(x.split("=", 1)
                               for x in h.decode().split(",")),
                          out[key_at:value_at] if int(k) >= 0 else None,
                          out[value_at:at - 1])


@contextlib.contextmanager
def kafka():
    """A running broker; its folder is gone afterwards."""
    home = software()
    folder = pathlib.Path(tempfile.mkdtemp(
        prefix="leat-kafka-", dir=os.environ.get("LEAT_TEST_TMP")))
    broker = Kafka(folder, home)
    try:
        yield broker.start()
    except BaseException:
        print("--- kafka: the end of its log")
        for line in broker.lines[-20:]:
            print("  " + line)
        raise
    finally:
        if broker.running:
            broker.kill()
        if not os.environ.get("LEAT_KEEP"):
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":  # try it: a broker that answers
    with kafka() as k:
        print(k.kcat("-L").decode())
