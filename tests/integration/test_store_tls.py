"""TLS, passwords and rights between the sinks and the real stores.

An operator's mistake is shown by `leat status` and the log and costs no event.
When it is corrected the backlog goes out.
"""
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from certificate import certificate
from clickhouse import PASSWORD, clickhouse
from events import event_id, small
from kafka import kafka, tls_listener
from leat import Leat, free_port, limit, own_mounts
from postgres import system_user

SECRET = "hunter2-swordfish"
WRONG = "wrong-battery-staple"
N = 100  # events at a time


@contextlib.contextmanager
def keys():
    """A directory, an authority, and another one, which signs nothing."""
    directory = pathlib.Path(tempfile.mkdtemp(
        prefix="leat-keys-", dir=os.environ.get("LEAT_TEST_TMP")))
    directory.chmod(0o755)  # the user postgres passes through
    try:
        yield (directory, certificate(directory, "authority"),
               certificate(directory, "stranger"))
    finally:
        shutil.rmtree(directory)


class Backlog(Leat):
    """A leat with one sink, not started, and N events that wait for it."""

    def __init__(self, sink, settings, **more):
        super().__init__(sinks=(sink,), start=False, settings=settings,
                         postgres=sink == "postgres", **more)
        self.name, self.sent = sink, 0
        self.under_test = self.sink[sink]

    def __enter__(self):
        super().__enter__()
        self.batchd.start()
        self.ingestd.start()
        self.intake_open()
        self.send()
        return self

    def send(self):
        self.accept(small("s", N, self.sent))
        self.sent += N

    def again(self, env=None, options=None, **settings):
        """Start the sink again, with these settings changed."""
        sink = self.under_test
        self.settings[f"sinkd-{self.name}"].update(settings)
        if options:
            self.settings["sinkd-kafka.rdkafka"].update(options)
        self.write_conf()
        sink.stop()
        sink.env = env
        sink.start(wait=False)

    def refused(self, words):
        """Shows it in status and log, and dead-letters nothing."""
        self.misconfigured(words, self.name)
        self.under_test.wait_line("configuration needs attention .*"
                                  + re.escape(words))

    def stored(self, ids):
        """Wait for the end; everything that was sent is there, once."""
        self.caught_up()
        assert sorted(ids()) == sorted(event_id("s", i)
                                       for i in range(self.sent))
        assert self.dead_letters(self.name) == []

    def check_secrets(self, *secrets):
        done = self.run(f"sinkd-{self.name}", "--check")
        assert done.returncode == 0, done
        proc = pathlib.Path(f"/proc/{self.under_test.pid}")
        seen = [done.stdout, done.stderr, json.dumps(self.status()),
                (proc / "cmdline").read_text(),
                *(line for d in self.daemons() for line in d.lines)]
        for secret in secrets:
            assert not [text for text in seen if secret in text]


# Kafka.


def ids_in(broker):
    return lambda: [json.loads(m.value)["id"] for m in broker.messages()]


def at(broker, host="localhost"):
    return {"brokers": f"{host}:{broker.tls_port}", "create_topic": "yes",
            "partitions": 3, "retry_max_ms": 200}


def scram_works():
    """Whether the librdkafka that kcat and the sink share does it right."""
    text = subprocess.run(["kcat", "-V"], capture_output=True, text=True,
                          check=True).stdout
    version = re.search(r"librdkafka (\d+)\.(\d+)\.(\d+)", text)
    return tuple(map(int, version.groups())) >= (2, 6, 1)


@limit(180)
def test_kafka_passwords():
    with keys() as (directory, ca, _):
        broker_pair = certificate(directory, "broker", signer=ca)
        password = directory / "password"
        password.write_text(WRONG + "\n")
        logins = {"PLAIN": "plain.PlainLoginModule required "
                           f'user_leat="{SECRET}"',
                  "SCRAM-SHA-512": "scram.ScramLoginModule required"}
        options = {"security.protocol": "sasl_ssl",
                   "ssl.ca.location": ca[0], "sasl.mechanisms": "PLAIN",
                   "sasl.username": "leat"}
        with kafka(tls_listener(broker_pair, ca, logins),
                   {"leat": SECRET}) as broker, \
                Backlog("kafka", {
                    "sinkd-kafka": {**at(broker), "password_file": password},
                    "sinkd-kafka.rdkafka": options}) as leat:
            leat.again()
            leat.refused("Invalid username or password")
            password.write_text(SECRET + "\n")  # while the sink runs
            leat.stored(ids_in(broker))

            password.unlink()
            leat.again()
            leat.refused(f"password_file {password}: No such file")
            leat.again(env={"LEAT_KAFKA_PASSWORD": SECRET},
                       password_file=None)
            leat.send()
            leat.stored(ids_in(broker))
            leat.check_secrets(SECRET, WRONG)
            leat.again(env={"LEAT_KAFKA_PASSWORD": WRONG},
                       options={"sasl.mechanisms": "SCRAM-SHA-512"})
            leat.send()
            leat.refused("SCRAM-SHA-512")
            leat.again(env={"LEAT_KAFKA_PASSWORD": SECRET})
            if not scram_works():
                leat.refused("librdkafka before 2.6.1 cannot")
                leat.again(env={"LEAT_KAFKA_PASSWORD": SECRET},
                           options={"sasl.mechanisms": "PLAIN"})
            leat.stored(ids_in(broker))
            leat.check_secrets(SECRET, WRONG)


@limit(180)
def test_kafka_certificates():
    with keys() as (directory, ca, stranger):
        broker_pair = certificate(directory, "broker", "DNS:localhost", ca)
        client = certificate(directory, "client", signer=ca)
        options = {"security.protocol": "ssl",
                   "ssl.ca.location": stranger[0]}
        with kafka(tls_listener(broker_pair, ca)) as broker, \
                Backlog("kafka", {"sinkd-kafka": at(broker),
                                  "sinkd-kafka.rdkafka": options}) as leat:
            leat.again()
            leat.refused("is for another host name, or not by an authority")
            leat.again(options={"ssl.ca.location": ca[0]},
                       **at(broker, "127.0.0.1"))
            leat.refused("is for another host name, or not by an authority")
            leat.again(**at(broker))
            leat.refused("the broker refuses our TLS or certificate")
            leat.again(options={"ssl.certificate.location": client[0],
                                "ssl.key.location": client[1]})
            leat.stored(ids_in(broker))


@limit(180)
def test_kafka_rights():
    """Each right that docs/kafka.md names is missed by name, if it is."""
    with keys() as (directory, ca, _):
        broker_pair = certificate(directory, "broker", signer=ca)
        client = certificate(directory, "client", signer=ca)
        properties = tls_listener(broker_pair, ca) | {
            "authorizer.class.name":
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS"}
        options = {"security.protocol": "ssl", "ssl.ca.location": ca[0],
                   "ssl.certificate.location": client[0],
                   "ssl.key.location": client[1]}
        with kafka(properties) as broker, \
                Backlog("kafka", {"sinkd-kafka": at(broker),
                                  "sinkd-kafka.rdkafka": options}) as leat:
            leat.again()
            topic, group, transaction = 2, 3, 5
            read, write, create = 3, 4, 5
            name = "leat-kafka-" + leat.status()["log"]["stream"]
            for kind, what, operation, words in (
                    (topic, "events", create, "create_topic: needs"),
                    (topic, "events", write, "topic: needs Read and Write"),
                    (transaction, name, write,
                     "needs Write on the transactional id leat-kafka-*"),
                    (group, name, read,
                     "needs Read on the group leat-kafka-*"),
                    (topic, "events", read, "needs Read and Write on the")):
                leat.misconfigured(words, "kafka")
                broker.allow("User:CN=client", kind, what, operation)
            leat.stored(ids_in(broker))


# ClickHouse.


def ids_of(*servers):
    return lambda: [i for ch in servers for i in
                    ch.query("SELECT toString(id) FROM events").split()]


def https(ch, host="localhost"):
    return f"https://{host}:{ch.tls_port}"


def test_clickhouse_certificates_and_passwords():
    with keys() as (directory, ca, stranger):
        pair = certificate(directory, "server", "DNS:localhost", ca)
        password = directory / "password"
        password.write_text(WRONG + "\n")
        with clickhouse(pair) as ch, Backlog("clickhouse", {
                "sinkd-clickhouse": {
                    "url": https(ch), "ca_file": stranger[0], "user": "leat",
                    "password_file": password, "create_table": "yes",
                    "batch_wait_ms": 20, "retry_max_ms": 200}}) as leat:
            leat.again()
            leat.refused("SSL certificate problem")
            nothing = directory / "nothing"
            leat.again(ca_file=nothing)
            leat.refused(f"error setting certificate file: {nothing}")
            leat.again(url=https(ch, "127.0.0.1"), ca_file=ca[0])
            leat.refused("no alternative certificate subject name matches "
                         "target host name '127.0.0.1'")
            leat.again(url=https(ch))
            leat.refused("Wrong password for user leat")
            password.write_text(PASSWORD + "\n")  # while the sink runs
            leat.stored(ids_of(ch))
            leat.check_secrets(PASSWORD, WRONG)

            leat.again(env={"LEAT_CLICKHOUSE_PASSWORD": PASSWORD},
                       password_file=None)
            leat.send()
            leat.stored(ids_of(ch))
            leat.check_secrets(PASSWORD, WRONG)


def test_clickhouse_urls_in_turn():
    """One that is dead, or shows a bad certificate, is skipped."""
    with keys() as (directory, ca, _):
        good = certificate(directory, "good", signer=ca)
        with clickhouse(certificate(directory, "bad")) as bad, \
                clickhouse(good) as one, clickhouse(good) as two, \
                Backlog("clickhouse", {"sinkd-clickhouse": {
                    "url": " ".join(map(https, (bad, one, two))),
                    "ca_file": ca[0], "create_table": "yes",
                    "batch_wait_ms": 20, "retry_max_ms": 200}}) as leat:
            two.kill()
            leat.again()
            leat.caught_up()
            two.start()
            one.kill()
            leat.send()
            leat.caught_up()
            one.start()
            two.kill()
            leat.send()
            leat.caught_up()
            one.kill()
            leat.send()
            leat.refused(f"self-signed certificate ({https(bad)}/)")
            two.start()
            leat.caught_up()
            one.start()
            leat.stored(ids_of(one, two))


# PostgreSQL.


def test_postgres_at_the_last_of_several_addresses():
    """Its message is not cut off by those on the addresses before it."""
    own_mounts()
    with tempfile.NamedTemporaryFile("w") as hosts, tempfile.TemporaryDirectory(
            dir=os.environ.get("LEAT_TEST_TMP")) as directory:
        for n in (*range(2, 12), 128):  # the order in which they are tried
            hosts.write(f"127.0.0.{n} store\n")
        hosts.flush()
        subprocess.run(["mount", "--bind", hosts.name, "/etc/hosts"],
                       check=True)
        os.chmod(directory, 0o755)
        hba = pathlib.Path(directory) / "hba"
        hba.write_text("local all all trust\n"
                       "host all all 127.0.0.1/32 reject\n")
        port = free_port()
        os.environ["PGPORT"] = str(port)  # of the server and of psql
        with Backlog("postgres", {"sinkd-postgres": {
                "host": "store", "port": port, "retry_max_ms": 200}},
                pg_settings="listen_addresses = '127.0.0.128'\n"
                f"hba_file = '{hba}'\n") as leat:
            leat.again()
            leat.refused("pg_hba.conf rejects connection")


def test_postgres_certificates():
    with keys() as (directory, ca, stranger):
        pair = certificate(directory, "server", "DNS:localhost", ca)
        if system_user():
            shutil.chown(pair[1], system_user())
        client = certificate(directory, "leat", signer=ca)
        (directory / "hba").write_text("local all all trust\n"
                                    "hostssl all all 127.0.0.1/32 cert\n")
        port = free_port()
        os.environ["PGPORT"] = str(port)  # of the server and of psql
        with Backlog("postgres", {"sinkd-postgres": {
                "host": "localhost", "port": port, "sslmode": "verify-full",
                "sslrootcert": stranger[0], "retry_max_ms": 200}},
                pg_settings="listen_addresses = '127.0.0.1'\n"
                f"ssl = on\nssl_cert_file = '{pair[0]}'\n"
                f"ssl_key_file = '{pair[1]}'\nssl_ca_file = '{ca[0]}'\n"
                f"hba_file = '{directory / 'hba'}'\n") as leat:
            def stored():
                return leat.pg.query("select id from events").split()

            def tls(value):
                before = len(leat.pg.lines)
                leat.pg.query(f"alter system set ssl = {value}")
                leat.pg.query("select pg_reload_conf()")
                leat.pg.wait_line('"ssl" changed', after=before)

            leat.again()
            leat.refused("certificate verify failed")
            leat.again(sslrootcert=directory / "nothing")
            leat.refused("does not exist")
            leat.again(sslrootcert=ca[0], host="127.0.0.1")
            leat.refused("does not match host name")
            leat.again(host="localhost")
            leat.refused("requires a valid client certificate")
            leat.again(host="localhost",
                       conninfo=f"sslcert={client[0]} sslkey={client[1]}")
            leat.stored(stored)
            assert leat.pg.query(
                "select distinct ssl from pg_stat_ssl join pg_stat_activity "
                "using (pid) where client_port > 0") == "t"
            tls("off")
            leat.again()
            leat.send()
            leat.refused("server does not support SSL")
            tls("on")
            leat.stored(stored)
