"""Packages: where a whole board comes from: a projection, an export, or a log alone."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from kyros_collab_server.adapters import event_file, state_files
from kyros_collab_server.adapters.event_file import FileEvent
from kyros_collab_server.adapters.state_files import Envelope, StateFileBroken
from kyros_collab_server.kernel.etag import canonical

Filed = tuple[str, Envelope]
"""A state file with the name that refusals give it."""


class Package(Protocol):
    """Where a whole board comes from."""

    name: str
    log_name: str
    """How refusals call where the events are."""

    def state(self, kind: str) -> Filed | None: ...
    def events(self) -> Iterator[FileEvent]: ...
    def signed(self) -> tuple[list[Any], list[Any]]:
        """Checkpoints and public keys."""
        ...


class Directory:
    """A projection."""

    def __init__(self, directory: Path) -> None:
        self.name = str(directory)
        self.log_name = str(directory / event_file.NAME)
        self._directory = directory

    def state(self, kind: str) -> Filed | None:
        """The state file of a kind, if there is one."""
        path = state_files.path_of(self._directory, kind)
        envelope = state_files.read_envelope(path, kind)
        return None if envelope is None else (str(path), envelope)

    def events(self) -> Iterator[FileEvent]:
        """The events of the projection."""
        return event_file.read_events(self._directory / event_file.NAME)

    def signed(self) -> tuple[list[Any], list[Any]]:
        """Checkpoints and public keys of the projection, where it has them."""
        lines = self._lines("checkpoints.jsonl")
        keys = self._lines("keys.json")
        return lines, keys[0].get("keys", []) if keys and isinstance(keys[0], dict) else []

    def _lines(self, name: str) -> list[Any]:
        path = self._directory / "events" / name
        found = []
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError):
            raise StateFileBroken(str(path), "cannot be read") from None
        for number, line in enumerate(text.splitlines(), start=1):
            try:
                found.append(json.loads(line))
            except (json.JSONDecodeError, RecursionError):
                rule = "is torn: no complete JSON"
                raise StateFileBroken(f"{path} line {number}", rule) from None
        return found


class Document:
    """An export as one document."""

    FORMAT = "kyros.export/1"

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.log_name = f"{path} events"
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, RecursionError, UnicodeDecodeError) as error:
            line = getattr(error, "lineno", 1)
            raise StateFileBroken(f"{path} line {line}", "is torn: no complete JSON") from None
        except OSError as error:
            raise StateFileBroken(self.name, f"cannot be read ({error.strerror})") from None
        self._value: Mapping[str, Any] = value if isinstance(value, dict) else {}
        if self._value.get("format") != self.FORMAT:
            raise StateFileBroken(f"{path}: format", f"must be {self.FORMAT}")

    def state(self, kind: str) -> Filed | None:
        """The state of a kind, if it is in the document."""
        state = self._value.get("state")
        if not isinstance(state, dict) or kind not in state:
            return None
        where = f"{self.name} state.{kind}"
        return where, state_files.envelope_of(where, kind, state[kind])

    def events(self) -> Iterator[FileEvent]:
        """The events of the document; a refusal counts them as lines."""
        events = self._value.get("events")
        lines = events if isinstance(events, list) else []
        try:
            texts = [f"{canonical(one)}\n".encode() for one in lines]
        except (ValueError, RecursionError):
            raise StateFileBroken(f"{self.name} events", "are no events") from None
        return event_file.chained(self.log_name, texts)

    def signed(self) -> tuple[list[Any], list[Any]]:
        """Checkpoints and public keys of the document."""
        found = [self._value.get(name) for name in ("checkpoints", "keys")]
        lines, keys = (one if isinstance(one, list) else [] for one in found)
        return lines, keys


class EventsAlone:
    """Nothing but a log: what is not in it starts anew."""

    def __init__(self, path: Path) -> None:
        self.name = self.log_name = str(path)
        self._path = path

    def state(self, kind: str) -> Filed | None:
        """None: the log tells all there is."""
        return None

    def events(self) -> Iterator[FileEvent]:
        """The events of the file."""
        return event_file.read_events(self._path)

    def signed(self) -> tuple[list[Any], list[Any]]:
        """Nothing is signed."""
        return [], []


def holds_a_log(directory: Path) -> bool:
    """True for a directory that holds events, so that a store can be made anew from it."""
    try:
        return (directory / event_file.NAME).stat().st_size > 0
    except OSError:
        return False


def package_at(path: Path) -> Package:
    """The projection, export document or event file at a path."""
    if path.is_dir():
        return Directory(path)
    return EventsAlone(path) if path.suffix == ".jsonl" else Document(path)
