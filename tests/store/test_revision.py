"""The cheap look at a store's revision agrees with Alembic's own."""

from pathlib import Path

from kyros_collab_server.settings import Settings
from kyros_collab_server.store import migrate, revision


def test_the_newest_revision_is_that_of_the_migrations() -> None:
    assert migrate.newest() == revision.NEWEST


def test_a_store_stands_where_its_migrations_left_it(store_settings: Settings) -> None:
    path: Path | None = None if store_settings.database_url else store_settings.sqlite_path
    url = store_settings.database_url
    if path is not None:
        path.parent.mkdir(parents=True)
    assert revision.current(path, url) is None
    migrate.upgrade(path, url)
    assert revision.current(path, url) == revision.NEWEST == migrate.current(path, url)
