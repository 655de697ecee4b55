"""[sinkd-kafka.rdkafka]: what is refused, and what is never shown."""
from leat import Leat


def check(options):
    with Leat(sinks=("kafka",), postgres=False, start=False,
              settings={"sinkd-kafka.rdkafka": options}) as leat:
        return leat.run("sinkd-kafka", "--check")


def test_secrets_are_not_shown():
    done = check({"ssl.key.password": "S3CRET1",
                  "ssl.keystore.password": "S3CRET2",
                  "client.id": "shown-neither"})
    assert done.returncode == 0, done.stderr
    assert "S3CRET" not in done.stdout + done.stderr
    # Debian's librdkafka takes none, others do.
    done = check({"sasl.oauthbearer.client.secret": "S3CRET3"})
    assert "S3CRET" not in done.stdout + done.stderr
    # Nor when something else is wrong, or the value is.
    for bad in ({"linger.ms": "S3CRET4"}, {"sasl.password": "S3CRET5"},
                {"no.such.thing": "S3CRET6"}):
        done = check({"ssl.key.password": "S3CRET1", **bad})
        assert done.returncode == 2, done.stdout
        assert next(iter(bad)) in done.stderr, done.stderr
        assert "S3CRET" not in done.stdout + done.stderr, done.stderr


def test_what_leat_sets_itself_is_refused_with_the_reason():
    for name, value, why in (
            ("statistics.interval.ms", "1000", "accumulate them"),
            ("group.id", "mine", "holds the position"),
            ("isolation.level", "read_uncommitted", "read_committed"),
            ("enable.auto.commit", "true", "goes with its batch"),
            ("log.queue", "true", "accumulate"),
            ("internal.termination.signal", "9", "send that signal"),
            ("max.in.flight", "0x10", "at most 5"),
            ("ssl.engine.location", "engine.so", "would load code"),
            ("ssl.providers", "default,/tmp/mine", "would load code"),
            ("sasl.kerberos.kinit.cmd", "id", "would run a command"),
            ("sasl.kerberos.principal", "a;id", "command of a shell"),
            ("sasl.kerberos.keytab", "a$(id)", "command of a shell"),
            ("plugin.library.paths", "monitor", "would load code")):
        done = check({name: value})
        assert done.returncode == 2, (name, done.stdout)
        assert why in done.stderr, done.stderr
