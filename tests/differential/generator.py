"""The byte streams of the differential test, the same for the same seed.

Each case is what one client sends on one connection: perhaps a well-formed
request, then one that has been changed in one place or a few, or is
well-formed after all, then a well-formed marker.  Every request has a path of
its own, /c<case>-<which>, and so have the requests that are hidden in bodies.

There are five kinds:

- valid: the base requests, unchanged.  Each server must take them.
- known: what is known to be read differently by different programs, which is
  mostly the published ways to smuggle requests, and the rules of libhttp.
- edge: each of the 256 bytes at each place where one may matter most.
- place: one byte, piece or line of a base request inserted, replaced, deleted
  or repeated.  All such changes are listed; the seed picks among them so that
  every kind of place meets every kind of change.
- random: two to four such changes at once.
"""
import functools
import random

CRLF = b"\r\n"

# One of each kind of byte that a parser may give a meaning.
ALPHABET = [bytes([c]) for c in
            b"\0\r\n\t \x0b\x0c\x7f\x80\xff:;,=\"+-0a\\/?#%_(x"]

# What no request line, header line or chunk line may contain, wherever it
# was put.
CONTROLS = (b"\0", b"\r", b"\n", b"\x0b", b"\x0c", b"\x7f")

LINE_ENDS = {
    "LF": b"\n", "CR": b"\r", "CRCRLF": b"\r\r\n", "LFCR": b"\n\r",
    "CRLFCRLF": b"\r\n\r\n", "SP CRLF": b" \r\n", "TAB CRLF": b"\t\r\n",
    "NUL CRLF": b"\0\r\n", "VT CRLF": b"\x0b\r\n", "FF CRLF": b"\x0c\r\n",
    "NEL": b"\x85", "fold SP": b"\r\n ", "fold TAB": b"\r\n\t",
    "LF fold": b"\n ", "CRLFLF": b"\r\n\n", "none": b"",
}
# The line ends after which the request is malformed, whatever the line.
BROKEN_ENDS = ("LF", "CR", "CRCRLF", "LFCR", "NUL CRLF", "VT CRLF",
               "FF CRLF", "LF fold", "CRLFLF")


class Case:
    """
    data: the stream.  before: the well-formed requests ahead of the changed
    one.  total: for a valid case, all its requests; else None.  refuse: the
    status that libhttp must answer the changed request with; None: any.
    """

    __slots__ = ("index", "label", "data", "before", "total", "refuse")

    def __init__(self, index, label, data, before, total=None, refuse=None):
        self.index, self.label, self.data = index, label, data
        self.before, self.total, self.refuse = before, total, refuse


# Requests as lists of pieces: (kind, bytes).

def request_line(method, target, version=b"HTTP/1.1"):
    return [("method", method), ("sp", b" "), ("target", target),
            ("sp", b" "), ("version", version), ("crlf", CRLF)]


def field(name, value, kind="field"):
    return [(f"{kind} name", name), ("colon", b":"),
            ("ows", b" " if value else b""), (f"{kind} value", value),
            ("crlf", CRLF)]


def request(method, target, fields=(), body=(), version=b"HTTP/1.1",
            host=b"h.example"):
    pieces = request_line(method, target, version)
    if host is not None:
        pieces += field(b"Host", host)
    for name, value in fields:
        pieces += field(name, value)
    return pieces + [("end", CRLF)] + list(body)


def with_length(method, target, body, fields=(), **more):
    return request(method, target,
                   [*fields, (b"Content-Length", b"%d" % len(body))],
                   [("body", body)], **more)


def chunk(data, ext=b"", size=None):
    out = [("size", b"%x" % len(data) if size is None else size)]
    if ext:
        out.append(("extension", ext))
    return out + [("chunk crlf", CRLF), ("data", data), ("data crlf", CRLF)]


def last_chunk(trailers=(), ext=b""):
    out = [("last size", b"0")]
    if ext:
        out.append(("extension", ext))
    out.append(("chunk crlf", CRLF))
    for name, value in trailers:
        out += field(name, value, "trailer")
    return out + [("last crlf", CRLF)]


CHUNKED = (b"Transfer-Encoding", b"chunked")
JSON = (b"Content-Type", b"application/json")
EVENT = b'[{"type":"t"}]'


def chunked(target, body, fields=(), **more):
    return request(b"POST", target, [JSON, CHUNKED, *fields], body, **more)


def hidden(path):
    return b"GET %s-hidden HTTP/1.1\r\nHost: h.example\r\n\r\n" % path


def join(pieces):
    return b"".join(data for _, data in pieces)


# The base requests.  Each takes the path that is the request's own.

BASES = {
    "get": lambda p: request(b"GET", p),
    "query": lambda p: request(
        b"GET", p + b"/a%20b/%7Ec;v=1/?x=1&y=%41%2f&z&e=?/:@!$'()*+,"),
    "fields": lambda p: request(b"GET", p, [
        (b"User-Agent", b"leat/1 (test; \"quoted\")"), (b"Accept", b"*/*"),
        (b"X-Empty", b""), (b"X-Tab", b"a\tb  c"), (b"X-Obs", b"\x80\xe9\xff"),
        (b"x-!#$%&'*+-.^_`|~09", b"token"), (b"X-Same", b"1"),
        (b"x-same", b"2"), (b"Cookie", b"a=b; c=d")]),
    "head": lambda p: request(b"HEAD", p),
    "delete": lambda p: request(b"DELETE", p, [(b"If-Match", b'"x"')]),
    "length": lambda p: with_length(b"POST", p, EVENT, [JSON]),
    "length 0": lambda p: with_length(b"PUT", p, b""),
    "length hidden": lambda p: with_length(b"POST", p, hidden(p)),
    "length get": lambda p: with_length(b"GET", p, b"body of a GET"),
    "binary": lambda p: with_length(b"PATCH", p, bytes(range(256))),
    "chunk": lambda p: chunked(p, chunk(EVENT) + last_chunk()),
    "chunks": lambda p: chunked(
        p, chunk(b"[" * 10, size=b"A") + chunk(b"x", b";a")
        + chunk(b"yy", b";a=b;c=d") + chunk(b"]" * 31, b';q="x y;\\"z"')
        + last_chunk(ext=b";last")),
    "chunk none": lambda p: chunked(p, last_chunk()),
    "chunk hidden": lambda p: chunked(p, chunk(hidden(p)) + last_chunk()),
    "trailers": lambda p: chunked(
        p, chunk(b"abc") + last_chunk([(b"X-Sum", b"1"), (b"X-Two", b"")]),
        [(b"Trailer", b"X-Sum")]),
    "1.0": lambda p: request(b"GET", p, version=b"HTTP/1.0", host=None),
    "1.0 host": lambda p: request(b"GET", p, version=b"HTTP/1.0"),
    "1.0 keep": lambda p: request(
        b"GET", p, [(b"Connection", b"keep-alive")], version=b"HTTP/1.0"),
    "1.0 length": lambda p: with_length(
        b"POST", p, EVENT, [(b"Connection", b"Keep-Alive")],
        version=b"HTTP/1.0"),
    "absolute": lambda p: request(b"GET", b"http://h.example" + p + b"?q"),
    "absolute port": lambda p: request(
        b"GET", b"http://h.example:8080" + p, host=b"h.example:8080"),
    "options": lambda p: request(b"OPTIONS", b"*", [(b"X-Path", p)]),
    "options path": lambda p: request(b"OPTIONS", p),
    "expect": lambda p: with_length(
        b"POST", p, EVENT, [(b"Expect", b"100-continue")]),
    "expect chunk": lambda p: chunked(
        p, chunk(EVENT) + last_chunk(), [(b"Expect", b"100-Continue")]),
    "close": lambda p: request(b"GET", p, [(b"Connection", b"close")]),
    "close list": lambda p: request(
        b"GET", p, [(b"X-Hop", b"1"), (b"Connection", b"X-Hop, close")]),
    "keep": lambda p: request(
        b"GET", p, [(b"Connection", b"keep-alive"),
                    (b"Keep-Alive", b"timeout=5")]),
    "host port": lambda p: request(b"GET", p, host=b"127.0.0.1:8080"),
    "host v6": lambda p: request(b"GET", p, host=b"[::1]:80"),
    "no spaces": lambda p: [
        piece for piece in with_length(b"POST", p, b"abc", [(b"X-A", b"b")])
        if piece[0] != "ows"],
    "spaces": lambda p: [
        (kind, b" \t " if kind == "ows" else data + b"\t "
         if kind == "field value" else data)
        for kind, data in with_length(b"POST", p, b"abc", [(b"X-A", b"b")])],
    "case": lambda p: request(
        b"POST", p, [(b"TRANSFER-encoding", b"CHUNKED")],
        chunk(b"abc") + last_chunk()),
}

# Valid as well, but too long to change everywhere.
LARGE = {
    "many fields": lambda p: request(
        b"GET", p, [(b"X-%d" % i, b"v" * i) for i in range(90)]),
    "long value": lambda p: request(b"GET", p, [(b"X", b"v" * 8000)]),
    "long target": lambda p: request(b"GET", p + b"/" + b"t" * 6000),
    "long body": lambda p: with_length(b"POST", p, b"0123456789" * 3000),
    "long chunk": lambda p: chunked(
        p, chunk(b"0123456789" * 3000) + last_chunk()),
    "many chunks": lambda p: chunked(
        p, [c for i in range(1, 120) for c in chunk(b"z" * i)]
        + last_chunk()),
    "largest body": lambda p: with_length(b"POST", p, b"\xff" * 65536),
}


def marker(path):
    return b"GET %s-marker HTTP/1.1\r\nHost: h.example\r\n\r\n" % path


# Known: (label, function of the path that makes the bytes, refuse).

class Known:
    """Collects the list of known cases."""

    def __init__(self, *parts):
        self.cases = []
        for part in parts:
            part(self)

    def add(self, label, make, refuse=None):
        self.cases.append((label, make, refuse))

    def head(self, label, lines, refuse=None, body=lambda p: b"",
             line=b"POST %s HTTP/1.1\r\n", host=b"Host: h.example\r\n"):
        """A request of these header lines; %n is the length of its body."""
        def make(path):
            content = body(path)
            return line.replace(b"%s", path) + host + lines.replace(
                b"%n", b"%d" % len(content)) + CRLF + content
        self.add(label, make, refuse)

    # The bodies that make each reading of a framing visible.
    BODIES = {
        "chunked hidden": lambda p: join(chunk(hidden(p)) + last_chunk()),
        "0 and hidden": lambda p: b"0\r\n\r\n" + hidden(p),
        "hidden": hidden,
    }

    def framing(self):
        """Content-Length against Transfer-Encoding, and two of either."""
        te, cl = b"Transfer-Encoding: chunked\r\n", b"Content-Length: "
        heads = [
            cl + b"%n\r\n" + te, te + cl + b"%n\r\n",
            cl + b"0\r\n" + te, te + cl + b"0\r\n", cl + b"4\r\n" + te,
            te + te, te + b"Transfer-Encoding: identity\r\n",
            b"Transfer-Encoding: identity\r\n" + te,
            b"Transfer-Encoding: x\r\n" + te, te + b"transfer-encoding: x\r\n",
            te + b"Transfer-Encoding:\r\n", b"Transfer-Encoding:\r\n" + te,
            cl + b"%n\r\n" + cl + b"%n\r\n",
            cl + b"0\r\n" + cl + b"%n\r\n", cl + b"%n\r\n" + cl + b"0\r\n",
            cl + b"%n\r\ncontent-length: %n\r\n",
            cl + b"%n\r\nX: y\r\n" + cl + b"%n\r\n",
            cl + b"%n, %n\r\n", cl + b"0,%n\r\n", cl + b"%n\r\n" + cl + CRLF,
        ]
        values = [
            b"identity", b"gzip", b"deflate", b"compress", b"trailers",
            b"gzip, chunked", b"gzip,chunked", b"chunked, gzip",
            b"chunked, chunked", b"chunked, identity", b"identity, chunked",
            b"chunked,", b",chunked", b", chunked", b"chunked ,", b"chunked;",
            b"chunked;q=1", b"chunked; a=b", b'"chunked"', b"'chunked'",
            b"xchunked", b"chunkedx", b"x chunked", b"chunked x", b"chun ked",
            b"chunked chunked", b"cHuNkEd\x00", b"", b" ", b"0", b"true",
            b"chunk", b"chunked\x0b", b"\xe2\x80\x83chunked",
            b"chunked\xa0", b"(chunked)", b"chunked\\", b"=chunked",
        ]
        heads += [b"Transfer-Encoding: " + v + CRLF for v in values]
        names = [
            b"Transfer-Encoding ", b" Transfer-Encoding",
            b"\tTransfer-Encoding", b"Transfer-Encoding\t",
            b"Transfer Encoding", b"X\nTransfer-Encoding",
            b"X: y\nTransfer-Encoding", b"X: y\rTransfer-Encoding",
            b"X:\nTransfer-Encoding", b"Transfer-Encoding\r\n ",
            b"Transfer-Encoding\n ", b"\"Transfer-Encoding\"",
            b"Transfer-Encoding\0", b":Transfer-Encoding",
            b"Transfer-\r\n Encoding", b"\xffTransfer-Encoding",
        ]
        heads += [n + b": chunked\r\n" for n in names]
        folds = [b"Transfer-Encoding:\r\n chunked\r\n",
                 b"Transfer-Encoding:\r\n\tchunked\r\n",
                 b"Transfer-Encoding:\n chunked\r\n",
                 b"Transfer-Encoding: chunked\r\n x\r\n",
                 b"Transfer-Encoding: x,\r\n chunked\r\n",
                 b"X: y\r\n Transfer-Encoding: chunked\r\n",
                 b"Transfer-Encoding: chunked\r\n \r\n",
                 b"Transfer-Encoding:chunked\n",
                 b"Transfer-Encoding: chunked\r",
                 b"Transfer-Encoding: chunked\r\r\n"]
        for head in heads + folds:
            for name, body in self.BODIES.items():
                self.head(f"framing {head!r} {name}", head, 400, body)
                if cl not in head and name != "hidden":
                    self.head(f"framing {head!r} and length, {name}",
                              cl + b"%n\r\n" + head, 400, body)
        self.head("framing after the headers", CRLF + te, None, hidden)
        # Names that are other headers: what counts is Content-Length.
        for name in (b"Transfer_Encoding", b"X-Transfer-Encoding",
                     b"Transfer-Encodin", b"Transfer-Encodingx",
                     b"TransferEncoding", b"TE", b"Content-Encoding"):
            for body in self.BODIES.values():
                self.head(f"other header {name!r}",
                          name + b": chunked\r\n" + cl + b"%n\r\n", None, body)
        for body in self.BODIES.values():
            for version in (b"1.0", b"1.1"):
                for extra in (b"", b"Connection: keep-alive\r\n"):
                    self.head(f"chunked in {version!r} {extra!r}", te + extra,
                              400 if version == b"1.0" else None, body,
                              line=b"POST %s HTTP/" + version + CRLF)
            self.head("no framing", b"", None, body)
            self.head("no framing GET", b"", None, body,
                      line=b"GET %s HTTP/1.1\r\n")

    def edges(self):
        """Each byte that there is, where it matters most."""
        self.header_edges()
        self.request_line_edges()
        self.body_edges()

    def header_edges(self):
        data = self.BODIES["chunked hidden"]
        places = {
            "before TE": b"%cTransfer-Encoding: chunked\r\n",
            "after TE": b"Transfer-Encoding%c: chunked\r\n",
            "before chunked": b"Transfer-Encoding:%cchunked\r\n",
            "after chunked": b"Transfer-Encoding: chunked%c\r\n",
            "in chunked": b"Transfer-Encoding: chun%cked\r\n",
            "before CL": b"%cContent-Length: %n\r\n",
            "after CL": b"Content-Length%c: %n\r\n",
            "before length": b"Content-Length:%c%n\r\n",
            "after length": b"Content-Length: %n%c\r\n",
            "in a name": b"X-%c-Y: z\r\n",
            "in a value": b"X: y%cz\r\n",
            "a value": b"X:%c\r\n",
            "first name": b"%c: z\r\n",
        }
        for name, form in places.items():
            for c in range(256):
                self.head(f"byte {c:#04x} {name}",
                          form.replace(b"%c", bytes([c])),
                          400 if bytes([c]) in CONTROLS else None, data)

    def request_line_edges(self):
        lines = {
            "before the method": b"%cPOST %s HTTP/1.1\r\n",
            "after the method": b"POST%c%s HTTP/1.1\r\n",
            "in the method": b"PO%cST %s HTTP/1.1\r\n",
            "in the target": b"POST %s%c HTTP/1.1\r\n",
            "in the query": b"POST %s?%c HTTP/1.1\r\n",
            "before the version": b"POST %s%cHTTP/1.1\r\n",
            "after the version": b"POST %s HTTP/1.1%c\r\n",
            "as minor": b"POST %s HTTP/1.%c\r\n",
            "as dot": b"POST %s HTTP/1%c1\r\n",
            "as escape": b"POST %s%%c0 HTTP/1.1\r\n",
        }
        for name, form in lines.items():
            for c in range(256):
                def make(path, form=form, c=c):
                    start = form.replace(b"%c", bytes([c]))
                    return start.replace(b"%s", path) + \
                        b"Host: h\r\nContent-Length: 2\r\n\r\nhi"
                self.add(f"byte {c:#04x} {name}", make,
                         400 if bytes([c]) in CONTROLS else None)

    def body_edges(self):
        bodies = {
            "before the size": b"%c2\r\nhi\r\n0\r\n\r\n",
            "after the size": b"2%c\r\nhi\r\n0\r\n\r\n",
            "in the size": b"0%c2\r\nhi\r\n0\r\n\r\n",
            "in an extension": b"2;a%cb=c\r\nhi\r\n0\r\n\r\n",
            "in an extension's value": b"2;a=b%cc\r\nhi\r\n0\r\n\r\n",
            "in a quoted extension": b"2;a=\"%c\"\r\nhi\r\n0\r\n\r\n",
            "escaped in an extension": b"2;a=\"\\%c\"\r\nhi\r\n0\r\n\r\n",
            "after the data": b"2\r\nhi%c\r\n0\r\n\r\n",
            "after the data's CR": b"2\r\nhi\r%c0\r\n\r\n",
            "for the size's CR": b"2%c\nhi\r\n0\r\n\r\n",
            "for the size's LF": b"2\r%chi\r\n0\r\n\r\n",
            "before the last": b"2\r\nhi\r\n%c0\r\n\r\n",
            "after the last": b"2\r\nhi\r\n0%c\r\n\r\n",
            "in a trailer's name": b"2\r\nhi\r\n0\r\nX%cY: z\r\n\r\n",
            "in a trailer's value": b"2\r\nhi\r\n0\r\nX: y%cz\r\n\r\n",
            "before the end": b"2\r\nhi\r\n0\r\n%c\r\n",
            "for the end's CR": b"2\r\nhi\r\n0\r\n%c\n",
        }
        right = {"after the data's CR": 10, "for the size's CR": 13,
                 "for the size's LF": 10, "for the end's CR": 13}
        for name, form in bodies.items():
            for c in range(256):
                content = form.replace(b"%c", bytes([c]))
                broken = bytes([c]) in CONTROLS and c != right.get(name)
                self.head(f"byte {c:#04x} {name}",
                          b"Transfer-Encoding: chunked\r\n",
                          400 if broken else None, lambda p, b=content: b)

    def lengths(self):
        for value in (b"+%n", b"-%n", b"-0", b"+0", b"%n,%n", b"%n, %n",
                      b"%n,", b",%n", b"%n %n", b"0x%n", b"0x5", b"%nx",
                      b"%n.0", b"%ne0", b"1e1", b"0b1", b"0o5", b"%n_0",
                      b"1_0", b"", b" ", b"'%n'", b'"%n"', b"%n;a", b"%n\x0b",
                      b"\x0b%n", b"%n\x00", b"\xa0%n", b"\xef\xbc\x95",
                      b"\xd9\xa5", b"%n\t%n", b"NaN", b"inf", b"a",
                      b"18446744073709551616", b"18446744073709551621",
                      b"36893488147419103237", b"99999999999999999999999",
                      b"-18446744073709551611", b"4294967301, 5"):
            for name, body in (("hello", lambda p: b"hello"),
                               ("hidden", hidden)):
                self.head(f"length {value!r} {name}",
                          b"Content-Length: " + value + CRLF, 400, body)
        for value in (b"00%n", b"0" * 30 + b"%n", b"%n ", b"\t %n\t "):
            for body in (lambda p: b"hello", hidden):
                self.head(f"length {value!r}",
                          b"Content-Length: " + value + CRLF, None, body)
        for value, status in ((b"65536", None), (b"65537", 413),
                              (b"4294967296", 413), (b"4294967301", 413),
                              (b"2147483648", 413),
                              (b"9223372036854775807", 413),
                              (b"9223372036854775808", 413),
                              (b"18446744073709551615", 413)):
            self.head(f"length {value!r}",
                      b"Content-Length: " + value + CRLF, status, hidden)

    def sizes(self):
        """Sizes of a chunk of five bytes, and what follows them."""
        bad = [b"0x5", b"0X5", b"x5", b"5x", b"5h", b"+5", b"-5", b"-0",
               b" 5", b"\t5", b"5 ", b"5\t", b"5 5", b"5_0", b"0_5", b"5.0",
               b"5,5", b"", b"g", b"\xff5", b"5\0", b"\0005", b"5\x0b", b"5\r",
               b"5\n", b"\n5", b"\r\n5", b"5\r\n", b"10000000000000005",
               b"100000000000000005", b"f0000000000000005", b"5 ;a",
               b"5;", b"5;;", b"5;=", b"5;=a", b"5;a=", b"5;a=\"", b"5;a=\"b",
               b"5;a=b\"", b"5;a=b=c", b"5;a;", b"5;a b", b"5;a,b", b"5;a\n",
               b"5;\n", b"5;a\r", b"5;a\0", b"5;\xff", b"5;a=\"\n\"",
               b"5;a=\"\r\"", b"5;a=\"\\\n\"", b"5;a\n0", b"5\n;a", b"5,a",
               b"5=a", b"5:a", b"\"5\"", b"0;\n5", b"5;a=\x80",
               b"5;" + b"a" * 300, b"5;a=" + b"b" * 5000,
               b"5;a=\"" + b"c" * 5000, b"0" * 300 + b"5",
               b"5" + b";a" * 200, b"5;a=\"" + b"d" * 100_000 + b"\""]
        # Allowed by RFC 9112; libhttp takes some of them.
        allowed = [b"05", b"0" * 15 + b"5", b"0" * 16 + b"5", b"0" * 30 + b"5",
                   b"0" * 200 + b"5", b"5;a ", b"5; a", b"5; a ", b"5;a = b",
                   b"5;\ta", b"5;a=\"\\\"\"", b"5;a=\"\x80\"",
                   b"5;" + b"a" * 200, b"5;" + b"a" * 252, b"5;" + b"a" * 253,
                   b"5;" + b"a" * 254, b"5;" + b"a" * 255, b"5;a=\"\"",
                   b"5;!#$%&'*+-.^_`|~=x"]
        for size in bad + allowed:
            status = 400 if size in bad else None
            for tail in (b"0\r\n\r\n", b"0\r\n\r\nGET /c-tail HTTP/1.1\r\n"
                         b"Host: h\r\n\r\n"):
                self.head(f"size {size[:40]!r} ({len(size)})",
                          b"Transfer-Encoding: chunked\r\n", status,
                          lambda p, s=size, t=tail:
                          s + b"\r\nhello\r\n" + t)
        for size in (b"ffffffffffffffff", b"fffffffffffffff0",
                     b"8000000000000000", b"7fffffffffffffff", b"100000000",
                     b"ffffffff", b"80000000", b"7fffffff", b"100000005",
                     b"fffffffffffffffff", b"10000000000000000",
                     b"f000000000000000000000000000000005"):
            self.head(f"size {size!r}", b"Transfer-Encoding: chunked\r\n",
                      400 if len(size) > 16 else None, lambda p, s=size:
                      s + b"\r\nhello\r\n0\r\n\r\n" + hidden(p))
        for size in (b"00", b"0000", b"0" * 16, b"0" * 17, b"0" * 40):
            self.head(f"last size {size!r}", b"Transfer-Encoding: chunked\r\n",
                      None, lambda p, s=size: s + CRLF + CRLF)

    def chunk_bodies(self):
        bad = {
            "no CRLF after data": b"5\r\nhello0\r\n\r\n",
            "LF after data": b"5\r\nhello\n0\r\n\r\n",
            "CR after data": b"5\r\nhello\r0\r\n\r\n",
            "too few": b"6\r\nhello\r\n0\r\n\r\n",
            "too many": b"4\r\nhello\r\n0\r\n\r\n",
            "LF after size": b"5\nhello\r\n0\r\n\r\n",
            "CR after size": b"5\rhello\r\n0\r\n\r\n",
            "LFs": b"5\nhello\n0\n\n",
            "LF at the end": b"5\r\nhello\r\n0\r\n\n",
            "CR at the end": b"5\r\nhello\r\n0\r\n\r\r\n",
            "LF after the last": b"5\r\nhello\r\n0\n\r\n",
            "empty line first": b"\r\n5\r\nhello\r\n0\r\n\r\n",
            "empty line between": b"5\r\nhello\r\n\r\n0\r\n\r\n",
            "two bytes for CRLF": b"5\r\nhelloXX0\r\n\r\n",
            "CRLF doubled": b"5\r\n\r\nhello\r\n0\r\n\r\n",
            "LFCR": b"5\r\nhello\n\r0\r\n\r\n",
            "no chunks": b"hello",
            "minus last": b"5\r\nhello\r\n-0\r\n\r\n",
            "space before the last": b"5\r\nhello\r\n 0\r\n\r\n",
            "a method": b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        }
        for name, content in bad.items():
            self.head(f"chunks {name}", b"Transfer-Encoding: chunked\r\n", 400,
                      lambda p, c=content: c)
            self.head(f"chunks {name}, hidden",
                      b"Transfer-Encoding: chunked\r\n", 400,
                      lambda p, c=content: c + hidden(p))
        self.head("chunks cut", b"Transfer-Encoding: chunked\r\n", None,
                  lambda p: b"5\r\nhello\r\n0\r\n")
        self.head("chunks cut in data", b"Transfer-Encoding: chunked\r\n", None,
                  lambda p: b"fff\r\nhello\r\n0\r\n\r\n")

    def trailers(self):
        names = [b"Content-Length: 5", b"Transfer-Encoding: chunked",
                 b"Host: x", b"content-length: 0", b"TRANSFER-ENCODING: x",
                 b"Content-Length : 5", b" Content-Length: 5",
                 b"X", b"X y: z", b": y", b"X : y", b" X: y", b"\tX: y",
                 b"X: a\0b", b"X: a\nb", b"X: a\rb", b"X: a\x7f",
                 b"X: y\r\n z", b"X: y\r\n\tz", b"X: y\n", b"X: y\r",
                 b"X: y\r\nHost: z", b"X: y\r\nContent-Length: 9",
                 b"X" * 5000 + b": y", b"X: " + b"y" * 5000,
                 b"\r\n".join(b"X-%d: y" % i for i in range(1000)),
                 b"GET / HTTP/1.1"]
        for name in names:
            self.head(f"trailer {name[:40]!r}",
                      b"Transfer-Encoding: chunked\r\n", 400,
                      lambda p, n=name: b"5\r\nhello\r\n0\r\n" + n
                      + CRLF + CRLF)
            self.head(f"trailer {name[:40]!r} announced",
                      b"Transfer-Encoding: chunked\r\nTrailer: X, Host\r\n",
                      400, lambda p, n=name: b"5\r\nhello\r\n0\r\n" + n
                      + CRLF + CRLF)
        for name in (b"X: y", b"X:", b"X:y", b"X: \xff", b"Connection: close",
                     b"Expect: 100-continue", b"Trailer: x", b"Upgrade: x",
                     b"Authorization: x", b"Content-Type: x", b"TE: x",
                     b"Content-Encoding: gzip", b"X: y\r\nZ: a\r\nZ: b",
                     b"X: " + b"y" * 200, b"X: " + b"y" * 300):
            self.head(f"trailer {name[:40]!r}",
                      b"Transfer-Encoding: chunked\r\n", None,
                      lambda p, n=name: b"5\r\nhello\r\n0\r\n" + n
                      + CRLF + CRLF)

    def request_lines(self):
        for version in (b"HTTP/0.9", b"HTTP/1.2", b"HTTP/1.9", b"HTTP/2.0",
                        b"HTTP/3.0", b"HTTP/9.9", b"HTTP/0.0", b"HTTP/0.1"):
            self.head(f"version {version!r}", b"", (400, 505),
                      line=b"GET %s " + version + CRLF)
        for version in (b"HTTP/1.10", b"HTTP/1.01", b"HTTP/01.1", b"HTTP/1.",
                        b"HTTP/1", b"HTTP/.1", b"HTTP/", b"HTTP", b"http/1.1",
                        b"Http/1.1", b"HTTP /1.1", b"HTTP/ 1.1", b"HTTP/1 .1",
                        b"HTTP/1. 1", b"HTTPS/1.1", b"HTTP/1.1x", b"HTTP/1,1",
                        b"XTTP/1.1", b"HTTP/-1.1", b"HTTP/+1.1", b"HTTP/1.1.1",
                        b"HTTP//1.1", b"HTTP\\1.1", b"HTTP/1.a", b"HTTP/2",
                        b"HTTP/11", b"HTTP/1.1 HTTP/1.1", b"HTTP/1.1\r", b"",
                        b"ICE/1.0", b"RTSP/1.0", b"HTTP/1.1\0", b"\0HTTP/1.1",
                        b"HTTP/\xb9.1", b"HTTP/1.1\t", b"HTTP/1.1 ",
                        b" HTTP/1.1", b"\tHTTP/1.1"):
            for line in (b"GET %s " + version + CRLF,
                         b"POST %s?q " + version + CRLF):
                self.head(f"version {version!r}", b"", (400, 505), line=line)
        for label, line in {
                "0.9": b"GET %s\r\n", "0.9 LF": b"GET %s\n",
                "0.9 space": b"GET %s \r\n", "no target": b"GET HTTP/1.1\r\n",
                "no method": b" %s HTTP/1.1\r\n", "only target": b"%s\r\n",
                "two spaces": b"GET  %s HTTP/1.1\r\n",
                "two spaces later": b"GET %s  HTTP/1.1\r\n",
                "tab": b"GET\t%s HTTP/1.1\r\n",
                "tab later": b"GET %s\tHTTP/1.1\r\n",
                "space first": b" GET %s HTTP/1.1\r\n",
                "CRLF first": b"\r\nGET %s HTTP/1.1\r\n",
                "CRLFs first": b"\r\n\r\n\r\nGET %s HTTP/1.1\r\n",
                "LF first": b"\nGET %s HTTP/1.1\r\n",
                "CR first": b"\rGET %s HTTP/1.1\r\n",
                "NUL first": b"\0GET %s HTTP/1.1\r\n",
                "LF": b"GET %s HTTP/1.1\n",
                "CR": b"GET %s HTTP/1.1\r",
                "four words": b"GET %s x HTTP/1.1\r\n",
                "space in target": b"GET %s /x HTTP/1.1\r\n",
                "folded": b"GET %s\r\n HTTP/1.1\r\n",
                "empty": b"\r\n", "spaces": b"   \r\n",
                "a field": b"X: %s\r\n",
                "method with colon": b"GET: %s HTTP/1.1\r\n",
                "method quoted": b"\"GET\" %s HTTP/1.1\r\n",
                "method with slash": b"GET/x %s HTTP/1.1\r\n",
                "BOM": b"\xef\xbb\xbfGET %s HTTP/1.1\r\n",
                "an answer": b"HTTP/1.1 200 OK\r\n",
                "PROXY": b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n"
                         b"GET %s HTTP/1.1\r\n",
                "PRI": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                "TLS": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03"}.items():
            status = (400, 505) if label == "PRI" else 400
            self.head(f"line {label}", b"", status, line=line)
        self.head("CRLF after a length body", b"Content-Length: 5\r\n", None,
                  lambda p: b"hello\r\n")
        for method in (b"get", b"Get", b"FOO", b"G", b"M-SEARCH", b"PROPFIND",
                       b"PURGE", b"QUERY", b"TRACE", b"CONNECT", b"SOURCE",
                       b"GE", b"GETT", b"POS", b"X" * 40, b"X" * 300,
                       b"!#$%&'*+-.^_`|~", b"PRI", b"0", b"-"):
            self.head(f"method {method[:40]!r}", b"Content-Length: 2\r\n", None,
                      lambda p: b"hi", line=method + b" %s HTTP/1.1\r\n")

    def targets(self):
        bad = [b"%00", b"%s%00", b"%s?a=%00", b"%s%2", b"%s%", b"%s%zz",
               b"%s%g0", b"%s%0g", b"%s?%", b"%s?%x", b"%s?%4", b"%s#f",
               b"%s?q#f", b"#", b"%s\x80", b"%s?\xff", b"\xe2\x80\xae",
               b"x", b"?", b"?x", b"", b"..", b"./x", b"\\x", b"x:80",
               b"http:/x", b"http:x", b"://x", b"http://h /x",
               b"%s%u0041", b"/%%00"]
        for target in bad:
            self.head(f"target {target!r}", b"", 400,
                      line=b"GET " + target + b" HTTP/1.1\r\n")
        for target in (b"//x", b"///", b"/", b"/..", b"/../..", b"/.", b"/*",
                       b"*", b"/?", b"/??", b"/%2f%2F", b"/%0d%0a", b"/%0A",
                       b"/%01", b"/%7f", b"/%80%ff", b"/<>", b"/{}|^`",
                       b"/[]", b"/\"", b"/'", b"/\\", b"/;", b"/:", b"/@",
                       b"/a:b", b"http://h", b"http://h/", b"http://h?q",
                       b"http://h.example/%2e", b"HTTP://h/x", b"https://h/x",
                       b"ftp://h/x", b"http://", b"http:///x", b"http://:80/x",
                       b"http://u@h/x", b"http://u:p@h/x", b"http://h:/x",
                       b"http://h:99999/x", b"http://h:x/x", b"http://[::1]/x",
                       b"http://[::1/x", b"http://h%41/x", b"http://h/%00",
                       b"http://h/x#f", b"http://h/x%", b"http://h\\x/",
                       b"http://h,i/x", b"x-y+z.1://h/x", b"h:80", b"/%25",
                       b"//h:80/x", b"/http://h/x", b"/?http://h/x",
                       b"http://h/?a=%00"):
            for method in (b"GET ", b"OPTIONS ", b"CONNECT "):
                self.head(f"target {method.decode()}{target!r}", b"", None,
                          line=method + target + b" HTTP/1.1\r\n")

    def hosts(self):
        one = b"Host: h.example\r\n"
        for lines in (b"", one + one, one + b"Host: other\r\n",
                      one + b"host: h.example\r\n", one + b"X: y\r\n" + one,
                      one + b"Host:\r\n", b"Host:\r\n" + one,
                      b"Host : h\r\n", b" Host: h\r\n", b"\tHost: h\r\n",
                      b"Host\t: h\r\n", b"X: y\r\n Host: h\r\n",
                      b"Host: h\r\n x\r\n", b"Host:\r\n h\r\n", b"Host: h\n",
                      b"Host: h\r", b"Host h\r\n", b"Host\r\n", b"Hosts: h\r\n",
                      b"X-Host: h\r\n", b"Host\0: h\r\n"):
            for version in (b"1.1", b"1.0"):
                status = 400
                if version == b"1.0" and lines in (
                        b"", b"Hosts: h\r\n", b"X-Host: h\r\n"):
                    status = None
                self.head(f"host {lines!r} {version.decode()}", b"", status,
                          line=b"GET %s HTTP/" + version + CRLF, host=lines)
        for value in (b"", b" ", b"a b", b"a,b", b"a, b", b"a/b", b"a?b",
                      b"a#b", b"a@b", b"a\\b", b"h:", b"h:80:80", b"h:x",
                      b"h:-1", b"h:99999", b"h:080", b":80", b":", b"[::1]",
                      b"[::1", b"::1", b"[::1]x", b"[::1]:80", b"[]", b"h%41",
                      b"%00", b"h\x80", b"\xff", b"h\0", b"h\x7f", b"h\tx",
                      b"<h>", b"h\"", b"h'", b"h;", b"h=", b"h_x", b"h~",
                      b"h!$&()*+", b"-", b".", b"..", b"http://h", b"h" * 300,
                      b"1.2.3.4:5", b"[v1.x]", b"h|", b"h^", b"h`", b"{h}",
                      b"h:80 ", b"\th", b"h\xa0", b"h\rx", b"h\nx"):
            status = 400 if any(c in value for c in b"\0\x7f\r\n") else None
            self.head(f"host value {value[:40]!r}", b"", status,
                      line=b"GET %s HTTP/1.1\r\n",
                      host=b"Host: " + value + CRLF)

    def fields(self):
        for lines in (b" X: y\r\n", b"\tX: y\r\n", b"X : y\r\n", b"X\t: y\r\n",
                      b"X: y\r\n z\r\n", b"X: y\r\n\tz\r\n", b"X:\r\n y\r\n",
                      b"X: y\n", b"X: y\r", b"X: y\r\r\n", b"X\r\n", b"X\n",
                      b": y\r\n", b":\r\n", b" : y\r\n", b"X y: z\r\n",
                      b"X(: y\r\n", b"X/y: z\r\n", b"X\0: y\r\n", b"X: \0\r\n",
                      b"X: \x01\r\n", b"X: \x08\r\n", b"X: \x1b[31m\r\n",
                      b"X: y\x7f\r\n", b"\x80: y\r\n", b"X\xff: y\r\n",
                      b"X[]: y\r\n", b"X@: y\r\n", b"X,: y\r\n", b"X;: y\r\n",
                      b"X{: y\r\n", b"\"X\": y\r\n", b"X=: y\r\n",
                      b"X\\: y\r\n", b"X?: y\r\n", b"<X>: y\r\n",
                      b"X: y\r\n\r: z\r\n", b" \r\n", b"\t\r\n"):
            self.head(f"field {lines!r}", lines, 400,
                      line=b"GET %s HTTP/1.1\r\n")
            self.head(f"first field {lines!r}", b"Host: h.example\r\n", 400,
                      line=b"GET %s HTTP/1.1\r\n", host=lines)
            self.head(f"last field {lines!r}", b"X: z\r\n" + lines, 400,
                      line=b"GET %s HTTP/1.1\r\n")
        for lines in (b"X:\r\n", b"X: \r\n", b"X:\t\r\n", b"X:y\r\n",
                      b"X:  y\t \r\n", b"X: :\r\n", b"X::y\r\n",
                      b"X: \x80\xff\r\n", b"X: \"\\\"\r\n", b"X_Y: z\r\n",
                      b"1: 2\r\n", b"X: y, z\r\nX: a\r\n",
                      b"Pragma: no-cache\r\n", b"Trailer: X\r\n",
                      b"TE: trailers\r\n", b"Content-Type: a/b; c=\"d\"\r\n",
                      b"X" * 300 + b": y\r\n", b"Range: bytes=0-1\r\n",
                      b"X-Forwarded-For: 1.2.3.4\r\n", b"Via: 1.1 x\r\n",
                      b"Max-Forwards: 0\r\n", b"Date: x\r\n",
                      b"Authorization: Bearer x\r\n", b"Origin: null\r\n",
                      b"Set-Cookie: a\r\nSet-Cookie: b\r\n",
                      b"Cookie: a\r\nCookie: b\r\n",
                      b"Content-Type: a\r\nContent-Type: b\r\n",
                      b"Authorization: a\r\nAuthorization: b\r\n"):
            self.head(f"field {lines[:40]!r}", lines, None,
                      line=b"GET %s HTTP/1.1\r\n")

    def connections(self):
        for value in (b"close", b"Close", b"CLOSE", b"keep-alive",
                      b"Keep-Alive", b"close, keep-alive",
                      b"keep-alive, close", b"close,close", b", close",
                      b"close,", b",", b"", b"x", b"closed", b"xclose",
                      b"close;q=1", b"close x", b"x close", b"\"close\"",
                      b"Host", b"Content-Length", b"Transfer-Encoding",
                      b"upgrade", b"Upgrade, HTTP2-Settings",
                      b"keep-alive, Upgrade", b"TE, close", b"\tclose\t",
                      b"close\r\nConnection: keep-alive",
                      b"keep-alive\r\nConnection: close", b"x,close,y",
                      b"x\r\nConnection: close"):
            for version in (b"1.1", b"1.0"):
                self.head(f"connection {value!r} {version.decode()}",
                          b"Connection: " + value
                          + b"\r\nContent-Length: 2\r\n", None,
                          lambda p: b"hi",
                          line=b"POST %s HTTP/" + version + CRLF)
        for lines in (b"Proxy-Connection: close\r\n",
                      b"Proxy-Connection: keep-alive\r\n",
                      b"Keep-Alive: max=1\r\n",
                      b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                      b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n",
                      b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
                      b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                      b"Sec-WebSocket-Version: 13\r\n",
                      b"Upgrade: TLS/1.0\r\n"):
            for version in (b"1.1", b"1.0"):
                self.head(f"connection {lines!r} {version.decode()}", lines,
                          None, line=b"GET %s HTTP/" + version + CRLF)
        for value, status in ((b"100-continue", None), (b"100-CONTINUE", None),
                              (b"", None), (b"x", 417),
                              (b"100-continue, x", 417),
                              (b"x, 100-continue", 417), (b"101", 417),
                              (b"100 continue", 417), (b"100-continue;a", 417),
                              (b"100-continue\r\nExpect: x", 417),
                              (b"100-continue\r\nExpect: 100-continue", None)):
            for name, body in (("", lambda p: b""), ("hi", lambda p: b"hi"),
                               ("hidden", hidden)):
                self.head(f"expect {value!r} {name}", b"Expect: " + value
                          + b"\r\nContent-Length: %n\r\n", status, body)
                self.head(f"expect {value!r} {name} in 1.0", b"Expect: "
                          + value + b"\r\nContent-Length: %n\r\n"
                          b"Connection: keep-alive\r\n", None, body,
                          line=b"POST %s HTTP/1.0\r\n")

    def large(self):
        many = b"".join(b"X-%d: y\r\n" % i for i in range(99))
        self.head("100 fields", many, None, line=b"GET %s HTTP/1.1\r\n")
        self.head("101 fields", many + b"Z: y\r\n", 431,
                  line=b"GET %s HTTP/1.1\r\n")
        self.head("1000 fields", b"Z: y\r\n" * 1000, 431,
                  line=b"GET %s HTTP/1.1\r\n")
        self.head("a head of 60 KiB", b"X: " + b"y" * 61440 + CRLF, 431,
                  line=b"GET %s HTTP/1.1\r\n")
        self.head("a name of 60 KiB", b"y" * 61440 + b": z\r\n", 431,
                  line=b"GET %s HTTP/1.1\r\n")
        # The status of a target that is too long may be the target's own.
        self.head("a target of 60 KiB", b"", (400, 414, 431),
                  line=b"GET %s" + b"y" * 61440 + b" HTTP/1.1\r\n")
        self.head("a body of 70000", b"Content-Length: %n\r\n", 413,
                  lambda p: b"z" * 70000)
        self.head("chunks of 70000", b"Transfer-Encoding: chunked\r\n", 413,
                  lambda p: join(chunk(b"z" * 35000) * 2 + last_chunk()))


def known_cases():
    return Known(Known.framing, Known.lengths, Known.sizes,
                 Known.chunk_bodies, Known.trailers, Known.request_lines,
                 Known.targets, Known.hosts, Known.fields, Known.connections,
                 Known.large).cases


def edge_cases():
    return Known(Known.edges).cases


# Changes: functions of a list of pieces, which return another list.

def insert(pieces, at, c):
    return pieces[:at] + [("new", c)] + pieces[at:]


def replace_piece(pieces, at, data):
    return pieces[:at] + [(pieces[at][0], data)] + pieces[at + 1:]


def line_of(pieces, at):
    """The first and the last but one index of the line with piece `at`."""
    ends = ("crlf", "end", "chunk crlf", "data crlf", "last crlf")
    first = at
    while first > 0 and pieces[first - 1][0] not in ends:
        first -= 1
    last = at
    while last < len(pieces) - 1 and pieces[last][0] not in ends:
        last += 1
    return first, last + 1


# Pieces whose bytes are content: a control character there is no fault.
CONTENT = ("body", "data")

# Line ends that may be a request's last bytes: what follows is another's.
LAST = ("end", "last crlf")


def inside(data, c):
    return data[:len(data) // 2] + c + data[len(data) // 2:]


def changes_at(pieces, at):
    """
    The changes at one piece: (kind of change, function, broken).  A function
    may be applied to the same request with another path.
    """
    kind, data = pieces[at]
    strict = kind not in CONTENT  # a control character is a fault

    def rewrite(how):
        return lambda p: replace_piece(p, at, how(p[at][1]))

    for c in ALPHABET:
        bad = strict and c in CONTROLS
        yield f"insert {c!r}", lambda p, c=c: insert(p, at, c), bad
        if len(data) > 1:
            yield (f"insert {c!r} inside",
                   rewrite(lambda d, c=c: inside(d, c)),
                   bad and not (c == b"\n" and kind in LAST))
            if data[-1:] != c:
                yield (f"replace the last by {c!r}",
                       rewrite(lambda d, c=c: d[:-1] + c), bad)
        if data and data[:1] != c:
            yield (f"replace by {c!r}",
                   rewrite(lambda d, c=c: c + d[1:]), bad)
    if len(data) > 1:
        yield "delete the first", rewrite(lambda d: d[1:]), data == CRLF
        yield "delete the last", rewrite(lambda d: d[:-1]), data == CRLF
    if data == CRLF:
        for name, end in LINE_ENDS.items():
            yield (f"end {name}", rewrite(lambda d, end=end: end),
                   (name in BROKEN_ENDS and
                    not (name == "CRLFLF" and kind in LAST)) or
                   (kind == "crlf" and name.startswith("fold")))
    yield "delete", lambda p: p[:at] + p[at + 1:], False
    yield "repeat", lambda p: insert(p, at, p[at][1]), False
    if at + 1 < len(pieces):
        yield ("swap", lambda p: p[:at] + [p[at + 1], p[at]] + p[at + 2:],
               False)
    yield from line_changes(pieces, at, strict)


def line_changes(pieces, at, strict):
    """The changes to the line that begins with piece `at`, if one does."""
    first, end = line_of(pieces, at)
    if at != first or end >= len(pieces):
        return
    last = line_of(pieces, end)[1]
    yield "drop line", lambda p: p[:at] + p[end:], False
    yield "repeat line", lambda p: p[:end] + p[at:], False
    yield ("swap lines",
           lambda p: p[:at] + p[end:last] + p[at:end] + p[last:], False)
    for c in (b" ", b"\t"):
        yield f"fold with {c!r}", lambda p, c=c: insert(p, at, c), strict
    yield "cut", lambda p: p[:at], False


@functools.cache
def all_changes(base):
    """Every change of a base: (kind of place, kind of change, ...)."""
    pieces = BASES[base](b"/c0-x")
    return [(kind, *change) for at, (kind, _) in enumerate(pieces)
            for change in changes_at(pieces, at)]


def all_places():
    """Every change of every base, by kind of place and of change."""
    groups = {}
    for base in BASES:
        for n, (place, change, _, _) in enumerate(all_changes(base)):
            groups.setdefault((place, change), []).append((base, n))
    return groups


def deal(rng, groups, count):
    """`count` members, taking from all groups in turn."""
    piles = [rng.sample(groups[key], len(groups[key]))
             for key in sorted(groups)]
    out = []
    while piles and len(out) < count:
        rng.shuffle(piles)
        out += [pile.pop() for pile in piles]
        piles = [pile for pile in piles if pile]
    return out[:count]


def place_case(base, n, path):
    place, change, apply, broken = all_changes(base)[n]
    return (f"{base}: {place}, {change}", join(apply(BASES[base](path))),
            400 if broken else None)


def random_case(rng, path):
    base = rng.choice(list(BASES))
    pieces, labels = BASES[base](path), []
    for _ in range(rng.randint(2, 4)):
        if not pieces:
            break
        at = rng.randrange(len(pieces))
        options = list(changes_at(pieces, at))
        if rng.random() < 0.5:  # bytes would be nearly all
            options = [o for o in options if "b'" not in o[0]]
        change, apply, _ = rng.choice(options)
        labels.append(f"{pieces[at][0]}, {change}")
        pieces = apply(pieces)
    return f"{base}: " + "; ".join(labels), join(pieces), None


def cases(seed, count):
    """Yield `count` cases; the same for the same arguments."""
    rng = random.Random(seed)
    plan = [("valid", name) for name in [*BASES, *LARGE]]
    known, edges = known_cases(), edge_cases()
    plan += [("known", item) for item in
             rng.sample(known, min(len(known), count // 2))]
    left = max(count - len(plan), 0)
    plan += [("edge", item) for item in
             rng.sample(edges, min(len(edges), left // 4))]
    plan += [("place", item) for item in deal(rng, all_places(), left // 2)]
    plan += [("random", None)] * (count - len(plan))
    for index, (kind, item) in enumerate(plan[:count]):
        path = b"/c%d" % index
        total = refuse = None
        before = [join(BASES[rng.choice(FIRST)](path + b"-first"))] \
            if rng.random() < 0.25 else []
        if kind == "valid":
            label = item
            pieces = (BASES.get(item) or LARGE[item])(path)
            data, total = join(pieces), len(before) + 2
            if item in ONE_ANSWER:
                total -= 1
        elif kind in ("known", "edge"):
            label, make, refuse = item
            data = make(path)
        elif kind == "place":
            label, data, refuse = place_case(*item, path)
        else:
            label, data, refuse = random_case(rng, path)
        yield Case(index, f"{kind} {label}",
                   b"".join(before) + data + marker(path), len(before),
                   total, refuse)


# What may come before the changed request, in the same stream.
FIRST = ["get", "length", "chunk", "chunk hidden", "expect", "trailers"]

# Valid requests after which the connection closes.
ONE_ANSWER = ["1.0", "1.0 host", "close", "close list"]
