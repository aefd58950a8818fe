"""What the door needs of the world: a store, a change feed, and how to look after both."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from pydantic import BaseModel, Field

from kyros_collab_server.kernel.principal import Principal
from kyros_collab_server.units import Unit


class Feed(Protocol):
    """The change feed: who waits, and for what of the log."""

    def head(self, workspace: str) -> int: ...
    async def after(self, workspace: str, seq: int, timeout: float) -> int:
        """The head, as soon as it is beyond this seq, or at the timeout in seconds."""
        ...

    def publish(self, workspace: str, name: str, payload: dict[str, Any]) -> None:
        """Send a frame that is not part of the log to this process's streams."""
        ...

    def listen(self, told: Callable[[str, str, dict[str, Any]], None]) -> None:
        """From now on `told` hears of every such frame, with its workspace and name."""
        ...

    def frames(
        self, workspace: str
    ) -> AbstractAsyncContextManager[AsyncIterator[tuple[str, dict[str, Any]]]]:
        """The frames that are published while the block runs; a slow reader loses some."""
        ...


class Store(Protocol):
    """What the door needs of a store."""

    @property
    def epoch(self) -> str: ...
    async def write(self, principal: Principal, *units: Unit) -> Any: ...
    async def read(self, principal: Principal, unit: Unit) -> Any: ...
    def stamp(self) -> int | None:
        """A number that is another after any commit of any process; None where none is cheap."""
        ...


class Health(BaseModel):
    """How the deployment is: each check with the milliseconds it took."""

    ok: bool
    checks: list["Check"]


class Check(BaseModel):
    """One thing that was looked at."""

    name: str
    ok: bool
    ms: float
    detail: str | None = None
    optional: bool = Field(default=False, exclude=True)
    """True for what may fail while calls are served."""
