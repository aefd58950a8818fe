"""The store's tables as another program reads them, and the chain verified by its own code."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import rfc8785
from pysqlite3 import dbapi2 as sqlite

from kyros_collab_server.settings import Settings


@contextmanager
def raw_connection(settings: Settings) -> Iterator[Any]:
    """A connection of the test's own, in autocommit mode."""
    if settings.database_url:
        url = settings.database_url.replace("postgresql+psycopg://", "postgresql://", 1)
        with psycopg.connect(url, autocommit=True) as raw:
            yield raw
        return
    raw = sqlite.connect(str(settings.sqlite_path), isolation_level=None)
    try:
        yield raw
    finally:
        raw.close()


def rows(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    """All rows of a statement without parameters."""
    with raw_connection(settings) as raw:
        found: list[tuple[Any, ...]] = raw.execute(sql).fetchall()
        return found


def chained(settings: Settings, workspace: str = "default") -> list[dict[str, Any]]:
    """The log's lines, once seq, hashes, columns and order have been verified."""
    previous, lines, last_t = "0" * 64, [], 0
    for seq, digest, body, event, actor, target, ts, t in rows(
        settings,
        "SELECT seq, hash, body, event, actor, target, ts, t FROM events "
        f"WHERE workspace = '{workspace}' ORDER BY seq",
    ):
        line = json.loads(body)
        assert seq == line["seq"] == len(lines) + 1, "a gap"
        assert line["prev_hash"] == previous
        assert rfc8785.dumps(line).decode() == body
        assert digest == hashlib.sha256(previous.encode() + body.encode()).hexdigest()
        shown = (line["event"], line["actor"], line["target"], line["ts"], line["workspace"])
        assert shown == (event, actor, target, ts, workspace)
        assert t >= last_t, "time ran backwards"
        previous, last_t = digest, t
        lines.append(line)
    return lines
