"""Moments: a seq or an instant, as people name a place in the log."""

from kyros_collab_server.features.events.ports import LogWork
from kyros_collab_server.kernel.errors import Invalid
from kyros_collab_server.kernel.time import rfc3339, wall_ms_of


def is_seq(moment: str) -> bool:
    """True for a moment that is named by its seq."""
    return moment.isascii() and moment.isdigit() and len(moment) <= 16


def seq_of(work: LogWork, at: str, field: str = "at") -> int:
    """The seq that a moment names: itself, or the last one not after an RFC 3339 instant.

    Raises:
        Invalid: it is neither.
    """
    if is_seq(at):
        return min(int(at), work.events.head().seq)
    return work.events.last_before(rfc3339(_wall_ms(at, field) + 1))


def seq_before(work: LogWork, at: str, field: str = "at") -> int:
    """The seq after which a reader starts who wants everything from a moment on.

    Raises:
        Invalid: it is neither a seq nor an instant.
    """
    if is_seq(at):
        return min(max(int(at) - 1, 0), work.events.head().seq)
    return work.events.last_before(rfc3339(_wall_ms(at, field)))


def _wall_ms(at: str, field: str) -> int:
    try:
        wall_ms = wall_ms_of(at)
        rfc3339(wall_ms + 1)
    except (ValueError, OverflowError):
        raise Invalid(field, "is neither a seq nor an RFC 3339 instant with a zone") from None
    return wall_ms
