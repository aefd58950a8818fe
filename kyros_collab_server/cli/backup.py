"""`kyros backup`: a copy of the store in one file, and back."""

from pathlib import Path
from typing import Annotated, Any

import typer

from kyros_collab_server.cli.command import Call, command, single
from kyros_collab_server.cli.failures import Exit, Failure, usage
from kyros_collab_server.cli.first_start import has_no_store

app = single()


@command(app, "backup", writes=True)
async def backup(
    call: Call,
    file: Annotated[Path, typer.Argument(metavar="FILE", show_default=False)],
    restore: Annotated[
        bool, typer.Option("--restore", help="Make FILE the store of the data directory.")
    ] = False,
) -> None:
    """Copy the store to FILE while it is in use, and check the copy; or put one back.

    A backup holds everything: all workspaces, keys as hashes, and the store's own secret. Keep it
    as you would keep the store.
    """
    _check_place(call)
    if restore:
        _restore(call, file)
    else:
        _back_up(call, file)


def _check_place(call: Call) -> None:
    if call.settings.url:
        raise usage("A store is backed up where it lies.", "Leave --url out.")
    if call.settings.database_url:
        raise usage(
            "This store is a Postgres database.",
            "pg_dump --format=custom copies it, pg_restore puts it back; kyros export --format "
            "json takes the board alone.",
        )


def _back_up(call: Call, file: Path) -> None:
    from kyros_collab_server.store.backup import back_up

    settings = call.settings
    if has_no_store(settings):
        message = f"There is no store in {settings.data_dir}."
        raise Failure(Exit.NOT_FOUND, "no_store", message, "--data-dir names another.")
    if file.resolve() == settings.sqlite_path.resolve():
        raise usage("FILE is the store itself.", "Name another file.")
    if file.is_dir() or not file.absolute().parent.is_dir():
        raise usage(f"There is no place for {file}.", "Name a file in a directory that is there.")
    if file.exists():
        call.confirm(f"{file} exists. Replace it?")
    if call.dry_run:
        planned = {"file": str(file), "store": str(settings.sqlite_path)}
        call.output.changed(f"backed the store up to {file}", planned, ident="file", dry_run=True)
        return
    sound = back_up(settings.sqlite_path, file)
    row: dict[str, Any] = {"file": str(file), **sound._asdict(), "bytes": file.stat().st_size}
    said = f"backed up {sound.events} events to {file}; the copy is sound"
    call.output.changed(said, row, ident="file", undo=f"rm {file}")


def _restore(call: Call, file: Path) -> None:
    from kyros_collab_server.store.backup import check, put_back

    target = call.settings.sqlite_path
    if not file.is_file():
        raise Failure(Exit.NOT_FOUND, "not_found", f"There is no {file}.")
    if target.exists():
        raise Failure(
            Exit.CONFLICT,
            "already_exists",
            f"There is a store in {call.settings.data_dir}.",
            f"End what uses it and move {target} away, or name another --data-dir.",
        )
    sound = check(file) if call.dry_run else put_back(file, target)
    row: dict[str, Any] = {"file": str(file), **sound._asdict(), "store": str(target)}
    said = f"restored {sound.events} events to {target}"
    call.output.changed(said, row, ident="store", dry_run=call.dry_run)
    if not call.dry_run:
        call.output.hint("Readers start anew (new epoch); live leases have their whole TTL again.")
