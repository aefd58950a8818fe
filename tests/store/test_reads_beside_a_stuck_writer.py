"""A store that takes no writes for a while answers reads all the same."""

import fcntl
from pathlib import Path

import pytest

from kyros_collab_server.bootstrap import open_kyros
from kyros_collab_server.features.tasks import service as tasks
from kyros_collab_server.features.tasks.model import ShowBoard
from kyros_collab_server.settings import Settings

pytestmark = pytest.mark.anyio


async def test_a_read_is_answered_while_another_process_holds_the_write_lock(
    tmp_path: Path,
) -> None:
    settings = Settings(data_dir=tmp_path, lock_timeout_seconds=5)
    async with open_kyros(settings, duties=False) as opened:
        ana = opened.kyros.local_caller(agent="ana")
        with (tmp_path / "kyros.db.lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            board = await opened.kyros.perform(tasks.board, ShowBoard(), actor=ana)
            assert board.me is not None
            assert board.me.actor == "agent:ana"
            fcntl.flock(lock, fcntl.LOCK_UN)
