"""Files that survive a crash: replaced whole or not at all, and one writer for a directory."""

import fcntl
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

Failpoint = Callable[[str], None]
"""Called with the name of a point that a crash test may kill the process at."""


class Seen(NamedTuple):
    """What tells one file from another, and from itself after a change."""

    device: int
    inode: int
    size: int
    changed_ns: int


def look_at(path: Path) -> Seen | None:
    """How a file stands on the disk, or None when it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return Seen(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def replace_file(path: Path, parts: Iterable[bytes], failpoint: Failpoint | None = None) -> Seen:
    """The file has this content; whoever opens it at any instant gets the old one or the new one.

    The name is on the disk after `sync_directory`.

    Raises:
        OSError: the disk is full, or such; the file is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    with os.fdopen(handle, "wb") as file:
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())
    if failpoint is not None:
        failpoint("projection_before_rename")
    fresh.replace(path)
    if failpoint is not None:
        failpoint("projection_after_rename")
    found = path.stat()
    return Seen(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def sync_directory(directory: Path) -> None:
    """The names in the directory are on the disk."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class SoleWriter:
    """An advisory lock: at most one process at a time writes a directory's files."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def take(self) -> bool:
        """True while this process is the one that writes; a lock file that is gone is made anew."""
        if self._handle is not None and not self._is_in_place(self._handle):
            self.leave()
        if self._handle is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(handle)
                return False
            self._handle = handle
        return self._is_in_place(self._handle)

    def _is_in_place(self, handle: int) -> bool:
        found, mine = look_at(self._path), os.fstat(handle)
        return found is not None and (found.device, found.inode) == (mine.st_dev, mine.st_ino)

    def leave(self) -> None:
        """Another process may write."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
