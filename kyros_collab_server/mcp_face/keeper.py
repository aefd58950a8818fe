"""Keeps the leases of a stdio process alive while its host lives, without any model's help."""

import logging
import os
from collections.abc import Callable
from typing import Any, Protocol

import anyio
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext

log = logging.getLogger(__name__)

GRANTING = frozenset({"task_claim", "lease_acquire", "lease_renew"})
"""Tools after which the process may hold a lease that it did not hold before."""


class Holdings(Protocol):
    """What a process holds, wherever the store is."""

    async def shortest_ttl(self) -> float | None:
        """The shortest TTL in seconds of what is held; None when nothing is."""
        ...

    async def renew(self) -> None:
        """Everything that is held lives a full TTL longer; what is lost is logged."""
        ...


class LeaseKeeper:
    """Renews what this process holds every third of its TTL, while the host process lives.

    It is a middleware only to learn that a tool may have granted a lease; it sleeps until then.
    A host that dies leaves this process to another parent: from then on nothing is renewed, and
    the leases run out.
    """

    def __init__(self, holdings: Holdings, parent: Callable[[], int] = os.getppid) -> None:
        self._holdings = holdings
        self._parent = parent
        self._host = parent()
        self._granted = anyio.Event()

    async def __call__(
        self, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Let the message through, and wake when it may have granted a lease."""
        try:
            return await call_next(ctx)
        finally:
            if ctx.method == "tools/call" and (ctx.params or {}).get("name") in GRANTING:
                self._granted.set()

    async def run(self) -> None:
        """Renew for ever, or until the host is gone."""
        while self._parent() == self._host:
            granted = self._granted
            ttl = await self._holdings.shortest_ttl()
            if ttl is None:
                await granted.wait()
            else:
                with anyio.move_on_after(ttl / 3):
                    await granted.wait()
            if granted.is_set():
                self._granted = anyio.Event()
            elif self._parent() == self._host:
                await self._holdings.renew()
        log.warning("host_is_gone", extra={"parent": self._host})
