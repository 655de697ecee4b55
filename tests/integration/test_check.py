"""leat check against broken installations: each is found with one line, the fix
on that line is followed as it is printed, and then the line is gone.

PostgreSQL:
 1. the server is stopped                    6. a column is missing
 2. the database does not exist              7. the user has no rights
 3. no table, without create_table           8. fsync = off
 4. payload is varchar(255)                  9. no unique index, dedup_by_id
 5. payload has a type that cannot hold it  10. the table is UNLOGGED
11. row-level security                      12. another table of positions
Kafka:
13. the broker is stopped                   15. max.message.bytes too small
14. no topic, without create_topic          16. min.insync.replicas too many
                                            17. a compacted topic
ClickHouse:
18. the server is stopped                   20. a column is missing
19. a wrong password                        21. payload is FixedString
The machine:
22. any user may write to the log           23. max_bytes does not fit
"""
import os
import re
import subprocess

from clickhouse import PASSWORD, clickhouse
from kafka import kafka, software
from leat import Leat, limit, program, wait_until
from load import Load

OK, WARN, FAIL = "✔", "!", "✗"


def check(leat, *args, env=None):
    """The lines of leat check as (mark, subject, text), and its status."""
    done = leat.run("leat", "check", *args,
                    env=env or {"LC_ALL": "C.UTF-8"})
    lines = [re.fullmatch(r"(\S+) +(\S+) +(.*)", line)
             for line in done.stdout.splitlines()]
    assert all(lines), done.stdout
    return [m.groups() for m in lines], done.returncode


def found(leat, subject, text, mark=FAIL):
    """The text of the one line that has `text`; exit status as it must be."""
    lines, status = check(leat)
    hits = [t for m, s, t in lines if s == subject and text in t and m == mark]
    assert len(hits) == 1, (text, lines)
    assert status == (3 if any(m == FAIL for m, _, _ in lines) else 0)
    return hits[0]


def gone(leat, subject, text):
    lines, status = check(leat)
    assert not [t for m, s, t in lines if s == subject and text in t and
                m != OK], (text, lines)
    assert status == 0 and not [t for m, _, t in lines if m == FAIL], lines


def statement(line):
    """The SQL or the command that a line ends with."""
    return re.search(r"run(?:, [^:]*)?: (.*?)(?:, or: .*)?$", line)[1]


def configure(leat, sink, **pairs):
    leat.settings[f"sinkd-{sink}"].update(pairs)
    leat.write_conf()


TABLE = """create table events (id text not null, type text not null,
  user_id text, payload jsonb, created_at timestamptz,
  received_at timestamptz)"""
# What is broken, the line, and settings that the line asks for.
BROKEN_TABLES = (
    (TABLE.replace("payload jsonb", "payload varchar(255)"),
     "payload is character varying(255)"),
    (TABLE.replace("payload jsonb", "payload bytea"),
     "column payload of public.events has type bytea"),
    (TABLE.replace("user_id text, ", ""), "has no column user_id"),
    (TABLE.replace("create table", "create unlogged table"), "is UNLOGGED"),
    (TABLE.replace("text not null, type", "varchar(20), type"),
     "id is character varying(20)"),
)


@limit(240)
def test_postgres():
    with Leat(start=False, settings={"sinkd-postgres": {
            "create_table": "no"}}) as leat:
        pg = leat.pg
        # Nothing exists: each table is found, and then made as it is printed.
        for table in ("leat_position", "events"):
            pg.query(statement(found(leat, "postgres",
                                     f"{table} does not exist")))
        gone(leat, "postgres", "")
        configure(leat, "postgres", dbname="nowhere")
        assert "dbname" in found(leat, "postgres", '"nowhere" does not exist')
        configure(leat, "postgres", dbname="postgres")
        gone(leat, "postgres", "")
        pg.stop()
        assert "start the server" in found(leat, "postgres", "unreachable")
        pg.start()
        gone(leat, "postgres", "")
        for sql, text in BROKEN_TABLES:
            pg.query(f"drop table events; {sql}")
            mark = WARN if "varying(20)" in text else FAIL
            pg.query(statement(found(leat, "postgres", text, mark)))
            gone(leat, "postgres", "")
        pg.query(f"drop table events; {TABLE}")
        configure(leat, "postgres", dedup_by_id="yes")
        pg.query(statement(found(leat, "postgres", "a unique index")))
        gone(leat, "postgres", "")
        configure(leat, "postgres", dedup_by_id="no")
        assert "set dedup_by_id = yes" in found(
            leat, "postgres", "allows each id once", WARN)
        # A position table that the sink could not use.
        pg.query("drop table leat_position; create table leat_position "
                 "(stream text, sink text, next_offset bigint)")
        pg.query(statement(found(leat, "postgres", "no unique or")))
        configure(leat, "postgres", create_table="yes")
        gone(leat, "postgres", "unique or")
        # Nothing was written by any of this.
        assert pg.query("select to_regclass('leat_position')") == ""
        assert pg.number("select count(*) from events") == 0


@limit(120)
def test_postgres_rights_and_durability():
    with Leat(start=False, pg_settings="fsync = off\n") as leat:
        pg = leat.pg
        for sql in statement(found(leat, "postgres", "fsync = off")).split(";"):
            pg.query(sql)
        gone(leat, "postgres", "fsync")
        pg.query(f"{TABLE}; create table leat_position (stream text, "
                 "sink text, next_offset bigint, primary key (stream, sink)); "
                 "create role app login")
        configure(leat, "postgres", user="app", create_table="no")
        for table in ("leat_position", "events"):
            pg.query(statement(found(
                leat, "postgres", f"no permission for table public.{table}")))
        gone(leat, "postgres", "")
        pg.query("alter table events enable row level security")
        pg.query(statement(found(leat, "postgres", "row-level security")))
        gone(leat, "postgres", "")
        pg.query("alter table events add check (type <> 'x'), "
                 "alter user_id set not null")
        found(leat, "postgres", "(CHECK ((type <> 'x'::text)))", WARN)
        pg.query(statement(found(leat, "postgres", "NOT NULL", WARN)))
        assert not [t for _, _, t in check(leat)[0] if "NOT NULL" in t]


def kafka_configs(line):
    """Run what the line asks for, without the script that Kafka has for it."""
    command = statement(line).split()
    assert command[0] == "kafka-configs.sh", command
    subprocess.run(["java", "-cp", f"{software()}/jars/*",
                    "kafka.admin.ConfigCommand", *command[1:]], check=True,
                   capture_output=True, timeout=100)


@limit(400)
def test_kafka():
    with kafka() as broker, Leat(
            sinks=("kafka",), postgres=False, start=False,
            settings={"sinkd-kafka": {"brokers": broker.brokers,
                                      "create_topic": "no"}}) as leat:
        assert "set create_topic = yes" in found(leat, "kafka",
                                                 "topic events does not exist")
        # It was not created by asking for it.
        assert b'"events"' not in broker.kcat("-L")
        configure(leat, "kafka", create_topic="yes")
        lines, status = check(leat)
        assert status == 0 and any("would be created" in t
                                   for _, _, t in lines), lines
        assert b'"events"' not in broker.kcat("-L")
        leat.start()
        leat.accept([{"type": "a", "payload": {}}] * 100)
        leat.caught_up()
        lines, _ = check(leat)
        assert (WARN, "kafka") in [(m, s) for m, s, t in lines
                                   if "replication 1" in t], lines
        for setting, text in (("max.message.bytes=1000",
                               "max.message.bytes = 1000"),
                              ("min.insync.replicas=2",
                               "min.insync.replicas = 2, but"),
                              ("cleanup.policy=compact",
                               "cleanup.policy = compact")):
            kafka_configs(f"run: kafka-configs.sh --bootstrap-server "
                          f"{broker.brokers} --alter --entity-type topics "
                          f"--entity-name events --add-config {setting}")
            # A broker learns of it a moment later.
            wait_until(lambda: any(text in t for m, _, t in check(leat)[0]
                                   if m == FAIL), text)
            kafka_configs(found(leat, "kafka", text))
            wait_until(lambda: check(leat)[1] == 0, f"no {text}")
            gone(leat, "kafka", text)
        leat.accept([{"type": "a", "payload": {}}] * 100)
        leat.caught_up()
        broker.kill()
        assert "start the brokers" in found(leat, "kafka", "unreachable")
        broker.start()
        gone(leat, "kafka", "unreachable")
        leat.caught_up()


@limit(240)
def test_check_does_not_disturb_the_sink():
    """Events are stored before, while and after the checks run, and neither a
    producer nor a position is taken from the sink."""
    with kafka() as broker, Leat(
            sinks=("kafka",), postgres=False,
            settings={"sinkd-kafka": {"brokers": broker.brokers,
                                      "create_topic": "yes"}}) as leat:
        with Load(leat, threads=2, rate=500) as load:
            load.more(500)
            for _ in range(4):
                before = leat.sink_status("kafka")["committed"]
                lines, status = check(leat)
                assert status == 0, lines
                assert any("group leat-kafka-" in t for _, _, t in lines)
                wait_until(lambda: leat.sink_status("kafka")["committed"] >
                           before, "the sink goes on")
                done = leat.run("leat", "account",
                                env={"LC_ALL": "C.UTF-8"})
                assert done.returncode == 0, done.stdout + done.stderr
            load.more(500)
        leat.caught_up()
        sink = leat.sink["kafka"]
        assert sink.count_lines(r" ready ") == 1, sink.lines
        for word in ("fenced", "unreachable store", "another process"):
            assert sink.count_lines(word) == 0, sink.lines
        stored = [m.headers["leat-offset"] for m in broker.messages()]
        assert len(stored) == len(set(stored)) >= len(load.acked)


CH_TABLE = """CREATE TABLE events (id String, type String,
  user_id Nullable(String), payload String, created_at Int64,
  received_at Int64) ENGINE = MergeTree ORDER BY id"""


@limit(180)
def test_clickhouse():
    with clickhouse() as ch, Leat(
            sinks=("clickhouse",), postgres=False, start=False,
            settings={"sinkd-clickhouse": {
                "url": ch.url, "create_table": "no"}}) as leat:
        assert "set create_table = yes" in found(leat, "clickhouse",
                                                 "no table default.events")
        configure(leat, "clickhouse", create_table="yes")
        gone(leat, "clickhouse", "no table")
        assert ch.query("EXISTS TABLE events") == "0"
        for sql, text in (
                (CH_TABLE.replace("user_id Nullable(String),", ""),
                 "has no column user_id"),
                (CH_TABLE.replace("payload String", "payload FixedString(9)"),
                 "payload is FixedString(9)"),
                (CH_TABLE.replace("received_at Int64", "received_at Int32"),
                 "column received_at of default.events has type Int32")):
            ch.query("DROP TABLE IF EXISTS events")
            ch.query(sql)
            ch.query(statement(found(leat, "clickhouse", text)))
            gone(leat, "clickhouse", text)
        assert ch.number("SELECT count() FROM events") == 0
        if not ch.current:
            configure(leat, "clickhouse", user="leat")
            assert "password_file" in found(leat, "clickhouse", "refused")
            password = leat.directory / "password"
            password.write_text(PASSWORD + "\n")
            password.chmod(0o600)
            configure(leat, "clickhouse", password_file=password)
            gone(leat, "clickhouse", "refused")
        ch.stop()
        assert "start the server" in found(leat, "clickhouse", "unreachable")
        ch.start()
        gone(leat, "clickhouse", "unreachable")


def test_the_machine():
    with Leat(start=False) as leat:
        log = leat.directory / "log"
        log.chmod(0o777)
        line = found(leat, "permissions", "any user may change")
        subprocess.run(statement(line), shell=True, check=True)
        gone(leat, "permissions", "any user")
        before = sorted(os.listdir(log))
        lines, _ = check(leat)
        disk, = (t for _, s, t in lines if s == "disk")
        assert re.search(r"fdatasync [0-9.]+ ms median, [0-9.]+ ms worst of "
                         r"\d+: about \d+ groups", disk), disk
        assert sorted(os.listdir(log)) == before
        leat.settings["batchd"]["max_bytes"] = "900T"
        leat.write_conf()
        line = found(leat, "space", "max_bytes = 900T", WARN)
        leat.settings["batchd"]["max_bytes"] = \
            re.search(r"set \[batchd\] max_bytes = (\w+)", line)[1]
        leat.write_conf()
        gone(leat, "space", "max_bytes")


def test_words_and_exit_statuses():
    with Leat(start=False, also=("kafka",)) as leat:
        # Without UTF-8 the marks are words.
        leat.settings["sinkd-kafka"] = {"brokers": "127.0.0.1:1",
                                        "dead_dir": leat.directory / "dead"}
        leat.write_conf()
        lines, status = check(leat, env={"LC_ALL": "C"})
        assert status == 3 and {m for m, _, _ in lines} <= \
            {"ok", "warn", "FAIL"}, lines
        assert ("FAIL", "kafka") in [(m, s) for m, s, _ in lines]
        lines, status = check(leat, "--sink", "postgres")
        assert status == 0 and "kafka" not in [s for _, s, _ in lines], lines
        lines, status = check(leat, "--offline")
        assert status == 0 and {s for _, s, _ in lines} == \
            {"settings", "permissions", "disk", "space"}, lines
        done = leat.run("leat", "check", "--sink", "nosuch")
        assert done.returncode == 2 and "postgres kafka" in done.stderr, done
        # Errors in the settings: the stores are not asked.
        configure(leat, "postgres", batch_events="none")
        lines, status = check(leat)
        assert status == 2 and [s for _, s, _ in lines] == ["settings"], lines
        # A user who may not write into the log's directory gets a warning.
        configure(leat, "postgres", batch_events="100")
        if os.geteuid() == 0:
            done = subprocess.run(
                ["setpriv", "--reuid", "65534", "--regid", "65534",
                 "--clear-groups", "--", program("leat"), "check",
                 "--offline", "--config", str(leat.conf)],
                capture_output=True, text=True, timeout=60,
                env={**os.environ, "LC_ALL": "C.UTF-8"})
            assert "cannot be measured" in done.stdout, done
