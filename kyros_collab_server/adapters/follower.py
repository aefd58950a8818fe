"""The follower: keeps a projection up to date, and leaves the processor to the server."""

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor

from kyros_collab_server.adapters.projection import Projection
from kyros_collab_server.kernel.errors import KyrosError

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
"""How often one looks for what other processes committed, and for files that were deleted."""
STAND_BY_SECONDS = 1.0
"""How often a process that does not write the directory asks whether it may."""
LEAST_SECONDS = 0.1
SHARE = 10
"""Between two writes there are at least 100 ms, and ten times what the last one used of the CPU."""
LAGS_AFTER_SECONDS = 5.0


class Follower:
    """Brings a projection up to date after every commit. A failure is logged and tried again."""

    def __init__(self, projection: Projection) -> None:
        self._projection = projection
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kyros-projection")
        self._bell = asyncio.Event()
        self._up_to_date = time.monotonic()
        self._writes = True
        self._failure = ""

    def ring(self) -> None:
        """Something was committed; call it on the event loop."""
        self._bell.set()

    @property
    def lag(self) -> str | None:
        """How far behind the directory is and why; None when it keeps up, or another writes it."""
        behind = time.monotonic() - self._up_to_date
        if not self._writes or behind <= LAGS_AFTER_SECONDS:
            return None
        return f"{behind:.0f} s behind" + (f": {self._failure}" if self._failure else "")

    async def run(self) -> None:
        """Follow until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._bell.clear()
            cpu = await loop.run_in_executor(self._thread, self._step)
            await asyncio.sleep(max(LEAST_SECONDS, SHARE * cpu))
            wait = LOOK_SECONDS if self._writes else STAND_BY_SECONDS
            try:
                await asyncio.wait_for(self._bell.wait(), wait)
            except TimeoutError:
                continue

    def _step(self) -> float:
        """One attempt; returns the seconds of processor time that it used."""
        began = time.thread_time()
        try:
            self._writes = self._projection.catch_up()
        except (OSError, KyrosError) as error:
            failure = getattr(error, "strerror", None) or type(error).__name__
            if failure != self._failure:
                log.warning("projection_behind", extra={"reason": failure})
            self._failure = failure
        except Exception as error:
            if not self._failure:
                log.exception("projection_failed")
            self._failure = type(error).__name__
        else:
            if self._failure:
                log.info("projection_caught_up")
            self._failure, self._up_to_date = "", time.monotonic()
        return time.thread_time() - began

    async def stop(self) -> None:
        """The directory is up to date where it can be, and free for another process to write."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._end)
        self._thread.shutdown(wait=True)

    def _end(self) -> None:
        self._step()
        self._projection.close()
