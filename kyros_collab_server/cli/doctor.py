"""`kyros doctor`: looks at this machine, the store, and a running server."""

from typing import Annotated

import typer

from kyros_collab_server.cli import checks
from kyros_collab_server.cli.checks import Finding, State
from kyros_collab_server.cli.command import Call, command, single
from kyros_collab_server.cli.failures import Exit, Failure, not_yet
from kyros_collab_server.cli.first_start import has_no_store, system_session
from kyros_collab_server.cli.handshakes import mcp_over_http, mcp_over_stdio
from kyros_collab_server.cli.output import Column
from kyros_collab_server.kernel.errors import KyrosError
from kyros_collab_server.settings import Settings

app = single()

SIGNS = {State.OK: ("✔", "green"), State.WARNING: ("!", "yellow"), State.FAILED: ("✖", "red")}
COLUMNS = [
    Column("state", "", lambda value, _row: SIGNS[State(value)]),
    Column("check", "CHECK"),
    Column("found", "FOUND", shrinks=True),
    Column("fix", "FIX"),
]


@command(app, "doctor")
async def doctor(
    call: Call,
    fix: Annotated[bool, typer.Option("--fix", help="Not available yet.")] = False,
    client: Annotated[str | None, typer.Option("--client", help="Not available yet.")] = None,
) -> int:
    """Check Python, SQLite, configuration, store, log, token, port and MCP; a failure exits 1."""
    if fix or client is not None:
        raise not_yet("kyros doctor " + ("--fix" if fix else "--client"))
    settings = call.settings
    found = [
        checks.python_version(),
        checks.sqlite_version(),
        checks.configuration(settings),
        checks.data_directory(settings),
        checks.file_system(settings),
        checks.migration_head(settings),
        checks.token_file(settings),
    ]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    here = f"http://{host}:{settings.port}"
    found.append(checks.port(settings, answers=await _answers(here)))
    is_sound = all(one.state is not State.FAILED for one in found)
    token = ""
    if is_sound and not has_no_store(settings):
        token, log = await _store(settings)
        found.append(log)
    url = settings.url or here
    answers = await _answers(url)
    found.append(await mcp_over_http(url, settings.token or token, answers=answers))
    found.append(await mcp_over_stdio())
    call.output.items([one.as_row() for one in found], COLUMNS, ident="check")
    return Exit.UNEXPECTED if any(one.state is State.FAILED for one in found) else Exit.OK


async def _store(settings: Settings) -> tuple[str, Finding]:
    """The local token, and whether the log is whole."""
    from kyros_collab_server.bootstrap import open_kyros

    local = settings.model_copy(update={"url": "", "token": "", "agent": "", "workspace": ""})
    try:
        async with open_kyros(local, duties=False) as opened:
            log = await checks.log_integrity(system_session(opened))
            return opened.credentials.token, log
    except (Failure, KyrosError) as error:
        return "", Finding("log", State.FAILED, f"{error.code}: {error}", "kyros migrate")


async def _answers(url: str) -> bool:
    import httpx2

    try:
        async with httpx2.AsyncClient(timeout=3) as client:
            return (await client.get(f"{url.rstrip('/')}/healthz")).is_success
    except (httpx2.HTTPError, httpx2.InvalidURL):
        return False
