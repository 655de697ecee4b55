"""The current ClickHouse engine behind ClickHouse's HTTP interface.

    chdb_server.py FOLDER PORT

chdb is the engine as a library; this gives it as much of the server as
sinkd-clickhouse uses: POST with the query in the URL or the body, settings in
the URL, gzip, exceptions with their code.  Data stay in FOLDER, also over
kill -9.  Runs in a virtual environment that has chdb
(scripts/clickhouse-current).
"""
import gzip
import http.server
import re
import sys
import threading
import urllib.parse

from chdb.session import Session

NO_SETTINGS = {"query", "wait_end_of_query", "user", "password"}


def quoted(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def with_settings(query, settings):
    """INSERT ... FORMAT X, or any other statement, with its settings."""
    if not settings:
        return query
    clause = "SETTINGS " + ", ".join(
        f"{name} = {quoted(value)}" for name, value in settings.items())
    if query.startswith("INSERT"):
        head, _, name = query.rpartition(" FORMAT ")
        return f"{head} {clause} FORMAT {name}"
    return f"{query} {clause}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    session = None
    lock = threading.Lock()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        pairs = dict(urllib.parse.parse_qsl(
            urllib.parse.urlsplit(self.path).query))
        settings = {k: v for k, v in pairs.items() if k not in NO_SETTINGS}
        if "query" in pairs:
            statement = with_settings(pairs["query"], settings).encode() \
                + b"\n" + body
        else:
            statement = with_settings(body.decode(), settings).encode()
        try:
            with self.lock:
                result = self.session.query(statement, "TabSeparated")
            self.answer(200, result.bytes() or b"")
        except Exception as e:  # chdb's own class, without the code
            text = str(e)
            code = re.match(r"Code: (\d+)\.", text)
            self.answer(500, text.encode(), code[1] if code else "1002")

    def answer(self, status, body, code=None):
        self.send_response(status)
        if code:
            self.send_header("X-ClickHouse-Exception-Code", code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    folder, port = sys.argv[1], int(sys.argv[2])
    Handler.session = Session(folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    print("Ready for connections", file=sys.stderr, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
