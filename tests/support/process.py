"""A daemon that a test starts: its log, its signals, its end.

The log is read by a thread, so that a test waits for a line and never
sleeps.  A daemon dies with the test that started it, whatever happens.
"""
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

REPORTS = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer"
                     r"|runtime error:|Assertion .* failed")


class Daemon:
    """One program.  start() and stop() may alternate; the log goes on."""

    def __init__(self, name, argv, log_path, *, ready, user=None, env=None):
        self.name, self.argv, self.ready = name, argv, ready
        self.user, self.env = user, env
        self.log_path = pathlib.Path(log_path)
        self.lines = []        # of all its lives, guarded by `changed`
        self.life_start = 0    # index of the first line of this life
        self.changed = threading.Condition()
        self.child = None
        self.reader = None

    @property
    def pid(self):
        return self.child.pid

    @property
    def running(self):
        return self.child is not None and self.child.poll() is None

    def start(self, wait=True):
        """Start it and, by default, wait for its ready line."""
        assert not self.running, f"{self.name} is running"
        # The parent-death signal belongs to the thread that forks.
        assert threading.current_thread() is threading.main_thread()
        # A shell's `&` has us ignore SIGINT, and what we start would, too:
        # PostgreSQL before its own handler stands.
        if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        argv = ["setpriv", "--pdeathsig", "KILL"]
        if self.user:
            argv += ["--reuid", self.user, "--regid", self.user,
                     "--init-groups"]
        self._join()
        self.life_start = len(self.lines)
        self.child = subprocess.Popen(
            argv + ["--"] + self.argv, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/",
            env=dict(os.environ, **(self.env or {})))
        self.reader = threading.Thread(target=self._read, daemon=True,
                                       args=(self.child.stderr,))
        self.reader.start()
        if wait:
            self.wait_ready()
        return self

    def _read(self, stream):
        with open(self.log_path, "ab") as log:
            for line in stream:
                log.write(line)
                log.flush()
                with self.changed:
                    self.lines.append(line.decode("utf-8", "replace").rstrip())
                    self.changed.notify_all()
        with self.changed:
            self.changed.notify_all()

    def wait_ready(self, timeout_s=20):
        return self.wait_line(self.ready, timeout_s)

    def wait_line(self, pattern, timeout_s=20, after=None):
        """The first line of this life (or after index `after`) that matches."""
        deadline = time.monotonic() + timeout_s
        at = self.life_start if after is None else after
        with self.changed:
            while True:
                while at < len(self.lines):
                    if re.search(pattern, self.lines[at]):
                        return self.lines[at]
                    at += 1
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(
                        f"{self.name}: no line /{pattern}/ in {timeout_s} s")
                if not self.running and not self.reader.is_alive():
                    raise AssertionError(
                        f"{self.name}: ended with {self.child.returncode}, "
                        f"no line /{pattern}/")
                self.changed.wait(min(left, 0.5))

    def count_lines(self, pattern):
        with self.changed:
            return sum(1 for l in self.lines if re.search(pattern, l))

    def signal(self, number):
        self.child.send_signal(number)

    def wait(self, timeout_s=30):
        status = self.child.wait(timeout_s)
        self._join()
        return status

    def _join(self):
        if self.reader:
            self.reader.join(10)

    def kill(self):
        """kill -9, and wait for the end."""
        if self.running:
            self.child.kill()
        return self.wait()

    def stop(self, timeout_s=30):
        """SIGTERM; the exit status must be 0."""
        if not self.running:
            return
        self.signal(signal.SIGTERM)
        try:
            status = self.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.name}: still there {timeout_s} s after SIGTERM")
        assert status == 0, f"{self.name}: exit status {status} at SIGTERM"

    def reports(self):
        """Lines of sanitizers and failed assertions."""
        self._join() if not self.running else None
        with self.changed:
            return [l for l in self.lines if REPORTS.search(l)]

    def private_bytes(self):
        """Private memory now, as the kernel counts it."""
        text = pathlib.Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return 1024 * sum(int(m[1]) for m in re.finditer(
            r"^Private_(?:Clean|Dirty):\s+(\d+) kB", text, re.M))
