"""The lane: one writer thread that runs waiting operations in batches, one commit for each."""

import asyncio
import contextvars
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kyros_collab_server.kernel.errors import KyrosError, StoreUnavailable, WriterStalled
from kyros_collab_server.kernel.principal import Principal
from kyros_collab_server.store.failpoints import Failpoint
from kyros_collab_server.store.work import Batch, SqlWork
from kyros_collab_server.store.writer import Savepoint, StoreFailure, Writer

log = logging.getLogger(__name__)
WATCH_SECONDS = 0.25


@dataclass(slots=True, eq=False)
class Job:
    """An operation on its way through the lane. Whoever takes it first, answers it."""

    principal: Principal
    units: tuple[Callable[[SqlWork], Any], ...]
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"
    context: contextvars.Context
    queued_at: float
    owner: str = ""
    """Empty while queued; `lane` or `watch` once one of them has taken it on."""
    answer: Any = None
    error: BaseException | None = None


@dataclass
class Committed:
    """What a commit changed: new heads, and frames that are not part of the log."""

    heads: dict[str, int]
    beats: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


class Lane:
    """The only way to write. Not responsible for scopes or replays: the door is."""

    def __init__(
        self,
        writer: Writer,
        *,
        batch_limit: int,
        timeout_seconds: float,
        failpoint: Failpoint,
        committed: Callable[[Committed], None],
    ) -> None:
        self._writer = writer
        self._limit = batch_limit
        self._timeout = timeout_seconds
        self._failpoint = failpoint
        self._committed = committed
        self._queue: deque[Job] = deque()
        self._running: list[Job] = []
        self._mutex = threading.Lock()
        self._bell = threading.Condition(self._mutex)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kyros-lane", daemon=True)
        self._watch = threading.Thread(target=self._watching, name="kyros-watch", daemon=True)

    def start(self) -> None:
        """The lane takes operations."""
        self._thread.start()
        self._watch.start()

    def close(self) -> None:
        """Everything that was queued is answered, and the writer's connection is closed.

        A writer that waits for another process's lock for longer than the bound is left behind:
        what it has not begun is refused, and nothing of it can commit after the process.
        """
        with self._bell:
            self._closing.set()
            self._bell.notify_all()
        self._watch.join()
        self._thread.join(self._timeout + 1)
        if self._thread.is_alive():
            holder = self._writer.lock_holder()
            log.warning("lane_left_behind", extra={"pid": holder})
            with self._mutex:
                left = [*self._running, *self._queue]
            self._expire(left, WriterStalled(holder))

    def submit(
        self, principal: Principal, *units: Callable[[SqlWork], Any]
    ) -> "asyncio.Future[Any]":
        """Queue units that run one after another, each under its own savepoint.

        The future ends after a durable commit with the last unit's answer, or with the refusal of
        the first unit that refuses; the units before it stay.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        context = contextvars.copy_context()
        job = Job(principal, units, loop, future, context, time.monotonic())
        with self._bell:
            if self._closing.is_set():
                raise StoreUnavailable
            self._queue.append(job)
            self._bell.notify()
        return future

    def _run(self) -> None:
        while jobs := self._next():
            try:
                self._run_batch(jobs)
            except Exception:
                log.exception("lane_batch_failed")
                for job in jobs:
                    job.error = job.error or StoreUnavailable("unknown")
                self._reply(jobs)
        self._writer.close()

    def _next(self) -> list[Job]:
        with self._bell:
            self._running = []
            while not self._queue and not self._closing.is_set():
                self._bell.wait()
            count = min(len(self._queue), self._limit)
            self._running = [self._queue.popleft() for _ in range(count)]
            return self._running

    def _run_batch(self, jobs: list[Job]) -> None:
        """Run the jobs in one transaction; alone each, when the store refuses the batch."""
        try:
            self._transact(jobs)
        except StoreFailure as failure:
            again = [job for job in jobs if job.owner == "lane"]
            if len(again) > 1 and not failure.outcome_unknown:
                for job in again:
                    self._run_batch([job])
                return
            log.warning("store_failed", exc_info=failure)
            refusal = failure.refusal()
            for job in again:
                job.answer, job.error = None, refusal
            self._reply(again)
            self._expire(jobs, refusal)

    def _transact(self, jobs: list[Job]) -> None:
        self._failpoint("before_begin")
        workspaces = {job.principal.workspace for job in jobs}
        with self._writer.transaction(workspaces) as transaction:
            batch = transaction.batch
            self._failpoint("after_begin")
            mine = self._take(jobs)
            for job in mine:
                job.answer, job.error = None, None
                self._run_job(batch, job)
                self._failpoint("mid_batch")
            heads = batch.finish()
            self._failpoint("before_commit")
            transaction.commit(heads)
        self._failpoint("after_commit_before_reply")
        self._reply(mine, Committed(heads, batch.beats))

    def _take(self, jobs: list[Job]) -> list[Job]:
        """Jobs that the watch has not answered; from here on only this batch answers them."""
        with self._mutex:
            mine = [job for job in jobs if job.owner != "watch"]
            for job in mine:
                job.owner = "lane"
            return mine

    def _run_job(self, batch: Batch, job: Job) -> None:
        work = SqlWork(batch, job.principal)
        savepoint = Savepoint(batch.db)
        for unit in job.units:
            mark = batch.mark()
            savepoint.open()
            try:
                job.answer = job.context.run(unit, work)
            except StoreFailure:
                raise
            except Exception as error:
                failure = self._writer.failure(error)
                if failure is not None:
                    raise failure from error
                savepoint.undo()
                batch.back_to(mark)
                job.error = error
                if isinstance(error, KyrosError):
                    _leave_event(work, error)
                else:
                    log.exception("operation_failed")
                return
            savepoint.keep()

    def _reply(self, jobs: list[Job], committed: Committed | None = None) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[Job]] = {}
        for job in jobs:
            by_loop.setdefault(job.loop, []).append(job)
        for loop, its_jobs in by_loop.items():
            try:
                loop.call_soon_threadsafe(self._answer, its_jobs, committed)
            except RuntimeError:
                log.warning("caller_loop_closed")
            committed = None

    def _answer(self, jobs: list[Job], committed: Committed | None) -> None:
        for job in jobs:
            if job.future.done():
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.answer)
        if committed is not None:
            self._failpoint("before_notify")
            self._committed(committed)

    def _watching(self) -> None:
        """While the lane waits for the write lock, answer those who have waited too long."""
        while not self._closing.wait(WATCH_SECONDS):
            with self._mutex:
                waiting = [*self._running, *self._queue]
            late = time.monotonic() - self._timeout
            overdue = [job for job in waiting if job.queued_at < late and not job.owner]
            if overdue and self._writer.waits_for_lock:
                self._expire(overdue, WriterStalled(self._writer.lock_holder()))

    def _expire(self, jobs: list[Job], refusal: KyrosError) -> None:
        with self._mutex:
            mine = [job for job in jobs if not job.owner]
            for job in mine:
                job.owner, job.error = "watch", refusal
                if job in self._queue:
                    self._queue.remove(job)
        self._reply(mine)


def _leave_event(work: SqlWork, error: KyrosError) -> None:
    left = error.event()
    if left is not None:
        work.events.append(left["event"], left["target"], dict(left["details"]))
