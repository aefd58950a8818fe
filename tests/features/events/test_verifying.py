"""Verifying: the first seq that differs is named, whatever was done to the lines."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyros_collab_server.features.events.verifying import (
    Kind,
    Line,
    Stretch,
    check,
    join,
    signed_otherwise,
)
from tests.chains import chained, exported
from tests.properties import settings

COUNT = 12
LOG = chained(COUNT)
FILE = exported(LOG)


def walked(texts: list[bytes], parts: int = 1) -> Stretch:
    """The lines of a file, checked in as many parts and joined."""
    lines = [Line(text, None, place) for place, text in enumerate(texts)]
    cuts = [len(lines) * number // parts for number in range(parts + 1)]
    return join(
        check(lines[start:end], range(COUNT), first=None if start else 1)
        for start, end in pairwise(cuts)
    )


def named(whole: Stretch) -> tuple[int, Kind]:
    assert whole.difference is not None
    return whole.difference.seq, whole.difference.kind


@pytest.mark.parametrize("parts", [1, 2, 3, 12, 15])
def test_an_untouched_log_holds_in_however_many_parts_it_is_walked(parts: int) -> None:
    whole = walked(FILE, parts)
    assert whole.difference is None
    assert (whole.count, whole.first_seq, whole.last_seq) == (COUNT, 1, COUNT)
    assert whole.last_hash.decode() == LOG[-1][1]
    assert whole.hashes == {seq: LOG[seq - 1][1] for seq in range(1, COUNT)}


def test_a_log_spelled_by_another_writer_holds() -> None:
    texts = [json.dumps(json.loads(text), indent=1).replace("\n", " ").encode() for text in FILE]
    assert walked(texts).difference is None


@given(
    seq=st.integers(1, COUNT),
    where=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
    parts=st.integers(1, 4),
)
@settings(max_examples=300)
def test_one_flipped_bit_is_named_with_its_seq(
    seq: int, where: float, bit: int, parts: int
) -> None:
    texts = list(FILE)
    text = bytearray(texts[seq - 1])
    text[int(where * len(text))] ^= 1 << bit
    texts[seq - 1] = bytes(text)
    assert named(walked(texts, parts)) == (seq, Kind.ALTERED)


@given(seq=st.integers(1, COUNT - 1), parts=st.integers(1, 4))
@settings(max_examples=50)
def test_a_removed_line_is_named(seq: int, parts: int) -> None:
    texts = [text for number, text in enumerate(FILE, start=1) if number != seq]
    whole = walked(texts, parts)
    assert named(whole) == (seq, Kind.REMOVED)
    assert whole.difference is not None
    assert whole.difference.found == seq + 1


@given(seq=st.integers(1, COUNT - 1), parts=st.integers(1, 4))
@settings(max_examples=50)
def test_two_swapped_lines_are_named_by_the_first_place_that_differs(seq: int, parts: int) -> None:
    texts = list(FILE)
    texts[seq - 1], texts[seq] = texts[seq], texts[seq - 1]
    assert named(walked(texts, parts))[0] == seq


@given(seq=st.integers(2, COUNT - 1), parts=st.integers(1, 4))
@settings(max_examples=50)
def test_an_event_rewritten_with_its_hash_breaks_the_chain_there(seq: int, parts: int) -> None:
    forged = json.loads(LOG[seq - 1][0])
    forged["details"] = {"text": "forged"}
    import hashlib

    import rfc8785

    body = rfc8785.dumps(forged)
    digest = hashlib.sha256(forged["prev_hash"].encode() + body).hexdigest()
    texts = list(FILE)
    texts[seq - 1] = rfc8785.dumps({**forged, "hash": digest})
    assert named(walked(texts, parts)) == (seq, Kind.ALTERED)


def test_the_first_event_of_a_log_is_chained_to_nothing() -> None:
    assert named(walked(FILE[3:])) == (1, Kind.REMOVED)
    other = exported(chained(2, prev_hash="1" * 64))
    assert named(walked(other)) == (1, Kind.ALTERED)


@pytest.mark.parametrize("parts", [1, 2])
def test_lines_of_two_workspaces_are_no_log(parts: int) -> None:
    texts = [*FILE[:6], *exported(chained(COUNT, "other"))[6:]]
    assert named(walked(texts, parts))[0] in (6, 7)


@pytest.mark.parametrize(
    "text", [b"", b"null", b"[]", b"{}", b'{"seq":"1"}', b"[" * 100_000, b'{"seq":1,"prev_hash":2}']
)
def test_what_is_no_event_is_no_crash(text: bytes) -> None:
    texts = [*FILE[:4], text, *FILE[5:]]
    assert named(walked(texts)) == (5, Kind.ALTERED)


def test_a_store_that_looks_an_event_up_by_another_name_is_named() -> None:
    body, digest = LOG[0]
    told = json.loads(body)
    right = (1, told["ts"].encode(), told["event"].encode(), b"agent:ana", None)
    for place, wrong in enumerate((2, b"2020-01-01T00:00:00.000Z", b"x", b"agent:bo", b"task:T")):
        columns = (*right[:place], wrong, *right[place + 1 :])
        lines = [Line(body.encode(), digest.encode(), 1, columns)]
        assert named(join([check(lines, (), first=1)])) == (1, Kind.ALTERED)
    lines = [Line(body.encode(), digest.encode(), 1, right)]
    assert join([check(lines, (), first=1)]).difference is None


def test_checkpoints_show_a_cut_tail_and_a_full_rewrite() -> None:
    from kyros_collab_server.features.events.model import Checkpoint

    def signed(seq: int, digest: str) -> Checkpoint:
        return Checkpoint(workspace="default", seq=seq, hash=digest, ts="", key_id="", signature="")

    whole = walked(FILE)
    good = [signed(seq, LOG[seq - 1][1]) for seq in (3, 6)]
    assert signed_otherwise(whole, good) is None
    rewritten = signed_otherwise(whole, [*good, signed(9, "0" * 64)])
    assert rewritten is not None
    assert (rewritten.seq, rewritten.kind, rewritten.through) == (7, Kind.REWRITTEN, 9)
    cut = signed_otherwise(walked(FILE[:7]), [*good, signed(9, LOG[8][1])])
    assert cut is not None
    assert (cut.seq, cut.kind, cut.through) == (8, Kind.REMOVED, 9)
