"""Verifying: whether lines of a log are what was chained, and which seq is the first that is not.

A stretch of lines is checked by itself, so that stretches can be checked beside each other, and
then joined. Everything is bytes: what was chained is bytes. Not responsible for where lines come
from, nor for signatures.
"""

import hashlib
import json
import re
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from kyros_collab_server.features.events import rules
from kyros_collab_server.features.events.model import GENESIS, Checkpoint
from kyros_collab_server.kernel.errors import TooLarge


class Kind(StrEnum):
    """What happened to the first seq that differs."""

    ALTERED = "altered"
    """Its text is not the one that its hash was made of, or its hash not the one chained."""
    REMOVED = "removed"
    """It is nowhere."""
    REORDERED = "reordered"
    """It stands in another place."""
    DUPLICATED = "duplicated"
    """It stands there once more."""
    TORN = "torn"
    """It was written in part."""
    REWRITTEN = "rewritten"
    """The chain holds, but a signed checkpoint says that it was another."""


class Difference(NamedTuple):
    """The first seq that differs, and how that shows.

    `seq` 0: the one after the last before it. `place` is where the line stands in its source, -1
    when nowhere; `found` the seq that stands there instead; `through` the last seq that may
    differ, where it is not known which does.
    """

    seq: int
    kind: Kind
    detail: str
    place: int = -1
    found: int | None = None
    through: int | None = None


class Line(NamedTuple):
    """One line: the exact text, the hash beside it (None: it is inside), where it stands.

    `columns` are what a store keeps beside the text: seq, ts, event, actor and target.
    """

    text: bytes
    hash: bytes | None
    place: int
    columns: tuple[Any, ...] | None = None


@dataclass
class Stretch:
    """Consecutive lines that follow from one another, up to the first that does not."""

    first_seq: int = 0
    prev_hash: bytes = b""
    first_place: int = -1
    last_seq: int = 0
    last_hash: bytes = b""
    count: int = 0
    workspace: bytes = b""
    difference: Difference | None = None
    hashes: dict[int, str] = field(default_factory=dict)
    """Of the seqs that checkpoints speak of."""


class _Read(NamedTuple):
    """A line taken apart, and whether its hash follows from its text."""

    seq: int
    prev_hash: bytes
    hash: bytes
    workspace: bytes
    columns: tuple[Any, ...]
    holds: bool


_STRING = rb'"[^"\\]*"'
_KEPT = rb'"([^"\\]*)"'
_TAIL = re.compile(
    rb'\},"event":' + _KEPT + rb'(,"hash":"[0-9a-f]{64}")?(?:,"on_behalf_of":' + _STRING + rb")?"
    rb',"prev_hash":"([0-9a-f]{64})","request_id":' + _STRING + rb',"seq":([1-9][0-9]{0,15})'
    rb',"target":(?:null|' + _KEPT + rb')(?:,"trace_id":' + _STRING + rb')?,"ts":' + _KEPT
    + rb',"workspace":' + _KEPT + rb"\}"
)  # fmt: skip
"""What follows `details` in the canonical spelling of an event, where it needs no escapes."""
_HASH = slice(len(',"hash":"'), -1)


def _follows(line: Line, seq: int, prev_hash: bytes, workspace: bytes) -> bytes | None:
    """The line's hash when it is, to the byte, what was chained at this seq after this hash.

    A text whose hash is the chained one is the text that was chained, so it need not be taken
    apart: only its frame is looked at. None says nothing yet: it may be another spelling.
    """
    text, wanted, _, columns = line
    tail = _TAIL.fullmatch(text, text.rfind(b'},"event":"'))
    if tail is None:
        return None
    event, inner, prev, told_seq, target, ts, told_workspace = tail.groups()
    if told_seq != b"%d" % seq or prev != prev_hash or told_workspace != workspace:
        return None
    if (wanted is None) == (inner is None):
        return None
    if wanted is None:
        wanted = inner[_HASH]
        text = text[: tail.start(2)] + text[tail.end(2) :]
    start = b'{"actor":"'
    if columns is not None:
        actor = columns[3]
        if columns != (seq, ts, event, actor, target):
            return None
        start += actor + b'","details":{'
    if not text.startswith(start):
        return None
    return wanted if hashlib.sha256(prev + text).hexdigest().encode() == wanted else None


def _read(line: Line) -> _Read | None:
    """The line taken apart and spelled anew; None: it is no event."""
    try:
        told = json.loads(line.text)
        seq, prev_hash, workspace = told["seq"], told["prev_hash"], told["workspace"].encode()
        wanted = told.pop("hash").encode() if line.hash is None else line.hash
        names = ("ts", "event", "actor", "target")
        columns = (seq, *(_bytes(told.get(name)) for name in names))
        before = prev_hash.encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if type(seq) is not int:
        return None
    try:
        body, hashed = rules.chain(prev_hash, told)
    except (ValueError, TooLarge, RecursionError):
        return _Read(seq, before, wanted, workspace, columns, holds=False)
    holds = hashed.encode() == wanted and (line.hash is None or body.encode() == line.text)
    return _Read(seq, before, wanted, workspace, columns, holds)


def _bytes(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def seq_told(text: bytes) -> int | None:
    """The seq that a line says it has, be the rest right or wrong; None: it says none."""
    try:
        seq = json.loads(text)["seq"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return seq if type(seq) is int else None


def check(lines: Iterable[Line], wanted: Container[int], *, first: int | None = None) -> Stretch:
    """The stretch that these lines are, up to the first that differs.

    `wanted` names the seqs whose hashes are kept; `first` the seq that must come first, where that
    is known.
    """
    stretch = Stretch()
    for line in lines:
        if stretch.count:
            followed = _follows(line, stretch.last_seq + 1, stretch.last_hash, stretch.workspace)
            if followed is not None:
                stretch.last_seq += 1
                stretch.last_hash = followed
                stretch.count += 1
                if stretch.last_seq in wanted:
                    stretch.hashes[stretch.last_seq] = followed.decode()
                continue
        read = _read(line)
        expected = stretch.last_seq + 1 if stretch.count else first
        stretch.difference = _differs(stretch, expected, line, read)
        if stretch.difference is not None or read is None:
            return stretch
        _extend(stretch, line, read, wanted)
    return stretch


def _extend(stretch: Stretch, line: Line, read: _Read, wanted: Container[int]) -> None:
    if not stretch.count:
        stretch.first_seq, stretch.prev_hash = read.seq, read.prev_hash
        stretch.workspace, stretch.first_place = read.workspace, line.place
    stretch.last_seq, stretch.last_hash = read.seq, read.hash
    stretch.count += 1
    if read.seq in wanted:
        stretch.hashes[read.seq] = read.hash.decode(errors="replace")


def _differs(
    stretch: Stretch, expected: int | None, line: Line, read: _Read | None
) -> Difference | None:
    """How a line differs from what must stand in its place, or None."""
    if read is None:
        return Difference(expected or 0, Kind.ALTERED, "the line is no event", line.place)
    if not read.holds:
        return Difference(expected or 0, Kind.ALTERED, "its hash is not made of it", line.place)
    if expected is not None and read.seq != expected:
        return _misplaced(expected, read.seq, line.place)
    if line.columns is not None and line.columns != read.columns:
        detail = "the store looks it up by other values than it has"
        return Difference(read.seq, Kind.ALTERED, detail, line.place)
    if stretch.count and read.workspace != stretch.workspace:
        return Difference(read.seq, Kind.ALTERED, "it is of another workspace", line.place)
    if stretch.count and read.prev_hash != stretch.last_hash:
        return _unchained(stretch.last_seq, line.place)
    return None


def _misplaced(expected: int, found: int, place: int) -> Difference:
    detail = f"seq {found} stands in the place of seq {expected}"
    return Difference(expected, Kind.REMOVED, detail, place, found)


def _unchained(seq: int, place: int) -> Difference:
    detail = f"seq {seq + 1} is chained to another hash than it has now"
    return Difference(seq, Kind.ALTERED, detail, place)


def join(stretches: Iterable[Stretch]) -> Stretch:
    """The one stretch that these are in order, from the first event of a log on."""
    whole = Stretch(last_hash=GENESIS.encode())
    for part in stretches:
        if part.count:
            whole.difference = _seam(whole, part)
            if whole.difference is not None:
                return whole
            if not whole.count:
                whole.first_seq, whole.prev_hash = part.first_seq, part.prev_hash
                whole.workspace, whole.first_place = part.workspace, part.first_place
            whole.last_seq, whole.last_hash = part.last_seq, part.last_hash
            whole.count += part.count
            whole.hashes.update(part.hashes)
        if part.difference is not None:
            seq = part.difference.seq or whole.last_seq + 1
            whole.difference = part.difference._replace(seq=seq)
            return whole
    return whole


def _seam(whole: Stretch, part: Stretch) -> Difference | None:
    """How the first line of a stretch differs from what follows the one before it, or None."""
    expected = whole.last_seq + 1
    if part.first_seq != expected:
        return _misplaced(expected, part.first_seq, part.first_place)
    if whole.count and part.workspace != whole.workspace:
        return Difference(expected, Kind.ALTERED, "it is of another workspace", part.first_place)
    if part.prev_hash != whole.last_hash:
        if not whole.count:
            detail = "the first event is chained to another one"
            return Difference(1, Kind.ALTERED, detail, part.first_place)
        return _unchained(whole.last_seq, part.first_place)
    return None


def signed_otherwise(whole: Stretch, checkpoints: Iterable[Checkpoint]) -> Difference | None:
    """How the log differs from what its checkpoints signed, or None.

    `whole` has the hashes of the seqs that the checkpoints speak of, as far as it goes. That the
    signatures are good is for the caller to know.
    """
    good = 0
    for checkpoint in sorted(checkpoints, key=lambda one: one.seq):
        seq = checkpoint.seq
        if seq > whole.last_seq:
            if whole.difference is not None:
                return None
            detail = f"the log ends at seq {whole.last_seq}, and seq {seq} was signed"
            return Difference(whole.last_seq + 1, Kind.REMOVED, detail, through=seq)
        if whole.hashes.get(seq) != checkpoint.hash:
            detail = f"another hash was signed at seq {seq}"
            return Difference(good + 1, Kind.REWRITTEN, detail, through=seq)
        good = seq
    return None
