"""Runs one command of a group and turns whatever ends it into an exit code."""

import asyncio
import gc
import sys
import traceback
from importlib import import_module

import typer
from typer.exceptions import TyperException

from kyros_collab_server.cli.failures import (
    Exit,
    Failure,
    refused,
    report,
)
from kyros_collab_server.cli.memory import collect_nothing
from kyros_collab_server.kernel.errors import KyrosError


def run_command(group: str, module: str, words: list[str]) -> int:
    """Run `kyros <group> <words>` and return its exit code; nothing escapes."""
    as_json = "--json" in words
    collect_nothing()
    try:
        app: typer.Typer = import_module(f"kyros_collab_server.cli.{module}").app
        if not words and app.registered_callback is not None:
            app(["--help"], prog_name=f"kyros {group}", standalone_mode=False)
            return Exit.USAGE
        code = app(words, prog_name=f"kyros {group}", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else Exit.OK
    except TyperException as error:
        cause = error.format_message().rstrip(".") + "."
        fix = f"kyros {_help_path(error, group)} --help"
        return report(Failure(Exit.USAGE, "usage", cause, fix), as_json=as_json)
    except typer.Exit as error:
        return error.exit_code
    except Failure as failure:
        return report(failure, as_json=as_json)
    except KyrosError as error:
        return report(refused(error), as_json=as_json)
    except (KeyboardInterrupt, asyncio.CancelledError, typer.Abort):
        stopped = Failure(Exit.INTERRUPTED, "interrupted", "interrupted")
        return report(stopped, as_json=as_json)
    except Exception as error:  # noqa: BLE001 - the outermost loop of the command line
        if "--verbose" in words:
            traceback.print_exc()
        crash = Failure(
            Exit.UNEXPECTED,
            "unexpected",
            f"{type(error).__name__} ended the command.",
            "Repeat with --verbose for the trace, and kyros doctor to look at the store.",
        )
        return report(crash, as_json=as_json)
    finally:
        gc.enable()


def _help_path(error: TyperException, group: str) -> str:
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", None)
    return str(path).removeprefix("kyros ") if path else group
