"""Tells who changed what when a write met a newer version."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kyros_collab_server.cli.failures import Failure
from kyros_collab_server.cli.output import Output, plain
from kyros_collab_server.cli.session import Session
from kyros_collab_server.features.events import service as events
from kyros_collab_server.features.events.model import ReadEvents, ReadHead


@asynccontextmanager
async def explained(session: Session, output: Output, target: str) -> AsyncIterator[None]:
    """Let the body write; an etag that no longer matches also says on stderr who changed what."""
    try:
        yield
    except Failure as failure:
        if failure.code == "etag_mismatch":
            await _tell_last_change(session, output, target)
        raise


async def _tell_last_change(session: Session, output: Output, target: str) -> None:
    head = await session.perform(events.head, ReadHead())
    last = ReadEvents(before=head.seq + 1, target=target, limit=1)
    for event in (await session.perform(events.read, last)).items:
        changes = event.details.get("changes") or {}
        told = "; ".join(
            f"{name} {plain(both.get('before'))!r} → {plain(both.get('after'))!r}"
            for name, both in changes.items()
        )
        output.hint(f"{event.actor} at {event.ts} (seq {event.seq}): {told or event.event}")
