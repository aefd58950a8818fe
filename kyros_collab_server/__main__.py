"""`kyros`: the front door of the command line.

The top-level help is a table in this file, so it costs no import; a command imports its own
module and nothing of the others.
"""

import sys

COMMANDS = {
    "serve": "start REST, event stream and MCP in one process",
    "stdio": "be an MCP server on stdin and stdout",
    "task": "list, show, new, claim, move, edit, done",
    "lease": "list, acquire, renew, release, reclaim, run",
    "guard": "say whether a path may be written now; install hooks that ask",
    "events": "tail the log, or a summary of it",
    "agent": "list, message, pause, resume",
    "key": "new, list, revoke",
    "workspace": "new, list, set",
    "mcp": "tell MCP clients of this board: config, install",
    "seed": "put the project's own backlog on the board",
    "import": "make an empty store a whole board, or add tasks",
    "export": "write the log, the board or its tasks",
    "backup": "copy the store to one file, and back",
    "migrate": "bring the store's schema to this version",
    "verify": "walk the log's hash chain and signed checkpoints",
    "doctor": "check this machine, the store and a running server",
    "version": "say which version this is",
}
MODULES = {"guard": "guard_install", "import": "state_import"}
LATER = frozenset(
    "worker job schedule keys user preset connection login logout "
    "whoami config open completion top".split()
)
USAGE = 2
HEAD = """\
kyros: coordination server for fleets of LLM agents

usage: kyros COMMAND [OPTIONS]

commands:
"""
TAIL = """
Every command: --help. Lists and writes: --json, --fields a,b, --quiet, --url, --data-dir,
--agent, --workspace; writes also --dry-run, --yes. KYROS_<NAME> in the environment sets the same.

exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 authentication, 5 conflict, 6 lease lost or
held, 7 unreachable, 8 limit, 9 invalid or unsafe, 124 timed out, 130 interrupted
"""


def top_level_help() -> str:
    """The whole of `kyros --help`."""
    return HEAD + "".join(f"  {name:<10} {does}\n" for name, does in COMMANDS.items()) + TAIL


def main(argv: list[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    words = sys.argv[1:] if argv is None else argv
    first = words[0] if words else "--help"
    if first in ("--help", "-h", "help"):
        return _say_help()
    if first in ("--version", "-V"):
        first = "version"
    if first == "guard" and not {"install", "--help"}.intersection(words[1:2]):
        from kyros_collab_server.cli.guard import main as guard

        return guard(words[1:])
    if first not in COMMANDS:
        return _refuse(first, "--json" in words)
    from kyros_collab_server.cli.run import run_command

    return run_command(first, MODULES.get(first, first), words[1:])


def _say_help() -> int:
    try:
        sys.stdout.write(top_level_help())
        sys.stdout.flush()
    except BrokenPipeError:
        from kyros_collab_server.cli.failures import leave_closed_pipe

        leave_closed_pipe()
    return 0


def _refuse(word: str, as_json: bool) -> int:
    from kyros_collab_server.cli.failures import Failure, report

    if word in LATER:
        cause = f"kyros {word} is not available yet in this version."
        failure = Failure(USAGE, "not_available", cause, "kyros --help lists what is.")
    else:
        import difflib

        near = difflib.get_close_matches(word, COMMANDS, 1)
        fix = f"Did you mean kyros {near[0]}?" if near else "kyros --help lists the commands."
        failure = Failure(USAGE, "usage", f"There is no such command: {word}.", fix)
    return report(failure, as_json=as_json)


if __name__ == "__main__":
    sys.exit(main())
