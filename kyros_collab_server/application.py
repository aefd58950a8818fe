"""The one door: every face calls `Kyros.perform`, and nothing else changes the store."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel

from kyros_collab_server.admission import SYSTEM, Admission
from kyros_collab_server.features.events import checkpoints
from kyros_collab_server.features.identity import service as identity
from kyros_collab_server.features.leases import upkeep
from kyros_collab_server.kernel.errors import (
    InProgress,
    Kind,
    KyrosError,
    StoreConflict,
)
from kyros_collab_server.kernel.operation import Operation, Waiting
from kyros_collab_server.kernel.principal import Principal, Scope
from kyros_collab_server.ports import Check, Feed, Health, Store
from kyros_collab_server.units import (
    REPLAYED_MS,
    Answer,
    Unit,
    liveness,
    progress,
    reading,
    writing,
)

log = logging.getLogger(__name__)
C = TypeVar("C", bound=BaseModel)
R = TypeVar("R")
T = TypeVar("T")

TOUCHED_SECONDS = 1.0
"""An agent's liveness is looked after by at most one call in this time, per process."""
READS_WAIT_SECONDS = 0.25
"""How long a read waits for its caller's liveness to be written, once a second at most."""
CONFLICT_RETRIES = 3
LOOK_AGAIN_SECONDS = 5.0
"""A waiting call looks again at least this often: some work gets ready by time alone."""


class Kyros:
    """The application. Not responsible for wires: faces translate, this decides."""

    def __init__(
        self, store: Store, feed: Feed, *, version: str, checks: Callable[[], Any]
    ) -> None:
        self._store = store
        self.feed = feed
        self.version = version
        self._checks = checks
        self._touched: dict[tuple[str, str, str, bool], float] = {}
        self._admission = Admission(store.read, store.write)
        self._kind_etags: dict[tuple[str, str], tuple[int, str]] = {}
        self._in_flight: set[tuple[str, ...]] = set()
        self._background: set[asyncio.Task[None]] = set()

    @property
    def epoch(self) -> str:
        """Names this life of the log; a cursor of another epoch means nothing here."""
        return self._store.epoch

    async def perform(
        self, op: Operation[C, R], command: C, *, actor: Principal, key: str | None = None
    ) -> R:
        """The operation's answer; see `answer`."""
        return (await self.answer(op, command, actor=actor, key=key)).value

    async def answer(
        self, op: Operation[C, R], command: C, *, actor: Principal, key: str | None = None
    ) -> Answer[R]:
        """Authorise, look for a stored answer, run, commit, and wait when the command asks to.

        Raises:
            KyrosError: the refusal; nothing changed, but for the event that it may leave.
        """
        actor.require(op.scopes)
        wait = float(getattr(command, "wait_seconds", 0) or 0)
        if op.waiting is None or wait <= 0:
            return await self._once(op, command, actor, key)
        flight = (actor.workspace, actor.id, actor.actor, op.name, key or "")
        if key is not None:
            if flight in self._in_flight:
                raise InProgress
            self._in_flight.add(flight)
        try:
            return await self._until(op, op.waiting, command, actor, key, wait)
        finally:
            self._in_flight.discard(flight)

    async def _until(
        self,
        op: Operation[C, R],
        waiting: Waiting,
        command: C,
        actor: Principal,
        key: str | None,
        wait: float,
    ) -> Answer[R]:
        """The first answer that is not pending; at the deadline whatever there is then."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        try:
            while True:
                seen = self.feed.head(actor.workspace)
                answer = await self._once(op, command, actor, key)
                if not waiting.pending(answer.value):
                    return answer
                command = waiting.go_on(command, answer.value)
                await self._worth_trying(waiting, command, actor, seen, deadline)
                if loop.time() >= deadline:
                    if waiting.at_deadline is not None:
                        command = waiting.at_deadline(command)
                    return await self._once(op, command, actor, key)
        except asyncio.CancelledError:
            if waiting.leave is not None:
                leave, left = waiting.leave, command
                self._in_background(self._store.write(actor, lambda work: leave(work, left)))
            raise

    async def _worth_trying(
        self, waiting: Waiting, command: C, actor: Principal, seen: int, deadline: float
    ) -> None:
        """Return when another try may do better, when liveness is due, or at the deadline."""

        def useless(work: Any) -> bool:
            return waiting.blocked is not None and waiting.blocked(work, command)

        loop = asyncio.get_running_loop()
        look_again = min(deadline, loop.time() + LOOK_AGAIN_SECONDS)
        while (left := look_again - loop.time()) > 0:
            head = await self.feed.after(actor.workspace, seen, left)
            if head <= seen:
                return
            seen = head
            if waiting.blocked is None or not await self._store.read(actor, useless):
                return

    def _in_background(self, work: Awaitable[Any]) -> None:
        """Finish the work of a caller who has left; a refusal interests nobody any more."""

        async def finish() -> None:
            try:
                await work
            except KyrosError as refusal:
                log.info("abandoned_call_refused", extra={"code": refusal.code})

        task = asyncio.create_task(finish())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _once(
        self, op: Operation[C, R], command: C, actor: Principal, key: str | None
    ) -> Answer[R]:
        touch = self._touch(actor, op)
        if op.read:
            if touch is not None:
                await self._touched_by_read(actor, op, touch)
            read: Answer[R] = await self._store.read(actor, reading(op, command))
            return read
        unit = writing(op, command, key)
        units = (unit,) if touch is None else (touch, unit)
        answer = await self._retried(op, actor, key, units)
        if touch is not None:
            self._note_touch(actor, op)
        if op is identity.revoke_key:
            self._admission.forget()
        return answer

    async def _touched_by_read(
        self, actor: Principal, op: Operation[Any, Any], touch: Unit
    ) -> None:
        """The caller is known and lives; a store that does not take writes stops no read."""
        writing = asyncio.ensure_future(self._store.write(actor, touch))
        writing.add_done_callback(_look_at)
        done, _ = await asyncio.wait({writing}, timeout=READS_WAIT_SECONDS)
        if not done:
            return
        try:
            writing.result()
        except KyrosError as refusal:
            if refusal.kind is not Kind.UNAVAILABLE:
                raise
            return
        self._note_touch(actor, op)

    async def _retried(
        self, op: Operation[C, R], actor: Principal, key: str | None, units: tuple[Unit, ...]
    ) -> Answer[R]:
        """The answer of a write; a store conflict is tried again with full jitter."""
        for tries in range(CONFLICT_RETRIES):
            try:
                return await self._write(op, actor, key, units)
            except StoreConflict:
                await asyncio.sleep(random.uniform(0, 0.01 * 2**tries))  # noqa: S311
        return await self._write(op, actor, key, units)

    async def _write(
        self, op: Operation[C, R], actor: Principal, key: str | None, units: tuple[Unit, ...]
    ) -> Answer[R]:
        """Await the lane; a caller who leaves does not take the write back, the door may."""
        writing = asyncio.ensure_future(self._store.write(actor, *units))
        try:
            answer: Answer[R] = await asyncio.shield(writing)
        except asyncio.CancelledError:
            abandon = op.waiting.abandon if op.waiting else None
            if abandon is not None and key is None:
                self._in_background(self._take_back(writing, actor, abandon))
            else:
                writing.add_done_callback(_look_at)
            raise
        return answer

    async def _take_back(
        self,
        writing: "asyncio.Future[Answer[Any]]",
        actor: Principal,
        abandon: Callable[[Any, Any], None],
    ) -> None:
        answer = await writing
        await self._store.write(actor, lambda work: abandon(work, answer.value))

    def _touch(self, actor: Principal, op: Operation[Any, Any]) -> Unit | None:
        """The unit that registers a calling agent and renews its leases, when one is due."""
        if actor.agent is None:
            return None
        last = self._touched.get((actor.workspace, actor.id, actor.agent, op.renews_only))
        if last is not None and asyncio.get_running_loop().time() - last < TOUCHED_SECONDS:
            return None
        return liveness if op.renews_only else progress

    def _note_touch(self, actor: Principal, op: Operation[Any, Any]) -> None:
        if actor.agent is not None:
            who = (actor.workspace, actor.id, actor.agent, op.renews_only)
            self._touched[who] = asyncio.get_running_loop().time()
            if len(self._touched) > 10_000:
                self._touched.clear()

    async def caller(self, token: str, *, face: str, **named: Any) -> Principal:
        """The principal that a token stands for; see `Admission.caller`."""
        return await self._admission.caller(token, face=face, **named)

    def local_caller(self, *, agent: str, **named: Any) -> Principal:
        """The local store's own trust; see `Admission.local_caller`."""
        return self._admission.local_caller(agent=agent, **named)

    async def kind_etag(self, kind: str, *, actor: Principal) -> str:
        """The strong tag of all `tasks`, `locks` or `agents` of the caller's workspace."""
        actor.require(frozenset({Scope.TASKS_READ}))
        stamp = self._store.stamp()
        known = self._kind_etags.get((actor.workspace, kind))
        if stamp is not None and known is not None and known[0] == stamp:
            return known[1]
        etag: str = await self._store.read(actor, lambda work: work.kind_etag(kind))
        if stamp is not None:
            self._kind_etags[actor.workspace, kind] = (stamp, etag)
        return etag

    async def health(self) -> Health:
        """How the store and the disk are at this moment."""
        checks: list[Check] = await self._checks()
        return Health(ok=all(check.ok or check.optional for check in checks), checks=checks)

    async def prune(self) -> None:
        """Stored answers past their time are gone."""
        await self._store.write(SYSTEM, lambda work: work.replays.prune(REPLAYED_MS))

    async def sweep(self) -> None:
        """In every workspace stale leases are reclaimed, statuses right, and the log is signed."""
        for workspace in await self._admission.workspaces():
            system = replace(SYSTEM, workspace=workspace, face="duty")
            due: bool = await self._store.read(system, upkeep.sweep_is_due)
            while due:
                due = await self._store.write(system, upkeep.sweep)
            due = await self._store.read(system, checkpoints.is_due)
            while due:
                due = await self._store.write(system, checkpoints.sign)


def _look_at(writing: "asyncio.Future[Any]") -> None:
    """Take note of the outcome, so that a refusal nobody awaits is not reported as lost."""
    if not writing.cancelled():
        writing.exception()
