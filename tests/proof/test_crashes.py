"""`kill -9` of a server under its writers loses nothing acknowledged and leaves nothing half."""

import os
from pathlib import Path

import pytest

from kyros_collab_server.settings import Settings
from tests.proof.crashes import CrashLoop
from tests.proof.summary import Summary

pytestmark = pytest.mark.anyio
SHORT_KILLS = 10
LONG_KILLS = int(os.environ.get("KYROS_PROOF_KILLS", "200"))
SEED = 20_260_728


async def survive(settings: Settings, directory: Path, kills: int, summary: Summary) -> None:
    loop = CrashLoop(settings, directory, SEED)
    try:
        for _ in range(kills):
            await loop.kill_once()
        await loop.settle()
    finally:
        loop.close()
    tally = loop.tally
    summary.say(tally.line("postgres" if settings.database_url else "sqlite"))
    assert tally.kills.total() == kills
    assert tally.acknowledged > 0
    assert tally.took_effect > 0, "no kill fell between a commit and its answer"


async def test_ten_kills_lose_no_acknowledged_write(
    store_settings: Settings, tmp_path: Path, summary: Summary
) -> None:
    await survive(store_settings, tmp_path, SHORT_KILLS, summary)


@pytest.mark.proof_long
async def test_many_kills_lose_no_acknowledged_write(
    store_settings: Settings, tmp_path: Path, summary: Summary
) -> None:
    await survive(store_settings, tmp_path, LONG_KILLS, summary)
