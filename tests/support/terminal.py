"""A program in a real terminal: tmux, with a server of its own.

    with Terminal([program("leat"), "top"], 80, 24) as terminal:
        terminal.wait("SINK")
        terminal.keys("q")
"""
import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile

from leat import Skip, wait_until


class Terminal:
    def __init__(self, command, columns, rows):
        if not shutil.which("tmux"):
            raise Skip("tmux is not installed")
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="leat-tmux-"))
        self.command, self.size = command, (columns, rows)

    def tmux(self, *args):
        env = {**os.environ, "LC_ALL": "C.UTF-8"}
        env.pop("TMUX", None)
        return subprocess.run(
            ["tmux", "-S", str(self.directory / "socket"), "-f", "/dev/null",
             *args], env=env, check=True, capture_output=True,
            encoding="utf-8").stdout

    def __enter__(self):
        columns, rows = self.size
        # A shell stays, so that what the program leaves is seen.
        self.tmux("-u", "new-session", "-d", "-x", str(columns), "-y",
                  str(rows), "env PS1='READY> ' PS2= sh")
        self.tmux("set", "-g", "status", "off")
        self.tmux("set", "-g", "window-size", "manual")
        self.resize(columns, rows)
        self.wait("READY>")
        self.line("stty -g >" + str(self.directory / "before"))
        self.line(shlex.join(self.command))
        return self

    def __exit__(self, *_):
        try:
            self.tmux("kill-server")
        except subprocess.CalledProcessError:
            pass
        shutil.rmtree(self.directory, ignore_errors=True)

    def keys(self, *names):
        self.tmux("send-keys", "-t", "0", *names)

    def line(self, text):
        self.tmux("send-keys", "-t", "0", "-l", text)
        self.keys("Enter")

    def resize(self, columns, rows):
        self.tmux("resize-window", "-t", "0", "-x", str(columns), "-y",
                  str(rows))

    def screen(self):
        return self.tmux("capture-pane", "-p", "-t", "0").split("\n")

    def wait(self, text, timeout_s=30):
        """Wait until a text, or what a function of the lines wants, shows."""
        holds = text if callable(text) else \
            lambda lines: any(text in line for line in lines)
        try:
            return wait_until(lambda: holds(self.screen()), str(text),
                              timeout_s, 0.05)
        except AssertionError as e:
            raise AssertionError(f"{e}\n" + "\n".join(self.screen())) from e

    def ended(self, status=0):
        """The program has ended, and the terminal is as it was."""
        self.wait(lambda lines: [x for x in lines if x][-1:] == ["READY>"])
        self.line(f"echo status=$?; stty -g | cmp - {self.directory}/before "
                  "&& echo as-before")
        self.wait(lambda lines: f"status={status}" in lines and
                  "as-before" in lines)
