"""`kyros guard`: may this agent write this path now? An exit code, and one line when it may not.

Hooks call it before every edit, so it is an entry point of its own: the standard library only, one
read, and nothing imported before it is needed. `cli/guard_install.py` has its help, and installs it
into hooks.
"""

from __future__ import annotations

import os
import sys
import time

from kyros_collab_server.cli.guard_board import PATH, Board, Held, Unknown, in_store, on_server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OK, UNEXPECTED, USAGE, NO_STORE, HELD, INVALID = 0, 1, 2, 3, 6, 9
BLOCKED = 2
"""What agent CLIs take for a refusal by their hook; any other failure they let pass."""
VALUES = ("--agent", "--workspace", "--data-dir", "--url", "--token")
FLAGS = ("--hook", "--require-lease", "--stdin", "--json", "--verbose")
FILES = ("file_path", "notebook_path", "path")
"""Members of a hook's `tool_input` that name the file about to be written."""
_SPECIAL = frozenset("*?[\\")


class Refused(Unknown):
    """The path may not be written now."""


class Asked:
    """A path, or a glob, relative to the root of the repository."""

    def __init__(self, text: str, is_glob: bool) -> None:
        self.text, self.is_glob = text, is_glob


def main(words: list[str]) -> int:
    """Run one command line and return its exit code."""
    options: dict[str, str] = {}
    try:
        paths = _parsed(words, options)
        _check(paths, options)
    except Unknown as refusal:
        return _report(refusal, options)
    except Exception as error:  # noqa: BLE001 - uncaught, a hook's crash lets the write pass
        cause = f"{type(error).__name__} ended the command."
        return _report(Unknown(UNEXPECTED, "unexpected", cause, "kyros doctor"), options)
    return OK


def _parsed(words: list[str], options: dict[str, str]) -> list[str]:
    """The paths; the options are in `options`."""
    paths: list[str] = []
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if word == "--":
            paths.extend(rest)
        elif name in VALUES:
            options[name[2:]] = value if equals else next(rest, "")
        elif word in FLAGS:
            options[word[2:]] = "1"
        elif word.startswith("-"):
            raise Unknown(USAGE, "usage", f"No such option: {word}.", "kyros guard --help")
        else:
            paths.append(word)
    return paths


def _check(paths: list[str], options: dict[str, str]) -> None:
    """Return when every path may be written.

    Raises:
        Refused: the first that may not.
        Unknown: that cannot be known.
    """
    told: dict[str, Any] = {}
    if "hook" in options:
        told = _hook()
        inside = told.get("tool_input")
        places = [inside if isinstance(inside, dict) else {}, told]
        paths = next(([str(at[name])] for at in places for name in FILES if at.get(name)), [])
    elif "stdin" in options:
        read = sys.stdin.read()
        paths = [*paths, *filter(None, read.split("\0") if "\0" in read else read.split("\n"))]
    elif not paths:
        raise Unknown(USAGE, "usage", "Name the paths to be written.", "kyros guard --help")
    tops = _tops(str(told.get("cwd") or os.getcwd()))
    wanted = [asked for path in paths for asked in _names(path, tops)]
    if wanted:
        me, leases = _who_holds(options, tops)
        for asked in wanted:
            _decide(asked, me, leases, need_lease="require-lease" in options)


def _hook() -> dict[str, Any]:
    """What an agent CLI tells its hook on stdin."""
    from json import loads

    try:
        told = loads(sys.stdin.read())
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise Unknown(USAGE, "usage", "What came on stdin is no hook's JSON.")
    return told


def _who_holds(options: dict[str, str], tops: list[str]) -> tuple[str, list[Held]]:
    def setting(name: str) -> str:
        given = options.get(name.replace("_", "-"))
        return os.environ.get(f"KYROS_{name.upper()}", "") if given is None else given

    board = Board(*map(setting, Board.FIELDS))
    if board.url:
        return on_server(board)
    if setting("database_url"):
        cause = "The store is a Postgres database, which guard does not read itself."
        raise Unknown(USAGE, "usage", cause, "Set KYROS_URL to a running server.")
    named = board.data_dir or "collaboration"
    places = [os.path.join(base, named) for base in (os.getcwd(), *tops)]
    board.data_dir = next((one for one in places if os.path.exists(one + "/kyros.db")), places[0])
    try:
        return in_store(board)
    except Unknown as reason:
        if reason.exit_code == NO_STORE and "hook" in options:
            return f"agent:{board.agent}", []  # where there is no board, nobody holds anything
        raise


def _decide(asked: Asked, me: str, leases: list[Held], *, need_lease: bool) -> None:
    mine = False
    for lease in leases:
        witness = _witness(asked, lease.glob)
        if witness is None:
            continue
        if lease.holder != me:
            seconds = -(-lease.expires_in_ms // 1000)
            instant = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
            cause = f"{lease.holder} holds {PATH}{lease.glob}, which covers {witness}, "
            wait = f"Wait for it (kyros lease acquire '{PATH}{asked.text}' --wait 60), or work on"
            raise Refused(
                HELD, "lease_held", f"{cause}until {instant} ({seconds} s).", f"{wait} other paths."
            )
        mine = mine or (lease.mode == "exclusive" and _covers(lease.glob, asked))
    if need_lease and not mine:
        cause = f"{me} holds no exclusive lease on {PATH}{asked.text}."
        fix = f"kyros lease acquire '{PATH}{asked.text}'"
        raise Refused(HELD, "lease_required", cause, fix)


def _witness(asked: Asked, glob: str) -> str | None:
    """A path that is asked for and that the glob covers, or None."""
    if not asked.is_glob and asked.text.isascii() and asked.text.isprintable():
        stem = glob.removesuffix("/**")
        if _SPECIAL.isdisjoint(stem):  # one name, or all below a directory: no automaton needed
            met = asked.text == glob if stem == glob else asked.text.startswith(stem + "/")
            return asked.text if met else None
        places = [at for at, char in enumerate(glob) if char in "*?[]\\"]
        start, end = glob[: places[0]], glob[places[-1] + 1 :].removeprefix("/")
        if not (asked.text.startswith(start) and asked.text.endswith(end)):
            return None
    from kyros_collab_server.features.leases import globs

    try:
        if asked.is_glob:
            return globs.overlap(globs.parse(asked.text), globs.parse(glob))
        return asked.text if globs.matches(globs.parse(glob), asked.text) else None
    except globs.BadGlob as error:
        raise Unknown(INVALID, "invalid_field", f"{asked.text}: {error}.") from None


def _covers(glob: str, asked: Asked) -> bool:
    """True when a glob that meets what is asked for covers all of it."""
    if not asked.is_glob or glob == asked.text:
        return True
    stem = glob.removesuffix("**")
    return stem != glob and _SPECIAL.isdisjoint(stem) and asked.text.startswith(stem)


def _tops(here: str) -> list[str]:
    """Where relative paths begin: the top of the working tree, and of the agent's project."""
    tops: list[str] = []
    for start in filter(None, (here, os.environ.get("CLAUDE_PROJECT_DIR"))):
        top = start
        while not os.path.lexists(os.path.join(top, ".git")):
            above = os.path.dirname(top)
            if above == top:
                top = start
                break
            top = above
        tops += [one for one in (top, os.path.realpath(top)) if one not in tops]
    return tops


def _names(path: str, tops: list[str]) -> list[Asked]:
    """What a path is called from the tops, links followed and not; nothing outside of them."""
    absolute = os.path.normpath(os.path.join(os.getcwd(), path))
    is_glob = not _SPECIAL.isdisjoint(path) and not os.path.lexists(absolute)
    is_directory = path.endswith("/") or os.path.isdir(absolute)
    names: dict[str, Asked] = {}
    for one in (absolute,) if is_glob else (absolute, os.path.realpath(absolute)):
        for top in tops:
            if one != top and not one.startswith(top.rstrip("/") + "/"):
                continue
            name = os.path.relpath(one, top)
            if is_directory:
                start = "".join("\\" + char if char in _SPECIAL else char for char in name)
                name = "**" if name == "." else f"{start}/**"
            names[name] = Asked(name, is_glob or is_directory)
    return list(names.values())


def _report(refusal: Unknown, options: dict[str, str]) -> int:
    """Say why on stderr, in one line that a model can act on, and return the exit code."""
    if "json" in options:
        from json import dumps

        error = {"code": refusal.code, "message": refusal.message, "hint": refusal.hint}
        print(dumps({"error": {**error, "request_id": ""}}))
    else:
        line = f"{refusal.code}: {refusal.message} {refusal.hint}".rstrip()
        shown = (char if char.isprintable() else f"<U+{ord(char):04X}>" for char in line)
        print("".join(shown), file=sys.stderr)
    return BLOCKED if "hook" in options else refusal.exit_code
