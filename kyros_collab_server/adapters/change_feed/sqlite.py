"""The bell on SQLite: other processes' commits show in the file's own change counter."""

import asyncio
import logging
from collections.abc import Callable

from kyros_collab_server.adapters.change_feed.feed import (
    IDLE_SECONDS,
    WAITED_FOR_SECONDS,
    ChangeFeed,
)

log = logging.getLogger(__name__)


async def follow_file(feed: ChangeFeed, probe: Callable[[], int | None]) -> None:
    """Ring the feed at every change of `PRAGMA data_version`, until cancelled.

    Looks every 5 ms while somebody waits (3 µs a look), every 250 ms otherwise.
    """
    seen = probe()
    while True:
        await asyncio.sleep(WAITED_FOR_SECONDS if feed.waited_for else IDLE_SECONDS)
        try:
            now = probe()
            if now != seen:
                await feed.refresh()
                seen = now
        except Exception:
            log.exception("change_feed_look_failed")
            await asyncio.sleep(IDLE_SECONDS)
