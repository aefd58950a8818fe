"""The texts of the state files, made from a store's snapshot; only what changed is encoded again.

`tasks`, `locks` and `agents` are what everybody sees. `inboxes` holds what each agent has not
acknowledged, and `upkeep` what the store keeps beside the public state: who may call under an
agent's name, since when a task can be claimed, the settings of the workspace. Together with the
log they are enough to make the store anew.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Protocol

from kyros_collab_server.kernel.etag import canonical, kind_etag, sha256_hex

KINDS = ("tasks", "locks", "agents", "inboxes", "upkeep")
TASK = "task:"
CLOCK = "clock"
WORKSPACE = "workspace"


class Line(Protocol):
    """An event of the log as it was chained."""

    @property
    def seq(self) -> int: ...
    @property
    def event(self) -> str: ...
    @property
    def target(self) -> str | None: ...
    @property
    def hash(self) -> str: ...
    @property
    def body(self) -> str: ...


class Entry(Protocol):
    """One entity of the state."""

    @property
    def id(self) -> str: ...
    @property
    def tag(self) -> str: ...
    @property
    def public(self) -> dict[str, Any]: ...
    @property
    def kept(self) -> dict[str, Any]: ...


class View(Protocol):
    """A workspace in one snapshot of its store."""

    @property
    def now_t(self) -> int: ...
    @property
    def epoch(self) -> str: ...
    def head(self) -> tuple[int, str]: ...
    def hash_at(self, seq: int) -> str | None: ...
    def lines(self, after: int, limit: int) -> Sequence[Line]: ...
    def log_entries(self, after: int) -> list[tuple[int, str, str, str]]: ...
    def versions(self) -> dict[str, int]: ...
    def tasks(self, ids: Collection[str] | None = None) -> Iterable[Entry]: ...
    def leases(self) -> Iterable[Entry]: ...
    def untold(self) -> list[str]: ...
    def agents(self) -> Iterable[Entry]: ...
    def marks(self) -> dict[str, int]: ...
    def messages(self, recipient: str, after: int) -> list[tuple[int, dict[str, Any]]]: ...
    def workspace(self) -> dict[str, Any]: ...
    def checkpoints(self, after: int) -> list[dict[str, Any]]: ...
    def keys(self) -> list[dict[str, Any]]: ...


class StateText:
    """One state file: the canonical bytes of its entries, and what stands around them."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.version = 0
        self.seq = 0
        self.changed = True
        self._entries: dict[str, tuple[str, bytes]] = {}

    def put(self, ident: str, public: dict[str, Any], tag: str | None = None) -> None:
        """The entry is in the file as it is now."""
        known = self._entries.get(ident)
        if known is not None and known[0] == tag and self.kind == "tasks":
            return  # the tag of a task covers all of it
        text = canonical(public)
        entry = (sha256_hex(text)[:32] if tag is None else tag, text.encode())
        if entry != known:
            self._entries[ident] = entry
            self.changed = True

    def keep_only(self, idents: Iterable[str], prefix: str = "") -> None:
        """Entries of this prefix that are not named are out of the file."""
        wanted = set(idents)
        for ident in [one for one in self._entries if one.startswith(prefix)]:
            if ident not in wanted:
                del self._entries[ident]
                self.changed = True

    def parts(self) -> list[bytes]:
        """The whole file, canonical JSON and a line end."""
        ordered = sorted(self._entries)
        members = [(ident, self._entries[ident][0]) for ident in ordered]
        tail = canonical(
            {
                "etag": kind_etag(self.version, members),
                "kind": self.kind,
                "seq": self.seq,
                "version": self.version,
            }
        )
        entries = b",".join([self._entries[ident][1] for ident in ordered])
        return [b'{"data":[', entries, b"],", tail[1:].encode(), b"\n"]

    def document(self) -> Any:
        """The file as a JSON value."""
        return json.loads(b"".join(self.parts()))


class StateTexts:
    """The five state files of a workspace."""

    def __init__(self) -> None:
        self._all = {kind: StateText(kind) for kind in KINDS}
        self._versions: dict[str, int] | None = None
        self._marks: dict[str, int] = {}
        self._read_through: dict[str, int] = {}
        self._unread: dict[str, dict[int, dict[str, Any]]] = {}

    def __iter__(self) -> Iterator[StateText]:
        return iter(self._all.values())

    def __getitem__(self, kind: str) -> StateText:
        return self._all[kind]

    def refresh(self, view: View, task_ids: set[str], *, new_messages: bool) -> None:
        """The texts are those of this snapshot.

        `task_ids` are the tasks that events since the last snapshot are about; `new_messages` says
        that one of them may have gone into an inbox.
        """
        seq, _ = view.head()
        versions = view.versions()
        known, self._versions = self._versions, versions
        first = known is None
        if first or task_ids:
            self._tasks(view, None if first else task_ids)
        if known is None or versions.get("locks") != known.get("locks"):
            self._leases(view)
        if known is None or versions.get("agents") != known.get("agents"):
            self._agents(view)
        marks = view.marks()
        if first or new_messages or marks != self._marks:
            self._inboxes(view, marks)
        self._all["upkeep"].put(WORKSPACE, {"id": WORKSPACE, "workspace": view.workspace()})
        if self._all["upkeep"].changed:
            self._all["upkeep"].put(CLOCK, {"id": CLOCK, "t": view.now_t})
        for text in self._all.values():
            version = versions.get(text.kind, 0) if text.kind in KINDS[:3] else seq
            if text.changed or (text.kind in KINDS[:3] and version != text.version):
                text.version, text.seq, text.changed = version, seq, True

    def _tasks(self, view: View, ids: set[str] | None) -> None:
        kept = self._all["upkeep"]
        for task in view.tasks(ids):
            self._all["tasks"].put(task.id, task.public, task.tag)
            version = task.public["version"]
            kept.put(
                f"{TASK}{task.id}",
                {**task.kept, "id": f"{TASK}{task.id}", "version": version},
            )

    def _leases(self, view: View) -> None:
        found, untold = list(view.leases()), view.untold()
        for lease in found:
            self._all["locks"].put(lease.id, lease.public, lease.tag)
            ident = f"lease:{lease.id}"
            self._all["upkeep"].put(ident, {**lease.kept, "id": ident})
        for lock_id in untold:
            self._all["upkeep"].put(f"lease:{lock_id}", {"id": f"lease:{lock_id}", "told": False})
        self._all["locks"].keep_only([lease.id for lease in found])
        held = [f"lease:{one}" for one in [*(lease.id for lease in found), *untold]]
        self._all["upkeep"].keep_only(held, "lease:")

    def _agents(self, view: View) -> None:
        for agent in view.agents():
            self._all["agents"].put(agent.id, agent.public, agent.tag)
            ident = f"agent:{agent.id}"
            self._all["upkeep"].put(ident, {**agent.kept, "id": ident})

    def _inboxes(self, view: View, marks: dict[str, int]) -> None:
        self._marks = marks
        for name, through in marks.items():
            unread = self._unread.setdefault(name, {})
            after = max(through, self._read_through.get(name, 0))
            for seq, message in view.messages(name, after):
                unread[seq] = message
                self._read_through[name] = seq
            for seq in [one for one in unread if one <= through]:
                del unread[seq]
            if through or unread:
                public = {"agent": name, "id": name, "messages": list(unread.values())}
                self._all["inboxes"].put(name, {**public, "read_through": through})
