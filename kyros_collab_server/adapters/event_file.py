"""`events/events.jsonl`: one event a line, exactly the text that its hash covers, hash included.

A line is the canonical JSON (RFC 8785) of the event; without its member `hash` it is, to the byte,
what was hashed. A last line without its line end was cut off by a crash, or is still being written.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from kyros_collab_server.adapters.durable_files import Failpoint, look_at, sync_directory
from kyros_collab_server.adapters.state_files import StateFileBroken
from kyros_collab_server.features.events.model import GENESIS
from kyros_collab_server.kernel.etag import canonical

NAME = "events/events.jsonl"
LONGEST_LINE = 66_000
"""An event has at most 64 KiB, its hash 76 characters."""
_TAIL = re.compile(r'(?:,"on_behalf_of":"(?:[^"\\]|\\.)*")?,"prev_hash":"[0-9a-f]{64}",')
_FROM = "Take the file from a backup or an export again."


class FileEvent(NamedTuple):
    """One event of a file: the text that was chained, its hash, and what it says."""

    line: int
    seq: int
    hash: str
    body: str
    told: dict[str, Any]


def line_of(body: str, digest: str) -> str:
    """The line of an event: its chained text with the hash where canonical JSON has it."""
    at = body.rfind(',"prev_hash":"')
    behalf = body.rfind(',"on_behalf_of":"', 0, at)
    if behalf >= 0 and _TAIL.match(body, behalf) is not None:
        at = behalf
    return f'{body[:at]},"hash":"{digest}"{body[at:]}'


def taken_apart(text: str) -> tuple[str, str, dict[str, Any]]:
    """`(body, hash, event)` of a line.

    Raises:
        ValueError: it is no event, or not spelled as its hash covers it.
    """
    told = json.loads(text)
    event = told if isinstance(told, dict) else {}
    digest, prev_hash = event.pop("hash", None), event.get("prev_hash")
    if type(event.get("seq")) is not int or type(digest) is not str or type(prev_hash) is not str:
        raise ValueError("is no event of a chained log")
    body = canonical(event)
    if line_of(body, digest) != text:
        raise ValueError("is not spelled as its hash covers it")
    if hashlib.sha256((prev_hash + body).encode()).hexdigest() != digest:
        raise ValueError("was altered: its hash is not made of it")
    return body, digest, event


def read_events(path: Path) -> Iterator[FileEvent]:
    """Every event of a file, from the first of its log on, each chained to the one before.

    Raises:
        StateFileBroken: names the file and the line that is torn, altered, missing or twice.
    """
    try:
        with path.open("rb") as file:
            yield from chained(str(path), iter(partial(file.readline, LONGEST_LINE), b""))
    except OSError as error:
        raise StateFileBroken(str(path), f"cannot be read ({error.strerror})") from None


def chained(name: str, lines: Iterable[bytes]) -> Iterator[FileEvent]:
    """The events of these lines, each chained to the one before; see `read_events`."""
    seq, prev_hash, workspace = 0, GENESIS, None
    for number, raw in enumerate(lines, start=1):
        where = f"{name} line {number}"
        if not raw.endswith(b"\n"):
            is_long = len(raw) >= LONGEST_LINE
            rule = "is longer than an event" if is_long else "is torn: it has no line end"
            raise StateFileBroken(where, rule, _FROM)
        try:
            body, digest, told = taken_apart(raw[:-1].decode())
        except (json.JSONDecodeError, RecursionError, UnicodeDecodeError):
            raise StateFileBroken(where, "is torn: no complete JSON", _FROM) from None
        except ValueError as error:
            raise StateFileBroken(where, str(error), _FROM) from None
        if told["seq"] != seq + 1:
            raise StateFileBroken(where, _misplaced(told["seq"], seq + 1), _FROM)
        if told["prev_hash"] != prev_hash:
            raise StateFileBroken(where, f"is not chained to seq {seq}, the line before it", _FROM)
        if workspace not in (None, told.get("workspace")):
            raise StateFileBroken(where, "is of another workspace", _FROM)
        seq, prev_hash, workspace = seq + 1, digest, told.get("workspace")
        yield FileEvent(number, seq, digest, body, told)


def _misplaced(found: int, wanted: int) -> str:
    if found == wanted - 1:
        return f"has seq {found} twice"
    if found < wanted:
        return f"is out of order: seq {found} stands in the place of seq {wanted}"
    return f"has seq {found} where seq {wanted} is missing"


class EventFile:
    """The file that a projection appends to; its last line is the projection's cursor."""

    def __init__(self, path: Path, failpoint: Failpoint | None = None) -> None:
        self._path = path
        self._failpoint = failpoint
        self._handle: int | None = None
        self._size = 0
        self.seq = 0
        self.hash = GENESIS

    @property
    def is_open(self) -> bool:
        """True between `open` and `close`."""
        return self._handle is not None

    @property
    def is_in_place(self) -> bool:
        """True while the open file is the one at its path, as long as it was left."""
        found = look_at(self._path)
        if self._handle is None or found is None:
            return False
        mine = os.fstat(self._handle)
        return (found.device, found.inode, found.size) == (mine.st_dev, mine.st_ino, self._size)

    def open(self) -> None:
        """The file is open, its torn end cut off, and `seq` and `hash` are those of its last line.

        Raises:
            OSError: it cannot be opened or cut.
        """
        self.close()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._handle = os.open(self._path, flags, 0o644)
        size = os.fstat(self._handle).st_size
        self._size, self.seq, self.hash = self._last_whole(self._handle, size)
        if self._size < size:
            os.ftruncate(self._handle, self._size)
            os.fsync(self._handle)
        sync_directory(self._path.parent)

    @staticmethod
    def _last_whole(handle: int, size: int) -> tuple[int, int, str]:
        """`(end, seq, hash)` of the last line that is whole; the beginning when none is."""
        end = size
        while end > 0:
            start = max(0, end - 2 * LONGEST_LINE)
            block = os.pread(handle, end - start, start)
            stop = block.rfind(b"\n") + 1
            begin = block.rfind(b"\n", 0, max(0, stop - 1)) + 1
            if stop and (begin or not start):
                try:
                    _, digest, told = taken_apart(block[begin : stop - 1].decode())
                except (ValueError, RecursionError):
                    end = start + begin
                    continue
                return start + stop, told["seq"], digest
            end = start
        return 0, 0, GENESIS

    def append(self, lines: Sequence[tuple[int, str, str]]) -> None:
        """These events, as `(seq, hash, body)`, follow in the file, on the disk.

        Raises:
            OSError: the disk is full, or such; the file is as it was.
        """
        if self._handle is None or not lines:
            return
        text = b"".join(f"{line_of(body, digest)}\n".encode() for _, digest, body in lines)
        try:
            if self._failpoint is None:
                self._write(self._handle, text)
            else:
                self._write(self._handle, text[:-40])
                self._failpoint("jsonl_mid_line")
                self._write(self._handle, text[-40:])
            os.fsync(self._handle)
        except OSError:
            os.ftruncate(self._handle, self._size)
            raise
        self._size += len(text)
        self.seq, self.hash = lines[-1][0], lines[-1][1]

    @staticmethod
    def _write(handle: int, text: bytes) -> None:
        while text:
            text = text[os.write(handle, text) :]

    def set_aside(self, name: str) -> None:
        """The file keeps its content as `events.<name>.jsonl`, and a new one is begun."""
        self._path.replace(self._path.with_name(f"events.{name}.jsonl"))
        self.open()

    def close(self) -> None:
        """The file is closed; it is as it was left."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
