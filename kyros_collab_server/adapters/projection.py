"""The projection: a data directory that people and git can read, never far behind the store.

`events/events.jsonl` follows the log; its last line is the cursor. `state/*.json` are replaced
whole, and `logs/log.md` gets what was written into the human log. The store needs nothing
of it: what is deleted comes back. Not responsible for reading any of it (see `restoring`).
"""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from kyros_collab_server.adapters.durable_files import (
    Failpoint,
    Seen,
    SoleWriter,
    look_at,
    replace_file,
    sync_directory,
)
from kyros_collab_server.adapters.event_file import NAME, EventFile
from kyros_collab_server.adapters.state_texts import TASK, Line, StateTexts, View
from kyros_collab_server.features.events.model import EventName
from kyros_collab_server.kernel.etag import canonical

log = logging.getLogger(__name__)
R = TypeVar("R")

LOCK_NAME = "projection.lock"
LOG_NAME = "logs/log.md"
SIGNED_NAME = "events/checkpoints.jsonl"
KEYS_NAME = "events/keys.json"
PAGE = 2_000
"""Events that one snapshot reads."""
TO_INBOXES = '"to":['
"""What the text of an event contains when it may have gone into inboxes."""
LOG_HEAD = """\
# Log

What people wrote about the work, newest last. The server appends; nothing is edited here.
"""
_MARKER = re.compile(r"^<!-- seq ([0-9]{1,16}) -->$", re.MULTILINE)


class Source(Protocol):
    """The store that is projected."""

    def read(self, look: Callable[[Any], R]) -> R:
        """What the look finds in one snapshot, a `View`."""
        ...


@dataclass
class _News:
    """What the events since the last time say has changed."""

    lines: Sequence[Line] = ()
    task_ids: set[str] = field(default_factory=set)
    messages: bool = False
    log_entries: bool = False
    keys: list[dict[str, Any]] | None = None
    """There when something was signed since."""

    def add(self, lines: Sequence[Line]) -> None:
        """These events follow."""
        self.lines = lines
        for line in lines:
            if line.target is not None and line.target.startswith(TASK):
                self.task_ids.add(line.target.removeprefix(TASK))
            self.messages = self.messages or TO_INBOXES in line.body
            self.log_entries = self.log_entries or line.event == EventName.LOG_APPENDED


class Projection:
    """One workspace in one directory. Runs in one thread at a time."""

    def __init__(self, directory: Path, source: Source, failpoint: Failpoint | None = None) -> None:
        self._directory = directory
        self._source = source
        self._failpoint = failpoint
        self._sole = SoleWriter(directory / LOCK_NAME)
        self._events = EventFile(directory / NAME, failpoint)
        self._texts = StateTexts()
        self._files: dict[str, Seen] = {}
        self._log: Seen | None = None
        self._signed: list[dict[str, Any]] = []
        self._stood_back = False

    def catch_up(self) -> bool:
        """The directory is what the store was when this began; False: another process writes it.

        Raises:
            OSError: the disk is full, or such; what could not be written is tried again next time.
            StoreUnavailable: the store did not answer.
        """
        if not self._sole.take():
            self._events.close()
            return False
        if self._lacks_files and not self._stood_back:
            # Somebody deletes them; a new file now would be in the way of `rm -r`.
            self._stood_back = True
            return True
        self._stood_back = False
        try:
            if not self._events.is_in_place:
                self._begin()
            news = _News()
            more = True
            while more:
                more = self._source.read(partial(self._look, news))
                self._events.append([(line.seq, line.hash, line.body) for line in news.lines])
            self._write_states()
            self._write_signed(news.keys)
            if news.log_entries or self._log is None or look_at(self._log_path) != self._log:
                self._write_log()
        except BaseException:
            self._events.close()  # so that the next time takes nothing for granted
            raise
        return True

    @property
    def _lacks_files(self) -> bool:
        """True when a file that was written is not there any more."""
        written = [self._state_path(kind) for kind in self._files if kind != SIGNED_NAME]
        written += [self._log_path] if self._log is not None else []
        written += [self._directory / NAME] if self._events.is_open else []
        return any(look_at(path) is None for path in written)

    def _state_path(self, kind: str) -> Path:
        return self._directory / "state" / f"{kind}.json"

    @property
    def _log_path(self) -> Path:
        return self._directory / LOG_NAME

    def _begin(self) -> None:
        """The event file is open at its last whole line, and is one of this store's log."""
        self._texts, self._files, self._log, self._signed = StateTexts(), {}, None, []
        self._events.open()
        seq, digest = self._events.seq, self._events.hash
        if seq and self._source.read(partial(_hash_at, seq)) != digest:
            name = f"until-{seq}-{digest[:8]}"
            self._events.set_aside(name)
            if self._log_path.is_file():
                self._log_path.replace(self._log_path.with_name(f"log.{name}.md"))
            log.warning("projection_of_another_log", extra={"kept_as": name})

    def _look(self, news: _News, view: View) -> bool:
        """Take a page of events; with the last one the state of the same snapshot.

        True when more pages follow.
        """
        news.add(view.lines(self._events.seq, PAGE))
        if len(news.lines) == PAGE:
            return True
        self._texts.refresh(view, news.task_ids, new_messages=news.messages)
        last = self._signed[-1]["seq"] if self._signed else 0
        if signed := view.checkpoints(last):
            self._signed += signed
            news.keys = view.keys()
        return False

    def _write_states(self) -> None:
        written = False
        for text in self._texts:
            path = self._state_path(text.kind)
            seen = self._files.get(text.kind)
            if text.changed or seen is None or look_at(path) != seen:
                self._files[text.kind] = replace_file(path, text.parts(), self._failpoint)
                text.changed, written = False, True
        if written:
            sync_directory(self._directory / "state")

    def _write_signed(self, keys: list[dict[str, Any]] | None) -> None:
        """The signed checkpoints and the public keys lie beside the events."""
        path = self._directory / SIGNED_NAME
        if keys is None and (not self._signed or look_at(path) == self._files.get(SIGNED_NAME)):
            return
        if keys is None:
            keys = self._source.read(_keys)
        text = canonical({"keys": keys})
        replace_file(self._directory / KEYS_NAME, [f"{text}\n".encode()])
        lines = [f"{canonical(one)}\n".encode() for one in self._signed]
        self._files[SIGNED_NAME] = replace_file(path, lines)
        sync_directory(path.parent)

    def _write_log(self) -> None:
        """The human log has every entry once, after what was in the file before."""
        path = self._log_path
        try:
            text = path.read_text(encoding="utf-8")
        except (FileNotFoundError, UnicodeDecodeError):
            text = LOG_HEAD
        after = max((int(seq) for seq in _MARKER.findall(text)), default=0)
        entries = self._source.read(partial(_log_entries, after))
        if not entries and path.is_file():
            self._log = look_at(path)
            return
        added = [
            f"\n<!-- seq {seq} -->\n{said.rstrip().replace('<!-- seq ', '<!--  seq ')}\n"
            for seq, _, _, said in entries
        ]
        self._log = replace_file(path, [text.encode(), "".join(added).encode()])
        sync_directory(path.parent)

    def close(self) -> None:
        """Another process may write the directory."""
        self._events.close()
        self._sole.leave()


def _hash_at(seq: int, view: View) -> str | None:
    return view.hash_at(seq)


def _keys(view: View) -> list[dict[str, Any]]:
    return view.keys()


def _log_entries(after: int, view: View) -> list[tuple[int, str, str, str]]:
    return view.log_entries(after)
