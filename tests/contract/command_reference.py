"""The command line as Markdown, read from the commands themselves."""

import re
from importlib import import_module
from typing import Any

import typer

from kyros_collab_server.__main__ import COMMANDS, MODULES
from kyros_collab_server.cli.failures import Exit

COMMON = ("data_dir", "url", "agent", "workspace", "json_", "fields", "quiet", "verbose")
WRITES = ("dry_run", "yes")
CODES = {
    Exit.OK: "done",
    Exit.UNEXPECTED: "an unexpected failure",
    Exit.USAGE: "wrong usage, or a confirmation is needed",
    Exit.NOT_FOUND: "there is no such thing",
    Exit.AUTHENTICATION: "no valid credentials",
    Exit.CONFLICT: "a conflict, or an etag that is not the current one",
    Exit.LEASE: "the lease is lost, or held by another",
    Exit.UNREACHABLE: "the server cannot be reached",
    Exit.LIMITED: "too many calls",
    Exit.INVALID: "invalid input, or an unsafe configuration",
    Exit.TIMED_OUT: "a wait ran out",
    Exit.INTERRUPTED: "interrupted",
}


def command_of(name: str) -> Any:
    """What Typer makes of a command group, or of a single command."""
    module = import_module(f"kyros_collab_server.cli.{MODULES.get(name, name)}")
    return typer.main.get_command(module.app)


def cell(text: str) -> str:
    """Text that stays within its cell of a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "\\<")


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def cli() -> str:
    """`docs/reference/cli.md`."""
    options = {one.name: one for one in command_of("task").commands["new"].params}
    parts = [
        (
            "# Command line\n\n`kyros COMMAND [OPTIONS]`. Data goes to stdout, everything else to "
            "stderr.\n"
        ),
        table(
            ["command", "does"],
            [[f"[`kyros {name}`](#kyros-{name})", cell(does)] for name, does in COMMANDS.items()],
        ),
        "## Common options\n\nMost commands take these; those that write take the last two, too.\n",
        table(
            ["option", "means"],
            [[spelled(options[name]), cell(options[name].help)] for name in (*COMMON, *WRITES)],
        ),
        "## Exit codes\n",
        table(["code", "means"], [[str(code.value), CODES[code]] for code in Exit]),
        *(_section(name) for name in COMMANDS),
    ]
    return "\n".join(parts)


def _section(name: str) -> str:
    command = command_of(name)
    parts = [f"## kyros {name}\n\n{_told(command.help)}"]
    for sub, one in getattr(command, "commands", {}).items():
        if "not available yet" in (one.help or ""):
            continue
        parts.append(f"### kyros {name} {sub}\n\n{_told(one.help)}{_usage(f'{name} {sub}', one)}")
    if not hasattr(command, "commands"):
        parts.append(_usage(name, command))
    return "\n".join(parts)


def _told(text: str | None) -> str:
    paragraphs = re.split(r"\n\s*\n", (text or "").strip())
    return "".join(f"{cell(one)}\n\n" for one in paragraphs if one)


def _usage(path: str, command: Any) -> str:
    shown = [one for one in command.params if not one.hidden]
    arguments = [one for one in shown if type(one).__name__ == "TyperArgument"]
    words = " ".join(_argument(one) for one in arguments)
    usage = f"```text\n{f'kyros {path} {words}'.strip()} [OPTIONS]\n```\n"
    own = [one for one in shown if one.name not in (*COMMON, *WRITES) and one not in arguments]
    rows = [[f"`{_argument(one)}`", cell(one.help)] for one in arguments if one.help]
    rows += [[spelled(one), cell(one.help or "")] for one in own]
    return usage + ("\n" + table(["option", "means"], rows) if rows else "")


def _argument(one: Any) -> str:
    name = one.metavar or one.name.rstrip("_").upper()
    if one.nargs == -1 and not one.metavar:
        name += "..."
    return name if one.required or name.startswith("[") else f"[{name}]"


def spelled(one: Any) -> str:
    """An option with all its spellings; what it takes is in capitals."""
    names = ", ".join([*one.opts, *one.secondary_opts])
    takes = "" if one.is_flag else f" {one.name.strip('_').upper()}"
    return f"`{names}{takes}`" + (" (repeatable)" if one.multiple else "")
