"""`kyros lease run`: a command that lives as long as its leases do, and they as long as it."""

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from typer.core import TyperCommand

from kyros_collab_server.cli.command import Call
from kyros_collab_server.cli.failures import Exit, Failure
from kyros_collab_server.cli.session import Session, actor_of
from kyros_collab_server.features.leases import service as leases
from kyros_collab_server.features.leases.model import (
    AcquireLease,
    Lease,
    ListLeases,
    ReleaseLeases,
    RenewLeases,
)
from kyros_collab_server.settings import child_environment

NOT_EXECUTABLE, NOT_FOUND = 126, 127
"""As shells say it."""
KILLED_BY = 128
PASSED_ON = ("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2")
BY_KEYBOARD = frozenset({signal.SIGINT, signal.SIGQUIT})
AGAIN_SECONDS = 1.0
"""Between tries to renew while the server cannot be reached."""
PASSING = (Exit.UNREACHABLE, Exit.LIMITED)
"""Failures to renew that may pass before the lease does."""


class CommandAfterDashes(TyperCommand):
    """Hands everything after `--` to one hidden option, word by word."""

    OPTION = "--run-word"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse what stands before `--`, and what stands after it as values of the option."""
        if "--" in args:
            at = args.index("--")
            args = [*args[:at], *(f"{self.OPTION}={word}" for word in args[at + 1 :])]
        rest: list[str] = super().parse_args(ctx, args)
        return rest


async def run_held(
    session: Session,
    call: Call,
    asked: AcquireLease,
    wait: float | None,
    words: list[str],
    grace: float,
) -> int:
    """The command's exit code, once it has run under leases on all that is asked for.

    Raises:
        Failure: no such command, no lease, or the lease was lost.
    """
    _check_command(words[0])
    me = await actor_of(session)
    before = (await session.perform(leases.list_leases, ListLeases(holder=me))).data
    held, began = await _acquired(session, asked, wait)
    call.output.hint("holding " + ", ".join(f"{one.resource} ({one.lock_id})" for one in held))
    kept = {one.lock_id for one in before}
    fresh = [one.lock_id for one in held if one.lock_id not in kept]
    running = _Running(session, held, began, grace)
    try:
        code = await running.run(words, _environment(call, me, held))
    finally:
        lost = await _given_back(session, call, fresh)
    if running.lost:
        fix = "What it wrote after that may be refused; claim again."
        raise Failure(Exit.LEASE, "lease_lost", f"{running.lost} The command was ended.", fix)
    if lost and code == 0:
        fix = "Check what it wrote; give a longer --ttl."
        raise Failure(Exit.LEASE, "lease_lost", f"{lost} The command had ended.", fix)
    return code


def _check_command(word: str) -> None:
    if shutil.which(word) is None:
        code = NOT_EXECUTABLE if "/" in word and Path(word).exists() else NOT_FOUND
        raise Failure(code, "no_command", f"{word} cannot be run.", "Nothing was leased.")


async def _acquired(
    session: Session, asked: AcquireLease, wait: float | None
) -> tuple[list[Lease], float]:
    """The leases, and a moment of the loop's clock that is not after they were granted."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + (wait or 0)
    while True:
        sent = loop.time()
        part = max(0.0, min(deadline - sent, session.longest_wait_seconds))
        try:
            granted = await session.perform(
                leases.acquire, asked.model_copy(update={"wait_seconds": part})
            )
        except Failure as failure:
            if failure.code != "lease_held" or not wait:
                raise
            if loop.time() >= deadline:
                failure.exit_code = Exit.TIMED_OUT
                raise
            continue
        if loop.time() - sent > asked.ttl_seconds / 6:  # it waited, so when it was granted is open
            sent = loop.time()
            named = RenewLeases(lock_ids=[one.lock_id for one in granted.leases])
            await session.perform(leases.renew, named)
        return granted.leases, sent


def _environment(call: Call, me: str, held: list[Lease]) -> dict[str, str]:
    return child_environment(
        call.settings,
        AGENT=me.removeprefix("agent:"),
        LEASE_ID=",".join(one.lock_id for one in held),
        FENCING_TOKEN=",".join(str(one.fencing_token) for one in held),
    )


async def _given_back(session: Session, call: Call, lock_ids: list[str]) -> str:
    """The leases are released; returns how one was lost before, or nothing."""
    if not lock_ids:
        return ""
    try:
        await session.perform(leases.release, ReleaseLeases(lock_ids=lock_ids))
    except Failure as failure:
        if failure.code == "lease_lost":
            return failure.message
        call.output.hint(f"not released: {failure.message} It runs out by itself.")
    return ""


class _Running:
    """One command, and the leases that it runs under."""

    def __init__(self, session: Session, held: list[Lease], began: float, grace: float) -> None:
        self._session = session
        self._lock_ids = [one.lock_id for one in held]
        self._ttl = float(min(one.ttl_seconds for one in held))
        self._renewed = began
        self._grace = grace
        # A command without a terminal gets a process group, so that its own children end with it.
        self._own_group = not os.isatty(0)
        self._pid: int | None = None
        self._early: list[int] = []
        self.lost = ""

    async def run(self, words: list[str], environment: dict[str, str]) -> int:
        """The command's exit code; 128 and the number of the signal that ended it."""
        group: dict[str, Any] = {"process_group": 0} if self._own_group else {}
        with self._passing_on():
            process = await asyncio.create_subprocess_exec(*words, env=environment, **group)
            self._started(process.pid)
            ended = asyncio.ensure_future(process.wait())
            keeping = asyncio.ensure_future(self._keep())
            try:
                await asyncio.wait({ended, keeping}, return_when=asyncio.FIRST_COMPLETED)
                if not ended.done():
                    self.lost = keeping.result()
                    await self._end(ended)
                code = await ended
            finally:
                keeping.cancel()
                if not ended.done():
                    self._send(signal.SIGKILL)
                    await ended
        return code if code >= 0 else KILLED_BY - code

    def _started(self, pid: int) -> None:
        self._pid = pid
        for number in self._early:
            self._send(number)

    async def _keep(self) -> str:
        """Renew for ever; returns why that is over."""
        loop = asyncio.get_running_loop()
        pause = self._ttl / 3
        while True:
            left = self._renewed + self._ttl - loop.time()
            if left <= 0:
                return f"The lease was not renewed within {self._ttl:g} s."
            await asyncio.sleep(min(pause, left))
            sent = loop.time()
            renew = self._session.perform(leases.renew, RenewLeases(lock_ids=self._lock_ids))
            try:
                answer = await asyncio.wait_for(renew, max(0.1, self._renewed + self._ttl - sent))
            except TimeoutError:
                continue
            except Failure as failure:
                if failure.exit_code not in PASSING:
                    return failure.message
                pause = min(AGAIN_SECONDS, self._ttl / 12)
                continue
            if answer.lost:
                lost = answer.lost[0]
                return f"The lease on {lost.resource} is {lost.holder or 'nobody'}'s now."
            self._renewed, pause = sent, self._ttl / 3

    async def _end(self, ended: "asyncio.Future[int]") -> None:
        """The command has ended: asked first, killed after the grace."""
        self._send(signal.SIGTERM)
        await asyncio.wait({ended}, timeout=self._grace)
        if not ended.done() or self._own_group:
            self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        pid = self._pid
        if pid is None:
            self._early.append(number)
            return
        with suppress(ProcessLookupError, PermissionError):
            if self._own_group:
                os.killpg(pid, number)
            else:
                os.kill(pid, number)

    @contextmanager
    def _passing_on(self) -> Iterator[None]:
        """Signals to this process reach the command, but for what the terminal sent to both."""
        loop = asyncio.get_running_loop()
        numbers = [getattr(signal, name) for name in PASSED_ON]
        for number in numbers:
            passes = self._own_group or number not in BY_KEYBOARD
            loop.add_signal_handler(number, self._send, number if passes else 0)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)
