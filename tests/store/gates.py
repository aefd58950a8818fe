"""A unit of work that stops the lane inside its transaction until the test lets it go on."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from kyros_collab_server.kernel.principal import ROLE_SCOPES, Principal, Role

BOUND = 20.0
"""Seconds after which a wait of these tests counts as lost."""
TESTER = Principal(id="tester", scopes=ROLE_SCOPES[Role.ADMIN], user="tester", request_id="rq_t")


class Gate:
    """Stands in the lane, or in a reader, until opened."""

    def __init__(self) -> None:
        self._entered = threading.Event()
        self._opened = threading.Event()

    def __call__(self, work: Any) -> None:
        self._entered.set()
        assert self._opened.wait(BOUND)

    async def entered(self) -> None:
        assert await asyncio.to_thread(self._entered.wait, BOUND)

    def open(self) -> None:
        self._opened.set()


async def in_one_batch(store: Any, *units: Callable[[Any], Any]) -> list[Any]:
    """The answers and refusals of units that the lane takes in one batch."""
    gate = Gate()
    first = asyncio.ensure_future(store.write(TESTER, gate))
    await gate.entered()
    others = [asyncio.ensure_future(store.write(TESTER, unit)) for unit in units]
    await asyncio.sleep(0)
    gate.open()
    await asyncio.wait_for(first, BOUND)
    return await asyncio.wait_for(asyncio.gather(*others, return_exceptions=True), BOUND)


def note(text: str) -> Callable[[Any], int]:
    """A unit that appends an event."""

    def unit(work: Any) -> int:
        seq: int = work.events.append("note", None, {"text": text})
        return seq

    return unit
