"""What a store remembers of itself between processes and boots."""

import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path

from kyros_collab_server.kernel.time import Clock
from kyros_collab_server.store.dialect import Db
from kyros_collab_server.store.work import Shared

META = "SELECT value FROM store_meta WHERE name = :name"
SET_META = """
INSERT INTO store_meta (name, value) VALUES (:name, :value)
ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
KEEP_META = """
INSERT INTO store_meta (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING
"""
LATEST = """
SELECT max(coalesce((SELECT max(t) FROM events), 0),
coalesce((SELECT max(heartbeat_t) FROM leases), 0))
"""
EXTEND_LEASES = """
UPDATE leases SET heartbeat_t = :now, expires_t = :now + ttl_ms
WHERE ended IS NULL AND expires_t >= :since
"""


class SteadyClock:
    """The machine's steady clock, shifted so that it goes on where the last boot ended."""

    def __init__(self, offset_ms: int, clock: Clock) -> None:
        self._offset_ms = offset_ms
        self._clock = clock

    def steady_ms(self) -> int:
        """Milliseconds that never step back, over boots too."""
        return self._clock.steady_ms() + self._offset_ms

    def wall_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        return self._clock.wall_ms()


def meta_value(db: Db, name: str, first: Callable[[], str]) -> str:
    """The remembered value, made by `first` when there is none."""
    db.run(KEEP_META, {"name": name, "value": first()})
    row = db.one(META, {"name": name})
    return str(row[0]) if row else ""


def boot_id() -> str:
    """An id of this boot of this machine; steady times of another are not comparable."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        pass  # not Linux
    try:
        told = subprocess.run(
            ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"],
            capture_output=True,
            check=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return told.stdout.strip()


def settle_boot(db: Db, clock: Clock) -> int:
    """Milliseconds to add to this boot's steady clock.

    On a boot that the store does not know, time goes on after its last event, and every live lease
    gets one full TTL.
    """
    this_boot = boot_id()
    row = db.one(META, {"name": "boot_id"})
    if row is not None and row[0] == this_boot:
        offset = db.one(META, {"name": "clock_offset_ms"})
        return int(offset[0]) if offset else 0
    latest = db.one(LATEST)
    now = max(int(latest[0]) if latest else 0, 0) + 1
    offset_ms = now - clock.steady_ms() if row is not None or now > 1 else 0
    db.run(SET_META, {"name": "boot_id", "value": this_boot})
    db.run(SET_META, {"name": "clock_offset_ms", "value": str(offset_ms)})
    db.run(EXTEND_LEASES, {"now": clock.steady_ms() + offset_ms, "since": now - 1})
    return offset_ms


TIMELINE = """
SELECT (SELECT system_identifier FROM pg_control_system()) || ':' ||
substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
"""
"""The control file still names the old timeline until the first checkpoint after a promotion."""
ALONE = "SELECT pg_advisory_xact_lock(hashtextextended('kyros:timeline', 0))"
STEADY = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"


def settle_timeline(db: Db, shared: Shared | None = None) -> None:
    """On a Postgres timeline that the store does not know, the store has a new epoch.

    What was acknowledged on the old one may be missing on this one, so readers start anew, and
    every live lease gets one full TTL.
    """
    db.run(ALONE)
    row = db.one(TIMELINE)
    this = str(row[0]) if row else ""
    known = db.one(META, {"name": "timeline"})
    if known is None or known[0] != this:
        db.run(SET_META, {"name": "timeline", "value": this})
    if known is not None and known[0] != this:
        now = db.one(STEADY)
        db.run(EXTEND_LEASES, {"now": int(now[0]) if now else 0, "since": 0})
        db.run(SET_META, {"name": "epoch", "value": secrets.token_hex(8)})
    epoch = db.one(META, {"name": "epoch"})
    if shared is not None and epoch is not None:
        shared.epoch = str(epoch[0])
