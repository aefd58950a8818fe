"""Verifying: whether lines of a log are what was chained, and which one is not.

A stretch of lines is checked by itself, so that stretches can be checked beside each other; then
they are joined. Not responsible for where lines come from, nor for signatures.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from kyros_collab_server.features.events import rules
from kyros_collab_server.features.events.model import GENESIS
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
    """It stands there twice."""
    TORN = "torn"
    """It was written in part."""
    REWRITTEN = "rewritten"
    """The chain holds, but a signed checkpoint says that it was another."""


class Difference(NamedTuple):
    """The first seq that differs, what is wrong with it, and how that shows.

    `place` is where the line stands in its source; `found` the seq that stands there instead.
    """

    seq: int
    kind: Kind
    detail: str
    place: int = -1
    found: int | None = None


class Line(NamedTuple):
    """One line: the exact text, the hash beside or in it (None: in it), where it stands.

    `columns` are what a store keeps beside the text: seq, ts, event, actor and target.
    """

    text: str
    hash: str | None
    place: int
    columns: tuple[Any, ...] | None = None


class _Read(NamedTuple):
    """What the chain needs of a line, and whether its hash follows from its text."""

    seq: int
    prev_hash: str
    hash: str
    workspace: str
    columns: tuple[Any, ...]
    holds: bool


@dataclass
class Stretch:
    """Consecutive lines that follow from one another, up to the first that does not."""

    first_seq: int = 0
    prev_hash: str = ""
    last_seq: int = 0
    last_hash: str = ""
    count: int = 0
    workspace: str = ""
    difference: Difference | None = None
    hashes: dict[int, str] = field(default_factory=dict)
    """Of the seqs that checkpoints speak of."""
    first_place: int = -1


_STRING = r'"[^"\\]*"'
_KEPT = r'"([^"\\]*)"'
_TAIL = re.compile(
    rf'\}},"event":{_KEPT}(,"hash":"[0-9a-f]{{64}}")?(?:,"on_behalf_of":{_STRING})?'
    rf',"prev_hash":"([0-9a-f]{{64}})","request_id":{_STRING},"seq":([1-9][0-9]{{0,15}})'
    rf',"target":(?:null|{_KEPT})(?:,"trace_id":{_STRING})?,"ts":{_KEPT},"workspace":{_KEPT}\}}'
)
"""What follows `details` in the canonical spelling of an event, where it needs no escapes."""
_HASH_MEMBER = slice(len(',"hash":"'), -1)


def _follows(line: Line, seq: int, prev_hash: str, workspace: str) -> str | None:
    """The line's hash when it is, to the byte, what was chained at this seq after this hash.

    A text whose hash is the chained one is the text that was chained, so it need not be taken
    apart: only its frame is looked at. None says nothing yet: it may be another spelling.
    """
    text, wanted, _, columns = line
    tail = _TAIL.fullmatch(text, text.rfind('},"event":"'))
    if tail is None:
        return None
    event, inner, prev, told_seq, target, ts, told_workspace = tail.groups()
    if told_seq != str(seq) or prev != prev_hash or told_workspace != workspace:
        return None
    if wanted is None:
        if inner is None:
            return None
        wanted = inner[_HASH_MEMBER]
        text = text[: tail.start(2)] + text[tail.end(2) :]
    elif inner is not None:
        return None
    if columns is not None:
        actor = columns[3]
        if columns != (seq, ts, event, actor, target):
            return None
        if not text.startswith(f'{{"actor":"{actor}","details":{{'):
            return None
    elif not text.startswith('{"actor":"'):
        return None
    return wanted if hashlib.sha256((prev + text).encode()).hexdigest() == wanted else None


def _read(line: Line) -> _Read | None:
    """The line taken apart and spelled anew; None: it is no event."""
    try:
        told = json.loads(line.text)
        prev_hash, seq = told["prev_hash"], told["seq"]
        wanted = told.pop("hash") if line.hash is None else line.hash
        columns = (seq, told["ts"], told["event"], told["actor"], told.get("target"))
        workspace = told["workspace"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if type(seq) is not int or not isinstance(wanted, str) or not isinstance(prev_hash, str):
        return None
    try:
        body, hashed = rules.chain(prev_hash, told)
    except (ValueError, TooLarge, RecursionError):
        return _Read(seq, prev_hash, wanted, str(workspace), columns, False)
    holds = hashed == wanted and (line.hash is None or body == line.text)
    return _Read(seq, prev_hash, wanted, str(workspace), columns, holds)


def seq_told(text: str) -> int | None:
    """The seq that a line says it has, be it right or wrong; None: it says none."""
    read = _read(Line(text, None, 0))
    return None if read is None else read.seq


def check(lines: Iterable[Line], wanted: Mapping[int, Any], *, first: int | None = None) -> Stretch:
    """The stretch that these lines are, up to the first that differs.

    `wanted` names the seqs whose hashes are kept; `first` the seq that must come first, where that
    is known.
    """
    stretch = Stretch()
    expected = first
    for line in lines:
        if stretch.count:
            followed = _follows(line, stretch.last_seq + 1, stretch.last_hash, stretch.workspace)
            if followed is not None:
                stretch.last_seq += 1
                stretch.last_hash = followed
                stretch.count += 1
                if stretch.last_seq in wanted:
                    stretch.hashes[stretch.last_seq] = followed
                continue
            expected = stretch.last_seq + 1
        read = _read(line)
        stretch.difference = _differs(stretch, expected, line, read)
        if stretch.difference is not None or read is None:
            return stretch
        if not stretch.count:
            stretch.first_seq, stretch.prev_hash = read.seq, read.prev_hash
            stretch.workspace, stretch.first_place = read.workspace, line.place
        stretch.last_seq, stretch.last_hash = read.seq, read.hash
        stretch.count += 1
        if read.seq in wanted:
            stretch.hashes[read.seq] = read.hash
    return stretch


def _differs(
    stretch: Stretch, expected: int | None, line: Line, read: _Read | None
) -> Difference | None:
    """How a line differs from what must stand in its place, or None."""
    if read is None:
        return Difference(expected or 0, Kind.ALTERED, "the line is no event", line.place)
    if expected is not None and read.seq != expected:
        detail = f"seq {read.seq} stands in the place of seq {expected}"
        return Difference(expected, Kind.REMOVED, detail, line.place, read.seq)
    if not read.holds:
        return Difference(read.seq, Kind.ALTERED, "its hash is not made of it", line.place)
    if line.columns is not None and line.columns != read.columns:
        detail = "what the store looks it up by is not what it says"
        return Difference(read.seq, Kind.ALTERED, detail, line.place)
    if stretch.count and read.workspace != stretch.workspace:
        return Difference(read.seq, Kind.ALTERED, "it is of another workspace", line.place)
    if stretch.count and read.prev_hash != stretch.last_hash:
        return _unchained(stretch.last_seq, line.place)
    return None


def _unchained(seq: int, place: int) -> Difference:
    detail = f"seq {seq + 1} was chained to another hash than it has now"
    return Difference(seq, Kind.ALTERED, detail, place)


def join(stretches: Iterable[Stretch]) -> Stretch:
    """The one stretch that these are in order, from the first event of a log on."""
    whole = Stretch(last_hash=GENESIS)
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
            whole.difference = part.difference
            if not part.difference.seq:
                whole.difference = part.difference._replace(seq=whole.last_seq + 1)
            return whole
    return whole


def _seam(whole: Stretch, part: Stretch) -> Difference | None:
    """How the first line of a stretch differs from what follows the one before it, or None."""
    expected = whole.last_seq + 1
    if part.first_seq != expected:
        detail = f"seq {part.first_seq} stands in the place of seq {expected}"
        return Difference(expected, Kind.REMOVED, detail, part.first_place, part.first_seq)
    if whole.count and part.workspace != whole.workspace:
        return Difference(expected, Kind.ALTERED, "it is of another workspace", part.first_place)
    if part.prev_hash != whole.last_hash:
        if not whole.count:
            return Difference(1, Kind.ALTERED, "the first event is chained to another")
        return _unchained(whole.last_seq, part.first_place)
    return None
