"""Floors of the store: a durable transaction of two statements and nothing else."""

import os
import secrets
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from pysqlite3 import dbapi2 as sqlite

from tests.bench.rounds import Sample

BODY = "x" * 400
TABLES = (
    "CREATE TABLE lines (seq {serial} PRIMARY KEY, body TEXT NOT NULL)",
    "CREATE TABLE cards (id BIGINT PRIMARY KEY, etag TEXT NOT NULL, document TEXT NOT NULL)",
    "CREATE TABLE keys (key TEXT PRIMARY KEY, answer TEXT NOT NULL)",
)


SECONDS = 0.5
"""How long one sample takes."""


def timed(run: Callable[[], int]) -> Sample:
    """How long so many operations took this process, and how much of the processor."""
    cpu, began = time.process_time(), time.perf_counter()
    operations = run()
    return Sample(operations, time.perf_counter() - began, time.process_time() - cpu)


class RawSqlite:
    """`BEGIN IMMEDIATE`, two statements, `COMMIT`, one thread; WAL with `synchronous=FULL`."""

    def __init__(self, path: Path) -> None:
        self._raw = sqlite.connect(str(path), isolation_level=None)
        self._raw.execute("PRAGMA journal_mode=WAL")
        self._raw.execute("PRAGMA synchronous=FULL")
        self._raw.execute("PRAGMA wal_autocheckpoint=4000")
        for table in TABLES:
            self._raw.execute(table.format(serial="INTEGER"))
        self._raw.execute("INSERT INTO cards VALUES (1, '', ?)", (BODY,))

    def run(self) -> Sample:
        """Transactions for a while."""
        execute = self._raw.execute

        def loop() -> int:
            number, deadline = 0, time.perf_counter() + SECONDS
            while time.perf_counter() < deadline:
                number += 1
                execute("BEGIN IMMEDIATE")
                execute("INSERT INTO lines (body) VALUES (?)", (BODY,))
                execute("UPDATE cards SET etag = ?, document = ? WHERE id = 1", (str(number), BODY))
                execute("COMMIT")
            return number

        return timed(loop)

    def close(self) -> None:
        """The file is closed."""
        self._raw.close()


class RawPostgres:
    """The same by psycopg on one connection; or on a pool of them that keeps no order.

    With `keyed` a transaction also looks for an idempotency key and stores it, so that it does
    what a mutation of ours does, but for the order, the chain and the fence.
    """

    def __init__(self, url: str, connections: int, *, keyed: bool) -> None:
        self._keyed = keyed
        libpq = url.replace("postgresql+psycopg://", "postgresql://", 1)
        options = "-c synchronous_commit=on"
        self._pool: list[Any] = [
            psycopg.connect(libpq, options=options) for _ in range(connections)
        ]
        with self._pool[0].transaction():
            if not self._pool[0].execute("SELECT to_regclass('lines')").fetchone()[0]:
                for table in TABLES:
                    self._pool[0].execute(table.format(serial="BIGSERIAL"))
                for number in range(64):
                    self._pool[0].execute("INSERT INTO cards VALUES (%s, '', '')", (number,))

    def run(self) -> Sample:
        """Transactions for a while, on all connections at once."""
        done = [0] * len(self._pool)

        def loop(card: int, connection: Any) -> None:
            deadline = time.perf_counter() + SECONDS
            while time.perf_counter() < deadline:
                if self._keyed:
                    key = secrets.token_hex(8)
                    connection.execute("SELECT answer FROM keys WHERE key = %s", (key,)).fetchone()
                    connection.execute("INSERT INTO keys VALUES (%s, %s)", (key, BODY))
                connection.execute("INSERT INTO lines (body) VALUES (%s)", (BODY,))
                connection.execute(
                    "UPDATE cards SET etag = %s, document = %s WHERE id = %s",
                    (str(done[card]), BODY, card),
                )
                connection.commit()
                done[card] += 1

        def all_of_them() -> int:
            threads = [threading.Thread(target=loop, args=one) for one in enumerate(self._pool)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return sum(done)

        return timed(all_of_them)

    def close(self) -> None:
        """The connections are closed."""
        for connection in self._pool:
            connection.close()


def fsync_ms(directory: Path) -> float:
    """The median time that the disk below a directory takes to make 4 KiB durable."""
    took = []
    with (directory / "fsync").open("wb", buffering=0) as file:
        for _ in range(200):
            file.write(b"x" * 4096)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000
