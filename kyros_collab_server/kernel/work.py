"""A unit of work as a service sees it."""

from typing import Protocol

from kyros_collab_server.kernel.paging import CursorSeal
from kyros_collab_server.kernel.principal import Principal


class Work(Protocol):
    """One transaction, seen from inside.

    `now` is the store's steady time in milliseconds, read after the write lock was taken; it is
    the only time that decides. `ts` is the wall time as RFC 3339 text, for display.
    """

    @property
    def now(self) -> int: ...
    @property
    def wall_ms(self) -> int: ...
    @property
    def ts(self) -> str: ...
    @property
    def principal(self) -> Principal: ...
    @property
    def workspace(self) -> str: ...
    @property
    def actor(self) -> str: ...
    @property
    def seal(self) -> CursorSeal: ...
