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
import socket
import struct
import subprocess
import tempfile

from leat import ROOT, Skip, fetched, free_port
from process import Daemon

SCRIPT = str(ROOT / "scripts" / "kafka-server")


def software():
    """The directory with Kafka in it, downloaded when it is not there yet."""
    for tool in ("java", "kcat"):
        if not shutil.which(tool):
            raise Skip(f"no {tool}")
    return fetched("Kafka", SCRIPT)


def template(home):
    """An empty broker's data, made once for all tests of a run.

    What lets brokers start quickly is made once for all runs.
    """
    shared = os.environ.get("LEAT_TEST_TMP")
    if not shared:
        return None
    data = pathlib.Path(shared) / "kafka"
    with open(f"{data}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "classes.jsa").exists():
            subprocess.run([SCRIPT, "archive", str(home)], check=False)
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


def tls_listener(pair, ca, logins=None):
    """Settings of a broker that also listens with TLS, at its `tls_port`.

    pair: certificate and key of the broker; ca: who signs the clients'.
    logins: SASL mechanism -> its module and options in JAAS; without it a
    client shows its certificate.
    """
    store = pair[0].with_suffix(".store")
    store.write_text(pair[1].read_text() + pair[0].read_text())
    protocol = "SASL_SSL" if logins else "SSL"
    modules = {
        f"listener.name.sasl_ssl.{name.lower()}.sasl.jaas.config":
        f"org.apache.kafka.common.security.{module};"
        for name, module in (logins or {}).items()}
    return {
        "listeners": "PLAINTEXT://127.0.0.1:%(port)d,"
                     "CONTROLLER://127.0.0.1:%(controller)d,"
                     f"{protocol}://127.0.0.1:%(tls_port)d",
        "advertised.listeners": "PLAINTEXT://127.0.0.1:%(port)d,"
                                f"{protocol}://localhost:%(tls_port)d",
        "ssl.keystore.type": "PEM", "ssl.keystore.location": store,
        "ssl.truststore.type": "PEM", "ssl.truststore.location": ca[0],
        "ssl.client.auth": "none" if logins else "required",
        "sasl.enabled.mechanisms": ",".join(logins or ()), **modules}


class Kafka(Daemon):
    """Keeps its data and its ports over restarts.

    properties: of the broker, beside the script's; %(port)d and such in them
    are its ports.  users: name -> password, for SCRAM-SHA-512.
    """

    def __init__(self, directory, home, properties=None, users=None):
        self.port, self.tls_port = free_port(), free_port()
        data = directory / "data"
        ready_made = None if users else template(home)
        if ready_made:
            shutil.copytree(ready_made, data)
        data.mkdir(exist_ok=True)
        ports = {"port": self.port, "controller": self.port + 1,
                 "tls_port": self.tls_port}
        (data / "more.properties").write_text("".join(
            f"{name}={value}\n" for name, value in (properties or {}).items())
            % ports)
        if users:
            made = [f"SCRAM-SHA-512=[name={name},password={password}]"
                    for name, password in users.items()]
            subprocess.run([SCRIPT, "format", str(home), str(data),
                            *(w for m in made for w in ("--add-scram", m))],
                           check=True)
        super().__init__("kafka", [SCRIPT, "run", str(home), str(data),
                                   str(self.port)],
                         directory / "log", ready="Kafka Server started")

    def wait_ready(self, timeout_s=60):
        return super().wait_ready(timeout_s)

    @property
    def brokers(self):
        return f"127.0.0.1:{self.port}"

    def allow(self, principal, kind, name, operation):
        """An ACL, by a CreateAcls request (version 1) of our own making.

        kind and operation: numbers of Kafka's ResourceType, AclOperation.
        """
        def text(s):
            return struct.pack(">h", len(s)) + s.encode()
        literal, allow = 3, 3
        body = struct.pack(">hhi", 30, 1, 1) + text("test") + \
            struct.pack(">ib", 1, kind) + text(name) + \
            struct.pack(">b", literal) + text(principal) + text("*") + \
            struct.pack(">bb", operation, allow)
        with socket.create_connection(("127.0.0.1", self.port), 20) as s, \
                s.makefile("rb") as answer:
            s.sendall(struct.pack(">i", len(body)) + body)
            size, = struct.unpack(">i", answer.read(4))
            # Correlation, throttle time, one result: its error code.
            error, = struct.unpack_from(">h", answer.read(size), 12)
        assert error == 0, f"Kafka's error {error}"

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
def kafka(properties=None, users=None):
    """A running broker; its directory is gone afterwards."""
    home = software()
    directory = pathlib.Path(tempfile.mkdtemp(
        prefix="leat-kafka-", dir=os.environ.get("LEAT_TEST_TMP")))
    broker = Kafka(directory, home, properties, users)
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
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":  # try it: a broker that answers
    with kafka() as k:
        print(k.kcat("-L").decode())
