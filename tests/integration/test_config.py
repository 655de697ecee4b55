"""Settings: refused with line and reason, shown by --check, all documented."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from leat import ROOT, Skip, build_tree, program

# The dashboard is no sink: it has none of the settings that they share.
SINKS = sorted(p.name for p in ROOT.glob("sinkd-*")
               if (p / f"{p.name}.c").exists() and p.name != "sinkd-dashboard")
DAEMONS = ["ingestd", "batchd", "sinkd-dashboard"] + SINKS


def run(name, *args, text=None):
    with tempfile.TemporaryDirectory() as d:
        conf = pathlib.Path(d) / "leat.conf"
        if text is not None:
            conf.write_text(text)
            args = (*args, "--config", str(conf))
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


SINK_NAMES = "with commas"
# Program, its settings, the line that is refused, text of the reason.
REFUSED = [
    ("batchd", "[batchd]\nsinks = dashboard", 2, "stores no events"),
    ("batchd", "[batchd]\nsinks = sinkd-postgres", 2, "write postgres"),
    ("batchd", "[batchd]\nsinks = postgres,kafka", 2,
     "names are separated by spaces"),
    ("batchd", "[batchd]\nsinks = kafka kafka", 2, "kafka is repeated"),
    ("batchd", "[batchd]\n\nsocket_owner = no-such-name", 3, "no such user"),
    ("batchd", "[batchd]\nsocket_group = no-such-name", 2, "no such group"),
    ("batchd", "[batchd]\nmax_bytes = 2000T", 2, "from 4M to 1024T"),
    ("ingestd", "[ingestd]\nlisten = localhost", 2,
     "must be an IP address, not a name: 127.0.0.1 or ::1"),
    ("ingestd", "[ingestd]\nlisten = 0.0.0.0", 2, "set tokens_file"),
    ("ingestd", "[ingestd]\nmax_pending_bytes = 1M", 2,
     "max_pending_bytes = 1M: must be at least 22634K"),
    ("ingestd", "[ingestd]\ncors_origins = example.org", 2, "cors_origins"),
    ("ingestd", "[ingestd]\ntls_key = /etc/passwd", None, "together"),
    ("sinkd-postgres", "[sinkd-postgres]\nport = abc", 2,
     "port = abc: must be from 1 to 65535"),
    ("sinkd-postgres", "[sinkd-postgres]\nport = 5432,65536", 2, "65535"),
    ("sinkd-postgres", "[sinkd-postgres]\nsslmode = on", 2,
     "one of: nothing, disable, allow, prefer, require, verify-ca, "
     "verify-full"),
    ("sinkd-postgres", "[sinkd-postgres]\ntable = a b c", 2,
     "must be a table's name as in SQL"),
    ("sinkd-postgres", "[sinkd-postgres]\ntable = a.b.c.d", 2, "as in SQL"),
    ("sinkd-postgres", '[sinkd-postgres]\nposition_table = "a', 2, "as in SQL"),
    ("sinkd-postgres", "[sinkd-postgres]\nhost = a b", 2, "with commas"),
    ("sinkd-postgres", "[sinkd-postgres]\nconninfo = port=abc", 2, "65535"),
    ("sinkd-postgres", "[sinkd-postgres]\nconninfo = sslmode=on", 2,
     "sslmode: must be one of"),
    ("sinkd-postgres", "[sinkd-postgres]\nconninfo = host", 2, "key=value"),
    ("sinkd-postgres", "[sinkd-postgres]\nretry_min_ms = 50000", 2,
     "at most retry_max_ms, which is 30000"),
    ("sinkd-postgres", "[sinkd-postgres.x]", 1, "unknown section"),
    ("sinkd-kafka", "[sinkd-kafka.rdkafk]\nlinger.ms = 1", 1,
     "unknown section"),
    ("sinkd-kafka", "[sinkd-kafka]\ntopic = a b", 2, "must be a name of"),
    ("sinkd-kafka", "[sinkd-kafka]\nbrokers = a:1 b:2", 2, SINK_NAMES),
    ("sinkd-kafka", "[sinkd-kafka]\nbrokers = a:1,b:x", 2, SINK_NAMES),
    ("sinkd-kafka", "[sinkd-kafka]\nbrokers = a:1,,b:2", 2, SINK_NAMES),
    ("sinkd-kafka", "[sinkd-kafka.rdkafka]\nssl.key.password = a # b", 2,
     "a comment cannot follow this value"),
    ("sinkd-clickhouse", "[sinkd-clickhouse]\nurl = http://a:port", 2, "port"),
    ("sinkd-clickhouse", '[sinkd-clickhouse]\nurl = "http://a"', 2,
     "without quotes"),
    ("sinkd-clickhouse", "[sinkd-clickhouse]\nurl = a:8123", 2,
     "http://host:port"),
    ("sinkd-clickhouse", "[sinkd-clickhouse]\ntable = a.b", 2,
     "without a dot"),
]


def test_what_cannot_work_is_refused():
    """With the line, and with what is allowed."""
    for name, text, line, words in REFUSED:
        done = run(name, "--check", text=text + "\n")
        at = f"leat.conf:{line}: [" if line else "leat.conf: ["
        if "unknown section" in words:
            at = f"leat.conf:{line}: "
        assert done.returncode == 2, (text, done)
        assert at in done.stderr and words in done.stderr, (text, done.stderr)


def test_what_looks_alike_is_taken():
    """Nothing that works is refused for its form."""
    for name, text in [
            ("sinkd-postgres", "host = a,b\nport = 5432,5433"),
            ("sinkd-postgres", "host = a,b\nport = ,5433"),
            ("sinkd-postgres", 'table = "a b"."c""d"'),
            ("sinkd-postgres", "table = größe.tabelle_1$"),
            ("sinkd-postgres", "sslmode = verify-full\nsslrootcert = system"),
            ("sinkd-postgres", "sslmode ="),
            ("sinkd-kafka", "brokers = SSL://a:1, [::1]:9092 ,b"),
            ("sinkd-kafka", "topic = A.b_c-1"),
            ("sinkd-kafka", "[sinkd-kafka.rdkafka]\nssl.ca.location = /etc"),
            ("sinkd-clickhouse", "url = https://[::1]:8443/ch http://b"),
            ("ingestd", "listen = ::1"),
            ("ingestd", "listen = 127.1"),
            ("batchd", "max_bytes = 1T"),
            ("batchd", "sinks = postgres  kafka\tclickhouse")]:
        done = run(name, "--check", text=f"[{name}]\n{text}\n")
        assert done.returncode == 0, (text, done)


def test_what_may_be_misspelt_is_warned_of():
    """A sink can be of another author, so unknown names are accepted."""
    for name, text, line, words in [
            ("batchd", "[batchd]\nsinks = postgres kafaka", 2,
             "sinkd-kafaka is not installed here"),
            ("batchd", "[batchd]\nsinks =", 2, "there is no sink"),
            ("sinkd-postgres", '[sinkd-postgres]\nhost = "db"', 2,
             "the quotes are a part of the value"),
            ("sinkd-postgres", "[sinkd-postgres]\ntable = a.b.c", 2,
             "write SCHEMA.TABLE"),
            ("sinkd-kafka", '[sinkd-kafka]\nbrokers = "k"', 2,
             "the quotes are a part of the value"),
            *((name, "[leat]\n[sinkd-postgre]\nhost = db", 2,
               "[sinkd-postgre]: nothing reads this section")
              for name in DAEMONS)]:
        done = run(name, "--check", text=text + "\n")
        assert done.returncode == 0, done
        (found,) = [l for l in done.stderr.splitlines() if words in l]
        assert " warn " in found and f"leat.conf:{line}: [" in found, found
        if "not installed" in words or "nothing reads" in words:
            assert ", ".join(s.removeprefix("sinkd-") for s in SINKS) in found
    for name in DAEMONS:
        text = "".join(f"[{sink}]\nbatch_events = 1\n" for sink in SINKS)
        done = run(name, "--check", text=text)
        assert done.returncode == 0 and "nothing reads" not in done.stderr


# Program, section, and a key that names a file.
FILES = [("ingestd", "ingestd", "tokens_file"),
         ("ingestd", "ingestd", "tls_certificate"),
         ("ingestd", "ingestd", "tls_key"),
         ("sinkd-postgres", "sinkd-postgres", "password_file"),
         ("sinkd-postgres", "sinkd-postgres", "sslrootcert"),
         ("sinkd-kafka", "sinkd-kafka", "password_file"),
         ("sinkd-kafka", "sinkd-kafka.rdkafka", "ssl.key.location"),
         ("sinkd-kafka", "sinkd-kafka.rdkafka", "ssl.ca.location"),
         ("sinkd-clickhouse", "sinkd-clickhouse", "password_file"),
         ("sinkd-clickhouse", "sinkd-clickhouse", "ca_file")]


def with_file(section, key, path):
    text = f"[{section}]\n{key} = {path}\n"
    if key.startswith("tls_"):
        other = {"tls_key": "tls_certificate", "tls_certificate": "tls_key"}
        text += f"{other[key]} = /etc/passwd\n"
    return text


def test_files_that_cannot_be_read_are_refused():
    """By --check; a daemon that starts waits for some of them."""
    for name, section, key in FILES:
        for path, why in (("/nonexistent", "No such file or directory"),
                          ("/etc/passwd/x", "Not a directory"),
                          ("/etc", "Is a directory")):
            if path == "/etc" and key == "ssl.ca.location":
                continue  # it may be a directory
            done = run(name, "--check", text=with_file(section, key, path))
            assert done.returncode == 2, (key, path, done)
            assert f"leat.conf:2: [{section}] {key} = {path}: cannot read " \
                f"this file: {why}" in done.stderr, done.stderr
    # A running ingestd logs the same when it reads its files again.
    for key in ("tls_certificate", "tls_key"):
        done = run("ingestd", text=with_file("ingestd", key, "/nonexistent"))
        assert done.returncode == 2, done
        assert "cannot read /nonexistent: No such file" in done.stderr, done
    with tempfile.NamedTemporaryFile("w") as secret:
        done = run("sinkd-kafka", "--check",
                   text=with_file("sinkd-kafka", "password_file", secret.name))
        assert done.returncode == 0 and "is empty" in done.stderr, done
        secret.write("x" * 2000)
        secret.flush()
        done = run("sinkd-kafka", "--check",
                   text=with_file("sinkd-kafka", "password_file", secret.name))
        assert done.returncode == 2 and "longer than" in done.stderr, done
        assert "xxx" not in done.stdout + done.stderr


def test_files_that_root_alone_can_read_are_warned_of():
    """Root reads what the daemons' user does not."""
    if os.geteuid() != 0:
        raise Skip("only root reads what others cannot")
    with tempfile.TemporaryDirectory() as directory:
        home = pathlib.Path(directory)
        home.chmod(0o755)
        run_directory, secret = home / "run", home / "secret"
        conf = home / "leat.conf"
        secret.write_text("hunter2\n")
        conf.write_text(f"[leat]\nsocket = {run_directory}/batchd.sock\n"
                        f"[sinkd-postgres]\npassword_file = {secret}\n"
                        f"dead_dir = {home}\n")

        def warnings():
            done = run("sinkd-postgres", "--check", "--config", str(conf))
            assert done.returncode == 0, done
            # The next test has those of dead_dir.
            return [l for l in done.stderr.splitlines()
                    if " warn " in l and "dead_dir" not in l]

        # The owner of the socket's directory is not known yet.
        secret.chmod(0o600)
        (line,) = warnings()
        assert f"leat.conf:4: [sinkd-postgres] password_file = {secret}: " \
            "root alone can read it" in line, line
        os.chown(secret, 0, 65534)
        secret.chmod(0o640)
        assert warnings() == []
        run_directory.mkdir()
        secret.chmod(0o600)
        assert warnings() == []  # leat runs as root
        os.chown(run_directory, 65534, 65534)
        (line,) = warnings()
        assert "who owns" in line and "cannot read it: Permission denied" in \
            line and "leat.conf:4:" in line, line
        secret.chmod(0o640)
        assert warnings() == []
        conf.chmod(0o600)
        (line,) = warnings()
        assert "leat.conf: user" in line, line
        conf.chmod(0o644)
        home.chmod(0o700)  # and the directories above
        assert len(warnings()) == 2


def test_directories_that_cannot_be_used_are_warned_of():
    with tempfile.TemporaryDirectory() as directory:
        home = pathlib.Path(directory)
        home.chmod(0o755)
        conf = home / "leat.conf"
        good = {"[leat]\nsocket": "run/batchd.sock", "[batchd]\ndir": "log",
                "[sinkd-postgres]\ndead_dir": "dead"}

        def warnings(**paths):
            conf.write_text("".join(
                f"{key} = {home}/{paths.get(key.split()[-1], path)}\n"
                for key, path in good.items()))
            done = run("leat", "check", "--offline", "--config", str(conf))
            assert done.returncode == 0, done
            return [line for line in done.stderr.splitlines()
                    if not line.startswith(f"warning: {conf}: ")]

        (line,) = warnings()
        assert f"leat.conf:2: [leat] socket = {home}/run/batchd.sock: the " \
            f"directory {home}/run is missing: create it" in line, line
        (home / "run").mkdir()
        # The last part of these is created.
        assert warnings() == []
        (line,) = warnings(dir="a/log")
        assert f"leat.conf:4: [batchd] dir = {home}/a/log: the directory " \
            f"{home}/a is missing" in line, line
        (line,) = warnings(dead_dir="a/dead")
        assert "leat.conf:6: [sinkd-postgres] dead_dir" in line, line
        if os.geteuid() != 0:
            return
        for name in ("log", "dead"):
            (home / name).mkdir()
        os.chown(home / "run", 65534, 65534)
        log, dead = warnings()
        for line, name in ((log, "log"), (dead, "dead")):
            assert f"who owns {home}/run, cannot create files in " \
                f"{home}/{name}: Permission denied" in line, line
        for name in ("log", "dead"):
            os.chown(home / name, 65534, 65534)
        assert warnings() == []


def test_comments_and_units():
    done = run("ingestd", "--check", text="[ingestd] # x\nport = 81 # x\n"
               "max_body_bytes = 1M ; x\n  # x\n\tmax_event_bytes = 1000\n")
    assert done.returncode == 0, done
    lines = done.stdout.splitlines()
    for line in ("port = 81", "max_body_bytes = 1M", "max_event_bytes = 1000",
                 "max_pending_bytes = 32M"):
        assert line in lines, lines
    # The lengths of the tables hold: no other limit is in their way.
    path = "/" + "x" * 3900
    done = run("batchd", "--check", text=f"[batchd]\ndir = {path}\n")
    assert done.returncode == 0 and f"dir = {path}" in done.stdout, done


def test_leat_check_checks_all_sections():
    with tempfile.TemporaryDirectory() as directory:
        done = run("leat", "check", "--offline",
                   text=f"[leat]\nsocket = {directory}/b\n"
                   f"[batchd]\ndir = {directory}/log\n")
    assert done.returncode == 0, done
    assert "0 errors, 0 warnings; checked by batchd, ingestd" in done.stdout \
        or os.geteuid() == 0, done
    done = run("leat", "check", text="""[leat]
nonsense = 1
[batchd]
sinks = kafka kafaka
[ingestd]
port = abc
[sinkd-postgres]
table = a b c
[sinkd-kafka.rdkafka]
group.id = x
[sinkd-postgre]
""")
    assert done.returncode == 2, done
    for line, words in ((2, "has no key 'nonsense'"), (6, "port = abc"),
                        (10, "group.id")):
        (found,) = [l for l in done.stderr.splitlines() if words in l]
        assert found.startswith("error: ") and f"leat.conf:{line}: " in found
    # What is across keys is looked at once each key is right.
    done = run("leat", "check", text="""[batchd]
sinks = kafka kafaka
[ingestd]
listen = localhost
[sinkd-postgres]
table = a b c
[sinkd-kafka]
password_file = /nonexistent
[sinkd-postgre]
""")
    assert done.returncode == 2, done
    for kind, line, words in (("warning", 2, "sinkd-kafaka"),
                              ("error", 4, "listen = localhost"),
                              ("error", 6, "table = a b c"),
                              ("error", 8, "/nonexistent"),
                              ("warning", 9, "[sinkd-postgre]")):
        (found,) = [l for l in done.stderr.splitlines() if words in l]
        assert found.startswith(f"{kind}: ") and \
            f"leat.conf:{line}: " in found, found
    assert ": 3 errors, " in done.stdout and done.stdout.endswith(
        "; checked by batchd, ingestd, sinkd-kafka, sinkd-postgres\n"), done
    assert "sinkd-kafka[" not in done.stderr  # no log, but an answer
    assert run("leat", "check", "--config", "/nonexistent").returncode == 2


def test_leat_check_names_the_program_it_lacks():
    with tempfile.TemporaryDirectory() as directory:
        for name in ("leat", "batchd"):
            shutil.copy(program(name), directory)
        conf = pathlib.Path(directory) / "leat.conf"
        conf.write_text("[batchd]\nsinks = postgres\n")
        done = subprocess.run([f"{directory}/leat", "check", "--config",
                               str(conf)], capture_output=True, text=True,
                              timeout=20)
    assert done.returncode == 1, done
    assert f"ingestd is not installed in {directory}" in done.stderr, done
    assert "sinkd-postgres is not installed here" in done.stderr, done
    assert done.stdout.endswith("; checked by batchd\n"), done


def test_the_example_has_the_defaults():
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
    assert not extra, f"docs/operations.md has {extra}, which no program reads"


def helps(name):
    """(section, key) -> its description in --help."""
    found, section, key = {}, None, None
    for line in run(name, "--help").stdout.splitlines():
        if m := re.fullmatch(r"\[(.+)\]", line):
            section = m[1]
        elif section and (m := re.fullmatch(r"  ([a-z_]+) =.*", line)):
            key = m[1]
        elif key:
            found[section, key], key = line.strip(), None
    return found


def meanings():
    """(section, key) -> the meaning in the tables of docs/operations.md."""
    found, section = {}, None
    for line in (ROOT / "docs/operations.md").read_text().splitlines():
        if m := re.match(r"### `\[(.+)\]`", line):
            section = m[1]
        elif line.startswith("#"):
            section = None
        elif section and (m := re.match(
                r"\| `([a-z_]+)` \| (?:`.*?`)? *\| (.*) \|$", line)):
            text = m[2].replace("`", "")
            # --help has the choices on a line of their own.
            found[section, m[1]] = re.sub(r" One of [^.;]*[.;]( empty:)?",
                                          r"\1", text)
    return found


def comments():
    """(section, key) -> the comment before it in leat.conf."""
    found, section, lines = {}, None, []
    for line in (ROOT / "leat.conf").read_text().splitlines():
        if m := re.fullmatch(r"\[(.+)\]", line):
            section = m[1]
        elif m := re.fullmatch(r"# ([a-z_]+) =.*", line):
            # The range is at the end.
            found[section, m[1]] = re.sub(r" +\([^()]*\)$", "",
                                          " ".join(lines))
        lines = [*lines, line[2:]] if line.startswith("# ") else []
    return found


def test_a_key_has_one_description():
    """The same in --help, leat.conf and docs/operations.md."""
    def plain(text):
        return re.sub(r"\W+", " ", text).strip().lower()
    shown, documents = comments(), meanings()
    for name in DAEMONS:
        for (section, key), text in helps(name).items():
            if key == "password_file":
                continue  # the environment variable differs
            pages = [found.get((section, key)) or found.get(
                ("sinkd-*", key)) or found.get(("sinkd-postgres", key))
                for found in (shown, documents)]
            others = [p for p in pages if plain(p) != plain(text)]
            assert not others, (name, key, text, others)


def test_version_and_help():
    for name in DAEMONS:
        done = run(name, "--version")
        assert done.returncode == 0
        assert re.fullmatch(rf"{name} \d+\.\d+\.\d+\n", done.stdout), done
        assert done.stderr == ""
        assert run(name, "-V").stdout == done.stdout


def test_help_and_wrong_options():
    """Help is an answer, on stdout; a mistake is none, and shows the usage."""
    words = [[name] for name in DAEMONS] + [
        ["leat"], ["leat", "check"], ["leat", "status"],
        ["leat", "log", "verify"], ["leat", "token"]]
    for name, *verb in words:
        texts = []
        for option in ("-h", "--help"):
            done = run(name, *verb, option)
            assert done.returncode == 0 and done.stderr == "", done
            assert done.stdout.startswith(" ".join(
                ["usage:", name, *verb])), done
            texts.append(done.stdout)
        assert texts[0] == texts[1]
        usage, rest = texts[0].split("\n\n", 1)
        # The usage names all options of which there is a line.
        for line in rest.splitlines():
            if m := re.match(r"  (?:-\w, )?(--[a-z-]+)", line):
                assert m[1] in usage, (m[1], usage)
        done = run(name, *verb, "--nonsense")
        assert done.returncode == 2 and done.stdout == "", done
        assert "usage: " + " ".join([name, *verb]) in done.stderr, done
    assert "[--accept-gap]" in run("batchd", "-h").stdout
    top = run("leat", "--help").stdout
    done = run("leat", "help")
    assert done.returncode == 0 and done.stdout == top, done
    for verb in ("check", "status", "log verify", "token"):
        assert f"  leat {verb} " in top, (verb, top)
        own = run("leat", *verb.split(), "-h").stdout
        done = run("leat", "help", *verb.split())
        assert done.returncode == 0 and done.stdout == own, done
    log = run("leat", "log", "--help").stdout
    assert "leat log verify" in log and "leat status" not in log, log
    assert run("leat", "help", "log").stdout == log
    for args in ([], ["nonsense"], ["log"], ["token"], ["token", "a", "b"],
                 ["log", "nonsense"], ["help", "nonsense"],
                 ["status", "1", "x"],
                 ["help", "status", "x"], ["status", "--check"],
                 ["status", "--config"], ["log", "verify", "--dir"]):
        done = run("leat", *args)
        assert done.returncode == 2 and done.stdout == "", done
        assert "usage: leat" in done.stderr, done
    assert run("leat", "-V").stdout == run("leat", "--version").stdout
    with tempfile.NamedTemporaryFile(suffix=".conf") as conf:
        assert run("batchd", "--check", f"--config={conf.name}").returncode \
            == 0
    with open("/dev/full", "w") as full:
        done = subprocess.run([program("batchd"), "--help"], stdout=full,
                              stderr=subprocess.PIPE, timeout=20)
        assert done.returncode == 1, done


NOT_ENCRYPTED = "over a connection that is not encrypted"
NOT_CHECKED = "could pose as it"
NO_AUTHORITIES = "there are no certificates to check the server with: set " \
    "sslrootcert"
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
     "password_file = {f}\nsslrootcert = {f}", None),
    ("sinkd-postgres", "host = db\nsslmode = verify-full", NO_AUTHORITIES),
    ("sinkd-postgres", "host = localhost\nsslmode = verify-ca",
     NO_AUTHORITIES),
    ("sinkd-postgres", "conninfo = host=db sslmode=verify-full",
     NO_AUTHORITIES),
    ("sinkd-postgres", "conninfo = host=db sslmode=verify-full "
     "sslrootcert={f}", None),
    ("sinkd-postgres", "host = /run/postgresql\nsslmode = verify-full", None),
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
    with tempfile.TemporaryDirectory() as directory:
        secret = pathlib.Path(directory) / "secret"
        secret.write_text("S3CRET\n")
        secret.chmod(0o640)

        def warnings(name, text):
            done = run(name, "--check",
                       text=f"[leat]\nsocket = {directory}/batchd.sock\n"
                       f"[{name}]\n{text.format(f=secret)}\n")
            assert done.returncode == 0, done.stderr
            assert "S3CRET" not in done.stdout + done.stderr
            return [l for l in done.stderr.splitlines()
                    if " warn " in l and "] dead_dir " not in l]

        for name, text, warning in CAREFUL:
            found = warnings(name, text)
            assert all(warning in line for line in found), (text, found)
            assert len(found) == (1 if warning else 0), (text, found)
        for mode in (0o660, 0o602, 0o644):
            secret.chmod(mode)
            words = "can be read by users other than its owner and its " \
                "group: chmod o-r" if mode == 0o644 else \
                "can be written by others"
            for name, key in (("sinkd-postgres", "password_file"),
                              ("sinkd-kafka", "password_file"),
                              ("sinkd-clickhouse", "password_file"),
                              ("sinkd-kafka", "[sinkd-kafka.rdkafka]\n"
                               "ssl.key.location"),
                              ("sinkd-kafka", "[sinkd-kafka.rdkafka]\n"
                               "sasl.kerberos.keytab")):
                (line,) = warnings(name, f"{key} = {{f}}")
                assert "a secret file " + words in line, line
        secret.write_text("shop sha256:" + 64 * "0" + "\n")
        (line,) = warnings("ingestd", "tokens_file = {f}")
        assert "a secret file can be read by users other" in line, line
        secret.chmod(0o642)
        (line,) = warnings("ingestd", "tokens_file = {f}")
        assert "a secret file can be written by others" in line, line


def test_an_engine_in_conninfo_is_refused():
    for text in ("conninfo = sslcert=/c.pem sslkey=/tmp/mine.so:key",
                 "dbname = postgresql://db/x?sslkey=pkcs11:key"):
        done = run("sinkd-postgres", "--check",
                   text=f"[sinkd-postgres]\n{text}\n")
        assert done.returncode == 2, done.stdout
        assert "sslkey with a colon" in done.stderr, done.stderr
    with tempfile.NamedTemporaryFile() as f:
        done = run("sinkd-postgres", "--check", text="[sinkd-postgres]\n"
                   f"conninfo = sslcert={f.name} sslkey={f.name}\n")
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
    """name -> unit: batchd's is whole, the others hold what differs."""
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
    assert {f"leat-{name}.service" for name in ["batchd", "sinkd-dashboard",
                                              *SINKS]} | \
        {"leat-ingestd@.service"} == set(units), set(units)
    with tempfile.TemporaryDirectory(prefix="leat-units-") as directory:
        paths = []
        for name, unit in units.items():
            path = pathlib.Path(directory, name)
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
        # A directory above another's would be taken over by the last to start.
        states = [v for k, v in of if k == "StateDirectory"]
        assert set(states) <= {"leat/log", "leat/dead"}, (name, states)
        calls = calls_of(v for k, v in of if k == "SystemCallFilter")
        for call in ("chown", "fallocate", "fdatasync", "flock", "fadvise64",
                     "renameat", "accept4", "sendmsg", "prlimit64"):
            assert call in calls, (name, call)
        assert "mount" not in calls and "bpf" not in calls
