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
import pathlib
import re
import sys
import threading
import urllib.parse

from chdb.session import Session

NO_SETTINGS = {"query", "wait_end_of_query", "user", "password"}


def quoted(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def clause(settings):
    return " SETTINGS " + ", ".join(
        f"{name} = {quoted(value)}" for name, value in settings.items()) \
        if settings else ""


def insert_from(path, query, settings):
    """Inline, chdb would end the rows where they look like a blank line."""
    head, _, name = query.rpartition(" FORMAT ")
    return (f"{head} FROM INFILE {quoted(str(path))} COMPRESSION 'none'"
            f"{clause(settings)} FORMAT {name}")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    session = None
    rows = None  # path for the rows of an INSERT
    lock = threading.Lock()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        pairs = dict(urllib.parse.parse_qsl(
            urllib.parse.urlsplit(self.path).query))
        settings = {k: v for k, v in pairs.items() if k not in NO_SETTINGS}
        try:
            with self.lock:
                if "query" in pairs:
                    self.rows.write_bytes(body)
                    statement = insert_from(self.rows, pairs["query"],
                                            settings)
                else:
                    statement = body.decode() + clause(settings)
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
    Handler.rows = pathlib.Path(folder + ".rows")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    print("Ready for connections", file=sys.stderr, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
