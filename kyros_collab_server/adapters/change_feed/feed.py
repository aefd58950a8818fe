"""The change feed: a bell per workspace. It may be lost; whoever hears it reads the log."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

FRAME_QUEUE = 512
"""Unlogged frames that a reader may lag behind before it loses some."""
WAITED_FOR_SECONDS = 0.005
IDLE_SECONDS = 0.25
ReadHeads = Callable[[Sequence[str]], Awaitable[dict[str, int]]]


class ChangeFeed:
    """Wakes whoever waits for a workspace's log to grow, whichever process grew it."""

    def __init__(self, read_heads: ReadHeads) -> None:
        self._read_heads = read_heads
        self._heads: dict[str, int] = {}
        self._waiters: dict[str, set[asyncio.Future[None]]] = {}
        self._readers: dict[str, set[asyncio.Queue[tuple[str, dict[str, Any]]]]] = {}
        self._listeners: list[Callable[[str, str, dict[str, Any]], None]] = []

    @property
    def waited_for(self) -> bool:
        """True while somebody waits."""
        return any(self._waiters.values())

    @property
    def workspaces(self) -> list[str]:
        """The workspaces that somebody has asked for."""
        return list(self._heads)

    def head(self, workspace: str) -> int:
        """The newest seq that this process knows of."""
        return self._heads.get(workspace, 0)

    def ring(self, heads: dict[str, int]) -> None:
        """These workspaces have grown to these seqs, as far as anybody knows."""
        for workspace, seq in heads.items():
            if seq <= self._heads.get(workspace, -1):
                continue
            self._heads[workspace] = seq
            for waiter in self._waiters.pop(workspace, ()):
                if not waiter.done():
                    waiter.set_result(None)

    async def refresh(self) -> None:
        """The heads are what the store says now."""
        if self._heads:
            self.ring(await self._read_heads(self.workspaces))

    async def after(self, workspace: str, seq: int, timeout: float) -> int:
        """The head, as soon as it is beyond this seq, or at the timeout in seconds."""
        if workspace not in self._heads:
            self._heads[workspace] = 0
            self.ring(await self._read_heads([workspace]))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while self._heads[workspace] <= seq and (left := deadline - loop.time()) > 0:
            waiter: asyncio.Future[None] = loop.create_future()
            waiting = self._waiters.setdefault(workspace, set())
            waiting.add(waiter)
            try:
                await asyncio.wait_for(waiter, left)
            except TimeoutError:
                break
            finally:
                waiting.discard(waiter)
        return self._heads[workspace]

    def publish(self, workspace: str, name: str, payload: dict[str, Any]) -> None:
        """Hand a frame that is not part of the log to the workspace's readers."""
        for told in self._listeners:
            told(workspace, name, payload)
        for reader in self._readers.get(workspace, ()):
            if not reader.full():
                reader.put_nowait((name, payload))

    def listen(self, told: Callable[[str, str, dict[str, Any]], None]) -> None:
        """From now on `told` hears of every frame of every workspace, before anybody else."""
        self._listeners.append(told)

    @asynccontextmanager
    async def frames(
        self, workspace: str
    ) -> AsyncIterator[AsyncIterator[tuple[str, dict[str, Any]]]]:
        """The frames published while the block runs; a reader that lags loses some."""
        queue: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue(FRAME_QUEUE)
        readers = self._readers.setdefault(workspace, set())
        readers.add(queue)

        async def follow() -> AsyncIterator[tuple[str, dict[str, Any]]]:
            while True:
                yield await queue.get()

        try:
            yield follow()
        finally:
            readers.discard(queue)
