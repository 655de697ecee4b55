#!/usr/bin/python3
"""A server around h11, with the limits that h11 has by default, answering
each request with what it saw of it (servers.py has the format)."""
import asyncio
import json
import signal
import sys

import h11


def text(data):
    return bytes(data).decode("latin-1")


def describe(request, body):
    return json.dumps({
        "method": text(request.method), "target": text(request.target),
        "minor": int(request.http_version[2:]),
        "fields": [[text(name), text(value)]
                   for name, value in request.headers.raw_items()],
        "body": text(body)}).encode()


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.conn = h11.Connection(h11.SERVER)
        self.request, self.body = None, b""
        self.over = False

    def data_received(self, data):
        self.read(data)

    def eof_received(self):
        self.read(b"")
        self.over = True
        return False  # closes, after what is still to be sent

    def send(self, event):
        data = self.conn.send(event)
        if data:
            self.transport.write(data)

    def read(self, data):
        if self.over:
            return
        try:
            self.conn.receive_data(data)
            while not self.over and self.step(self.conn.next_event()):
                pass
        except h11.RemoteProtocolError as error:
            self.refuse(error)

    def step(self, event):
        """Take one event; whether to ask for another."""
        if event is h11.NEED_DATA:
            if self.conn.they_are_waiting_for_100_continue:
                self.send(h11.InformationalResponse(status_code=100,
                                                    headers=[]))
            return False
        if event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
            self.close()
            return False
        if isinstance(event, h11.Request):
            self.request, self.body = event, b""
        elif isinstance(event, h11.Data):
            self.body += event.data
        elif isinstance(event, h11.EndOfMessage):
            self.answer()
        return True

    def answer(self):
        seen = describe(self.request, self.body)
        bare = self.request.method in (b"HEAD", b"CONNECT")
        field = ("X-Seen", seen) if bare else \
            ("Content-Length", str(len(seen)))
        self.send(h11.Response(status_code=200, headers=[field]))
        if not bare:
            self.send(h11.Data(data=seen))
        self.send(h11.EndOfMessage())
        if self.conn.our_state is h11.DONE and \
                self.conn.their_state is h11.DONE:
            self.conn.start_next_cycle()
        else:
            self.close()

    def refuse(self, error):
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            why = str(error).encode("ascii", "replace").split(b"\n")[0]
            self.send(h11.Response(
                status_code=error.error_status_hint,
                headers=[("Content-Length", "0"), ("Connection", "close"),
                         ("X-Why", why.strip())]))
            self.send(h11.EndOfMessage())
        self.close()

    def close(self):
        self.over = True
        self.transport.close()


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    print(f"ready port={port}", file=sys.stderr, flush=True)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()


asyncio.run(main())
