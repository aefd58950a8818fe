"""Writers that note what they were told, each in its own file, before they believe it."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx2

Answer = dict[str, Any]
REPLAYED = "idempotent-replayed"


class Refused(AssertionError):
    """A call of a crash test is never refused; this one was."""


@dataclass(frozen=True)
class Attempt:
    """One mutating call: what it asks, and the effect that its success leaves in the log."""

    key: str
    method: str
    path: str
    body: dict[str, Any]
    effect: str = ""
    if_match: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        named = {"idempotency-key": self.key}
        return named if self.if_match is None else {**named, "if-match": self.if_match}

    async def send(self, client: httpx2.AsyncClient) -> tuple[Answer, bool]:
        """The answer, and whether it was a replay.

        Raises:
            httpx2.TransportError: nobody knows whether it took effect.
            Refused: the server said no.
        """
        response = await client.request(
            self.method, self.path, json=self.body, headers=self.headers
        )
        if response.status_code >= 300:
            raise Refused(f"{self.method} {self.path}: {response.text}")
        answer: Answer = response.json()
        return answer, response.headers.get(REPLAYED) == "true"


@dataclass
class Told:
    """A writer's calls by key, and the answers that it was given."""

    attempts: dict[str, Attempt] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)

    @property
    def unknown(self) -> list[Attempt]:
        """The calls whose outcome nobody told."""
        return [one for key, one in self.attempts.items() if key not in self.answers]


class Journal:
    """A file of what one writer sent and what it was told, a line each, in order."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1, encoding="utf-8")
        self._written = path.open(encoding="utf-8")
        self._told = Told()

    def sent(self, attempt: Attempt) -> None:
        self._file.write(json.dumps({"sent": asdict(attempt)}) + "\n")

    def acknowledged(self, attempt: Attempt, answer: Answer) -> None:
        self._file.write(json.dumps({"acknowledged": attempt.key, "answer": answer}) + "\n")

    def close(self) -> None:
        self._file.close()
        self._written.close()

    def read(self) -> Told:
        """What the file says; only what is new in it is read again."""
        for line in self._written:
            entry = json.loads(line)
            if "sent" in entry:
                attempt = Attempt(**entry["sent"])
                self._told.attempts[attempt.key] = attempt
            else:
                self._told.answers[entry["acknowledged"]] = entry["answer"]
        return self._told


Acknowledge = Callable[[], None]


class Writer:
    """Works through its turns; what a crash cut off it takes up again with the same key."""

    def __init__(self, name: str, directory: Path, acknowledged: Acknowledge) -> None:
        self.name = name
        self.journal = Journal(directory / f"{name}.jsonl")
        self.open: Attempt | None = None
        """The call whose outcome is unknown."""
        self._acknowledged = acknowledged
        self._turns = self._script()
        self._next: Attempt = next(self._turns)

    async def run(self, client: httpx2.AsyncClient) -> None:
        """Write until the server is gone."""
        while True:
            attempt, self.open = self._next, self._next
            self.journal.sent(attempt)
            try:
                answer, replayed = await attempt.send(client)
            except httpx2.TransportError:
                return
            assert not replayed, f"{attempt.key} was never sent before"
            self.settle(answer)

    def settle(self, answer: Answer) -> None:
        """The open call was answered; the next one is due."""
        assert self.open is not None
        self.journal.acknowledged(self.open, answer)
        self.open = None
        self._next = self._turns.send(answer)
        self._acknowledged()

    def _script(self) -> Any:
        turn = 0
        while True:
            turn += 1
            yield from self._turn(f"{self.name}.{turn}")

    def _turn(self, mark: str) -> Any:
        """A note, a lease, and a task from its creation to its review; yields attempts."""
        yield Attempt(
            f"{mark}.note", "POST", "/collab/events", {"event": "note", "text": mark},
            f"noted {mark}",
        )  # fmt: skip
        held = yield Attempt(
            f"{mark}.acquire", "POST", "/collab/leases/acquire", {"resource": f"res:{mark}"},
            f"acquired res:{mark}",
        )  # fmt: skip
        lease = f"/collab/leases/{held['lock_id']}"
        yield Attempt(f"{mark}.beat", "POST", f"{lease}/heartbeat", {})
        yield from self._task(mark)
        yield Attempt(
            f"{mark}.release", "POST", f"{lease}/release", {}, f"released {held['lock_id']}"
        )

    def _task(self, mark: str) -> Any:
        draft = {"title": mark, "definition_of_done": ["one"], "resources": [f"path:{mark}/**"]}
        made = yield Attempt(f"{mark}.create", "POST", "/collab/tasks", draft, f"created {mark}")
        task = f"/collab/tasks/{made['id']}"
        claim = yield Attempt(
            f"{mark}.claim", "POST", "/collab/tasks/claim", {"task_id": made["id"]},
            f"claimed task:{made['id']}",
        )  # fmt: skip
        own = next(one for one in claim["leases"] if one["resource"] == f"task:{made['id']}")
        token = {"fencing_token": own["fencing_token"]}
        moved = yield Attempt(
            f"{mark}.start", "POST", f"{task}/transition",
            {"to": "in_progress", "reason": f"{mark}.start", **token}, f"moved {mark}.start",
        )  # fmt: skip
        yield Attempt(
            f"{mark}.patch", "PATCH", task, {"description": mark, **token},
            f"described {mark}", moved["etag"],
        )  # fmt: skip
        yield Attempt(
            f"{mark}.finish", "POST", f"{task}/transition",
            {"to": "review", "reason": f"{mark}.finish", **token}, f"moved {mark}.finish",
        )  # fmt: skip
