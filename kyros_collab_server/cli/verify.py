"""`kyros verify`: whether anything of the log was altered, removed or moved."""

from pathlib import Path
from typing import Annotated, Any

import typer

from kyros_collab_server.cli.command import Call, command, single
from kyros_collab_server.cli.failures import Exit, Failure, usage
from kyros_collab_server.cli.output import Column
from kyros_collab_server.cli.verdicts import (
    Evidence,
    Verdict,
    evidence_of_store,
    judged_file,
    judged_store,
)

app = single()

COLUMNS = [
    Column("workspace", "WORKSPACE"),
    Column("ok", "OK"),
    Column("events", "EVENTS"),
    Column("last_seq", "LAST SEQ"),
    Column("last_hash", "LAST HASH", shrinks=True),
    Column("checkpoints", "CHECKPOINTS"),
    Column("signed_through", "SIGNED TO"),
    Column("seq", "DIFFERS AT"),
    Column("kind", "HOW"),
    Column("line", "LINE"),
    Column("detail", "WHY"),
]
ALONE = (
    "A chain alone shows neither a cut tail nor a full rewrite: whoever can write the log can "
    "chain it anew. Checkpoints kept elsewhere show both: --checkpoints FILE --keys FILE."
)
BESIDE = (
    "These checkpoints or their keys lie beside the log, where whoever rewrites it can rewrite "
    "them too. Copies kept elsewhere prove more: --checkpoints FILE --keys FILE."
)
UNCHECKED = "There is no key to check signatures by: --keys FILE."


@command(app, "verify")
async def verify(
    call: Call,
    source: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE|DIR]", help="An exported log; absent: the store."),
    ] = None,
    keys: Annotated[
        Path | None, typer.Option("--keys", help="Public keys kept elsewhere, a keys.json.")
    ] = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option("--checkpoints", help="Checkpoints kept elsewhere, a checkpoints.jsonl."),
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", min=0, max=64, help="Processes; 0: as many as help.")
    ] = 0,
) -> int:
    """Walk the hash chain and the signed checkpoints, and name the first seq that differs.

    Reads the store, or an exported file without any store, and changes nothing. Exits 9 when
    something differs.
    """
    settings = call.settings
    if settings.url:
        raise usage("A log is verified where it lies.", "Leave --url out, or verify an export.")
    given = Evidence.read(checkpoints, keys)
    if source is not None:
        verdicts = [judged_file(source, given, jobs)]
    else:
        stored = evidence_of_store(settings)
        verdicts = judged_store(settings, stored.replaced_by(given), jobs)
    _print(call, verdicts, beside=not (keys and checkpoints))
    return Exit.OK if all(one.is_good for one in verdicts) else Exit.INVALID


def _print(call: Call, verdicts: list[Verdict], *, beside: bool) -> None:
    output = call.output
    rows: list[dict[str, Any]] = [one.as_row() for one in verdicts]
    if output.as_json or output.fields or output.quiet or output.on_terminal:
        output.items(rows, COLUMNS, ident="workspace")
    else:
        for one in verdicts:
            output.line(one.sentence())
    for one in verdicts:
        for bad in one.bad_checkpoints:
            output.hint(f"{one.workspace}: {bad}")
    if any(one.checkpoints for one in verdicts):
        if beside:
            output.hint(BESIDE)
        if any(one.are_unchecked for one in verdicts):
            output.hint(UNCHECKED)
    else:
        output.hint(ALONE)
    if not output.as_json and (worst := next((one for one in verdicts if not one.is_good), None)):
        raise Failure(
            Exit.INVALID,
            "log_differs",
            worst.sentence(),
            "Compare with a backup or another export; what came before it holds.",
        )
