"""Commands: a coroutine with its own options, given the common ones as a `Call`."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel, ValidationError
from typer.core import TyperCommand

from kyros_collab_server.cli.failures import Exit, Failure, leave_closed_pipe, usage
from kyros_collab_server.cli.output import Output
from kyros_collab_server.settings import Settings, load_settings

M = TypeVar("M", bound=BaseModel)
Command = Callable[..., Coroutine[Any, Any, int | None]]


@dataclass(frozen=True)
class Call:
    """The common options of one command line."""

    settings: Settings
    output: Output
    dry_run: bool = False
    assume_yes: bool = False

    def confirm(self, question: str) -> None:
        """Return when the person agrees, or said so before with `--yes`.

        Raises:
            Failure: not confirmed; without a terminal it names the flag instead of asking.
        """
        if self.assume_yes or self.dry_run:
            return
        import sys

        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise usage(f"{question} This needs confirmation.", "Add --yes.")
        if not typer.confirm(question, err=True):
            raise usage("Nothing was changed.")


def group(summary: str) -> typer.Typer:
    """A group of commands, plain in its help and without completion at start."""
    app = typer.Typer(
        help=summary, add_completion=False, no_args_is_help=True, rich_markup_mode=None
    )
    app.callback()(_nothing)
    return app


def single() -> typer.Typer:
    """A command without subcommands."""
    return typer.Typer(add_completion=False, rich_markup_mode=None)


def _nothing() -> None:
    return None


_CONNECTION = {
    "data_dir": (Path | None, typer.Option("--data-dir", help="Directory of the store.")),
    "url": (str | None, typer.Option("--url", help="Work over REST on this server.")),
    "agent": (str | None, typer.Option("--agent", help="Act under this agent name.")),
    "workspace": (str | None, typer.Option("--workspace", help="Work in this workspace.")),
}
_PRINTING = {
    "json_": (bool, typer.Option("--json", help="Print {schema_version, items, next_cursor}.")),
    "fields": (str | None, typer.Option("--fields", help="Print only these, as a,b,c.")),
    "quiet": (bool, typer.Option("--quiet", "-q", help="Print ids only.")),
    "verbose": (bool, typer.Option("--verbose", help="Print the trace of a failure.")),
}
_WRITING = {
    "dry_run": (bool, typer.Option("--dry-run", help="Say what would change; change nothing.")),
    "yes": (bool, typer.Option("--yes", "-y", help="Do not ask.")),
}


def command(
    app: typer.Typer,
    name: str,
    *,
    writes: bool = False,
    own_agent: bool = False,
    cls: type[TyperCommand] | None = None,
) -> Callable[[Command], Command]:
    """Add a coroutine to the group; its first parameter is the `Call`.

    `own_agent` leaves `--agent` to the command, which means something else by it. `cls` reads its
    words in a way of its own.
    """
    common = {**_CONNECTION, **_PRINTING, **(_WRITING if writes else {})}
    if own_agent:
        common.pop("agent")

    def wrap(run: Command) -> Command:
        own = list(inspect.signature(run).parameters.values())[1:]
        added = [
            inspect.Parameter(
                key,
                inspect.Parameter.KEYWORD_ONLY,
                default=False if kind is bool else None,
                annotation=Annotated[kind, option],
            )
            for key, (kind, option) in common.items()
        ]

        def entry(**values: Any) -> int | None:
            call = _call({key: values.pop(key) for key in common})
            try:
                return asyncio.run(run(call, **values))
            except BrokenPipeError:  # here, because typer would make it exit code 1
                leave_closed_pipe()
                return None

        named = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
        entry.__signature__ = inspect.Signature([*named, *added])  # type: ignore[attr-defined]
        entry.__annotations__ = {p.name: p.annotation for p in [*named, *added]}
        entry.__name__, entry.__doc__ = run.__name__, run.__doc__
        app.command(name, cls=cls)(entry)
        return run

    return wrap


def _call(common: dict[str, Any]) -> Call:
    overrides = {key: common.get(key) for key in _CONNECTION}
    fields = tuple(name.strip() for name in (common["fields"] or "").split(",") if name.strip())
    return Call(
        settings=load_settings(**overrides),
        output=Output(common["json_"], fields, common["quiet"], common["verbose"]),
        dry_run=common.get("dry_run", False),
        assume_yes=common.get("yes", False),
    )


def built(kind: type[M], **fields: Any) -> M:
    """The command object of these fields; None means the option was not given.

    Raises:
        Failure: a field breaks its rule (exit 9); names it and the rule.
    """
    try:
        return kind.model_validate({k: v for k, v in fields.items() if v is not None})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        rule = first["msg"].removeprefix("Value error, ")
        raise Failure(Exit.INVALID, "invalid_field", f"{where}: {rule}.") from None
