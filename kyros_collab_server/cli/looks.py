"""How values look on a terminal: a symbol with a colour, a relative time."""

from datetime import UTC, datetime
from typing import Any

from kyros_collab_server.cli.output import Row

Look = tuple[str, str]

_STATUS = {
    "queued": ("○", "cyan"),
    "claimed": ("◔", "blue"),
    "in_progress": ("◑", "blue"),
    "review": ("◇", "magenta"),
    "approved": ("◆", "magenta"),
    "merging": ("◕", "magenta"),
    "done": ("●", "green"),
    "cancelled": ("×", "dim"),
    "available": ("●", "green"),
    "busy": ("◑", "blue"),
    "paused": ("‖", "yellow"),
    "stalled": ("!", "red"),
    "offline": ("○", "dim"),
    "active": ("●", "green"),
    "stale": ("!", "red"),
}
_PRIORITY = {"P0": "bold red", "P1": "yellow", "P2": "", "P3": "dim"}


def status(value: Any, _row: Row) -> Look:
    """A status with its symbol, so that colour is never the only sign."""
    symbol, colour = _STATUS.get(str(value), ("·", ""))
    return f"{symbol} {value}", colour


def priority(value: Any, _row: Row) -> Look:
    """A priority, the urgent ones louder."""
    return str(value), _PRIORITY.get(str(value), "")


def since(value: Any, _row: Row) -> Look:
    """How long ago an instant was."""
    return ago(value), "dim"


def ago(value: Any, now: datetime | None = None) -> str:
    """`3 min ago` for an RFC 3339 instant, `in 4 min` for one to come; empty for none."""
    if not value:
        return ""
    seconds = ((now or datetime.now(UTC)) - datetime.fromisoformat(value)).total_seconds()
    length = duration(abs(seconds))
    return f"{length} ago" if seconds >= 0 else f"in {length}"


def left(value: Any, _row: Row) -> Look:
    """How long until something ends, from milliseconds."""
    if value is None:
        return "", ""
    if value <= 0:
        return f"over for {duration(-value / 1000)}", "red"
    return duration(value / 1000), ""


def counted(number: int, noun: str) -> str:
    """`1 task`, `2 tasks`."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def duration(seconds: float) -> str:
    """The largest unit that fits: 12 s, 5 min, 3 h, 2 d."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"
