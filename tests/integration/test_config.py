"""Settings: refused with line and reason, shown by --check, all documented."""
import pathlib
import re
import shutil
import subprocess
import tempfile

from leat import ROOT, Skip, build_tree, program

SINKS = sorted(p.name for p in ROOT.glob("sinkd-*")
               if (p / f"{p.name}.c").exists())
DAEMONS = ["ingestd", "batchd"] + SINKS


def run(name, *args, text=None):
    with tempfile.TemporaryDirectory() as d:
        conf = pathlib.Path(d) / "leat.conf"
        if text is not None:
            conf.write_text(text)
            args = ("--config", str(conf), *args)
        return subprocess.run([program(name), *args], capture_output=True,
                              text=True, timeout=20)


def test_what_is_refused():
    for name in DAEMONS:
        bad = [(f"# a comment\n\n[{name}]\nno_such_key = 1\n", 4,
                "no_such_key"),
               ("[leat]\nsocket = /tmp/x\n[nonsense]\na = 1\n", 3, "nonsense"),
               (f"[leat]\nsocket = {'x' * 150}\n", 2, "socket"),
               ("[leat]\nsocket = /a\nsocket = /b\n", 3, "twice"),
               (f"[{name}]\nthis is no pair\n", 2, "name = value")]
        for text, line, word in bad:
            done = run(name, "--check", text=text)
            assert done.returncode == 2, (name, text, done)
            assert f"leat.conf:{line}:" in done.stderr, (name, text, done)
            assert word in done.stderr, (name, text, done)
            # Without --check it does not start either.
            assert run(name, text=text).returncode == 2
        assert run(name, "--nonsense").returncode == 2
        assert run(name, "--config", "/nonexistent").returncode == 2


def test_out_of_range():
    for name, pair in [("ingestd", "port = 70000"), ("ingestd", "port = http"),
                       ("batchd", "fsync = sometimes"),
                       ("sinkd-postgres", "batch_bytes = 1G"),
                       ("sinkd-postgres", "create_table = maybe")]:
        done = run(name, "--check", text=f"[{name}]\n{pair}\n")
        key = pair.split()[0]
        assert done.returncode == 2, (name, pair, done)
        assert "leat.conf:2:" in done.stderr and key in done.stderr, done
        assert "must be" in done.stderr, done


def test_the_example_is_in_force_as_it_says():
    """leat.conf shows every key of every daemon with its default."""
    for name in DAEMONS:
        path = str(ROOT / "leat.conf")
        done = run(name, "--check", "--config", path)
        assert done.returncode == 0, done.stderr
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as empty:
            defaults = run(name, "--check", "--config", empty.name)
        assert done.stdout == defaults.stdout, (done.stdout, defaults.stdout)
    shown, section = {}, None
    for line in (ROOT / "leat.conf").read_text().splitlines():
        if m := re.fullmatch(r"\[(.+)\]", line):
            section = m[1]
        elif m := re.fullmatch(r"#? ?([a-z_]+) =( .*)?", line):
            shown[section, m[1]] = (m[2] or "").strip()
    shared = shared_by_sinks()
    for name in DAEMONS:
        for (section, key), default in keys_of(name).items():
            if name in SINKS and shared.get(key) == default:
                section = "sinkd-postgres"  # where the shared keys stand
            assert shown.get((section, key)) == default, (section, key)


def shared_by_sinks():
    """Keys that every sink has, with one default."""
    of_each = [{(k, v) for (section, k), v in keys_of(sink).items()
                if section == sink} for sink in SINKS]
    return dict(set.intersection(*of_each))


def keys_of(name):
    """(section, key) -> default, from --help."""
    done = run(name, "--help")
    assert done.returncode == 0, done.stderr
    keys, section = {}, None
    for line in done.stdout.splitlines():
        if m := re.fullmatch(r"\[(.+)\]", line):
            section = m[1]
        elif section and (m := re.fullmatch(r"  ([a-z_]+) =( .*)?", line)):
            keys[section, m[1]] = (m[2] or "").strip()
    assert keys, done.stdout
    return keys


def documented():
    """(section, key) -> default, from the tables of docs/operations.md."""
    keys, section = {}, None
    for line in (ROOT / "docs/operations.md").read_text().splitlines():
        if m := re.match(r"### `\[(.+)\]`", line):
            section = m[1]
        elif line.startswith("#"):
            section = None
        elif section and (m := re.match(r"\| `([a-z_]+)` \| (?:`(.*?)`)? *\|",
                                        line)):
            keys[section, m[1]] = m[2] or ""
    return keys


def test_every_key_is_documented_with_its_default():
    docs, shared = documented(), shared_by_sinks()
    programs = {}
    for name in DAEMONS:
        for (section, key), default in keys_of(name).items():
            if name in SINKS and shared.get(key) == default:
                section = "sinkd-*"
            programs[section, key] = default
    missing = {k: v for k, v in programs.items() if docs.get(k) != v}
    assert not missing, f"docs/operations.md lacks {missing}"
    extra = set(docs) - set(programs)
    assert not extra, f"docs/operations.md has {extra}, which nobody reads"


def test_version_and_help():
    for name in DAEMONS:
        done = run(name, "--version")
        assert done.returncode == 0
        assert re.fullmatch(rf"{name} \d+\.\d+\.\d+\n", done.stdout), done
        assert done.stderr == ""


NOT_ENCRYPTED = "over a connection that is not encrypted"
NOT_CHECKED = "could pose as it"
# Program, its settings, what is warned of.
CAREFUL = [
    ("sinkd-postgres", "host = db", None),
    ("sinkd-postgres", "password_file = {f}", None),
    ("sinkd-postgres", "host = /run/postgresql\npassword_file = {f}", None),
    ("sinkd-postgres", "host = 127.0.0.1,localhost\npassword_file = {f}",
     None),
    ("sinkd-postgres", "host = db\npassword_file = {f}", NOT_ENCRYPTED),
    ("sinkd-postgres", "host = localhost,db\npassword_file = {f}\n"
     "sslmode = prefer", NOT_ENCRYPTED),
    ("sinkd-postgres", "conninfo = host=db sslmode=disable\n"
     "password_file = {f}", NOT_ENCRYPTED),
    ("sinkd-postgres", "dbname = postgresql://db/x\npassword_file = {f}",
     NOT_ENCRYPTED),
    ("sinkd-postgres", "conninfo = host=db passfile={f}", NOT_ENCRYPTED),
    ("sinkd-postgres", "host = db\nsslmode = require", NOT_CHECKED),
    ("sinkd-postgres", "host = db\nsslmode = verify-full\n"
     "password_file = {f}", None),
    ("sinkd-clickhouse", "url = http://ch:8123", None),
    ("sinkd-clickhouse", "password_file = {f}", None),
    ("sinkd-clickhouse", "url = https://ch\npassword_file = {f}", None),
    ("sinkd-clickhouse", "url = http://[::1]:8123 http://127.0.0.1.ch:8123\n"
     "password_file = {f}", NOT_ENCRYPTED),
    ("sinkd-kafka", "brokers = k:9092\n[sinkd-kafka.rdkafka]\n"
     "security.protocol = sasl_ssl", None),
    ("sinkd-kafka", "brokers = localhost:9092\n[sinkd-kafka.rdkafka]\n"
     "security.protocol = sasl_plaintext", None),
    ("sinkd-kafka", "brokers = localhost:9092,k:9092\n"
     "[sinkd-kafka.rdkafka]\nsecurity.protocol = SASL_PLAINTEXT",
     NOT_ENCRYPTED),
    ("sinkd-kafka", "[sinkd-kafka.rdkafka]\n"
     "enable.ssl.certificate.verification = false", NOT_CHECKED),
    ("sinkd-kafka", "[sinkd-kafka.rdkafka]\n"
     "ssl.endpoint.identification.algorithm = none", NOT_CHECKED),
]


def test_careless_settings_are_warned_of():
    with tempfile.TemporaryDirectory() as folder:
        secret = pathlib.Path(folder) / "secret"
        secret.write_text("S3CRET\n")
        secret.chmod(0o640)

        def warnings(name, text):
            done = run(name, "--check",
                       text=f"[{name}]\n{text.format(f=secret)}\n")
            assert done.returncode == 0, done.stderr
            assert "S3CRET" not in done.stdout + done.stderr
            return [l for l in done.stderr.splitlines() if " warn " in l]

        for name, text, warning in CAREFUL:
            found = warnings(name, text)
            assert all(warning in line for line in found), (text, found)
            assert len(found) == (1 if warning else 0), (text, found)
        for mode in (0o660, 0o602):
            secret.chmod(mode)
            for name, key in (("sinkd-postgres", "password_file"),
                              ("sinkd-kafka", "password_file"),
                              ("sinkd-clickhouse", "password_file"),
                              ("sinkd-kafka", "[sinkd-kafka.rdkafka]\n"
                               "ssl.key.location"),
                              ("sinkd-kafka", "[sinkd-kafka.rdkafka]\n"
                               "sasl.kerberos.keytab")):
                (line,) = warnings(name, f"{key} = {{f}}")
                assert "secret file can be written by others" in line, line
        secret.write_text("shop sha256:" + 64 * "0" + "\n")
        (line,) = warnings("ingestd", "tokens_file = {f}")
        assert "secret file can be written by others" in line, line


def test_an_engine_in_conninfo_is_refused():
    for text in ("conninfo = sslcert=/c.pem sslkey=/tmp/mine.so:key",
                 "dbname = postgresql://db/x?sslkey=pkcs11:key"):
        done = run("sinkd-postgres", "--check",
                   text=f"[sinkd-postgres]\n{text}\n")
        assert done.returncode == 2, done.stdout
        assert "sslkey with a colon" in done.stderr, done.stderr
    done = run("sinkd-postgres", "--check", text="[sinkd-postgres]\n"
               "conninfo = sslcert=/c.pem sslkey=/k.pem\n")
    assert done.returncode == 0, done.stderr


def test_secrets_are_not_shown():
    with tempfile.NamedTemporaryFile("w") as f:
        f.write("hunter2\n")
        f.flush()
        done = run("sinkd-postgres", "--check",
                   text=f"[sinkd-postgres]\npassword_file = {f.name}\n")
        assert done.returncode == 0, done.stderr
        assert f.name in done.stdout
        assert "hunter2" not in done.stdout + done.stderr


# systemd


def parse_unit(text):
    """section -> [(key, value)]"""
    unit, pairs = {}, None
    for line in text.splitlines():
        if m := re.fullmatch(r"\[(\w+)\]", line):
            pairs = unit.setdefault(m[1], [])
        elif line and not line.startswith("#"):
            pairs.append(tuple(line.split("=", 1)))
    return unit


def documented_units():
    """name -> unit: batchd's is whole, the others say what differs."""
    text = (ROOT / "docs/operations.md").read_text()
    blocks = re.findall(r"^```ini\n(.*?)^```", text, re.M | re.S)
    units = {"leat-batchd.service": parse_unit(blocks[0])}
    for block in blocks[1:]:
        first = block.splitlines()[0]
        left_out = set(re.findall(r"no (\w+)", first))
        changes, unit = parse_unit(block), {}
        for section, pairs in units["leat-batchd.service"].items():
            new = changes.get(section, [])
            gone = left_out | {k for k, _ in new}
            unit[section] = [p for p in pairs if p[0] not in gone] + new
        for name in re.findall(r"leat-[\w-]+@?\.service", first):
            units[name] = unit
    for sink in SINKS:
        units[f"leat-{sink}.service"] = \
            units.get(f"leat-{sink}.service") or {
                section: [(k, v.replace("sinkd-postgres", sink))
                          for k, v in pairs] for section, pairs in
                units["leat-sinkd-postgres.service"].items()}
    return units


def analyze(*args, **more):
    return subprocess.run(["systemd-analyze", *args], capture_output=True,
                          text=True, timeout=60, **more)


def calls_of(filters):
    """The system calls that a unit's SystemCallFilter lines leave."""
    sets = {}

    def expand(word):
        if not word.startswith("@"):
            return {word}
        if word not in sets:
            lines = analyze("syscall-filter", word).stdout.splitlines()[1:]
            words = [w.strip() for w in lines if w.strip()[:1] != "#"]
            sets[word] = set().union(*(expand(w) for w in words if w))
        return sets[word]

    left = set()
    for line in filters:
        for word in line.lstrip("~").split():
            if line.startswith("~"):
                left -= expand(word)
            else:
                left |= expand(word)
    return left


def test_the_units_in_the_docs():
    """systemd knows every line, and leaves batchd the calls it makes."""
    if not shutil.which("systemd-analyze"):
        raise Skip("there is no systemd-analyze")
    units = documented_units()
    assert {f"leat-{name}.service" for name in ["batchd", *SINKS]} | \
        {"leat-ingestd@.service"} == set(units), set(units)
    with tempfile.TemporaryDirectory(prefix="leat-units-") as folder:
        paths = []
        for name, unit in units.items():
            path = pathlib.Path(folder, name)
            path.write_text("".join(
                f"[{section}]\n" + "".join(f"{k}={v}\n" for k, v in pairs)
                for section, pairs in unit.items()).replace(
                    "/usr/local/bin/", f"{build_tree('release')}/bin/"))
            paths.append(str(path))
        done = analyze("verify", "--man=no", "--recursive-errors=no", *paths)
    assert done.returncode == 0 and not done.stderr, done
    for name, unit in units.items():
        of = [pair for pairs in unit.values() for pair in pairs]
        assert ("StartLimitIntervalSec", "0") in of, name
        assert ("Restart", "always") in of and ("RestartSec", "1") in of, name
        # A folder above another's would be taken over by the last to start.
        states = [v for k, v in of if k == "StateDirectory"]
        assert set(states) <= {"leat/log", "leat/dead"}, (name, states)
        calls = calls_of(v for k, v in of if k == "SystemCallFilter")
        for call in ("chown", "fallocate", "fdatasync", "flock", "fadvise64",
                     "renameat", "accept4", "sendmsg", "prlimit64"):
            assert call in calls, (name, call)
        assert "mount" not in calls and "bpf" not in calls
