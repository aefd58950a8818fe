"""`kyros guard install`: hooks that ask before an agent edits, and before a commit is made."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from kyros_collab_server.cli.command import Call, command, single
from kyros_collab_server.cli.failures import Exit, Failure, usage
from kyros_collab_server.cli.file_edits import Edit, make_all, read_text

app = single()

TOOLS = "Edit|MultiEdit|Write|NotebookEdit"
"""The tools of Claude Code that write a file they name."""
HOOK_SECONDS = 10
BEGIN, END = "# >>> kyros guard >>>", "# <<< kyros guard <<<"
EXECUTABLE = 0o755


@command(app, "guard", writes=True, own_agent=True)
async def guard(
    call: Call,
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PATH]...|install", help="To be written; install: write hooks."),
    ] = None,
    hook: Annotated[
        bool, typer.Option("--hook", help="Read an agent CLI's hook on stdin; refuse with 2.")
    ] = False,
    require_lease: Annotated[
        bool, typer.Option("--require-lease", help="Refuse also without a lease of one's own.")
    ] = False,
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Read more paths, separated by NUL or line ends.")
    ] = False,
    agent: Annotated[
        str | None, typer.Option("--agent", help="Who asks; absent: KYROS_AGENT.")
    ] = None,
    claude: Annotated[
        bool, typer.Option("--claude", help="install: a hook in .claude/settings.json.")
    ] = False,
    git: Annotated[bool, typer.Option("--git", help="install: a git pre-commit hook.")] = False,
) -> None:
    """Say whether paths may be written now: exit 0, or 6 and who holds which of them until when.

    One read of the store, or of the server that KYROS_URL names. Paths are relative to here; they
    are held under their names from the top of the working tree. KYROS_AGENT says who asks.
    """
    if not paths or paths[0] != "install" or hook or stdin:
        raise usage("Put the paths after the options, or install first.", "kyros guard --help")
    if len(paths) > 1:
        raise usage(f"install takes no {paths[1]}.", "kyros guard install --claude --git")
    top = _top()
    words = [*_program(), "guard"]
    if agent:
        words += ["--agent", agent]
    if require_lease:
        words.append("--require-lease")
    edits = []
    if claude or not git:
        edits.append(_claude_hook(top, shlex.join([*words, "--hook"])))
    if git or not claude:
        edits.append(_git_hook(top, shlex.join([*words, "--stdin"])))
    make_all(call, edits)


def _program() -> list[str]:
    """How a hook calls this command: by its name where that is found."""
    return ["kyros"] if shutil.which("kyros") else [sys.executable, "-m", "kyros_collab_server"]


def _top() -> Path:
    here = Path.cwd()
    return next((one for one in (here, *here.parents) if (one / ".git").exists()), here)


def _claude_hook(top: Path, words: str) -> Edit:
    path = top / ".claude" / "settings.json"
    before = read_text(path)
    settings = parsed_object(path, before)
    groups = settings.setdefault("hooks", {})
    entries = groups.setdefault("PreToolUse", []) if isinstance(groups, dict) else None
    if not isinstance(entries, list):
        raise _not_ours(path, "its hooks are not what Claude Code reads")
    mine = {"type": "command", "command": words, "timeout": HOOK_SECONDS}
    entry = {"matcher": TOOLS, "hooks": [mine]}
    kept = [one for one in map(_without_ours, entries) if one is not None]
    place = next((at for at, one in enumerate(entries) if _without_ours(one) != one), len(kept))
    wanted = [*kept[:place], entry, *kept[place:]]
    if before is not None and wanted == entries:
        return Edit(path, before, before)
    settings["hooks"]["PreToolUse"] = wanted
    return Edit(path, before, json.dumps(settings, indent=2, ensure_ascii=False) + "\n")


def _without_ours(entry: Any) -> Any:
    """The entry without hooks of ours; None when nothing else is in it."""
    hooks = entry.get("hooks") if isinstance(entry, dict) else None
    if not isinstance(hooks, list):
        return entry
    kept = [one for one in hooks if not _is_ours(one)]
    if len(kept) == len(hooks):
        return entry
    return {**entry, "hooks": kept} if kept else None


def _is_ours(hook: Any) -> bool:
    words = str(hook.get("command", "")) if isinstance(hook, dict) else ""
    return "guard" in words and "--hook" in words and "kyros" in words


def _git_hook(top: Path, words: str) -> Edit:
    path = _git_path(top, "hooks/pre-commit")
    before = read_text(path)
    block = f"""{BEGIN}
# No commit touches a path that another holds; where there is no board, nobody holds anything.
kyros_guard=0
git diff --cached --name-only --no-renames -z | {words} || kyros_guard=$?
[ "$kyros_guard" -eq 0 ] || [ "$kyros_guard" -eq {Exit.NOT_FOUND.value} ] || exit "$kyros_guard"
{END}
"""
    if before is None:
        return Edit(path, None, f"#!/bin/sh\n{block}", EXECUTABLE)
    if BEGIN in before and END in before:
        start, rest = before.split(BEGIN, 1)
        after = start + block + rest.split(END, 1)[1].removeprefix("\n")
    else:
        first, _, rest = before.partition("\n")
        shell = first.removeprefix("#!").strip().rpartition("/")[2].removeprefix("env ")
        if not first.startswith("#!") or shell.split(" ")[0] not in ("sh", "bash", "dash", "zsh"):
            raise _not_ours(path, "it is no shell script", f"Call there: {words}")
        after = f"{first}\n{block}{rest}"
    return Edit(path, before, after, EXECUTABLE)


def _git_path(top: Path, name: str) -> Path:
    """Where git keeps a file of this working tree, wherever its hooks are configured to be."""
    try:
        told = subprocess.run(  # noqa: S603 - a fixed word list
            ["git", "rev-parse", "--git-path", name],  # noqa: S607 - the user's own git
            cwd=top,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        cause = f"{top} is not in a git repository."
        raise Failure(Exit.NOT_FOUND, "not_found", cause, "git init, or --claude alone") from None
    return top / told.stdout.strip()


def parsed_object(path: Path, text: str | None) -> dict[str, Any]:
    """The JSON object that a file holds; an empty one when there is none.

    Raises:
        Failure: it holds something else.
    """
    try:
        value = json.loads(text) if text and text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise _not_ours(path, f"it is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise _not_ours(path, "it is no JSON object")
    return value


def _not_ours(path: Path, why: str, fix: str = "Mend it, or add the lines by hand.") -> Failure:
    return Failure(Exit.INVALID, "invalid_file", f"{path} stays as it is: {why}.", fix)
