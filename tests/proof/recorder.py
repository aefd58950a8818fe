"""A client that records what it called and when: `python -m tests.proof.recorder '<plan>'`.

It runs as a process of its own. When its server dies it asks the next one with the same key, so
that every call has an outcome; its interval then spans both.
"""

import json
import random
import sys
import time
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx2

from tests.proof.linearizability import Call

PROBLEMS = {"lease_held": "held", "lease_lost": "lost", "write_fenced": "fenced"}


@dataclass
class Plan:
    """Who calls whom, how often, and where the record goes."""

    agent: str
    urls: list[str]
    token: str
    tasks: list[str]
    calls: int
    seed: int
    record: str
    is_operator: bool = False


@dataclass
class Recorder:
    """Calls at random and writes down each outcome as the model knows it."""

    plan: Plan
    random: random.Random
    client: httpx2.Client
    held: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By task, lock id and token of what was granted last, live or not."""
    asked_again: int = 0
    keys: Any = field(default_factory=count)

    def run(self) -> None:
        with Path(self.plan.record).open("w", encoding="utf-8") as record:
            for _ in range(self.plan.calls):
                task = self.random.choice(self.plan.tasks)
                call = self._one(task)
                record.write(json.dumps({"task": task, **asdict(call)}) + "\n")

    def _one(self, task: str) -> Call:
        kind = self._kind(task)
        lock_id, token = self.held.get(task, ("", 0))
        argument: Any = token if kind in ("renew", "release") else None
        if kind == "write":
            argument = (token, f"{self.plan.agent}.{next(self.keys)}")
        began = time.monotonic_ns()
        response = self._send(kind, task, lock_id, argument)
        ended = time.monotonic_ns()
        outcome = self._outcome(kind, task, response)
        return Call(f"agent:{self.plan.agent}", kind, began, ended, argument, outcome)

    def _kind(self, task: str) -> str:
        if self.plan.is_operator:
            return self.random.choice(["read", "read", "read", "take_back"])
        if task not in self.held:
            return self.random.choice(["acquire", "acquire", "read"])
        return self.random.choice("acquire renew release write write write read".split())

    def _send(self, kind: str, task: str, lock_id: str, argument: Any) -> httpx2.Response:
        path = f"/collab/tasks/{task}"
        if kind == "acquire":
            return self._ask("POST", "/collab/tasks/claim", {"task_id": task})
        if kind in ("renew", "release"):
            verb = "heartbeat" if kind == "renew" else "release"
            return self._ask("POST", f"/collab/leases/{lock_id}/{verb}", {})
        if kind == "write":
            body = {"fencing_token": argument[0], "description": argument[1]}
            return self._ask("PATCH", path, body, {"if-match": "*"})
        if kind == "take_back":
            return self._ask("POST", f"{path}/transition", {"to": "queued"})
        return self._ask("GET", path, None)

    def _ask(
        self, method: str, path: str, body: Any, more: dict[str, str] | None = None
    ) -> httpx2.Response:
        headers = {"idempotency-key": f"k{next(self.keys)}", **(more or {})}
        for url in list(self.plan.urls):
            try:
                return self.client.request(
                    method, url + path, json=body, headers=headers if body is not None else None
                )
            except httpx2.TransportError:
                self.asked_again += 1
                self.plan.urls.remove(url)
        raise SystemExit("no server is left")

    def _outcome(self, kind: str, task: str, response: httpx2.Response) -> Any:
        answer = response.json()
        if response.status_code >= 400:
            if kind == "take_back" and answer["code"] == "guard_failed":
                return "idle"
            assert answer["code"] in PROBLEMS, response.text
            return PROBLEMS[answer["code"]], answer.get("holder")
        if kind == "acquire":
            own = next(one for one in answer["leases"] if one["resource"] == f"task:{task}")
            self.held[task] = own["lock_id"], own["fencing_token"]
            return "granted", own["fencing_token"]
        if kind == "read":
            return answer["description"], answer["assignee"]
        return "ok"


def main(plan: Plan) -> None:
    """Make the calls of the plan."""
    headers = {"authorization": f"Bearer {plan.token}", "x-kyros-agent": plan.agent}
    with httpx2.Client(headers=headers, timeout=30) as client:
        Recorder(plan, random.Random(plan.seed), client).run()


if __name__ == "__main__":
    main(Plan(**json.loads(sys.argv[1])))
