"""A process that changes a board and projects it, until it has done enough or is killed.

`python -m tests.adapters.projecting <data-dir> <changes>`, with `KYROS_FAILPOINT` to be killed by.
"""

import asyncio
import sys
from pathlib import Path

from kyros_collab_server.bootstrap import open_kyros
from kyros_collab_server.settings import load_settings
from tests.callers import Caller


async def main(data_dir: str, changes: int) -> None:
    """Tasks are made, changed and claimed while the files follow."""
    async with open_kyros(load_settings(data_dir=Path(data_dir))) as opened:
        ana = Caller(opened.kyros, opened.kyros.local_caller(agent="ana"))
        for number in range(changes):
            task = await ana.create(title=f"number {number}")
            await ana.update(task, description="x" * 500)
            await ana.say("made it", to=["ana"], target=f"task:{task.id}")
            if number % 10 == 0:
                await ana.acquire(f"thing {number}")
            await asyncio.sleep(0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
