"""`kyros lease`: bounded, fenced claims on resources."""

from typing import Annotated, Any

import typer

from kyros_collab_server.cli import looks
from kyros_collab_server.cli.command import Call, built, command, group
from kyros_collab_server.cli.failures import Exit, Failure, usage
from kyros_collab_server.cli.lease_run import CommandAfterDashes, run_held
from kyros_collab_server.cli.output import Column
from kyros_collab_server.cli.session import actor_of, open_session
from kyros_collab_server.features.leases import service as leases
from kyros_collab_server.features.leases.model import (
    AcquireLease,
    Lease,
    LeaseMode,
    ListLeases,
    ReadLease,
    ReclaimLeases,
    ReleaseLeases,
    RenewLease,
    RenewLeases,
)

app = group("Leases: who may touch what, and until when.")

COLUMNS = [
    Column("lock_id", "LEASE"),
    Column("state", "STATE", looks.status),
    Column("resource", "RESOURCE", shrinks=True),
    Column("mode", "MODE"),
    Column("holder", "HOLDER"),
    Column("fencing_token", "TOKEN"),
    Column("expires_in_ms", "LEFT", looks.left),
    Column("heartbeat_at", "HEARTBEAT", looks.since),
]
LockIds = Annotated[list[str], typer.Argument(metavar="LEASE...", show_default=False)]
AnyLockIds = Annotated[list[str] | None, typer.Argument(metavar="LEASE...", show_default=False)]
Ttl = Annotated[int | None, typer.Option("--ttl", help="Seconds it lives without a heartbeat.")]


def _row(lease: Lease) -> dict[str, Any]:
    return lease.model_dump(mode="json")


@command(app, "list")
async def list_leases(
    call: Call,
    resource: Annotated[str | None, typer.Option("--resource")] = None,
    holder: Annotated[str | None, typer.Option("--holder", help="agent:<name>")] = None,
    mine: Annotated[bool, typer.Option("--mine")] = False,
    stale: Annotated[bool, typer.Option("--stale", help="Only those past their time.")] = False,
) -> None:
    """List the leases that are held."""
    async with open_session(call.settings) as session:
        if mine:
            holder = await actor_of(session)
        asked = built(ListLeases, resource=resource, holder=holder, stale=stale or None)
        found = (await session.perform(leases.list_leases, asked)).data
    late = sum(one.expires_in_ms < 0 for one in found)
    footer = looks.counted(len(found), "lease") + (f", {late} stale" if late else "")
    call.output.items([_row(one) for one in found], COLUMNS, ident="lock_id", footer=footer)


@command(app, "acquire", writes=True)
async def acquire(
    call: Call,
    resources: Annotated[list[str], typer.Argument(metavar="RESOURCE...", show_default=False)],
    mode: Annotated[LeaseMode | None, typer.Option("--mode")] = None,
    ttl: Ttl = None,
    wait: Annotated[float | None, typer.Option("--wait", help="Seconds.")] = None,
) -> None:
    """Acquire resources, all or none: path:<glob>, or any other name."""
    asked = built(AcquireLease, resources=resources, mode=mode, ttl_seconds=ttl, wait_seconds=wait)
    if call.dry_run:
        row = {"lock_id": None, "resources": resources}
        call.output.changed(f"acquired {', '.join(resources)}", row, ident="x", dry_run=True)
        return
    async with open_session(call.settings, creates=True) as session:
        granted = (await session.perform(leases.acquire, asked)).leases
    undo = "kyros lease release " + " ".join(one.lock_id for one in granted)
    _print_each(call, "acquired", granted, undo)


@command(app, "renew", writes=True)
async def renew(call: Call, lock_ids: AnyLockIds = None, ttl: Ttl = None) -> None:
    """Renew leases that you hold; without ids, all of them."""
    if call.dry_run:
        row = {"lock_ids": lock_ids}
        call.output.changed(f"renewed {' '.join(lock_ids or ['all'])}", row, dry_run=True)
        return
    async with open_session(call.settings) as session:
        if lock_ids and len(lock_ids) == 1:
            one = built(RenewLease, lock_id=lock_ids[0], ttl_seconds=ttl)
            _print_each(call, "renewed", [await session.perform(leases.renew_one, one)])
            return
        asked = built(RenewLeases, lock_ids=lock_ids or None, ttl_seconds=ttl)
        answer = await session.perform(leases.renew, asked)
    _print_each(call, "renewed", answer.leases)
    if answer.lost:
        told = "; ".join(
            f"{one.lock_id} on {one.resource}, now {one.holder or 'nobody'}" for one in answer.lost
        )
        raise Failure(Exit.LEASE, "lease_lost", f"Lost: {told}.", "Stop writing; claim again.")


@command(app, "release", writes=True)
async def release(call: Call, lock_ids: LockIds) -> None:
    """Give leases back. Another's needs an operator, and --yes."""
    async with open_session(call.settings) as session:
        me = await actor_of(session)
        for lock_id in lock_ids:
            lease = await session.perform(leases.read_lease, built(ReadLease, lock_id=lock_id))
            if lease.holder != me:
                call.confirm(f"{lease.holder} holds {lease.resource}; this ends its lease.")
        if call.dry_run:
            ids = ", ".join(lock_ids)
            call.output.changed(f"released {ids}", {"lock_ids": lock_ids}, dry_run=True)
            return
        asked = built(ReleaseLeases, lock_ids=lock_ids)
        answer = await session.perform(leases.release, asked)
    _print_ids(call, "released", answer.released)


@command(app, "reclaim", writes=True)
async def reclaim(call: Call, lock_ids: AnyLockIds = None) -> None:
    """Take back stale leases; without ids, all stale ones."""
    async with open_session(call.settings) as session:
        if call.dry_run:
            stale = (await session.perform(leases.list_leases, ListLeases(stale=True))).data
            named = [one.lock_id for one in stale if not lock_ids or one.lock_id in lock_ids]
            row = {"lock_ids": named}
            call.output.changed(f"reclaimed {', '.join(named) or 'none'}", row, dry_run=True)
            return
        asked = built(ReclaimLeases, lock_ids=lock_ids or None)
        answer = await session.perform(leases.reclaim, asked)
    _print_each(call, "reclaimed", answer.reclaimed)
    if not answer.reclaimed:
        call.output.hint("nothing to reclaim")
    for kept in answer.kept:
        call.output.hint(f"kept {kept.lock_id}: {kept.reason}")


@command(app, "run", cls=CommandAfterDashes)
async def run(
    call: Call,
    resources: Annotated[
        list[str], typer.Argument(metavar="RESOURCE... -- COMMAND...", show_default=False)
    ],
    words: Annotated[list[str] | None, typer.Option(CommandAfterDashes.OPTION, hidden=True)] = None,
    mode: Annotated[LeaseMode | None, typer.Option("--mode")] = None,
    ttl: Ttl = None,
    wait: Annotated[float | None, typer.Option("--wait", min=0, help="Seconds.")] = None,
    grace: Annotated[
        float, typer.Option("--grace", min=0, help="Seconds from SIGTERM to SIGKILL.")
    ] = 5.0,
) -> int:
    """Run a command while its resources are held; exit with its code.

    The leases are renewed every third of their TTL while it lives, and given back. A lost lease
    ends the command with SIGTERM, after the grace with SIGKILL, and exits 6. Signals are passed on.
    The command finds KYROS_LEASE_ID and KYROS_FENCING_TOKEN, and works as the same agent.
    """
    asked = built(AcquireLease, resources=resources, mode=mode, ttl_seconds=ttl)
    if not words:
        fix = "kyros lease run RESOURCE... -- COMMAND..."
        raise usage("There is no command to run: put -- before it.", fix)
    async with open_session(call.settings, creates=True) as session:
        return await run_held(session, call, asked, wait, words, grace)


def _print_each(call: Call, verb: str, granted: list[Lease], undo: str = "") -> None:
    output = call.output
    if output.as_json or output.fields or output.quiet or output.on_terminal:
        rows = [{**_row(one), **({"undo": undo} if undo else {})} for one in granted]
        output.items(rows, COLUMNS, ident="lock_id", footer=f"{verb} {len(granted)}")
    else:
        for one in granted:
            output.line(
                f"{verb} {one.lock_id}\t{one.resource}\t{one.fencing_token}\t{one.expires_at}"
            )
    if undo:
        output.hint(f"undo: {undo}")


def _print_ids(call: Call, verb: str, lock_ids: list[str]) -> None:
    if call.output.as_json or call.output.fields or call.output.quiet:
        call.output.items([{"lock_id": one} for one in lock_ids], [], ident="lock_id")
        return
    for one in lock_ids:
        call.output.line(f"{verb} {one}")
