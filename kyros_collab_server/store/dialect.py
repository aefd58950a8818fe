"""One spelling of SQL for two engines: named parameters, rows as tuples, no ORM on hot paths."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

Row = tuple[Any, ...]
Params = Mapping[str, Any]
Columns = Mapping[str, str]
"""Column names with their Postgres types."""

NONE: Params = {}
_NAMED = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")


class Db(Protocol):
    """A connection inside a transaction. Statements name their parameters `:like_this`.

    `guard`, while set, is called before the first write: the lane opens a savepoint by it, so that
    an operation that refuses before it writes costs none.
    """

    guard: Callable[[], None] | None

    def all(self, sql: str, params: Params = NONE) -> list[Row]: ...
    def one(self, sql: str, params: Params = NONE) -> Row | None: ...
    def run(self, sql: str, params: Params = NONE) -> None:
        """Execute; on Postgres the statement may still be on its way when this returns."""
        ...

    def insert(self, table: str, columns: Columns, rows: Sequence[Params]) -> None:
        """Insert all rows with one statement."""
        ...


class SqliteDb:
    """A `pysqlite3` connection in autocommit mode; the caller begins and commits."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.guard: Callable[[], None] | None = None
        self._execute: Callable[..., Any] = raw.execute

    def all(self, sql: str, params: Params = NONE) -> list[Row]:
        """All rows of a query."""
        rows: list[Row] = self._execute(sql, params).fetchall()
        return rows

    def one(self, sql: str, params: Params = NONE) -> Row | None:
        """The first row of a query, or None."""
        row: Row | None = self._execute(sql, params).fetchone()
        return row

    def run(self, sql: str, params: Params = NONE) -> None:
        """The statement has been executed."""
        if self.guard is not None:
            self.guard()
        self._execute(sql, params)

    def insert(self, table: str, columns: Columns, rows: Sequence[Params]) -> None:
        """All rows are in the table."""
        if self.guard is not None:
            self.guard()
        self.raw.executemany(_sqlite_insert(table, tuple(columns)), rows)


@lru_cache(maxsize=64)
def _sqlite_insert(table: str, columns: tuple[str, ...]) -> str:
    values = ", ".join(f":{name}" for name in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})"


@lru_cache(maxsize=64)
def _postgres_insert(table: str, columns: tuple[tuple[str, str], ...]) -> str:
    names = ", ".join(name for name, _ in columns)
    arrays = ", ".join(f"%({name})s::{kind}[]" for name, kind in columns)
    return f"INSERT INTO {table} ({names}) SELECT * FROM unnest({arrays})"


@lru_cache(maxsize=1024)
def postgres_text(sql: str) -> str:
    """The statement with psycopg's spelling of named parameters."""
    return _NAMED.sub(r"%(\1)s", sql)


class PostgresDb:
    """A psycopg connection. In a pipeline only reads wait for their answers."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.guard: Callable[[], None] | None = None
        self._execute: Callable[..., Any] = raw.cursor().execute

    def all(self, sql: str, params: Params = NONE) -> list[Row]:
        """All rows of a query."""
        rows: list[Row] = self._execute(postgres_text(sql), params, prepare=True).fetchall()
        return rows

    def one(self, sql: str, params: Params = NONE) -> Row | None:
        """The first row of a query, or None."""
        row: Row | None = self._execute(postgres_text(sql), params, prepare=True).fetchone()
        return row

    def run(self, sql: str, params: Params = NONE) -> None:
        """The statement is under way; its failure shows at the next read or at commit."""
        if self.guard is not None:
            self.guard()
        self._execute(postgres_text(sql), params, prepare=True)

    def insert(self, table: str, columns: Columns, rows: Sequence[Params]) -> None:
        """One statement for all rows is under way."""
        if self.guard is not None:
            self.guard()
        arrays = {name: [row[name] for row in rows] for name in columns}
        text = _postgres_insert(table, tuple(columns.items()))
        self._execute(text, arrays, prepare=True)


def listed(name: str, values: Sequence[Any]) -> tuple[str, dict[str, Any]]:
    """`(":n0, :n1", {n0: …, n1: …})` for an IN list; an empty list matches nothing."""
    if not values:
        return "NULL", {}
    params = {f"{name}{place}": value for place, value in enumerate(values)}
    return ", ".join(f":{key}" for key in params), params


def like(text: str) -> str:
    """A LIKE pattern (escape character `~`) that finds the text anywhere."""
    escaped = text.replace("~", "~~").replace("%", "~%").replace("_", "~_")
    return f"%{escaped}%"
