"""The dialogues of docs/protocol.md are played against batchd."""
import json
import pathlib
import re

from leat import Leat, fact
from wire import STATUS, Peer, pack, unpack

ROOT = pathlib.Path(__file__).resolve().parents[2]
ANY = "\u2026"


def dialogues():
    """Each is a list of (direction, header, [value in the body, ...])."""
    page = (ROOT / "docs/protocol.md").read_text()
    blocks = re.findall(r"^```dialogue\n(.*?)^```", page, re.M | re.S)
    assert len(blocks) == 4, "one for each role"
    for block in blocks:
        frames = []
        for line in block.splitlines():
            sign, rest = line.split(" ", 1)
            if rest == "close":
                frames.append((sign, None, []))
                continue
            value = json.JSONDecoder().raw_decode(rest)[0]
            if sign == "+":
                frames[-1][2].append(value)
            else:
                frames.append((sign, value, []))
        yield frames


def receive(peer):
    """The header of the next frame, and the values in its body."""
    header, rest = unpack(peer.receive())
    body = []
    while rest:
        value, rest = unpack(rest)
        body.append(value)
    return header, body


def same(expected, value):
    if expected == ANY:
        return True
    if isinstance(expected, list):
        return isinstance(value, list) and len(value) == len(expected) and \
            all(map(same, expected, value))
    return type(expected) is type(value) and expected == value


def play(leat, frames):
    """As the client; status frames between the others are skipped."""
    with Peer(leat) as peer:
        for sign, header, body in frames:
            if header is None:
                assert sign == ">", "batchd closes no connection here"
                break
            if sign == ">":
                peer.send(pack(header) + b"".join(map(pack, body)))
                continue
            found = receive(peer)
            while found[0] == [STATUS] and header != [STATUS]:
                found = receive(peer)
            assert same([header, body], list(found)), (header, body, found)


def test_the_dialogues_of_the_page():
    played = 0
    with Leat(sinks=(), also=["example"], postgres=False) as leat:
        # Its own ingestd must not append between the frames; it sends none.
        for frames in dialogues():
            play(leat, frames)
            played += len(frames)
        status = leat.status()
        sink, = status["sinks"]
        assert sink["committed"] == sink["stored_events"] == 3, sink
        assert status["ingest"]["accepted_events"] == 3, status["ingest"]
    fact(f"{played} frames")


def test_a_dialogue_that_differs_is_noticed():
    assert same([1, ANY, {"a": True}], [1, "x", {"a": True}])
    for other in ([1], [1, 2, 3], [True, 2], ["1", 2]):
        assert not same([1, 2], other), other
