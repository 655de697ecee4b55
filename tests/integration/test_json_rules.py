"""JSON by RFC 8259 and the rules of events, against two other readers.

What ingestd takes, Python's json takes with the same values, and PostgreSQL's
jsonb holds them.  The cases are of three kinds: JSON (taken), not JSON
(refused), and what RFC 8259 leaves to each reader, where leat has decided.
"""
import json
from decimal import Decimal

from leat import Leat, fact, limit

# Raw bytes that are no text are written as \xNN in latin-1 below.
NUMBERS = """0 -0 1 -1 9 10 42 -42 0.0 -0.0 0.1 -0.1 1.5 123.456 1e1 1E1 1e+1
1E+1 1e-1 1E-1 1.5e10 -1.5E-10 0e0 0e+1 0E0 0e-0 20e1 123e65 1e22 1e23 1e308
1e309 1e400 -1e400 1e-400 2.2250738585072014E-308 1.7976931348623157e308
9007199254740993 9223372036854775807 9223372036854775808 -9223372036854775808
-9223372036854775809 18446744073709551615 18446744073709551616
-123123123123123123123123123123 123456789012345678901234567890.123456789
0.000000000000000000000000000000000000000000000000000000000000001
100000000000000000000000000000000000000000000000000e-50""".split()
NUMBERS += ["0." + "3" * 300, "1" * 300, "-" + "7" * 1000, "1" + "0" * 5000]

STRINGS = [r'""', r'" "', r'"a"', r'"abc"', r'"\""', r'"\\"', r'"\/"', r'"/"',
           r'"\b\f\n\r\t"', r'"\\\""', r'"\\n"', r'"\\u0000"', r'"\\\\u0000"',
           r'"\u0061"', r'"\u00e9"', r'"\u00E9"', r'"\u12fF"', r'"\u0001"',
           r'"\u001f"', r'"\u007f"', r'"\u0080"', r'"\u07ff"', r'"\u0800"',
           r'"\ud7ff"', r'"\ue000"', r'"\ufffe"', r'"\uffff"', r'"\ufdd0"',
           r'"\ud83d\ude00"', r'"\uD83D\uDE00"', r'"\ud800\udc00"',
           r'"\uDBFF\uDFFF"', r'"a\ud83d\ude00b"', r'"\u0022"', r'"\u005c"',
           r'"\u002c\u002F"', r'"\u2028\u2029"', r'"\u200b"', r'"\ufeff"',
           '"\x7f"', '"é"', '"ß\u0080"', '"\u07ff"', '"\u0800"', '"€"',
           '"\ud7ff"', '"\ue000"', '"\ufffd"', '"\ufffe"', '"\uffff"',
           '"\U00010000"', '"😀"', '"\U0010ffff"', '"\U0001fffe"',
           '"e\u0301"', '"\u2028\u2029"', '"\ufeff"', '"\u200f\u202e"',
           '"日本語"', '"مرحبا"', '"👩‍👩‍👧"', '"[{,:}]"', '"// /* # */"',
           '"null"', '"1"', '"\'"', '"`"', '"\\"quoted\\""', '"' + "x" * 250 + '"',
           '"' + "é" * 125 + '"', '"' + r"\u0041" * 40 + '"']

LITERALS = ["true", "false", "null"]

ARRAYS = ["[]", "[ ]", "[\t]", "[\n]", "[\r\n]", "[[]]", "[[],[]]", "[1]",
          "[1,2]", "[ 1 , 2 ]", "[\n1\n,\n2\n]", "[null]", "[true,false,null]",
          '["a"]', '["a","b"]', "[{}]", '[{"a":[]}]', "[[[[]]]]", "[-0]",
          '[1,"2",[3],{"4":4},null]', "[" + ",".join("1" * 500) + "]",
          "[" * 63 + "]" * 63, '["]"]', '["[",{"{":"}"}]', '[""]']

OBJECTS = ["{}", "{ }", "{\n}", '{"":0}', '{"a":1}', '{ "a" : 1 }',
           '{"a":1,"b":2}', '{"a":{"b":{"c":{}}}}', '{"a":1,"a":2}',
           '{"a":1,"a":1}', '{"a":[],"a":{}}', '{"\\u0061":1,"b":2}',
           '{"a\\"b":1}', '{"\\\\":1}', '{"é":"é"}', '{"😀":1}',
           '{"\\ud83d\\ude00":1}', '{"a b":1}', '{"true":true}', '{"\t":1}'[:2]
           + 'x":1}', '{"type":"x","id":1}', '{"' + "k" * 1000 + '":1}',
           '{"a":' * 62 + "{}" + "}" * 62, '{"a":{}\r\n,\t"b":[ ] }',
           '{"__proto__":null}', '{"a":"b","c":["d",{"e":"f"}]}']

TAKEN = NUMBERS + STRINGS + LITERALS + ARRAYS + OBJECTS

BAD_NUMBERS = """+1 ++1 01 -01 00 -00 012 1. -1. .1 -.1 - -- --1 -a 1e 1E 1e+ 1e-
1eE2 1e1.5 0e 0E+ 0.e1 2.e3 2.e+3 1.2.3 0.1.2 1.5e 1.5e+ 1e1e1 0x1 0X1 0b1 0o7
1_000 1a 1f 1L 1n -1x 1+2 1-1 1/2 .2e-3 .e1 -.e1 NaN nan -NaN Infinity -Infinity
+Infinity inf -inf INF $1 1% ١ １ ⅷ ∞ 1٫5 0xffffffff 1.0.0 -0.""".split()
BAD_NUMBERS += ["- 1", "1 000", "1 .5", "1e 5"]

BAD_LITERALS = """True TRUE tru t trueE True1 truee False fals FALSE falsee Null
NULL nul n nulll nil none None undefined void yes no on off a ab -true truefalse
null1 nullnull""".split()

BAD_STRINGS = ['"', '"a', 'a"', "'a'", "`a`", "“a”", '"a""b"', '"a" "b"', '"\\"',
               '"\\', '"\\a"', '"\\v"', '"\\0"', '"\\1"', "\"\\'\"", '"\\x41"',
               '"\\ "', '"\\U0041"', '"\\u"', '"\\u1"', '"\\u12"', '"\\u123"',
               '"\\u12G4"', '"\\u 123"', '"\\u+123"', '"\\u-123"', '"\\u00"',
               '"\\u{41}"', '"\\é"', '"\\😀"', '"\\ud83d\\u"', '"\\ud83d\\u1"',
               '"\\ud83d\\"', '"\\\n"', '"\\\t"', '"\\\\\\"', '"a\\', '\\"a"',
               '"\\N"', '"\\T"', '"\\B"', '"\\\x00"', '"\\u\uff11234"',
               '"\\u\u06611\u06611"'] + [f'"{chr(c)}"' for c in range(32)] + \
              [f'"a{chr(c)}b"' for c in (0, 1, 9, 10, 13, 31)]

BAD_ARRAYS = ["[", "]", "[1", "[1,", "[1,]", "[,1]", "[,]", "[,,]", "[1,,2]",
              "[1 2]", "[1;2]", "[1:2]", '["a":1]', "[1]]", "[[1]", "[1}", "(1)",
              "[1,2", '["a"', '["a",', '["a', "[[[", "[{}", "[{]", "[}", "[1,\n",
              "[*]", "[-]", "[--1]", "[1,2,3,]", '[""', "[true,]", "[]1", "[x",
              "[1,2]]]", '["",]', "[#]", "[//]", "[/**/]", "[1/**/]", "<[]>",
              "[\u00a0]", "[\u2060]", "[\f]", "[\v]", "[\x00]", "[1\x0c]",
              "[\ufeff]", "[\u2028]"]

BAD_OBJECTS = ["{", "}", '{"a"', '{"a"}', '{"a":', '{"a":}', '{"a":1', '{"a":1,',
               '{"a":1,}', "{,}", '{,"a":1}', '{"a":1,,"b":2}', '{"a" 1}',
               '{"a"=1}', '{"a"::1}', '{"a":1 "b":2}', '{"a":1;"b":2}', '{a:1}',
               "{'a':1}", "{1:1}", "{null:1}", "{true:1}", "{[]:1}", "{{}:1}",
               '{"a":1]', '{"a":1}}', '{"a":1}{', '{"a":1}#', '{"a":1}//',
               '{"a":/**/1}', '{"a":1/**/}', '{"a","b"}', '{"a":"b"', '{"a":b}',
               '{"a":1:2}', '{"a":1,"b"}', '{"a":1,"b":}', '{"a', '{"\n":1}',
               '{"\\a":1}', '{"a":"\n"}', '{"a":1,b:2}', '{"a":1,"b',
               '{"a":{"b":1}', '{"a":[}', '{:1}', '{"":}', '{:}', '{"a"\x00:1}']

REFUSED = BAD_NUMBERS + BAD_LITERALS + BAD_STRINGS + BAD_ARRAYS + BAD_OBJECTS

# Well-formed, perhaps, but no event may hold it: no store could keep it, or
# not each reader would read the same.  All refused.
DECIDED = [r'"\u0000"', r'"a\u0000b"', r'"\ud800"', r'"\udfff"', r'"\udc00"',
           r'"\ud800x"', r'"\ud800\n"', r'"\ud800\u0061"', r'"\ud800\ud800"',
           r'"\udc00\ud800"', r'"\uD83D"', r'"\ude00\ud83d"', r'"x\udbff"',
           r'{"\u0000":1}', r'{"a\ud800":1}', r'["\udead"]',
           "[" * 64 + "]" * 64, "[" * 1500 + "]" * 1500,
           '{"a":' * 64 + "1" + "}" * 64, "[" * 100_000]
NOT_UTF8 = [b"\xff", b"\xfe", b"\x80", b"\xbf", b"\xc0\x80", b"\xc1\xbf",
            b"\xc3", b"\xc3\x28", b"\xe2\x82", b"\xe0\x80\x80", b"\xe0\x9f\xbf",
            b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf0\x80\x80\x80",
            b"\xf0\x8f\xbf\xbf", b"\xf0\x9f\x98", b"\xf4\x90\x80\x80",
            b"\xf5\x80\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80"
            b"\x80", b"\xe9", b"a\xff", b"\xed\xa0\xbd\xed\xb8\x80"]

EVENT = b'{"type":"t"}'
DOCUMENTS_TAKEN = [(EVENT, 1), (b"[" + EVENT + b"]", 1), (b"[]", 0),
                   (b" \t\r\n[] \t\r\n", 0), (b"\n" + EVENT + b"\n", 1),
                   (b"[" + EVENT + b" ,\n" + EVENT + b"]", 2),
                   (b"\xef\xbb\xbf" + EVENT, 1), (b"\xef\xbb\xbf[]", 0)]
DOCUMENTS_REFUSED = [
    b"", b" ", b"\n\n", b"1", b'"a"', b"null", b"true", b"[1]", b"[null]",
    b"[[]]", b'["a"]', b"[[" + EVENT + b"]]", EVENT + EVENT, b"[][]", b"[]]",
    EVENT + b",", b"," + EVENT, b"[" + EVENT, EVENT + b"]", b"[" + EVENT + b",]",
    b"[" + EVENT + b" " + EVENT + b"]",
    b"\xef\xbb\xbf\xef\xbb\xbf" + EVENT, b" \xef\xbb\xbf" + EVENT,
    b"[\xef\xbb\xbf]", b"\xef\xbb" + EVENT, "[]".encode("utf-16"), "[]".encode("utf-16-le"),
    "[]".encode("utf-32-be"), b"\x00", b"[]\x00", EVENT + b"\x00", b"\x0c[]",
    b"\xc2\xa0[]", b"[]x", b"/**/[]", b"[]//", b"{}", b"[{}]", b'{"type":null}',
    b'{"type":"t","type":"t"}', b'{"type":"t","\\u0074ype":"t"}', b"{'type':'t'}",
    b"type=t", b"<xml/>", b"{", b"[{", b"\xff\xfe", b"[\xff]", b"nul", b"-"]


def read(text):
    """As Python reads it, with numbers that keep all their digits."""
    return json.loads(text, parse_int=Decimal, parse_float=Decimal,
                      parse_constant=lambda name: 1 / 0)


def raw(case):
    return case if isinstance(case, bytes) else \
        case.encode("utf-8", "surrogatepass")


def event(value, name):
    return b'{"id":"%s","type":"t","payload":{"v":%s}}' % (name.encode(),
                                                          raw(value))


def named_user(string, name):
    return b'{"id":"%s","type":"t","user_id":%s}' % (name.encode(), string)


def column(leat, what, prefix):
    """By id.  In hex, because psql leaves out what Unicode calls no character."""
    rows = leat.pg.query(f"select id, encode(convert_to({what}, 'UTF8'), 'hex') "
                         f"from events where id ~ '^{prefix}'")
    return {name: bytes.fromhex(text).decode() for name, text in
            (row.split("|") for row in rows.splitlines())}


def post(leat, connection, body, **more):
    return leat.post(body, connection=connection, **more)


@limit(120)
def test_json_is_taken_with_the_values_that_others_read():
    with Leat() as leat:
        c = leat.connect()
        sent, users = {}, {}
        for i, case in enumerate(TAKEN):
            name = f"v{i}"
            status, answer = post(leat, c, event(case, name))
            assert status == 202 and answer["accepted"] == 1, (case, answer)
            sent[name] = read(raw(case))
        for i, case in enumerate(s for s in STRINGS
                                 if len(raw(json.loads(s))) <= 256):
            status, answer = post(leat, c, named_user(raw(case), f"u{i}"))
            assert status == 202, (case, answer)
            users[f"u{i}"] = json.loads(case)
        lines = b"\n".join(event(case, f"n{i}")
                           for i, case in enumerate(TAKEN)
                           if b"\n" not in raw(case))
        status, answer = post(leat, c, lines,
                              headers={"Content-Type": "application/x-ndjson"})
        assert status == 202, answer
        sent.update({f"n{i}": read(raw(case)) for i, case in enumerate(TAKEN)
                     if b"\n" not in raw(case)})
        leat.caught_up()
        stored = column(leat, "payload::text", "v") | \
            column(leat, "payload::text", "n")
        assert leat.dead_letters() == []
        assert stored.keys() == sent.keys()
        for name, value in sent.items():
            assert read(stored[name]) == {"v": value}, (name, stored[name])
        assert column(leat, "user_id", "u") == users
        fact(f"{len(sent)} values and {len(users)} strings")


@limit(120)
def test_what_is_not_json_is_refused():
    with Leat(postgres=False, sinks=(), also=["none"]) as leat:
        c = leat.connect()
        cases = [raw(case) for case in REFUSED + DECIDED] + \
            [b'"%s"' % bad for bad in NOT_UTF8] + NOT_UTF8
        for case in cases:
            for body in (event(case, "x"), b"[" + EVENT + b"," +
                         event(case, "x") + b"]", event(b"[" + case + b"]", "x")):
                status, answer = post(leat, c, body)
                assert status == 400, (case[:80], status, answer)
                assert answer["error"] and answer["errors"][0]["reason"], answer
        # Line by line, each costs itself alone.
        lines = [event(case, "x") for case in cases if b"\n" not in case]
        status, answer = post(
            leat, c, b"\n".join(lines) + b"\n" + EVENT, path="/v1/events?partial=1",
            headers={"Content-Type": "application/x-ndjson"})
        assert status == 202 and answer["accepted"] == 1, answer
        assert answer["rejected"] == len(lines), answer
        assert leat.status()["log"]["next_offset"] == 1
        fact(f"{len(cases)} cases")


@limit(60)
def test_documents():
    with Leat(postgres=False, sinks=(), also=["none"]) as leat:
        c = leat.connect()
        for body, count in DOCUMENTS_TAKEN:
            status, answer = post(leat, c, body)
            assert status == 202 and answer["accepted"] == count, (body, answer)
        for body in DOCUMENTS_REFUSED:
            status, answer = post(leat, c, body)
            assert status == 400 and answer["error"], (body, status, answer)
        assert leat.status()["log"]["next_offset"] == \
            sum(n for _, n in DOCUMENTS_TAKEN)


@limit(60)
def test_numbers_that_jsonb_cannot_hold_are_dead_lettered():
    """JSON sets no limit, PostgreSQL's numeric does: 131,072 digits."""
    with Leat() as leat:
        c = leat.connect()
        for number in ("1e200000", "1e-20000", "1e999999999"):
            status, answer = post(leat, c, event(number, number))
            assert status == 202, answer
        status, answer = post(leat, c, event("1", "good"))
        assert status == 202, answer
        leat.caught_up()
        assert leat.pg.query("select id from events") == "good"
        dead_letters = leat.dead_letters_text().splitlines()
        assert len(dead_letters) == 3 and '"code":"22' in dead_letters[0], \
            dead_letters
