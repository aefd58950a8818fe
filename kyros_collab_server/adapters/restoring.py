"""Restoring: a whole projection, or an export, read and checked into what a store can take in.

The log decides. State files that stand at an older seq than the log's end (a crash fell between
them) are brought forward by it; one that says other than the log at its own seq is refused.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kyros_collab_server.adapters import state_files
from kyros_collab_server.adapters.event_file import FileEvent
from kyros_collab_server.adapters.packages import Filed, Package
from kyros_collab_server.adapters.replay import Replay
from kyros_collab_server.adapters.signing import is_signed_by
from kyros_collab_server.adapters.state_files import StateFileBroken
from kyros_collab_server.adapters.state_texts import KINDS
from kyros_collab_server.features.events.model import Checkpoint, CheckpointKey
from kyros_collab_server.features.events.rules import signed_text
from kyros_collab_server.features.messages.model import Message
from kyros_collab_server.kernel.etag import canonical, kind_etag, sha256_hex

M = TypeVar("M", bound=BaseModel)


class FiledInbox(BaseModel):
    """What an agent has not acknowledged."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str
    agent: str
    read_through: int = Field(ge=0)
    messages: list[Message]


class Upkeep(BaseModel):
    """What a store keeps beside the public state of one entity."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str
    t: int | None = None
    version: int | None = None
    ready_t: int | None = None
    returned_t: int | None = None
    assignee_principal: str | None = None
    principal: str = ""
    seen_t: int | None = None
    active_t: int | None = None
    acquired_t: int | None = None
    told: bool = True
    workspace: dict[str, Any] | None = None


@dataclass
class Checked:
    """A package that holds together: its log, and the state files that agree with it."""

    package: Package
    replay: Replay
    hash: str
    filed: dict[str, Filed]
    inboxes: list[FiledInbox]
    upkeep: dict[str, Upkeep]
    checkpoints: list[Checkpoint]
    keys: list[CheckpointKey]


def check_package(package: Package) -> Checked:
    """The package, read to its end and found whole.

    Raises:
        StateFileBroken: names the file, and the line or entry that is wrong.
    """
    found = {kind: package.state(kind) for kind in KINDS}  # first: the log goes on meanwhile
    filed = {kind: one for kind, one in found.items() if one is not None}
    inboxes, upkeep = _rows(filed.get("inboxes"), FiledInbox), _rows(filed.get("upkeep"), Upkeep)
    keys, checkpoints = _signed(package)
    replay = Replay(filed["inboxes"][1].seq if "inboxes" in filed else 0)
    digest = _replayed(package, replay, filed, {one.seq: one.hash for one in checkpoints})
    for where, envelope in filed.values():
        if envelope.seq > replay.seq:
            rule = f"is {envelope.seq}, but the events end at {replay.seq}"
            raise StateFileBroken(f"{where}: seq", rule)
    if checkpoints and checkpoints[-1].seq > replay.seq:
        where = f"{package.name}: checkpoint of seq {checkpoints[-1].seq}"
        raise StateFileBroken(where, f"lies beyond the end of the events, seq {replay.seq}")
    by_id = {one.id: one for one in upkeep}
    return Checked(package, replay, digest, filed, inboxes, by_id, checkpoints, keys)


def _replayed(
    package: Package, replay: Replay, filed: Mapping[str, Filed], signed: Mapping[int, str]
) -> str:
    """Replay the log against state files and checkpoints; returns the hash of its last event."""
    marks: dict[int, list[str]] = {}
    for kind, (_, envelope) in filed.items():
        marks.setdefault(envelope.seq, []).append(kind)
    _agree(replay, filed, marks.get(0, ()))
    digest = ""
    for event in package.events():
        _take(package, replay, event)
        digest = event.hash
        if signed.get(event.seq, digest) != digest:
            where = f"{package.name}: checkpoint of seq {event.seq}"
            raise StateFileBroken(where, "was signed for another hash: the log was rewritten")
        _agree(replay, filed, marks.get(event.seq, ()))
    return digest


def _take(package: Package, replay: Replay, event: FileEvent) -> None:
    try:
        replay.take(event)
    except (KeyError, TypeError, AttributeError):
        where = f"{package.log_name} line {event.line}"
        rule = f"({event.told.get('event')}) does not tell what this version needs of it"
        raise StateFileBroken(where, rule) from None


def _rows(filed: Filed | None, model: type[M]) -> list[M]:
    """The entries of a file that only an import reads; its tag covers every byte of them."""
    if filed is None:
        return []
    where, envelope = filed
    rows = []
    for number, row in enumerate(envelope.data):
        try:
            rows.append(model.model_validate_json(json.dumps(row)))
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise StateFileBroken(f"{where} entry {number} {field}", first["msg"]) from None
    members = [(row["id"], sha256_hex(canonical(row))[:32]) for row in envelope.data]
    if envelope.etag != kind_etag(envelope.version, members):
        raise StateFileBroken(f"{where}: etag", "is not that of version and data")
    return rows


def _signed(package: Package) -> tuple[list[CheckpointKey], list[Checkpoint]]:
    """Public keys, and checkpoints that are signed by them, in order of seq."""
    lines, listed = package.signed()
    where = f"{package.name}: checkpoints"
    try:
        keys = [CheckpointKey.model_validate(one) for one in listed]
        found = [Checkpoint.model_validate(line) for line in lines]
    except ValidationError:
        raise StateFileBroken(where, "are not those of this version") from None
    known = {one.kid: one for one in keys}
    for number, one in enumerate(found, start=1):
        key = known.get(one.key_id)
        if key is None or not is_signed_by(key, signed_text(one), one.signature):
            rule = "is not signed by a key that lies beside it"
            raise StateFileBroken(f"{where} line {number}", rule)
    return keys, sorted(found, key=lambda one: one.seq)


def _agree(replay: Replay, filed: Mapping[str, Filed], kinds: Iterable[str]) -> None:
    """Pass when these state files say what the log says at this seq."""
    for kind in kinds:
        where, envelope = filed[kind]
        if kind == "tasks":
            tasks = state_files.tasks_of(where, envelope)
            said = {one.id: one.model_dump(mode="json") for one in tasks}
            _compare(where, replay.seq, said, replay.tasks)
        elif kind == "agents":
            agents = state_files.agents_of(where, envelope)
            unseen = {
                one.name: one.model_dump(mode="json", exclude={"last_seen"}) for one in agents
            }
            logged = {
                name: {key: value for key, value in one.items() if key != "last_seen"}
                for name, one in replay.agents.items()
            }
            _compare(where, replay.seq, unseen, logged)
        elif kind == "locks":
            leases = state_files.leases_of(where, envelope)
            kept = {"lock_id", "resource", "mode", "holder", "task_id", "fencing_token"}
            held = {one.lock_id: one.model_dump(mode="json", include=kept) for one in leases}
            logged = {
                lock_id: {name: one[name] for name in kept} for lock_id, one in replay.held.items()
            }
            _compare(where, replay.seq, held, logged)


def _compare(where: str, seq: int, said: dict[str, Any], logged: dict[str, Any]) -> None:
    for ident in sorted(said.keys() | logged.keys()):
        if ident not in said:
            raise StateFileBroken(f"{where} ({ident})", f"is missing; it was there at seq {seq}")
        if ident not in logged:
            raise StateFileBroken(f"{where} ({ident})", f"was not there at seq {seq}")
        if said[ident] != logged[ident]:
            raise StateFileBroken(f"{where} ({ident})", f"is not what the log says at seq {seq}")
