"""What a store remembers over boots and timelines: time goes on, live leases get a full TTL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kyros_collab_server.bootstrap import open_kyros
from kyros_collab_server.settings import Settings
from kyros_collab_server.store import boot
from tests.callers import agent_of, refused
from tests.conftest import Board, TurnedClock
from tests.store.tables import chained, raw_connection

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def opened_board(settings: Settings, clock: TurnedClock) -> AsyncIterator[Board]:
    async with open_kyros(settings, duties=False, clock=clock) as opened:
        yield Board(opened, clock)


@pytest.fixture
def sqlite_settings(tmp_path: object) -> Settings:
    return Settings(data_dir=f"{tmp_path}/data")


async def test_a_new_boot_gives_live_leases_a_full_ttl_and_time_goes_on(
    sqlite_settings: Settings, clock: TurnedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened_board(sqlite_settings, clock) as board:
        ana = await agent_of(board, "ana")
        (live,) = await ana.acquire("live", ttl=60)
        (ended,) = await ana.acquire("ended", ttl=60)
        await ana.release(ended.lock_id)
        clock.advance(50)
        await ana.say("before the boot")
    monkeypatch.setattr(boot, "boot_id", lambda: "another boot")
    clock.now_ms = 7
    async with opened_board(sqlite_settings, clock) as board:
        ana = await agent_of(board, "ana")
        ben = await agent_of(board, "ben")
        assert (await ben.lease(live.lock_id)).expires_in_ms == 60_000
        assert (await ben.lease(ended.lock_id)).state == "released"
        clock.advance(60)
        await ana.renew(live.lock_id)
        clock.advance(60.001)
        with refused("lease_lost"):
            await ana.renew(live.lock_id)
        await ben.say("after the boot")
    chained(sqlite_settings)


async def test_a_restart_within_a_boot_gives_nothing(
    sqlite_settings: Settings, clock: TurnedClock
) -> None:
    async with opened_board(sqlite_settings, clock) as board:
        (lease,) = await (await agent_of(board, "ana")).acquire("r", ttl=60)
    clock.advance(60.001)
    async with opened_board(sqlite_settings, clock) as board:
        assert (await (await agent_of(board, "ben")).lease(lease.lock_id)).state == "stale"


async def test_a_new_timeline_gives_a_new_epoch_and_live_leases_a_full_ttl(
    postgres_url: str, tmp_path: object
) -> None:
    settings = Settings(data_dir=f"{tmp_path}/data", database_url=postgres_url)
    async with open_kyros(settings, duties=False) as opened:
        board = Board(opened, TurnedClock())
        (lease,) = await (await agent_of(board, "ana")).acquire("r", ttl=60)
        epoch = opened.kyros.epoch
    with raw_connection(settings) as raw:
        raw.execute(
            "UPDATE leases SET heartbeat_t = heartbeat_t - 40000, expires_t = expires_t - 40000"
        )
    async with open_kyros(settings, duties=False) as opened:
        ben = await agent_of(Board(opened, TurnedClock()), "ben")
        assert opened.kyros.epoch == epoch
        assert (await ben.lease(lease.lock_id)).expires_in_ms < 21_000
    with raw_connection(settings) as raw:
        raw.execute("UPDATE store_meta SET value = 'another' WHERE name = 'timeline'")
    async with open_kyros(settings, duties=False) as opened:
        ben = await agent_of(Board(opened, TurnedClock()), "ben")
        assert opened.kyros.epoch != epoch
        assert (await ben.lease(lease.lock_id)).expires_in_ms > 50_000


def test_this_machine_tells_its_boots_apart() -> None:
    assert boot.boot_id() == boot.boot_id()
