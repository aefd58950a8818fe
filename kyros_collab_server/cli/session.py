"""Sessions: the commands' way to the board, in this process or over REST."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

from pydantic import BaseModel

from kyros_collab_server.application import Kyros
from kyros_collab_server.cli.failures import Exit, Failure, refused
from kyros_collab_server.cli.memory import collect_from_here
from kyros_collab_server.features.identity import service as identity
from kyros_collab_server.features.identity.model import WhoAmI
from kyros_collab_server.kernel.errors import KyrosError
from kyros_collab_server.kernel.operation import Operation
from kyros_collab_server.kernel.principal import Principal
from kyros_collab_server.settings import Settings

C = TypeVar("C", bound=BaseModel)
R = TypeVar("R")


class Session(Protocol):
    """A caller's own door to one workspace. Every refusal leaves it as a `Failure`."""

    longest_wait_seconds: float
    """How long one call may wait; a command that waits longer calls again."""

    async def perform(self, op: Operation[C, R], command: C) -> R:
        """Run one operation and return its answer."""
        ...


class LocalSession:
    """Works on the store itself, safely beside a running server."""

    longest_wait_seconds = 60.0

    def __init__(self, kyros: Kyros, principal: Principal) -> None:
        self._kyros = kyros
        self._principal = principal

    async def perform(self, op: Operation[C, R], command: C) -> R:
        """Run one operation through the door of this process."""
        try:
            return await self._kyros.perform(op, command, actor=self._principal)
        except KyrosError as error:
            raise refused(error, self._principal.request_id) from error


async def actor_of(session: Session) -> str:
    """The caller's name as the log writes it: `agent:<name>` or `user:<id>`."""
    return (await session.perform(identity.whoami, WhoAmI())).actor


@asynccontextmanager
async def open_session(settings: Settings, *, creates: bool = False) -> AsyncIterator[Session]:
    """Yield a session on `settings.url` if set, else on the store of the data directory.

    Only a command that `creates` makes a store where there is none.

    Raises:
        Failure: no store, no valid token, or no server.
    """
    if settings.url:
        from kyros_collab_server.cli.remote import open_remote_session

        async with open_remote_session(settings) as remote:
            collect_from_here()
            yield remote
        return
    if not (creates or settings.database_url or settings.sqlite_path.exists()):
        raise Failure(
            Exit.NOT_FOUND,
            "no_store",
            f"There is no store in {settings.data_dir}.",
            "kyros serve starts one; --data-dir or --url name another.",
        )
    from kyros_collab_server.cli.first_start import open_store

    async with open_store(settings) as opened:
        try:
            principal = await opened.kyros.caller(
                settings.token or opened.credentials.token,
                agent=settings.agent or None,
                workspace=settings.workspace or None,
                face="cli",
                client="kyros-cli",
            )
        except KyrosError as error:
            raise refused(error) from error
        collect_from_here()
        yield LocalSession(opened.kyros, principal)
