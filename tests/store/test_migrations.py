"""Migrations: up, checked against the tables, down and up again, on both engines."""

import pytest
from alembic import command
from sqlalchemy import inspect

from kyros_collab_server.settings import Settings
from kyros_collab_server.store import migrate
from kyros_collab_server.store.schema import metadata
from tests.store.tables import raw_connection


def where(settings: Settings) -> tuple[object, str]:
    if settings.database_url:
        return None, settings.database_url
    settings.sqlite_path.parent.mkdir(parents=True, exist_ok=True)
    return settings.sqlite_path, ""


def tables(settings: Settings) -> set[str]:
    engine = migrate.engine_of(*where(settings))
    try:
        return set(inspect(engine).get_table_names()) - {"alembic_version"}
    finally:
        engine.dispose()


def test_the_schema_goes_up_and_down_and_is_what_the_code_declares(
    store_settings: Settings,
) -> None:
    store = where(store_settings)
    assert migrate.current(*store) is None
    for _ in range(2):
        migrate.upgrade(*store)
        assert migrate.current(*store) == migrate.newest()
        engine = migrate.engine_of(*store)
        with engine.connect() as connection:
            command.check(migrate.configuration(connection))
        engine.dispose()
        assert tables(store_settings) == set(metadata.tables)
        migrate.downgrade(*store, "base")
        assert migrate.current(*store) is None
        assert tables(store_settings) == set()


def test_an_upgrade_of_the_newest_schema_changes_nothing(store_settings: Settings) -> None:
    store = where(store_settings)
    migrate.upgrade(*store)
    with raw_connection(store_settings) as raw:
        raw.execute("INSERT INTO store_meta (name, value) VALUES ('mark', 'x')")
    migrate.upgrade(*store)
    with raw_connection(store_settings) as raw:
        assert raw.execute("SELECT value FROM store_meta").fetchall() == [("x",)]


def test_a_store_that_does_not_answer_is_said_to_be_unavailable() -> None:
    from kyros_collab_server.kernel.errors import StoreUnavailable

    with pytest.raises(StoreUnavailable):
        migrate.upgrade(None, "postgresql+psycopg://nobody@127.0.0.1:1/none")
