"""Says in the command line's own words what stood in the way, and who changed what."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from kyros_collab_server.cli.failures import Failure
from kyros_collab_server.cli.output import Output, plain
from kyros_collab_server.cli.session import Session
from kyros_collab_server.features.events import service as events
from kyros_collab_server.features.events.model import Event, ReadEvents, ReadHead

_GUARDS = {
    "illegal_move": "Move it to one of: {allowed}.",
    "open_dependencies": "Finish first: {open}.",
    "role": "kyros task claim {id} --role ROLE",
    "skills": "kyros task claim {id} --skill SKILL",
    "agent_paused": "kyros agent resume NAME",
    "lease_required": "kyros task claim {id}",
    "self_review": "Approve it as somebody else: --agent NAME",
    "needs_attention": "kyros task edit {id} --attention-cleared",
}
_CODES = {
    "etag_mismatch": "Look at it again, then repeat with --if-match '{etag}'.",
    "write_fenced": "kyros lease list --resource {resource}",
    "lease_lost": "Stop writing; claim or acquire again for a new fencing token.",
    "dependency_cycle": "Drop one of these edges: {cycle}.",
}


@asynccontextmanager
async def explained(session: Session, output: Output, target: str) -> AsyncIterator[None]:
    """Let the body write to the target; its refusal names the command that goes on from there.

    An etag that no longer matches also says on stderr who changed what.
    """
    try:
        yield
    except Failure as failure:
        if failure.code == "etag_mismatch" and not output.as_json:
            await _tell_last_change(session, output, target)
        failure.hint = _next_command(failure, target.partition(":")[2]) or failure.hint
        raise


def _next_command(failure: Failure, ident: str) -> str:
    facts = {key: _worded(value) for key, value in failure.facts.items()}
    if failure.code != "guard_failed":
        return _filled(_CODES.get(failure.code, ""), facts, ident)
    if facts.get("guard") == "open_checklist":
        ticks = " ".join(f"--tick {one}" for one in failure.facts.get("open", []))
        return f"kyros task edit {ident} {ticks}"
    return _filled(_GUARDS.get(facts.get("guard", ""), ""), facts, ident)


def _filled(pattern: str, facts: Mapping[str, str], ident: str) -> str:
    try:
        return pattern.format(**{"id": ident, **facts})
    except KeyError:
        return ""


def _worded(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


async def _tell_last_change(session: Session, output: Output, target: str) -> None:
    head = await session.perform(events.head, ReadHead())
    last = ReadEvents(before=head.seq + 1, target=target, limit=1)
    for event in (await session.perform(events.read, last)).items:
        told = changes_of(event) or event.event
        output.hint(f"{event.actor} at {event.ts} (seq {event.seq}): {told}")


def changes_of(event: Event) -> str:
    """What an event changed, on one line: `title Old → New; definition_of_done`."""
    changes = event.details.get("changes")
    if not isinstance(changes, dict):
        return ""
    return "; ".join(_change(name, both) for name, both in changes.items())


def _change(name: str, both: Any) -> str:
    if not isinstance(both, dict):
        return name
    before, after = both.get("before"), both.get("after")
    if any(isinstance(one, list | dict) for one in (before, after)):
        return name
    return f"{name} {plain(before) or '–'} → {plain(after) or '–'}"
