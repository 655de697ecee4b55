"""Many conversations at once: send bytes, read until the server closes.

One loop around epoll serves all connections to all servers.  Nothing here
knows HTTP except `answers`, which takes apart what came back.
"""
import collections
import errno
import fcntl
import itertools
import os
import re
import select
import socket
import struct
import termios
import time

WINDOW = 48  # connections to one server at a time
PATIENCE_S = 30  # for one conversation, on a busy machine
LOOK_S = 0.05  # between two looks at who is out of time


class Talk:
    """
    key: the caller's.  half_close: whether to shut down the sending side; else
    the server is expected to close.  enough: a function of what has come,
    true when the client may close; quiet_s: how long nothing may come before
    the client closes.

    got: what came back; over: "closed", "reset", "enough", "quiet", or "late"
    when the server did not close in PATIENCE_S.
    """

    __slots__ = ("key", "data", "half_close", "enough", "quiet_s", "got",
                 "over", "socket", "sent", "started", "heard", "server")

    def __init__(self, key, data, half_close=True, enough=None, quiet_s=None):
        self.key, self.data, self.half_close = key, data, half_close
        self.enough, self.quiet_s = enough, quiet_s
        self.got, self.over, self.sent = [], None, 0

    def start(self, server, address):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.server = server
        self.started = self.heard = time.monotonic()
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(address)
        if family == socket.AF_INET:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)

    def send(self):
        """Whether all is sent, or need not be any more."""
        try:
            while self.sent < len(self.data):
                self.sent += self.socket.send(
                    memoryview(self.data)[self.sent:])
            if self.half_close:
                self.socket.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            return False
        except OSError as error:
            # The server closed early; its answer is still to be read.
            assert error.errno in (errno.EPIPE, errno.ECONNRESET,
                                   errno.ENOTCONN), error
        return True

    def receive(self):
        """Whether it is over."""
        try:
            while True:
                piece = self.socket.recv(65536)
                if not piece:
                    self.over = "closed"
                    return True
                self.got.append(piece)
        except BlockingIOError:
            self.heard = time.monotonic()
            if not self.enough or not self.enough(b"".join(self.got)):
                return False
            self.over = "enough"
            return True
        except ConnectionError:
            self.over = "reset"
            return True

    def out_of_time(self, now):
        if now > self.started + PATIENCE_S:
            self.over = "late"
        elif self.quiet_s and now > self.heard + self.quiet_s:
            self.over = "quiet"
        return self.over is not None

    def finish(self):
        self.socket.close()
        self.got = b"".join(self.got)


def converse(addresses, talks):
    """
    Hold the talks with each server: talks[name] is an iterator.  Yields
    (name, talk) as they end.
    """
    poll, open_now = select.epoll(), {}
    talks = {name: iter(t) for name, t in talks.items()}
    count = collections.Counter()
    looked = time.monotonic()

    def fill(name):
        while name in talks and count[name] < WINDOW:
            talk = next(talks[name], None)
            if talk is None:
                del talks[name]
                return
            talk.start(name, addresses[name])
            count[name] += 1
            open_now[talk.socket.fileno()] = talk
            poll.register(talk.socket, select.EPOLLIN if talk.send()
                          else select.EPOLLIN | select.EPOLLOUT)

    def end(talk):
        del open_now[talk.socket.fileno()]
        count[talk.server] -= 1
        talk.finish()
        fill(talk.server)
        return talk.server, talk

    try:
        for name in list(talks):
            fill(name)
        while open_now:
            for fd, events in poll.poll(LOOK_S):
                talk = open_now[fd]
                if events & select.EPOLLOUT and talk.send():
                    poll.modify(fd, select.EPOLLIN)
                if events & ~select.EPOLLOUT and talk.receive():
                    yield end(talk)
            if time.monotonic() > looked + LOOK_S:
                looked = time.monotonic()
                for talk in [t for t in open_now.values()
                             if t.out_of_time(looked)]:
                    yield end(talk)
    finally:
        for talk in open_now.values():
            talk.socket.close()
        poll.close()


# In pieces: each sent when the server has read the one before it.

class Pieces:
    """One conversation over a Unix socket.  got: what came back."""

    __slots__ = ("key", "pieces", "socket", "got")

    def __init__(self, key, pieces):
        self.key, self.pieces, self.got = key, list(pieces), b""

    def start(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(path)

    def is_read(self):
        """
        Whether the server has read all that was sent.  A Unix socket counts
        bytes as unsent until the other end has taken them; TCP tells only
        that its kernel has.
        """
        unread = fcntl.ioctl(self.socket, termios.TIOCOUTQ, b"\0" * 4)
        return struct.unpack("i", unread)[0] == 0

    def send_next(self):
        """Whether there was something to send."""
        if not self.pieces:
            return False
        try:
            self.socket.sendall(self.pieces.pop(0))
            if not self.pieces:
                self.socket.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            self.pieces = []  # refused already
        return True

    def finish(self):
        try:
            while piece := self.socket.recv(65536):
                self.got += piece
        except ConnectionError:
            pass
        self.socket.close()


def converse_in_pieces(path, talks):
    """Hold the talks (Pieces), some at a time; yields them as they end."""
    talks = iter(talks)
    while batch := list(itertools.islice(talks, WINDOW)):
        for talk in batch:
            talk.start(path)
        active = batch
        while active := [t for t in active if t.send_next()]:
            wait_until_read(active)
        for talk in batch:
            talk.finish()
            yield talk


def wait_until_read(talks):
    deadline = time.monotonic() + PATIENCE_S
    while talks := [t for t in talks if not t.is_read()]:
        assert time.monotonic() < deadline, \
            f"{len(talks)} of the pieces were not read"
        os.sched_yield()


class Answer:
    __slots__ = ("status", "fields", "content")

    def __init__(self, status, fields, content):
        self.status, self.fields, self.content = status, fields, content

    def __repr__(self):
        return f"{self.status} {self.content[:60]!r}"


HEAD = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [^\r\n]*)?\r\n"
                  rb"((?:[^\r\n]+\r\n)*)\r\n")


def answers(data, sent):
    """
    Take apart what a server sent as the answer to `sent`; interim answers are
    left out.
    """
    out, at = [], 0
    # A refusal of HEAD announces its content, and does not have it.
    may_lack = b"HEAD" in sent
    while at < len(data):
        head = HEAD.match(data, at)
        if not head:
            raise ValueError(f"not an answer: {data[at:at + 200]!r}")
        at = head.end()
        status = int(head[1])
        fields = {}
        for line in head[2].split(b"\r\n")[:-1]:
            name, _, value = line.partition(b":")
            name = name.lower().decode("latin-1")
            if name in fields:
                raise ValueError(f"{name} twice: {head[0]!r}")
            fields[name] = value.strip().decode("latin-1")
        if status < 200:
            continue
        content = b""
        if status in (204, 304) or "x-seen" in fields:
            pass
        elif may_lack and (at == len(data) or
                           data.startswith(b"HTTP/1.", at)):
            pass
        elif "content-length" in fields:
            n = int(fields["content-length"])
            content = data[at:at + n]
            if len(content) < n:
                raise ValueError(f"cut: {data[-200:]!r}")
            at += n
        elif fields.get("transfer-encoding") == "chunked":
            while True:
                line = data.index(b"\r\n", at)
                n = int(data[at:line], 16)
                content += data[line + 2:line + 2 + n]
                at = line + 2 + n + 2
                if n == 0:
                    break
        else:
            content, at = data[at:], len(data)
        out.append(Answer(status, fields, content))
    return out
