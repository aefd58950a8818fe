"""The log read back by independent code: chained, folded, and held against the tables.

Nothing of the product is imported: rows are read with the drivers, canonical JSON comes from
`rfc8785`, and the rules are those of the documents.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import rfc8785
from pysqlite3 import dbapi2 as sqlite

GENESIS = "0" * 64
WORKSPACE = "default"
ENDED = {"lease_released", "lease_reclaimed"}
LEASED = {"claimed", "in_progress"}
Row = tuple[Any, ...]


class Tables:
    """The store's rows, read by a connection of our own that can change nothing."""

    def __init__(self, raw: Any, mark: str) -> None:
        self._raw = raw
        self._mark = mark

    def rows(self, sql: str, *values: Any) -> list[Row]:
        """All rows; `?` stands for a value on both engines."""
        found: list[Row] = self._raw.execute(sql.replace("?", self._mark), values).fetchall()
        return found

    def events(self, after: int) -> list[Row]:
        """`(seq, hash, body)` of every event after a seq, in order."""
        return self.rows(
            "SELECT seq, hash, body FROM events WHERE workspace = ? AND seq > ? ORDER BY seq",
            WORKSPACE,
            after,
        )


@contextmanager
def tables(data_dir: Path, database_url: str = "") -> Iterator[Tables]:
    """One snapshot of the store; on SQLite it leaves the WAL as the crash left it."""
    if database_url:
        url = database_url.replace("postgresql+psycopg://", "postgresql://", 1)
        with psycopg.connect(url) as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield Tables(connection, "%s")
        return
    raw = sqlite.connect(f"file:{data_dir / 'kyros.db'}?mode=ro", uri=True, isolation_level=None)
    try:
        raw.execute("BEGIN")
        yield Tables(raw, "?")
    finally:
        raw.close()


@dataclass
class Ledger:
    """What the log says up to `seq`. Every event is checked as it is taken."""

    seq: int = 0
    hash: str = GENESIS
    highest_token: int = 0
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    leases: dict[str, dict[str, Any]] = field(default_factory=dict)
    effects: Counter[str] = field(default_factory=Counter)
    claims: Counter[str] = field(default_factory=Counter)
    unchecked: set[str] = field(default_factory=set)
    """Tasks that changed since their tags were last held against their fields."""

    def follow(self, store: Tables) -> None:
        """Everything that the log holds has been taken, and the tables say the same."""
        for row in store.events(self.seq):
            self.take(*row)
        self.agrees_with(store)

    def take(self, seq: int, hash_: str, body: str) -> None:
        """The next event is chained to the last one and does what the rules allow."""
        event = json.loads(body)
        assert seq == event["seq"] == self.seq + 1, f"a gap: {self.seq} is followed by {seq}"
        assert rfc8785.dumps(event).decode() == body, f"{seq} is not canonical"
        assert event["prev_hash"] == self.hash, f"{seq} is not chained to {self.seq}"
        assert hashlib.sha256((self.hash + body).encode()).hexdigest() == hash_, seq
        self.seq, self.hash = seq, hash_
        name, details = event["event"], event["details"]
        if name == "lease_acquired":
            self._acquired(seq, event["actor"], details)
        elif name in ENDED:
            lease = self.leases.pop(details["lock_id"], None)
            assert lease is not None, f"{seq} ends a lease that is not held"
        elif name == "task_created":
            task_id = details["task"]["id"]
            assert task_id not in self.tasks, f"{seq} creates {task_id} again"
            self.unchecked.add(task_id)
            self.tasks[task_id] = {
                **details["task"],
                "version": details["version"],
                "etag": details["etag"],
            }
        elif name.startswith("task_") and "changes" in details:
            self._changed(seq, event)
        self.effects.update(effects_of(event))

    def _acquired(self, seq: int, actor: str, details: dict[str, Any]) -> None:
        live = [one for one in self.leases.values() if one["resource"] == details["resource"]]
        assert not live, f"{seq} grants {details['resource']}, which {live} holds"
        assert details["fencing_token"] == seq > self.highest_token
        assert details["holder"] == actor
        self.highest_token = seq
        self.leases[details["lock_id"]] = details

    def _changed(self, seq: int, event: dict[str, Any]) -> None:
        task_id, details = event["target"].removeprefix("task:"), event["details"]
        task = self.tasks[task_id]
        self.unchecked.add(task_id)
        assert details["version"] == task["version"] + 1, f"{seq} skips a version of {task_id}"
        for name, change in details["changes"].items():
            assert task[name] == change["before"], f"{seq} changes a {name} that {task_id} has not"
            task[name] = change["after"]
        task.update(version=details["version"], etag=details["etag"], updated_at=event["ts"])
        if event["event"] == "task_claimed":
            lease = self.leases[details["lock_id"]]
            assert (lease["resource"], lease["holder"]) == (event["target"], event["actor"])
            self.claims[task_id] += 1

    def agrees_with(self, store: Tables) -> None:
        """The tables hold what the log tells, no more and no less."""
        stored = {
            row[0]: json.loads(row[1])
            for row in store.rows("SELECT id, document FROM tasks WHERE workspace = ?", WORKSPACE)
        }
        assert stored == self.tasks
        held = {
            row[0]: row[1:]
            for row in store.rows(
                "SELECT lock_id, resource, holder, fencing_token, task_id FROM leases "
                "WHERE workspace = ? AND ended IS NULL",
                WORKSPACE,
            )
        }
        assert held == {
            lock_id: (one["resource"], one["holder"], one["fencing_token"], one.get("task_id"))
            for lock_id, one in self.leases.items()
        }
        for task in self.tasks.values():
            self._leased_as_it_says(task)
        for task_id in self.unchecked:
            self._tagged_as_it_is(self.tasks[task_id])
        self.unchecked.clear()

    def _leased_as_it_says(self, task: dict[str, Any]) -> None:
        lock_id = task["lock_id"]
        if task["status"] == "claimed":
            assert lock_id is not None
        if lock_id is not None and task["status"] in LEASED:
            lease = self.leases[lock_id]
            assert lease["resource"] == f"task:{task['id']}"
            assert lease["holder"] == task["assignee"]

    def _tagged_as_it_is(self, task: dict[str, Any]) -> None:
        public = {name: value for name, value in task.items() if name not in ("etag", "version")}
        both = (public, {**public, "version": task["version"]})
        digests = {hashlib.sha256(rfc8785.dumps(one)).hexdigest()[:32] for one in both}
        version, _, digest = task["etag"].strip('"').partition("-")
        assert int(version) == task["version"]
        assert digest in digests, f"the etag of {task['id']} is not that of its fields"


def effects_of(event: dict[str, Any]) -> list[str]:
    """What a call of a crash test's writer would have left in the log, by its mark."""
    name, details, target = event["event"], event["details"], event["target"]
    if name == "note":
        return [f"noted {details.get('text')}"]
    if name == "task_created":
        return [f"created {details['task']['title']}"]
    if name == "task_claimed":
        return [f"claimed {target}"]
    if name == "task_transitioned":
        return [f"moved {details.get('reason')}"]
    if name == "task_updated" and "description" in details["changes"]:
        return [f"described {details['changes']['description']['after']}"]
    if name == "lease_acquired":
        return [f"acquired {details['resource']}"]
    if name == "lease_released":
        return [f"released {details['lock_id']}"]
    return []
