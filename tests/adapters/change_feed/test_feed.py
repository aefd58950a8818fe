"""The bell by itself: wakes in time, ends in time, and loses no more than its hint."""

import asyncio
from collections.abc import Sequence

import pytest

from kyros_collab_server.adapters.change_feed.feed import FRAME_QUEUE, ChangeFeed
from kyros_collab_server.adapters.change_feed.postgres import heads_of

pytestmark = pytest.mark.anyio
BOUND = 10


def feed_over(heads: dict[str, int]) -> ChangeFeed:
    """A feed over a store whose heads the test moves."""

    async def read(workspaces: Sequence[str]) -> dict[str, int]:
        return {name: heads.get(name, 0) for name in workspaces}

    return ChangeFeed(read)


async def test_a_wait_ends_at_once_when_the_log_is_further_already() -> None:
    feed = feed_over({"default": 7})
    assert await asyncio.wait_for(feed.after("default", 3, BOUND), 1) == 7
    assert feed.head("default") == 7
    assert feed.head("other") == 0


async def test_a_wait_ends_with_the_ring_or_at_its_timeout() -> None:
    feed = feed_over({"default": 7})
    assert await asyncio.wait_for(feed.after("default", 7, 0.01), BOUND) == 7
    waiting = [asyncio.create_task(feed.after("default", 7, BOUND)) for _ in range(3)]
    await asyncio.sleep(0)
    assert feed.waited_for
    feed.ring({"other": 9, "default": 8})
    assert await asyncio.wait_for(asyncio.gather(*waiting), 1) == [8, 8, 8]
    assert not feed.waited_for


async def test_a_ring_for_less_than_is_waited_for_wakes_nobody_for_good() -> None:
    feed = feed_over({"default": 7})
    waiting = asyncio.create_task(feed.after("default", 9, BOUND))
    await asyncio.sleep(0)
    for seq in (7, 8, 9):
        feed.ring({"default": seq})
        await asyncio.sleep(0)
    assert not waiting.done()
    feed.ring({"default": 10})
    assert await asyncio.wait_for(waiting, 1) == 10


async def test_a_head_never_goes_back() -> None:
    feed = feed_over({})
    feed.ring({"default": 5})
    feed.ring({"default": 3})
    assert feed.head("default") == 5


async def test_a_lost_bell_is_made_good_by_the_next_look_at_the_store() -> None:
    heads = {"default": 7}
    feed = feed_over(heads)
    await feed.refresh()
    waiting = asyncio.create_task(feed.after("default", 7, BOUND))
    await asyncio.sleep(0)
    heads["default"] = 8
    await feed.refresh()
    assert await asyncio.wait_for(waiting, 1) == 8


async def test_a_waiter_that_leaves_is_forgotten() -> None:
    feed = feed_over({"default": 7})
    waiting = asyncio.create_task(feed.after("default", 7, BOUND))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not feed.waited_for


async def test_frames_reach_the_readers_of_their_workspace_in_order() -> None:
    feed = feed_over({})
    feed.publish("default", "beat", {"n": 0})
    async with feed.frames("default") as mine, feed.frames("other") as others:
        feed.publish("default", "beat", {"n": 1})
        feed.publish("default", "call", {"n": 2})
        feed.publish("other", "call", {"n": 3})
        assert await asyncio.wait_for(anext(mine), 1) == ("beat", {"n": 1})
        assert await asyncio.wait_for(anext(mine), 1) == ("call", {"n": 2})
        assert await asyncio.wait_for(anext(others), 1) == ("call", {"n": 3})


async def test_a_reader_that_lags_loses_frames_and_stops_nobody() -> None:
    feed = feed_over({})
    async with feed.frames("default") as frames:
        for number in range(FRAME_QUEUE + 10):
            feed.publish("default", "beat", {"n": number})
        seen = [(await asyncio.wait_for(anext(frames), 1))[1]["n"] for _ in range(FRAME_QUEUE)]
        assert seen == list(range(FRAME_QUEUE))


def test_a_notification_names_workspaces_and_their_seqs() -> None:
    assert heads_of("default:7,a-b:12") == {"default": 7, "a-b": 12}
    assert heads_of("default:7,torn") == {"default": 7}
    assert heads_of("") == {}
