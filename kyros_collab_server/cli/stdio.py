"""`kyros stdio`: an MCP server on stdin and stdout."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from kyros_collab_server.cli.memory import collect_from_here
from kyros_collab_server.settings import Settings, load_settings

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("stdio")
def stdio(
    url: Annotated[str | None, typer.Option("--url", help="Forward to this server.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Agent name.")] = None,
    workspace: Annotated[str | None, typer.Option("--workspace")] = None,
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="Directory of store.")] = None,
    toolsets: Annotated[str | None, typer.Option("--toolsets", help="As core,team; all.")] = None,
    exclude_tools: Annotated[str | None, typer.Option("--exclude-tools")] = None,
    read_only: Annotated[
        bool | None, typer.Option("--read-only", help="Offer only tools that change nothing.")
    ] = None,
    _verbose: Annotated[bool, typer.Option("--verbose", hidden=True)] = False,
) -> None:
    """Be an MCP server on stdin and stdout, for clients that start their own.

    Many such processes share one store; stdout carries the protocol only, logs go to stderr.
    """
    settings = load_settings(
        url=url,
        agent=agent,
        workspace=workspace,
        data_dir=data_dir,
        toolsets=toolsets,
        exclude_tools=exclude_tools,
        read_only=read_only,
    )
    from kyros_collab_server.cli.logs import log_to_stderr

    log_to_stderr(settings.log_level)
    asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    if settings.url:
        from kyros_collab_server.cli.version import kyros_version
        from kyros_collab_server.mcp_face.bridge import run_bridge

        collect_from_here()
        await run_bridge(settings, version=kyros_version())
        return
    from kyros_collab_server.cli.first_start import open_store
    from kyros_collab_server.mcp_face.stdio import run_stdio

    async with open_store(settings, duties=True) as opened:
        collect_from_here()
        await run_stdio(opened.kyros, settings)
