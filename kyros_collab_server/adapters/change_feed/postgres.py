"""The bell on Postgres: one NOTIFY for each batch, and a slow poll in case one is lost."""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import psycopg

from kyros_collab_server.adapters.change_feed.feed import IDLE_SECONDS, ChangeFeed
from kyros_collab_server.kernel.errors import KyrosError

log = logging.getLogger(__name__)


class Listener:
    """A thread that hears notifications and rings the feed on the event loop."""

    def __init__(self, feed: ChangeFeed, connect: Callable[[], Any]) -> None:
        self._feed = feed
        self._connect = connect
        self._loop = asyncio.get_running_loop()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="kyros-listen", daemon=True)

    def start(self) -> None:
        """Notifications ring the feed."""
        self._thread.start()

    def stop(self) -> None:
        """The thread has ended."""
        self._stopped.set()
        self._thread.join()

    def _listen(self) -> None:
        while not self._stopped.is_set():
            try:
                with self._connect() as raw:
                    while not self._stopped.is_set():
                        for heard in raw.notifies(timeout=IDLE_SECONDS):
                            self._loop.call_soon_threadsafe(
                                self._feed.ring, heads_of(heard.payload)
                            )
            except (psycopg.Error, KyrosError):
                log.warning("change_feed_connection_lost")
                self._stopped.wait(1)
            except RuntimeError:
                return  # the event loop has closed


def heads_of(payload: str) -> dict[str, int]:
    """`{workspace: seq}` of a notification `name:seq,name:seq`; a torn last item is left out."""
    items = (item.rpartition(":") for item in payload.split(","))
    return {name: int(seq) for name, _, seq in items if name and seq.isdigit()}


async def poll(feed: ChangeFeed) -> None:
    """Ring the feed with what the store says every 250 ms while somebody waits, until cancelled."""
    while True:
        await asyncio.sleep(IDLE_SECONDS)
        if feed.waited_for:
            try:
                await feed.refresh()
            except KyrosError:
                log.warning("change_feed_poll_failed")
