"""Deterministic events with nasty content, and what must be stored of them.

Event number i of a seed is always the same.  A body is put together by hand,
because the payload's text must arrive byte for byte: spaces, escapes and
number formats are chosen here, not by a JSON library.
"""
import hashlib
import json
import random
import uuid

# Strings that break careless code: quotes, COPY's escapes, control bytes,
# composed and astral characters, right-to-left, the longest UTF-8 forms.
NASTY = [
    "plain", "it's", 'quote "x"', "back\\slash", "\\N", "\\.", "\\x00 not", "tab\tx",
    "line\nfeed", "cr\r\nlf", "\u0001\u001f\u007f", "æøå", "ĳ", "日本語テキスト", "👩‍👩‍👧‍👦",
    "مرحبا", "\u202eabc", "e\u0301", "\ufeffbom", "\uffff", "\U0010ffff",
    "{\"a\":1}", "'; drop table events; --", "%s%n", "$1", "NULL", "null",
    " lead and trail ", "a" * 60, "é" * 30, "\u2028\u2029", "</script>",
]

# Payload texts: numbers that do not survive a float, spacing, nesting,
# duplicate keys, escapes that must stay as they are.
PAYLOADS = [
    "{}", "{ }", '{"n":9223372036854775807}', '{"n":-9223372036854775808}',
    '{"n":18446744073709551615}', '{"n":1e2,"m":1E+2,"z":-0.0,"y":1.10}',
    '{"n":123456789012345678901234567890.123456789}',
    '{"a":[1,[2,[3,{"b":[]}]]]}', '{ "sp" :\t[ 1 ,\n2 ] }',
    '{"u":"\\u00e9\\ud83d\\ude00","s":"\\/\\b\\f\\n\\r\\t\\"\\\\"}',
    '{"日本":"語","é":"👍"}', '{"t":true,"f":false,"z":null}',
    '{"":""}', '{"k":{"k":{"k":{"k":{"k":{"k":{"k":1}}}}}}}',
    '{"x":"' + "y" * 120 + '"}', '{"q":"it\'s","b":"\\\\N","c":"\\\\."}',
]


def event_id(seed, i):
    digest = hashlib.blake2b(f"{seed}/{i}".encode(), digest_size=16).digest()
    return str(uuid.UUID(bytes=digest))


def payload(seed, i):
    """An object's text that names the event it belongs to."""
    base = PAYLOADS[i % len(PAYLOADS)]
    inner = base[1:].lstrip() if base in ("{ }",) else base[1:]
    comma = "" if inner.startswith("}") else ","
    return f'{{"i":{i},"s":"{seed}"{comma}{inner}'


def fields(seed, i):
    """id, type, user_id, payload text, created_at in ms: as stored."""
    r = (i * 2654435761 + 12345) & 0xffffffff
    user = None if i % 11 == 0 else NASTY[(r >> 8) % len(NASTY)] + str(i % 977)
    return (event_id(seed, i), NASTY[r % len(NASTY)] + str(i % 13), user,
            payload(seed, i), 1_600_000_000_000 + i)


def body(rows):
    """The JSON array of these rows, in varying spellings."""
    out = []
    for n, (id_, type_, user, text, created_ms) in enumerate(rows):
        ascii_only = n % 2 == 0  # \\u escapes, or bytes as they are
        head = json.dumps({"id": id_, "type": type_, "user_id": user,
                           "created_at": created_ms},
                          ensure_ascii=ascii_only)
        out.append(f'{head[:-1]}, "payload":{text}}}')
    return ("[" + ",".join(out) + "]").encode()


def row_hash(row):
    """As SQL_HASH below does it: the first 60 bits of an MD5, as a number."""
    id_, type_, user, text, created_ms = row
    joined = "\x1f".join((id_, type_, "\x1e" if user is None else user, text,
                          str(created_ms)))
    return int(hashlib.md5(joined.encode()).hexdigest()[:15], 16)


SQL_HASH = """('x' || substr(md5(concat_ws(e'\\x1f', id::text, type,
  coalesce(user_id, e'\\x1e'), payload::text,
  (extract(epoch from created_at) * 1000)::bigint::text)), 1, 15))
  ::bit(60)::bigint"""

# A table that keeps the payload's text.
TEXT_TABLE = """create table events (id text not null, type text not null,
  user_id text, payload text not null, created_at timestamptz not null,
  received_at timestamptz not null)"""


def small(seed, n, start=0):
    """n plain events for tests that look at counts only."""
    return [{"id": event_id(seed, i), "type": "t", "payload": {"i": i}}
            for i in range(start, start + n)]


def shuffled(items, seed):
    items = list(items)
    random.Random(seed).shuffle(items)
    return items
