"""Random walks over the board: whatever agents do, log, tables and leases agree."""

import json
from random import Random
from typing import Any

import pytest

from kyros_collab_server.features.tasks import service as tasks
from kyros_collab_server.features.tasks.model import ListAllTasks, TaskStatus
from kyros_collab_server.kernel.errors import KyrosError
from tests.callers import Caller, admin_of, agent_of, later
from tests.conftest import Board
from tests.store.tables import chained, rows

pytestmark = pytest.mark.anyio
STEPS = 240
IDS = [f"T-{number}" for number in range(1, 9)]
COLUMNS = [status.value for status in TaskStatus]
LEASED = ("claimed", "in_progress")
EXPECTED = {
    "guard_failed", "lease_held", "lease_lost", "write_fenced", "dependency_cycle", "not_found",
    "already_exists", "use_claim", "insufficient_scope", "etag_mismatch", "invalid_field",
}  # fmt: skip


class Walker:
    """Agents that do at random what agents do, some of it illegal."""

    def __init__(self, board: Board, callers: list[Caller], seed: int) -> None:
        self._board = board
        self._callers = callers
        self._random = Random(seed)
        self._tokens: dict[str, tuple[Caller, int]] = {}
        self._locks: list[str] = []
        self._moves: list[int] = []

    async def step(self) -> None:
        rare = [self._create, self._update, self._release, self._wait, self._undo]
        act = self._random.choice([*rare, *[self._claim] * 3, *[self._move] * 8])
        try:
            await act(self._random.choice(self._callers))
        except KyrosError as refusal:
            if refusal.code not in EXPECTED:
                raise

    def _some(self, count: int) -> list[str]:
        return self._random.sample(IDS, self._random.randrange(count))

    async def _create(self, who: Caller) -> None:
        resources = self._random.choice([[], ["r"], ["path:src/**"], ["path:src/a", "r"]])
        await who.create(self._random.choice(IDS), depends_on=self._some(3), resources=resources)

    async def _claim(self, who: Caller) -> None:
        task_id = self._random.choice([None, None, *IDS])
        claim = await who.claim(task_id, ttl_seconds=self._random.choice([5, 20, 60, 600]))
        for lease in claim.leases or []:
            self._locks.append(lease.lock_id)
            if lease.resource.startswith("task:"):
                self._tokens[lease.resource] = who, lease.fencing_token

    def _holder(self, task_id: str, who: Caller) -> tuple[Caller, int | None]:
        """Mostly the last holder with its token, else anybody with any."""
        holder, token = self._tokens.get(f"task:{task_id}", (who, None))
        if self._random.random() < 0.7:
            return holder, token
        return who, self._random.choice([token, None])

    async def _move(self, who: Caller) -> None:
        task_id = self._random.choice(IDS)
        status = (await who.task(task_id)).status.value
        to = COLUMNS[min(COLUMNS.index(status) + 1, 6)]
        if self._random.random() < 0.15:
            to = self._random.choice(COLUMNS)
        token = None
        if status in LEASED:
            who, token = self._holder(task_id, who)
        self._moves.append((await who.move(task_id, to, token)).seq)

    async def _update(self, who: Caller) -> None:
        task = await who.task(self._random.choice(IDS))
        who, token = self._holder(task.id, who)
        fields: dict[str, Any] = self._random.choice(
            [
                {"depends_on": self._some(3)},
                {"labels": self._some(3)},
                {"handoff": "x"},
                {"priority": "P0"},
                {"needs_attention": False},
            ]
        )
        await who.update(task, token=token if task.lock_id else None, **fields)

    async def _release(self, who: Caller) -> None:
        if self._locks:
            await who.release(self._random.choice(self._locks))

    async def _undo(self, who: Caller) -> None:
        if self._moves:
            await who.move(
                self._random.choice(IDS),
                self._random.choice(COLUMNS),
                undo_of=self._moves[-1],
            )

    async def _wait(self, who: Caller) -> None:
        later(self._board, self._random.choice([1, 1, 4, 5.001, 21, 700]))
        if self._random.random() < 0.6:
            await self._board.kyros.sweep()
        else:
            await who.reclaim()


def folded(lines: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The tasks as the log tells them."""
    found: dict[str, dict[str, Any]] = {}
    for line in lines:
        details, target = line["details"], str(line["target"]).removeprefix("task:")
        if line["event"] == "task_created":
            found[target] = {
                **details["task"], "version": details["version"], "etag": details["etag"],
            }  # fmt: skip
        elif line["event"].startswith("task_") and "changes" in details:
            task = found[target]
            assert details["version"] == task["version"] + 1
            for name, both in details["changes"].items():
                assert task[name] == both["before"]
                task[name] = both["after"]
            task |= {
                "version": details["version"], "etag": details["etag"], "updated_at": line["ts"],
            }  # fmt: skip
    return found


def check_counts(board: Board) -> None:
    """Columns that only the indexes know agree with what they count."""
    settings = board.opened.settings
    stored = rows(
        settings, "SELECT document, status, open_dependencies, ready_t, returned_t FROM tasks"
    )
    shown = {task["id"]: task for task in (json.loads(row[0]) for row in stored)}
    held = rows(settings, "SELECT lock_id, resource, expires_t FROM leases WHERE ended IS NULL")
    locks = {lock_id: resource for lock_id, resource, _ in held}
    names = [resource for _, resource, _ in held]
    assert len(names) == len(set(names)), "two leases on one resource"
    for document, status, open_dependencies, ready_t, returned_t in stored:
        task = json.loads(document)
        still_open = [one for one in task["depends_on"] if shown[one]["status"] != "done"]
        assert (status, open_dependencies) == (task["status"], len(still_open)), task["id"]
        ready = status == "queued" and not still_open and not task["needs_attention"]
        assert (ready_t is not None) == ready, task["id"]
        leased = task["lock_id"] is not None
        assert (returned_t is not None) == (status == "in_progress" and not leased)
        assert not leased or locks[task["lock_id"]] == f"task:{task['id']}"
        assert not leased or status in LEASED
        assert status != "claimed" or leased, "claimed by nobody"
    tasks_held = {name.removeprefix("task:") for name in names if name.startswith("task:")}
    assert tasks_held == {one for one, task in shown.items() if task["lock_id"]}


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_after_any_walk_the_board_is_the_fold_of_its_log_and_every_count_is_right(
    board: Board, seed: int
) -> None:
    callers = [
        await agent_of(board, "ana"),
        await agent_of(board, "ben"),
        await admin_of(board, "boss"),
    ]
    await callers[0].create_all(*({"id": task_id} for task_id in IDS[:-2]))
    walker = Walker(board, callers, seed)
    for step in range(STEPS):
        await walker.step()
        if step % 8 == 7:
            check_counts(board)
    check_counts(board)
    lines = chained(board.opened.settings)
    listed = await callers[0].call(tasks.list_all, ListAllTasks())
    assert folded(lines) == {task.id: task.model_dump(mode="json") for task in listed.data}
    ended = [
        line["details"]["lock_id"]
        for line in lines
        if line["event"] in ("lease_released", "lease_reclaimed")
    ]
    assert len(ended) == len(set(ended)), "a lease ends once"
    columns = {str(line["details"].get("changes", {}).get("status")) for line in lines}
    assert len(columns) >= 10, "the walk got about"
