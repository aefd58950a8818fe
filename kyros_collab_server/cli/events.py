"""`kyros events`: the log, followed."""

import asyncio
import re
import time
from enum import StrEnum
from typing import Annotated, Any

import typer

from kyros_collab_server.cli import looks
from kyros_collab_server.cli.command import Call, built, command, group
from kyros_collab_server.cli.conflicts import changes_of
from kyros_collab_server.cli.failures import Exit, Failure, usage
from kyros_collab_server.cli.output import Output, dump, plain, visible
from kyros_collab_server.cli.session import Session, open_session
from kyros_collab_server.features.events import service as events
from kyros_collab_server.features.events.model import (
    Event,
    EventBatch,
    FindSeq,
    ReadEvents,
    ReadHead,
    Summarise,
)
from kyros_collab_server.kernel.time import rfc3339, wall_ms_of

app = group("The log: everything that happened, in order.")

PAGE = 500
LAST = 10
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_AGO = re.compile(r"(\d{1,9})([smhdw])")


class Form(StrEnum):
    """How a stream is printed."""

    TEXT = "text"
    JSONL = "jsonl"


@command(app, "tail")
async def tail(
    call: Call,
    since: Annotated[
        str | None, typer.Option("--since", help="1h, a seq, or an instant; absent: last 10.")
    ] = None,
    type_: Annotated[
        list[str] | None, typer.Option("--type", help="Name; a final * matches a family. Repeat.")
    ] = None,
    actor: Annotated[str | None, typer.Option("--actor", help="agent:<name>")] = None,
    target: Annotated[str | None, typer.Option("--target", help="task:<id>, …")] = None,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Wait for more, or stop at the end.")
    ] = True,
    form: Annotated[Form, typer.Option("-o", "--output", help="text or jsonl")] = Form.TEXT,
) -> None:
    """Print events as they happen; each line is handed over at once."""
    types = [word for given in type_ or [] for word in given.split(",")] or None
    wanted = {"types": types, "actor": actor, "target": target}
    built(ReadEvents, **wanted)
    if call.output.as_json or call.output.fields:
        form = Form.JSONL
    async with open_session(call.settings) as session:
        if since is None:
            head = (await session.perform(events.head, ReadHead())).seq
            newest = built(ReadEvents, **wanted, before=head + 1, limit=LAST)
            for event in (await session.perform(events.read, newest)).items:
                _print(call.output, event, form)
            cursor = head
        else:
            cursor = await _start(session, since)
        await _follow(call.output, session, wanted, cursor, form, follow)


@command(app, "summary", writes=True)
async def summary(
    call: Call,
    since: Annotated[str, typer.Option("--since", help="1h, a seq, or an instant.")] = "1d",
    until: Annotated[
        str | None, typer.Option("--until", help="1h, a seq, or an instant; absent: now.")
    ] = None,
    seq: Annotated[
        list[int] | None, typer.Option("--seq", help="Only these, instead of a range. Repeat.")
    ] = None,
    type_: Annotated[
        list[str] | None, typer.Option("--type", help="Name; a final * matches a family. Repeat.")
    ] = None,
    actor: Annotated[str | None, typer.Option("--actor", help="agent:<name>")] = None,
    target: Annotated[str | None, typer.Option("--target", help="task:<id>, …")] = None,
    append: Annotated[
        bool, typer.Option("--append", help="Append it to the human log, too.")
    ] = False,
) -> None:
    """Print what happened as Markdown, every statement with the seqs it stands on."""
    types = [word for given in type_ or [] for word in given.split(",")] or None
    begin = str(int(since) + 1) if since.isdigit() else _instant(since, "--since")
    end = until if until is None or until.isdigit() else _instant(until, "--until")
    asked = built(
        Summarise,
        begin=None if seq else begin,
        end=None if seq else end,
        seqs=seq,
        types=types,
        actor=actor,
        target=target,
        append=(append and not call.dry_run) or None,
    )
    op = events.append_summary if asked.append else events.summary
    async with open_session(call.settings) as session:
        told = await session.perform(op, asked)
    call.output.record(told.model_dump(mode="json"), told.markdown, ident="last_seq")
    if told.appended_seq is not None:
        call.output.hint(f"appended to the human log as seq {told.appended_seq}")
    elif append:
        call.output.hint("would have appended it to the human log")


async def _start(session: Session, since: str) -> int:
    if since.isdigit():
        return int(since)
    return await session.perform(events.find_seq, built(FindSeq, ts=_instant(since, "--since")))


def _instant(moment: str, option: str) -> str:
    """The instant that a duration before now, or an instant, stands for."""
    if found := _AGO.fullmatch(moment):
        seconds = int(found[1]) * _UNITS[found[2]]
        return rfc3339(max(0, round((time.time() - seconds) * 1000)))
    try:
        wall_ms_of(moment)
    except ValueError:
        raise usage(
            f"{option} {moment} is neither a duration, a seq nor an instant with a zone.",
            f"{option} 90m, {option} 120, or {option} 2026-01-31T10:00:00Z",
        ) from None
    return moment


async def _follow(
    output: Output,
    session: Session,
    wanted: dict[str, Any],
    cursor: int,
    form: Form,
    follow: bool,
) -> None:
    """Print everything after the cursor, then wait for more; a lost server is asked again."""
    end = None if follow else (await session.perform(events.head, ReadHead())).seq
    wait = session.longest_wait_seconds if follow else 0
    pause = 0.0
    while end is None or cursor < end:
        ask = ReadEvents(**wanted, after=cursor, limit=PAGE, wait_seconds=wait)
        try:
            batch: EventBatch = await session.perform(events.read, ask)
        except Failure as failure:
            if not follow or failure.exit_code not in (Exit.UNREACHABLE, Exit.LIMITED):
                raise
            if not pause:
                output.hint(f"-- lost the server after seq {cursor}; trying again")
            pause = min(5.0, pause * 2 or 0.25)
            await asyncio.sleep(pause)
            continue
        if pause:
            output.hint(f"-- resumed after seq {cursor}")
            pause = 0.0
        for event in batch.items:
            _print(output, event, form)
        if not batch.items and batch.cursor <= cursor and end is not None:
            return  # the log is shorter than it was: another one is served here
        cursor = batch.cursor


def _print(output: Output, event: Event, form: Form) -> None:
    if form is Form.JSONL:
        row = event.model_dump(mode="json")
        if output.fields:
            output.check_fields(row)
            row = {name: row[name] for name in output.fields}
        output.line(dump(row))
    elif output.quiet:
        output.line(str(event.seq))
    elif output.on_terminal:
        when = looks.ago(event.ts)
        target = event.target or ""
        head = f"{event.seq:>6}  {when:>10}  {event.event:<18} {event.actor:<20} {target}"
        output.line(visible(f"{head}  {_said(event)}".rstrip()))
    else:
        cells = [event.seq, event.ts, event.event, event.actor, event.target, _said(event)]
        output.line("\t".join(plain(cell) for cell in cells))


def _said(event: Event) -> str:
    """What the event tells beyond its columns, on one line."""
    details = event.details
    if told := changes_of(event):
        return told
    for name in ("text", "resource", "task_id", "name"):
        if details.get(name):
            return plain(details[name])
    return ""
