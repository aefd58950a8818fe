"""`kyros migrate`: the store's schema at this version."""

from pathlib import Path

from kyros_collab_server.cli.command import Call, command, single
from kyros_collab_server.cli.failures import usage
from kyros_collab_server.settings import Settings

app = single()


def store_of(settings: Settings) -> tuple[Path | None, str]:
    """Path and URL of the store, as the store's own functions take them."""
    path = None if settings.database_url else settings.sqlite_path
    return path, settings.database_url


@command(app, "migrate", writes=True)
async def migrate(call: Call) -> None:
    """Bring the store's schema to this version; one that is there already stays as it is."""
    from kyros_collab_server.store import migrate as migrations

    if call.settings.url:
        raise usage("A store is migrated where it lies.", "Leave --url out.")
    path, url = store_of(call.settings)
    is_new = path is not None and not path.exists()
    before = None if is_new else migrations.current(path, url)
    head = migrations.newest()
    if not call.dry_run and before != head:
        from kyros_collab_server.cli.first_start import open_store

        async with open_store(call.settings):
            pass
    row = {"from": before, "revision": head, "store": str(path or "postgres")}
    if before == head:
        call.output.changed(f"unchanged: the store stands at {head}", row, ident="revision")
        return
    sentence = f"migrated the store from {before or 'nothing'} to {head}"
    call.output.changed(sentence, row, ident="revision", dry_run=call.dry_run)
