"""A process that appends events to a store from several callers at once, and prints their seqs.

`python -m tests.store.appender <data-dir> <database-url or -> <name> <callers> <events each>`
"""

import asyncio
import json
import sys
from pathlib import Path

from kyros_collab_server.application import Kyros
from kyros_collab_server.bootstrap import open_kyros
from kyros_collab_server.features.events import service as events
from kyros_collab_server.features.events.model import AppendEvent
from kyros_collab_server.settings import Settings


async def append(kyros: Kyros, name: str, count: int) -> list[int]:
    """The seqs of events that one caller was told of, in order."""
    caller = kyros.local_caller(agent=name)
    told = []
    for number in range(count):
        command = AppendEvent(event="note", text=f"{name} {number}")
        told.append((await kyros.perform(events.append, command, actor=caller)).seq)
    return told


async def main(
    data_dir: str, url: str, name: str, callers: int, count: int
) -> dict[str, list[int]]:
    """Seqs by agent name."""
    settings = Settings(data_dir=Path(data_dir), database_url="" if url == "-" else url)
    async with open_kyros(settings, duties=False) as opened:
        names = [f"{name}-{number}" for number in range(callers)]
        told = await asyncio.gather(*(append(opened.kyros, one, count) for one in names))
    return dict(zip(names, told, strict=True))


if __name__ == "__main__":
    where, url, name, callers, count = sys.argv[1:]
    print(json.dumps(asyncio.run(main(where, url, name, int(callers), int(count)))))
