"""Edits of files that belong to others: shown as a diff, undone from a backup, never half done."""

import difflib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from kyros_collab_server.cli.command import Call
from kyros_collab_server.cli.failures import Exit, Failure

PRIVATE = 0o600


@dataclass(frozen=True)
class Edit:
    """What a file is to hold; `before` None: it does not exist yet."""

    path: Path
    before: str | None
    after: str
    mode: int | None = None
    """Of a new file, or bits that an old one gets too; None: the usual, or as it is."""

    @property
    def is_needed(self) -> bool:
        """False when the file holds it already."""
        return self.before != self.after

    def diff(self) -> str:
        """The change as a unified diff."""
        before = (self.before or "").splitlines(keepends=True)
        after = self.after.splitlines(keepends=True)
        name = str(self.path)
        lines = difflib.unified_diff(
            before, after, "/dev/null" if self.before is None else name, name
        )
        return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)

    def make(self) -> Path | None:
        """The file holds it; returns where its former content is kept.

        Raises:
            Failure: it cannot be written, or somebody changed it meanwhile.
        """
        try:
            return self._make(self.path.resolve())
        except OSError as error:
            cause = f"{self.path} cannot be written ({error.strerror})."
            raise Failure(Exit.INVALID, "not_writable", cause) from None

    def _make(self, path: Path) -> Path | None:
        if read_text(path) != self.before:
            cause = f"{self.path} was changed meanwhile."
            raise Failure(Exit.CONFLICT, "changed_meanwhile", cause, "Repeat the command.")
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = self.mode or (0o644 if self.before is None else stat.S_IMODE(path.stat().st_mode))
        backup = None
        if self.before is not None:
            backup = _free_name(path)
            _write(backup, self.before, stat.S_IMODE(path.stat().st_mode))
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        _write(fresh, self.after, mode)
        fresh.replace(path)
        return backup


def read_text(path: Path) -> str | None:
    """The file's text; None when there is no such file.

    Raises:
        Failure: it is there and cannot be read as text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        cause = f"{path} cannot be read ({type(error).__name__})."
        raise Failure(Exit.INVALID, "not_readable", cause) from None


def make_all(call: Call, edits: list[Edit]) -> None:
    """Every edit is shown, and made unless this is a dry run; what is there already is said so."""
    for edit in edits:
        if not edit.is_needed:
            row: dict[str, str | None] = {"path": str(edit.path), "backup": None}
            call.output.changed(f"unchanged: {edit.path} holds it already", row, ident="path")
            continue
        call.output.hint(edit.diff().rstrip("\n"))
        backup = None if call.dry_run else edit.make()
        undo = f"mv {backup} {edit.path}" if backup else f"rm {edit.path}"
        row = {"path": str(edit.path), "backup": str(backup) if backup else None}
        verb = "created" if edit.before is None else "changed"
        call.output.changed(
            f"{verb} {edit.path}", row, ident="path", undo=undo, dry_run=call.dry_run
        )


def _free_name(path: Path) -> Path:
    for number in range(1, 1_000):
        name = f"{path.name}.kyros-backup" + (f"-{number}" if number > 1 else "")
        if not os.path.lexists(path.with_name(name)):
            return path.with_name(name)
    raise Failure(Exit.INVALID, "not_writable", f"There are a thousand backups of {path}.")


def _write(path: Path, text: str, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(mode)
