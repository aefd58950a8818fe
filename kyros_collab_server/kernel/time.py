"""Two clocks: the steady one that decides, and the wall that is only shown."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where a store takes its time from. Tests bring their own."""

    def steady_ms(self) -> int:
        """Milliseconds that never step back while the machine is up."""
        ...

    def wall_ms(self) -> int:
        """Milliseconds since the Unix epoch, for display."""
        ...


class SystemClock:
    """The machine's own clocks. `CLOCK_MONOTONIC` is one for all processes and stops in suspend."""

    def steady_ms(self) -> int:
        """Milliseconds of `CLOCK_MONOTONIC` (`CLOCK_UPTIME_RAW` on macOS)."""
        return time.clock_gettime_ns(_STEADY) // 1_000_000

    def wall_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000


_STEADY: int = getattr(time, "CLOCK_UPTIME_RAW", time.CLOCK_MONOTONIC)


def rfc3339(wall_ms: int) -> str:
    """`2026-01-31T10:00:00.000Z` for milliseconds since the Unix epoch."""
    moment = datetime.fromtimestamp(wall_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{wall_ms % 1000:03d}Z"


def wall_ms_of(text: str) -> int:
    """Milliseconds since the Unix epoch for an RFC 3339 instant with a zone.

    Raises:
        ValueError: when it is not one, or names no zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("names no time zone")
    return round(moment.timestamp() * 1000)
