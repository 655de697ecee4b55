"""Links, fifos and files of other users in place of the daemons' own files."""
import contextlib
import os
import subprocess

from events import small
from leat import Leat, limit, need_root, wait_until

UUID_TABLE = """create table events (id uuid not null, type text not null,
  user_id text, payload jsonb, created_at timestamptz,
  received_at timestamptz)"""
# No newline at the end: a sink that took it for its own would cut it.
VICTIM = "root's own file, which no other user may change"
OTHER_UID = 65534


def replace(path, kind, victim):
    if path.exists() or path.is_symlink():
        path.unlink()
    if kind == "link":
        path.symlink_to(victim)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.write_text("")
        os.chown(path, OTHER_UID, OTHER_UID)


# The kinds that any user can make, and the text that names them.
LINK_OR_FIFO = {"link": "symbolic link", "fifo": "not a regular file"}
FOREIGN = {"owner": "belongs to another user"}


def retry_opens_only_its_own_files(kinds):
    with Leat(table=UUID_TABLE,
              settings={"sinkd-postgres": {"retry_max_ms": 200}}) as leat:
        leat.accept([{"type": "t", "id": "no uuid"}])
        leat.caught_up()
        dead = leat.directory / "dead"
        main = dead / "postgres.ndjson"
        dead_letter = main.read_text()
        victim = leat.directory / "victim"
        for kind, text in kinds.items():
            for name in ("postgres.ndjson", "postgres.retry.new"):
                victim.write_text(VICTIM)
                replace(dead / name, kind, victim)
                done = leat.retry_dead("postgres", timeout_s=20)
                # One that is only in the way is removed.
                if name == main.name:
                    assert done.returncode == 3, (name, kind, done)
                    assert text in done.stderr, (name, kind, done.stderr)
                assert victim.read_text() == VICTIM, (name, kind)
                (dead / name).unlink(missing_ok=True)
                main.write_text(dead_letter)


def test_a_retry_of_dead_letters_opens_no_link_or_fifo():
    retry_opens_only_its_own_files(LINK_OR_FIFO)


def test_a_retry_of_dead_letters_opens_no_file_of_another_user():
    need_root()
    retry_opens_only_its_own_files(FOREIGN)


def sink_names_the_file_and_recovers(kinds):
    with Leat(table=UUID_TABLE,
              settings={"sinkd-postgres": {"retry_max_ms": 200}}) as leat:
        leat.accept(small("a", 10))
        leat.caught_up()
        main = leat.directory / "dead/postgres.ndjson"
        victim = leat.directory / "victim"
        for n, (kind, text) in enumerate(kinds.items()):
            victim.write_text(VICTIM)
            replace(main, kind, victim)
            leat.accept([{"type": "t", "id": f"bad {n}"}])
            wait_until(lambda: text in leat.sink_status()["stats"]["error"],
                       f"the status contains: {text}")
            assert victim.read_text() == VICTIM
            main.unlink()
            leat.caught_up()
            wait_until(lambda: [d["event"]["id"] for d in leat.dead_letters()]
                       == [f"bad {n}"], "the dead letter")


def test_a_sink_names_a_link_or_fifo_and_recovers():
    sink_names_the_file_and_recovers(LINK_OR_FIFO)


def test_a_sink_names_a_file_of_another_user_and_recovers():
    need_root()
    sink_names_the_file_and_recovers(FOREIGN)


# Locks those of the files that it can, until its input ends.
LOCK = """
import fcntl, sys
held = []
for path in sys.argv[1:]:
    try:
        f = open(path)
        fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held.append(f)
    except OSError as e:
        print(type(e).__name__, path)
print("locked", len(held), flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def locks(*paths):
    """A process of another user, in the files' group; how many it has."""
    child = subprocess.Popen(
        ["setpriv", "--reuid", str(OTHER_UID), "--regid", str(os.getegid()),
         "--clear-groups", "--pdeathsig", "KILL", "--", "/usr/bin/python3",
         "-c", LOCK, *map(str, paths)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with child:
        line = ""
        while not line.startswith("locked"):
            line = child.stdout.readline()
        yield int(line.split()[1])


@limit(60)
def test_no_other_user_can_lock_what_is_locked():
    """Neither the sink nor batchd nor a retry waits for a lock of others."""
    need_root()
    with Leat(table=UUID_TABLE) as leat:
        main = leat.directory / "dead/postgres.lock"
        lock = leat.directory / "log/lock"
        for n in range(2):
            leat.accept([{"type": "t", "id": f"bad {n}"}])
            leat.caught_up()
            for d in (leat.sink["postgres"], leat.batchd):
                d.stop()
            with locks(lock, main) as held:
                leat.batchd.start()
                leat.sink["postgres"].start()
                assert held == 0
                leat.intake_open()
                leat.accept([{"type": "t", "id": f"more {n}"}])
                leat.caught_up(10)
                done = leat.retry_dead("postgres", timeout_s=20)
                assert done.returncode == 3, done  # they are kept
                assert "kept" in done.stdout, done
            # Files of an earlier release could be opened by the group.
            for path in (main, lock):
                assert path.stat().st_mode & 0o777 == 0o600
                path.chmod(0o640)
            for d in (leat.sink["postgres"], leat.batchd):
                d.stop()
                d.start()
            leat.intake_open()


def batchd_opens_only_its_own_files(kinds):
    with Leat(postgres=False, sinks=(), also=["none"]) as leat:
        leat.accept(small("a", 10))
        leat.stop()
        log = leat.directory / "log"
        segment = sorted(log.glob("*.seg"))[0]
        cursor, = (p for p in (log / "cursors").iterdir() if p.is_file())
        for path in (segment, cursor, log / "lock"):
            kept = path.read_bytes()
            victim = leat.directory / "victim"
            for kind, text in kinds.items():
                victim.write_text(VICTIM)
                replace(path, kind, victim)
                done = leat.run("batchd", timeout_s=20)
                assert done.returncode != 0, (path, kind)
                assert text in done.stderr, (path, kind, done.stderr)
                if path == segment and kind != "owner":
                    done = leat.run("leat", "log", "verify", timeout_s=20)
                    assert done.returncode == 1, (kind, done)
                    assert text in done.stderr and path.name in done.stderr
                assert victim.read_text() == VICTIM, (path, kind)
                path.unlink()
            path.write_bytes(kept)
        leat.batchd.start()


def test_batchd_opens_no_link_or_fifo():
    batchd_opens_only_its_own_files(LINK_OR_FIFO)


def test_batchd_opens_no_file_of_another_user():
    need_root()
    batchd_opens_only_its_own_files(FOREIGN)
