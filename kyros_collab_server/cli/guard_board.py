"""Who holds which paths: one read of the store's file, or one question to a server.

For `cli/guard.py`: the standard library only, and nothing imported before it is needed.
"""

from __future__ import annotations

import os
import sqlite3  # noqa: TID251 - only ever reads (mode=ro); the race is one of writers
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing itself costs a tenth of what guard may take
    from typing import Any

PATH = "path:"
TIMEOUT_SECONDS = 5
LOCAL_AGENT = "local-admin"
"""Who the command line acts as where nothing names an agent: the local key's own name."""
READ = """
WITH caller AS (SELECT agent, name, workspaces FROM api_keys WHERE token_hash = :token),
here AS (SELECT coalesce(nullif(:workspace, ''),
(SELECT nullif(json_extract(workspaces, '$[0]'), '*') FROM caller), 'default') AS workspace)
SELECT substr(l.resource, 6), l.mode, l.holder, l.expires_t, l.ttl_ms,
(SELECT value FROM store_meta WHERE name = 'boot_id'),
(SELECT value FROM store_meta WHERE name = 'clock_offset_ms'),
(SELECT t FROM events WHERE workspace = here.workspace ORDER BY seq DESC LIMIT 1),
(SELECT coalesce(agent, name) FROM caller)
FROM here LEFT JOIN leases l
ON l.workspace = here.workspace AND l.ended IS NULL AND l.is_path = 1
"""
"""One row at least; the first five columns are null where no path is held."""


class Unknown(Exception):
    """Who holds what cannot be known: exit code, stable code, cause and fix."""

    def __init__(self, exit_code: int, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.exit_code, self.code, self.message, self.hint = exit_code, code, message, hint


class Held:
    """A live lease on paths."""

    def __init__(self, glob: str, mode: str, holder: str, expires_in_ms: int) -> None:
        self.glob, self.mode, self.holder = glob, mode, holder
        self.expires_in_ms = expires_in_ms


class Board:
    """Where the board is, and who asks."""

    FIELDS = ("url", "data_dir", "workspace", "agent", "token")

    def __init__(self, url: str, data_dir: str, workspace: str, agent: str, token: str) -> None:
        self.url, self.data_dir, self.workspace = url, data_dir, workspace
        self.agent, self.token = agent, token


def in_store(board: Board) -> tuple[str, list[Held]]:
    """The caller, and the live path leases of the store in the data directory.

    Raises:
        Unknown: there is no store, or it cannot be read.
    """
    file = os.path.join(board.data_dir, "kyros.db")
    if not os.path.exists(file):
        cause = f"There is no store in {board.data_dir}."
        raise Unknown(3, "no_store", cause, "kyros serve starts one; KYROS_DATA_DIR names another.")
    params = {"workspace": board.workspace, "token": _digest(board)}
    try:
        rows = _rows(file, params)
    except sqlite3.Error as error:
        raise Unknown(9, "store_unreadable", f"{file}: {error}.", "kyros doctor") from None
    me = board.agent or rows[0][8] or LOCAL_AGENT
    return f"agent:{me}", [lease for row in rows if row[0] for lease in _live(row)]


def _rows(file: str, params: dict[str, Any]) -> list[Any]:
    path = os.path.abspath(file)
    for char in "%?#":
        path = path.replace(char, f"%{ord(char):02x}")
    name = f"file:{path}?mode=ro"
    try:
        return _read(name, params)
    except sqlite3.OperationalError:
        # Nobody has it open, and the directory cannot be written: then the file is all there is.
        if os.path.exists(file + "-wal"):
            raise
        return _read(name + "&immutable=1", params)


def _read(name: str, params: dict[str, Any]) -> list[Any]:
    raw = sqlite3.connect(name, uri=True, isolation_level=None, timeout=TIMEOUT_SECONDS)
    try:
        return raw.execute(READ, params).fetchall()
    finally:
        raw.close()


def _live(row: Any) -> list[Held]:
    """The lease of a row while it lives, by the store's own clock."""
    glob, mode, holder, expires_t, ttl_ms, boot, offset, last_t, _ = row
    if boot != _boot_id():  # nobody opened the store since; who does gives each lease a full TTL
        return [Held(glob, mode, holder, ttl_ms)]
    clock = getattr(time, "CLOCK_UPTIME_RAW", time.CLOCK_MONOTONIC)
    steady = time.clock_gettime_ns(clock) // 1_000_000 + int(offset or 0)
    left = expires_t - max(steady, last_t or 0)
    return [Held(glob, mode, holder, left)] if left >= 0 else []


def _boot_id() -> str:
    """As `store/boot.py` remembers it."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        from kyros_collab_server.store.boot import boot_id

        return boot_id()


def _digest(board: Board) -> str:
    if not board.token or (board.agent and board.workspace):
        return ""
    from hashlib import sha256

    return sha256(board.token.encode()).hexdigest()


def on_server(board: Board) -> tuple[str, list[Held]]:
    """The caller, and the live path leases of its workspace on a running server.

    Raises:
        Unknown: the server refuses, or cannot be reached.
    """
    if not board.token:
        cause = f"Calls to {board.url} need a key."
        raise Unknown(4, "unauthenticated", cause, "Set KYROS_TOKEN.")
    me = board.agent and f"agent:{board.agent}"
    if not me:
        me = str(_asked(board, "/auth/me").get("actor"))
    data = _asked(board, "/collab/leases").get("data") or []
    return me, [
        Held(one["resource"].removeprefix(PATH), one["mode"], one["holder"], one["expires_in_ms"])
        for one in data
        if one["state"] == "active" and one["resource"].startswith(PATH)
    ]


def _asked(board: Board, path: str) -> dict[str, Any]:
    from http.client import HTTPException
    from json import loads
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    headers = {"Authorization": f"Bearer {board.token}", "Accept": "application/json"}
    headers["User-Agent"] = "kyros-guard"
    if board.agent:
        headers["X-Kyros-Agent"] = board.agent
    if board.workspace:
        headers["X-Kyros-Workspace"] = board.workspace
    url = board.url.rstrip("/") + path
    if not url.startswith(("http://", "https://")):
        raise Unknown(2, "usage", f"{board.url} is not a URL.", "http://host:port")
    try:
        with urlopen(Request(url, headers=headers), timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
            told: dict[str, Any] = loads(answer.read())
            return told
    except HTTPError as error:
        code = 4 if error.code in (401, 403) else 3 if error.code == 404 else 7
        cause = f"{board.url} answered {error.code} {error.reason}."
        raise Unknown(code, f"http_{error.code}", cause, "Look at KYROS_TOKEN.") from None
    except (URLError, OSError, HTTPException, ValueError) as error:
        cause = f"No server answers at {board.url} ({type(error).__name__})."
        raise Unknown(7, "unreachable", cause, "kyros serve, or correct KYROS_URL.") from None
