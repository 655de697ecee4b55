"""supervisord.conf with the real supervisord, from the tree and installed."""
import contextlib
import getpass
import json
import os
import re
import select
import shutil
import signal
import subprocess
import urllib.request

from events import small
from leat import ROOT, Leat, Skip, build_tree, free_port, limit, program, \
    wait_until
from process import Daemon

ALL = ["batchd", "ingestd:ingestd-0", "ingestd:ingestd-1", "sinkd-clickhouse",
       "sinkd-dashboard", "sinkd-kafka", "sinkd-postgres"]


class Supervised:
    """A leat under supervisord; conf as `supervisord -c` gets it."""

    def __init__(self, leat, conf, env, logs):
        self.leat, self.conf, self.logs = leat, str(conf), logs
        self.port = leat.settings["ingestd"]["port"]
        self.env = dict(os.environ, **env)

    def ctl(self, *args):
        """What `supervisorctl -c CONF ...` prints."""
        return subprocess.run(
            ["supervisorctl", "-c", self.conf, *args], capture_output=True,
            text=True, timeout=100, env=self.env).stdout

    def start_ctl(self, *args):
        return subprocess.Popen(["supervisorctl", "-c", self.conf, *args],
                                stdout=subprocess.DEVNULL, env=self.env)

    def log(self, name):
        path = self.logs / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def states(self):
        """program -> RUNNING, EXITED, ..."""
        return dict(line.split()[:2] for line in
                    self.ctl("status").splitlines())

    def wait_ready(self, *names, times=1):
        wait_until(lambda: all(self.log(n).count(" ready ") >= times
                               for n in names), f"{names} are ready")

    def accept(self, events):
        """Sent again while ingestd or batchd is starting."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/events",
            json.dumps(events).encode(), {"Content-Type": "application/json"})

        def accepted():
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return answer.status == 202
            except OSError:  # it starts, or batchd does
                return False
        wait_until(accepted, "events are accepted")

    def stored(self):
        return self.leat.pg.number("select count(distinct id) from events")


@contextlib.contextmanager
def supervised():
    """The file of the tree, as `make demo` uses it."""
    if not shutil.which("supervisord"):
        raise Skip("no supervisord")
    port = free_port()
    with Leat(start=False, settings={"ingestd": {"port": port},
                                     "sinkd-dashboard": {"port": 0}}) as leat:
        # The default directory is root's, and only an installation makes it.
        for name in ("sinkd-kafka", "sinkd-clickhouse"):
            leat.settings[name] = {"dead_dir": str(leat.directory / "dead")}
        leat.write_conf()
        env = {"LEAT_BIN": str(build_tree("release") / "bin"),
               "LEAT_CONF": str(leat.conf), "LEAT_RUN": str(leat.directory),
               "LEAT_LOGS": str(leat.directory)}
        program("batchd", "release")
        conf = ROOT / "supervisord.conf"
        daemon = Daemon("supervisord", ["supervisord", "-n", "-c", str(conf)],
                        leat.directory / "sup.out", ready="", env=env)
        daemon.start(wait=False)
        s = Supervised(leat, conf, env, leat.directory)
        try:
            s.wait_ready("ingestd-0", "ingestd-1", "batchd", "sinkd-postgres",
                         "sinkd-dashboard")
            s.daemon = daemon
            yield s
        finally:
            daemon.signal(signal.SIGTERM)
            daemon.wait(60)


def ends(s):
    """The programs that supervisord has stopped, in this order."""
    return re.findall(r" stopped: (?:\w+:)?([\w-]+)",
                      s.log("supervisord"))


def in_order(names):
    """ingestd, sinks and the dashboard, batchd."""
    rank = [0 if n.startswith("ingestd") else 2 if n == "batchd" else 1
            for n in names]
    return rank == [0, 0, 1, 1, 2]


@contextlib.contextmanager
def frozen(s, name):
    """It cannot stop before the block ends."""
    pid = int(s.ctl("pid", name))
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_killed_daemon_is_restarted_and_an_exit_of_2_is_final():
    with supervised() as s:
        os.kill(int(s.ctl("pid", "batchd")), signal.SIGKILL)
        s.wait_ready("batchd", times=2)
        # A corrected file and `start` are needed after an exit of 2.
        good = s.leat.conf.read_text()
        s.leat.conf.write_text(good + "[batchd]\nnonsense = 1\n")
        s.ctl("signal", "KILL", "batchd")
        wait_until(lambda: s.states()["batchd"] == "EXITED",
                   "batchd stays down")
        s.leat.conf.write_text(good)
        s.ctl("start", "batchd")
        s.wait_ready("batchd", times=3)


def test_stopping_supervisord_stops_in_order():
    with supervised() as s:
        s.accept(small("o", 100))
        with frozen(s, "ingestd:ingestd-0"):
            assert s.ctl("shutdown").strip() == "Shut down"
            # It looks at them again and again, and logs it.
            wait_until(lambda: " to die" in s.log("supervisord"), "it waits")
            wait_until(lambda: ends(s), "the other ingestd has ended")
            assert ends(s) == ["ingestd-1"]
        s.daemon.wait(60)
        assert in_order(ends(s)), ends(s)
        assert s.stored() == 100


def test_stop_by_names_is_in_order_and_stop_all_at_once():
    with supervised() as s:
        # As docs/operations.md has it.
        names = re.search(r"supervisorctl .*stop (ingestd:\* .* batchd)\n",
                          (ROOT / "docs/operations.md").read_text())[1]
        s.accept(small("n", 100))
        with frozen(s, "ingestd:ingestd-0"):
            ctl = s.start_ctl("stop", *names.split())
            wait_until(lambda: ends(s) == ["ingestd-1"], "it waits")
        ctl.wait(60)
        assert in_order(ends(s)), ends(s)
        assert s.stored() == 100
        s.ctl("start", "all")
        s.wait_ready("ingestd-0", "sinkd-postgres", "batchd", times=2)
        s.accept(small("a", 100))
        with frozen(s, "ingestd:ingestd-0"):
            ctl = s.start_ctl("stop", "all")
            wait_until(lambda: len(ends(s)) == 9, "all others have ended")
        ctl.wait(60)
        assert ends(s)[9:] == ["ingestd-0"], ends(s)
        s.ctl("start", "all")
        wait_until(lambda: s.stored() == 200, "what was left is stored")


def test_sinks_that_are_not_named_end_by_themselves():
    with supervised() as s:
        off = {"sinkd-kafka": "EXITED", "sinkd-clickhouse": "EXITED"}
        on = {name: "RUNNING" for name in ALL if name not in off}

        def settled():
            return s.states() == {**on, **off}

        def lines():
            """But for those that a batchd is waited for."""
            return [line for name in off for line in
                    s.log(name).splitlines() if "batchd unreachable" not in line]
        wait_until(settled, "the sinks that are off have ended")
        s.accept(small("r", 100))
        for times in (1, 2, 3):
            assert len(lines()) == 2 * times, lines()
            assert all("nothing to do: [batchd] sinks does not name" in line
                       for line in lines()), lines()
            s.ctl("restart", "all")
            wait_until(lambda: len(lines()) == 2 * times + 2 and settled(),
                       "the same after a restart of all")
        log = (s.leat.directory / "supervisord.log").read_text()
        assert "not expected" not in log and "FATAL" not in log, log
        # Named, it works; not named any more, it ends.
        good = s.leat.conf.read_text()
        s.leat.conf.write_text(good.replace("sinks = postgres",
                                            "sinks = postgres kafka"))
        s.ctl("restart", "batchd")
        assert "sinkd-kafka: started" in s.ctl("start", "sinkd-kafka")
        wait_until(lambda: s.leat.sink_status("kafka") and
                   s.leat.sink_status("kafka")["connected"], "it is at work")
        assert "sinkd-kafka: started" in s.ctl("restart", "sinkd-kafka")
        s.leat.conf.write_text(good)
        s.ctl("restart", "batchd")
        wait_until(settled, "it ends")
        wait_until(lambda: s.stored() == 100, "all is stored")


def make_install(**variables):
    done = subprocess.run(
        ["make", "--no-print-directory", "install", "MODE=release",
         f"BUILD={build_tree('release').parent}"] +
        [f"{name}={value}" for name, value in variables.items()],
        cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout


@limit(240)
def test_what_make_install_writes():
    with Leat(start=False, postgres=False, sinks=()) as leat:
        root = leat.directory / "root"
        make_install(DESTDIR=root)
        conf = (root / "etc/leat/supervisord.conf").read_text()
        assert "%(ENV" not in conf and "demo" not in conf, conf
        for name in ("batchd", "ingestd", "sinkd-postgres", "sinkd-kafka",
                     "sinkd-clickhouse", "sinkd-dashboard"):
            assert f"command = /usr/local/bin/{name} --config " \
                "/etc/leat/leat.conf\n" in conf, conf
            assert os.access(root / "usr/local/bin" / name, os.X_OK)
        for line in ("user = leat", 'environment = HOME="/var/lib/leat"',
                     "file = /run/leat/supervisor.sock",
                     "serverurl = unix:///run/leat/supervisor.sock",
                     "stderr_logfile = /var/log/leat/%(program_name)s.log"):
            assert f"\n{line}\n" in conf, (line, conf)
        mine = root / "etc/leat/leat.conf"
        assert mine.read_text() == (ROOT / "leat.conf").read_text()
        # What an operator has written stays.
        mine.write_text("[batchd]\nmax_bytes = 100G\n")
        out = make_install(DESTDIR=root)
        assert f"kept {mine}" in out, out
        assert mine.read_text() == "[batchd]\nmax_bytes = 100G\n"
        share = root / "usr/local/share"
        for name in ("doc/leat/leat.conf", "man/man1/leat.1",
                     "bash-completion/completions/leat",
                     "zsh/site-functions/_leat",
                     "fish/vendor_completions.d/leat.fish"):
            assert (share / name).stat().st_size > 100, name
        # The links of the documents that are installed lead to each other.
        pages = list((share / "doc/leat").rglob("*.md"))
        for page in pages:
            for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
                assert "://" in target or (page.parent / target).is_file(), \
                    (page, target)
        assert len(pages) > 10, pages


@limit(240)
def test_an_installation_at_work():
    """The file that is installed needs no variables."""
    if not shutil.which("supervisord"):
        raise Skip("no supervisord")
    port = free_port()
    with Leat(start=False, settings={"ingestd": {"port": port},
                                     "sinkd-dashboard": {"port": 0}}) as leat:
        places = {n: leat.directory / n for n in ("prefix", "etc", "run", "logs")}
        for place in places.values():
            place.mkdir()
        shutil.copy(leat.conf, places["etc"] / "leat.conf")
        make_install(PREFIX=places["prefix"], CONF_DIR=places["etc"],
                     RUN_DIR=places["run"], LOG_DIR=places["logs"],
                     RUN_AS=getpass.getuser())
        s = Supervised(leat, places["etc"] / "supervisord.conf", {},
                       places["logs"])
        # In the background, as README has it.
        subprocess.run(["supervisord", "-c", s.conf], check=True, cwd="/",
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            s.wait_ready("ingestd-0", "ingestd-1", "batchd", "sinkd-postgres",
                         "sinkd-dashboard")
            s.accept(small("i", 100))
            wait_until(lambda: s.stored() == 100, "all is stored")
            for name in ("sinkd-kafka", "sinkd-postgres", "batchd"):
                assert f"{name}: started" in s.ctl("restart", name)
            s.ctl("restart", "ingestd:*")
            s.accept(small("j", 100))
            wait_until(lambda: s.stored() == 200, "all is stored")
        finally:
            pid = int((places["run"] / "supervisord.pid").read_text())
            handle = os.pidfd_open(pid)
            s.ctl("shutdown")
            assert select.select([handle], [], [], 60)[0], "it has not ended"
            os.close(handle)
