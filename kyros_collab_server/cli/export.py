"""`kyros export`: the board or its log, for another program, another store, or a reader."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kyros_collab_server.adapters import exports
from kyros_collab_server.adapters.durable_files import replace_file, sync_directory
from kyros_collab_server.adapters.event_file import line_of
from kyros_collab_server.cli.command import Call, command, single
from kyros_collab_server.cli.failures import Exit, Failure, usage
from kyros_collab_server.cli.first_start import has_no_store
from kyros_collab_server.cli.session import Session, open_session
from kyros_collab_server.features.events import service as events
from kyros_collab_server.features.events.model import ReadEvents, ReadHead
from kyros_collab_server.features.identity.model import DEFAULT_WORKSPACE
from kyros_collab_server.features.tasks import service as tasks
from kyros_collab_server.features.tasks.model import ListAllTasks
from kyros_collab_server.kernel.etag import canonical

app = single()
PAGE = 1_000


class Form(StrEnum):
    """What an export is."""

    JSONL = "jsonl"
    """The log, one event a line."""
    JSON = "json"
    """Everything, as one document that `kyros import` takes."""
    MD = "md"
    """The board, to read."""
    CSV = "csv"
    """The tasks, one a row."""


@command(app, "export")
async def export(
    call: Call,
    form: Annotated[
        Form, typer.Option("--format", help="jsonl: log; json: everything; md: board; csv: tasks.")
    ] = Form.JSONL,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write; absent: stdout.")
    ] = None,
) -> None:
    """Write the log, the whole board, or its tasks; nothing of the store changes."""
    async with _source(call, form) as parts:
        if output is None or str(output) == "-":
            async for part in parts:
                call.output.out.write(part)
            call.output.out.flush()
            return
        texts = [part.encode() async for part in parts]
    try:
        replace_file(output, texts)
        sync_directory(output.parent)
    except OSError as error:
        message = f"{output} cannot be written ({error.strerror})."
        raise Failure(Exit.INVALID, "cannot_write", message, "Name another file.") from None
    row = {"file": str(output), "format": form.value, "bytes": sum(map(len, texts))}
    call.output.changed(f"exported {row['bytes']} bytes to {output}", row, ident="file")


@asynccontextmanager
async def _source(call: Call, form: Form) -> AsyncIterator[AsyncIterator[str]]:
    settings = call.settings
    if settings.url:
        if form is Form.JSON:
            raise usage(
                "Everything is exported where the store lies.",
                "Leave --url out, or take --format jsonl, md or csv.",
            )
        async with open_session(settings) as session:
            yield _remote(session, form)
        return
    if has_no_store(settings):
        message = f"There is no store in {settings.data_dir}."
        raise Failure(Exit.NOT_FOUND, "no_store", message, "--data-dir or --url name another.")
    from kyros_collab_server.stores import open_export

    workspace = settings.workspace or DEFAULT_WORKSPACE
    async with open_export(settings, workspace) as source:
        if source.read(lambda view: not view.workspace() and not view.head()[0]):
            raise Failure(Exit.NOT_FOUND, "not_found", f"There is no workspace {workspace}.")
        yield _local(source, workspace, form)


async def _local(source: exports.Source, workspace: str, form: Form) -> AsyncIterator[str]:
    parts: Iterator[str]
    if form is Form.JSONL:
        parts = exports.lines(source)
    elif form is Form.JSON:
        parts = exports.document(source, workspace)
    else:
        write = exports.table if form is Form.CSV else exports.board
        parts = write(exports.tasks(source))
    for part in parts:
        yield part


async def _remote(session: Session, form: Form) -> AsyncIterator[str]:
    if form is not Form.JSONL:
        found = (await session.perform(tasks.list_all, ListAllTasks())).data
        write = exports.table if form is Form.CSV else exports.board
        for part in write([task.model_dump(mode="json") for task in found]):
            yield part
        return
    end, seq = (await session.perform(events.head, ReadHead())).seq, 0
    while seq < end:
        batch = await session.perform(events.read, ReadEvents(after=seq, limit=PAGE))
        for event in batch.items:
            body = canonical(event.model_dump(mode="json", exclude={"hash"}))
            yield f"{line_of(body, event.hash)}\n"
        if batch.cursor <= seq:
            return
        seq = batch.cursor
