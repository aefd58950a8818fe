"""State files: `state/{tasks,locks,agents}.json` of a data directory, read and checked.

Each file is `{kind, version, etag, seq, data}` in canonical JSON (RFC 8785). `version` and `etag`
are those of the whole kind; `data` is in code-point order of the entries' ids. Nothing is stored
here: either a directory is good as a whole, or it is refused with the file and the entry.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kyros_collab_server.features.agents.model import Agent
from kyros_collab_server.features.leases.model import LeaseMode, LeaseState
from kyros_collab_server.features.tasks.model import Task, TaskDraft
from kyros_collab_server.features.tasks.rules import sealed
from kyros_collab_server.kernel.errors import Invalid
from kyros_collab_server.kernel.etag import canonical, etag_of, kind_etag


class FiledLease(BaseModel):
    """A held lease as a file tells of it: with the instant of its end, not the time left."""

    model_config = ConfigDict(frozen=True)

    lock_id: str
    resource: str
    mode: LeaseMode
    holder: str
    task_id: str | None = None
    acquired_at: str
    ttl_seconds: int
    heartbeat_at: str
    fencing_token: int
    state: LeaseState
    quiet: bool = False
    expires_at: str


E = TypeVar("E", Task, FiledLease, Agent)


class StateFileBroken(Invalid):
    """A state file is torn, reordered, altered, or of another version."""

    def __init__(self, where: str, rule: str, fix: str = "") -> None:
        super().__init__(where, rule, fix=fix or "Take the file from git or a backup again.")


class Envelope(BaseModel):
    """A state file: the entries of a kind, its version and tag, and the seq that they stand at."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: str
    version: int = Field(ge=0)
    etag: str
    seq: int = Field(ge=0)
    data: list[Any]


@dataclass(frozen=True)
class StateFiles:
    """What a data directory says; a missing file says nothing."""

    directory: Path
    tasks: tuple[Task, ...] = ()
    leases: tuple[FiledLease, ...] = ()
    agents: tuple[Agent, ...] = ()

    @property
    def has_entries(self) -> bool:
        """True when there is anything to import."""
        return bool(self.tasks or self.leases or self.agents)


@dataclass(frozen=True)
class _Kind(Generic[E]):
    """How the entries of one file are read, told apart, and tagged."""

    name: str
    model: type[E]
    ident: str
    tag: Callable[[E], str] | None


def _agent_tag(agent: Agent) -> str:
    body = agent.model_dump(mode="json", exclude={"etag", "last_seen"})
    return etag_of(agent.version, canonical(body))


_TASKS = _Kind("tasks", Task, "id", lambda task: sealed(task).etag)
_LOCKS = _Kind[FiledLease]("locks", FiledLease, "lock_id", None)
_AGENTS = _Kind("agents", Agent, "name", _agent_tag)


def read_state_files(directory: Path) -> StateFiles:
    """The checked state files of `<directory>/state`.

    Raises:
        StateFileBroken: names the file, and the line or entry that is wrong.
    """
    tasks = _read(directory, _TASKS)
    check_tasks(str(path_of(directory, "tasks")), tasks)
    return StateFiles(directory, tasks, _read(directory, _LOCKS), _read(directory, _AGENTS))


def state_file_text(kind: str, version: int, seq: int, entries: list[tuple[str, str, Any]]) -> str:
    """The canonical text of a state file, from the `(id, etag, public JSON)` of its entries."""
    ordered = sorted(entries, key=lambda entry: entry[0])
    return canonical(
        {
            "kind": kind,
            "version": version,
            "etag": kind_etag(version, [(ident, tag) for ident, tag, _ in ordered]),
            "seq": seq,
            "data": [public for _, _, public in ordered],
        }
    )


def path_of(directory: Path, kind: str) -> Path:
    """Where the state file of a kind stands."""
    return directory / "state" / f"{kind}.json"


def read_envelope(path: Path, kind: str) -> Envelope | None:
    """The state file of a kind, its entries unread; None when there is no file.

    Raises:
        StateFileBroken: it is torn, of another kind, or of another version.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise StateFileBroken(str(path), "is not UTF-8") from None
    except OSError as error:
        raise StateFileBroken(str(path), f"cannot be read ({error.strerror})") from None
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise StateFileBroken(f"{path} line {line}", "is torn: no complete JSON") from None
    return envelope_of(str(path), kind, value)


def _read(directory: Path, kind: _Kind[E]) -> tuple[E, ...]:
    path = path_of(directory, kind.name)
    envelope = read_envelope(path, kind.name)
    return () if envelope is None else _checked(str(path), kind, envelope)


def _checked(path: str, kind: _Kind[E], envelope: Envelope) -> tuple[E, ...]:
    entries = tuple(_entries(path, kind, envelope.data))
    if kind.tag is not None:
        members = [(getattr(entry, kind.ident), kind.tag(entry)) for entry in entries]
        if envelope.etag != kind_etag(envelope.version, members):
            raise StateFileBroken(f"{path}: etag", "is not that of version and data")
    return entries


def tasks_of(path: str, envelope: Envelope) -> tuple[Task, ...]:
    """The checked entries of a file of tasks."""
    return _checked(path, _TASKS, envelope)


def leases_of(path: str, envelope: Envelope) -> tuple[FiledLease, ...]:
    """The checked entries of a file of leases."""
    return _checked(path, _LOCKS, envelope)


def agents_of(path: str, envelope: Envelope) -> tuple[Agent, ...]:
    """The checked entries of a file of agents."""
    return _checked(path, _AGENTS, envelope)


def envelope_of(path: str, kind: str, value: Any) -> Envelope:
    """The state file that a JSON value is.

    Raises:
        StateFileBroken: it is of another kind, or of another version.
    """
    try:
        envelope = Envelope.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        rule = f"is not of a version that this one reads ({first['msg']})"
        raise StateFileBroken(f"{path}: {where}", rule) from None
    if envelope.kind != kind:
        raise StateFileBroken(f"{path}: kind", f"must be {kind}")
    return envelope


def _entries(path: str, kind: _Kind[E], rows: list[Any]) -> Iterator[E]:
    last = ""
    for number, row in enumerate(rows):
        named = row.get(kind.ident) if isinstance(row, dict) else None
        where = f"{path} entry {number}" + (f" ({named})" if isinstance(named, str) else "")
        entry = _entry(where, kind, row)
        ident = getattr(entry, kind.ident)
        if number and ident <= last:
            rule = "comes twice" if ident == last else f"is out of order: it stands after {last}"
            raise StateFileBroken(where, rule)
        last = ident
        if kind.tag is not None and getattr(entry, "etag", "") != kind.tag(entry):
            raise StateFileBroken(f"{where} etag", "is not that of the entry's fields")
        yield entry


def _entry(where: str, kind: _Kind[E], row: Any) -> E:
    if isinstance(row, dict) and (unknown := row.keys() - kind.model.model_fields.keys()):
        raise StateFileBroken(f"{where} {min(unknown)}", "is a field that this version lacks")
    try:
        return kind.model.model_validate(row)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise StateFileBroken(f"{where} {field}".rstrip(), first["msg"]) from None


def check_tasks(path: str, tasks: tuple[Task, ...]) -> None:
    """Pass when every task keeps the rules of a draft and none waits for itself.

    Raises:
        StateFileBroken: names the entry.
    """
    for number, task in enumerate(tasks):
        try:
            draft_of(task)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            where = f"{path} entry {number} ({task.id}) {field}"
            raise StateFileBroken(where, first["msg"]) from None
    if cycle := _cycle({task.id: task.depends_on for task in tasks}):
        raise StateFileBroken(f"{path}: depends_on", f"is a circle: {' → '.join(cycle)}")


def draft_of(task: Task) -> TaskDraft:
    """The draft that would make this task anew.

    Raises:
        ValidationError: a field breaks the rules of a draft.
    """
    return TaskDraft.model_validate(
        task.model_dump(mode="json", include=set(TaskDraft.model_fields))
    )


def in_order_of_dependence(tasks: tuple[Task, ...]) -> list[Task]:
    """The tasks in their own order, but each after those of them that it depends on."""
    by_id = {task.id: task for task in tasks}
    ordered: dict[str, Task] = {}
    for task in tasks:
        waiting = [task]
        while waiting:
            needs = [one for one in waiting[-1].depends_on if one in by_id and one not in ordered]
            if needs:
                waiting.append(by_id[needs[0]])
            else:
                done = waiting.pop()
                ordered[done.id] = done
    return list(ordered.values())


def _cycle(edges: dict[str, list[str]]) -> list[str]:
    """The ids along one circle of dependencies, or none."""
    left = dict(edges)
    while left:
        free = [one for one, needs in left.items() if not left.keys() & set(needs)]
        if not free:
            break
        for one in free:
            del left[one]
    if not left:
        return []
    walk = [next(iter(left))]
    while walk[-1] not in walk[:-1]:
        walk.append(next(need for need in left[walk[-1]] if need in left))
    return walk[walk.index(walk[-1]) :]
