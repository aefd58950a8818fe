"""A log exported as lines of JSON, read in parts; and the files that lie beside it."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from kyros_collab_server.features.events.model import Checkpoint, CheckpointKey
from kyros_collab_server.features.events.verifying import (
    Difference,
    Kind,
    Line,
    Stretch,
    check,
    seq_told,
)
from kyros_collab_server.kernel.errors import Invalid

EVENTS = "events.jsonl"
CHECKPOINTS = "checkpoints.jsonl"
KEYS = "keys.json"
LONGEST_LINE = 1_048_576
"""A line longer than this, in bytes, is no event, however it is spelled."""


class KeyFile(BaseModel):
    """`keys.json`: a JSON Web Key Set."""

    keys: list[CheckpointKey]


class LogFile:
    """A file of events, one a line; places in it are byte offsets."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def parts(self, count: int) -> list[tuple[int, int]]:
        """At most so many spans of bytes, each from the start of a line to the end of one."""
        size = self._path.stat().st_size
        cuts = {0, size}
        with self._path.open("rb") as file:
            for number in range(1, count):
                file.seek(size * number // count)
                file.readline()
                cuts.add(file.tell())
        return list(pairwise(sorted(cuts)))

    def check(self, start: int, end: int, wanted: frozenset[int], first: int | None) -> Stretch:
        """The stretch of the log that lies between two offsets."""
        return check(self._lines(start, end), wanted, first=first)

    def explained(self, difference: Difference) -> Difference:
        """The difference, told apart: what is missing in its place may stand in another."""
        if difference.found is None:
            return self._torn(difference)
        places: dict[int, int] = {}
        for line in self._lines(0, self._path.stat().st_size):
            seq = seq_told(line.text)
            if seq in (difference.seq, difference.found) and line.place != difference.place:
                places.setdefault(seq, line.place)
        if difference.found < difference.seq:
            detail = f"seq {difference.found} stands there twice"
            return difference._replace(seq=difference.found, kind=Kind.DUPLICATED, detail=detail)
        if difference.seq in places:
            where = self.line_number(places[difference.seq])
            detail = f"it stands on line {where}, after seq {difference.found}"
            return difference._replace(kind=Kind.REORDERED, detail=detail)
        before = f"after seq {difference.seq - 1}" if difference.seq > 1 else "first"
        detail = f"{before} comes seq {difference.found}"
        through = difference.found - 1 if difference.found - 1 > difference.seq else None
        return difference._replace(detail=detail, through=through)

    def _torn(self, difference: Difference) -> Difference:
        if difference.place < 0 or difference.kind is not Kind.ALTERED:
            return difference
        with self._path.open("rb") as file:
            file.seek(difference.place)
            text = file.readline(LONGEST_LINE)
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            if not text.endswith(b"\n") or b"\0" in text or not text.rstrip().endswith(b"}"):
                detail = "its line ends before the event does"
                return difference._replace(kind=Kind.TORN, detail=detail)
        return difference

    def line_number(self, place: int) -> int:
        """The number of the line that begins at an offset, from 1."""
        number, left = 1, place
        with self._path.open("rb") as file:
            while left > 0 and (block := file.read(min(left, 1 << 20))):
                number += block.count(b"\n")
                left -= len(block)
        return number

    def _lines(self, start: int, end: int) -> Iterator[Line]:
        place = start
        with self._path.open("rb") as file:
            file.seek(start)
            while place < end and (text := file.readline(LONGEST_LINE)):
                stripped = text.rstrip(b"\r\n")
                if stripped:
                    yield Line(stripped, None, place)
                place += len(text)


def read_keys(path: Path) -> list[CheckpointKey]:
    """The public keys of a `keys.json`.

    Raises:
        Invalid: it cannot be read, or is no set of Ed25519 keys.
    """
    try:
        return KeyFile.model_validate_json(path.read_bytes()).keys
    except (OSError, ValidationError) as error:
        raise Invalid("keys", f"{path} {_why(error)}") from None


def read_checkpoints(path: Path) -> list[Checkpoint]:
    """The checkpoints of a `checkpoints.jsonl`, as they stand there.

    Raises:
        Invalid: it cannot be read, or a line is no checkpoint; names the line.
    """
    where = str(path)
    found: list[Checkpoint] = []
    try:
        for number, line in enumerate(path.read_bytes().splitlines(), start=1):
            where = f"{path} line {number}"
            if line.strip():
                found.append(Checkpoint.model_validate_json(line))
    except (OSError, ValidationError) as error:
        raise Invalid("checkpoints", f"{where} {_why(error)}") from None
    return found


def _why(error: Any) -> str:
    if isinstance(error, OSError):
        return f"cannot be read ({error.strerror})"
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"is not what it should be: {where or 'text'}: {first['msg']}"
