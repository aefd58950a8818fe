"""`kyros serve`: REST, event stream and MCP in one process."""

import asyncio
import errno
import logging
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from kyros_collab_server.cli.failures import Exit, Failure, not_yet, usage
from kyros_collab_server.cli.memory import collect_from_here
from kyros_collab_server.cli.panel import Ready
from kyros_collab_server.cli.ports import holder_of, is_loopback
from kyros_collab_server.settings import Settings, load_settings

if TYPE_CHECKING:
    from kyros_collab_server.application import Kyros

app = typer.Typer(add_completion=False, rich_markup_mode=None)
log = logging.getLogger(__name__)

PORTS_TRIED = 100
SECRET_CHARACTERS = 32
ECHO_SECONDS = 1.0
GRACE_SECONDS = 1.5
"""Beyond the drain: for closing the store. A process that takes longer is ended."""


@app.command("serve")
def serve(
    host: Annotated[str | None, typer.Option("--host", help="Address to bind.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="0 picks a free one.")] = None,
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="Directory of store.")] = None,
    seed_from: Annotated[
        Path | None, typer.Option("--seed-from", help="State files for a first start.")
    ] = None,
    open_: Annotated[
        bool | None, typer.Option("--open/--no-open", help="Open a browser when ready.")
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Not available yet.")] = False,
    demo_seed: Annotated[int | None, typer.Option("--demo-seed", hidden=True)] = None,
    demo_speed: Annotated[float | None, typer.Option("--demo-speed", hidden=True)] = None,
    reload: Annotated[bool, typer.Option("--reload", help="Not available yet.")] = False,
    conformance: Annotated[bool, typer.Option("--conformance", hidden=True)] = False,
    _json: Annotated[bool, typer.Option("--json", hidden=True)] = False,
    _verbose: Annotated[bool, typer.Option("--verbose", hidden=True)] = False,
) -> int:
    """Start everything on 127.0.0.1:8000; Ctrl+C or SIGTERM drains and ends it."""
    if demo or demo_seed is not None or demo_speed is not None:
        raise not_yet("kyros serve --demo", "kyros serve, then kyros seed for a board to try.")
    if reload:
        raise not_yet("kyros serve --reload")
    if seed_from is not None and not (seed_from / "state").is_dir():
        raise usage(f"--seed-from: there is no {seed_from}/state.", "Name a data directory.")
    settings = load_settings(host=host, port=port, data_dir=data_dir)
    if conformance and not is_loopback(settings.host):
        raise usage("--conformance lets everybody in.", "Bind 127.0.0.1.")
    _check_exposure(settings)
    listener = _listen(settings)
    from kyros_collab_server.cli.logs import log_to_stderr

    log_to_stderr(settings.log_level)
    ending = Ending(settings.drain_seconds + GRACE_SECONDS)
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(settings, listener, seed_from, open_, ending, conformance=conformance))
    return Exit.INTERRUPTED if ending.first == signal.SIGINT else Exit.OK


def _check_exposure(settings: Settings) -> None:
    """Pass when the address is this machine's own, or the deployment is configured.

    Raises:
        Failure: other machines could reach the server, and it has no secret or no public URL.
    """
    if is_loopback(settings.host):
        return
    missing = []
    if len(settings.secret) < SECRET_CHARACTERS:
        missing.append(f"KYROS_SECRET ({SECRET_CHARACTERS} characters or more)")
    if not settings.public_url:
        missing.append("KYROS_PUBLIC_URL")
    if missing:
        raise Failure(
            Exit.INVALID,
            "unsafe_configuration",
            f"Other machines could reach {settings.host}, and {' and '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not set.",
            f"Set {' and '.join(missing)}, or bind 127.0.0.1.",
        )


def _listen(settings: Settings) -> socket.socket:
    """A listening socket: the port asked for, or without one the first free one from 8000 on.

    Raises:
        Failure: the port is taken; names the holder. Or the address is not this machine's.
    """
    from http_api.serving import listen

    was_given = "port" in settings.model_fields_set
    ports = [settings.port]
    if not was_given:
        ports += range(settings.port + 1, settings.port + PORTS_TRIED)
    for port in ports:
        try:
            listener = listen(settings.host, port)
        except (OSError, OverflowError) as error:
            if getattr(error, "errno", None) == errno.EADDRINUSE:
                continue
            raise Failure(
                Exit.INVALID,
                "cannot_bind",
                f"Cannot bind {settings.host}:{port} ({getattr(error, 'strerror', error)}).",
                "Name an address of this machine with --host, and a port you may use.",
            ) from None
        if port != settings.port:
            print(f"port {settings.port} is taken; serving on {port}", file=sys.stderr, flush=True)
        return listener
    raise Failure(
        Exit.UNREACHABLE,
        "port_taken",
        f"Port {settings.port} is taken by {holder_of(settings.port)}.",
        "End it, or take another port: --port 0 picks a free one.",
    )


class Ending:
    """How the process ends: the first signal drains, a second forces, and time is bounded."""

    def __init__(self, limit_seconds: float) -> None:
        self.first: int | None = None
        self._first_at = 0.0
        self._limit_seconds = limit_seconds

    def signalled(self, number: int) -> bool:
        """Note a signal; True for the first. A later one ends the process at once.

        `make` and `timeout` each pass on what the whole group was sent, so a second signal within
        a second is the first one's echo.
        """
        if self.first is not None:
            if time.monotonic() - self._first_at >= ECHO_SECONDS:
                os._exit(Exit.INTERRUPTED if number == signal.SIGINT else Exit.UNEXPECTED)
            return False
        self.first, self._first_at = number, time.monotonic()
        log.info("draining", extra={"signal": signal.Signals(number).name})
        late = threading.Timer(self._limit_seconds, os._exit, (Exit.UNEXPECTED,))
        late.daemon = True
        late.start()
        return True


async def _run(
    settings: Settings,
    listener: socket.socket,
    seed_from: Path | None,
    opens: bool | None,
    ending: Ending,
    *,
    conformance: bool,
) -> None:
    from http_api.app import build_app
    from http_api.serving import server_of
    from kyros_collab_server.cli.first_start import open_store
    from kyros_collab_server.mcp_face.server import build_mcp

    loop, starting = asyncio.get_running_loop(), asyncio.current_task()

    def before_ready(number: int, _frame: FrameType | None) -> None:
        if ending.signalled(number) and starting is not None:
            loop.call_soon_threadsafe(starting.cancel)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, before_ready)
    url = _url(settings, listener)
    try:
        async with open_store(settings, seed_from=seed_from, duties=True) as opened:
            mcp = build_mcp(
                opened.kyros,
                settings,
                public_url=url,
                allowed_hosts=_hosts(settings, url),
                allowed_origins=_origins(settings, url),
                **(await _fixtures(opened.kyros, opened.credentials.token) if conformance else {}),
            )
            application = build_app(opened.kyros, settings, mcp=mcp)
            has_console = any(
                getattr(route, "path", "").startswith("/console") for route in application.routes
            )
            ready = Ready(url, opened.credentials.token, os.getpid())

            def announce() -> None:
                def when_ready(number: int, frame: FrameType | None) -> None:
                    if ending.signalled(number):
                        loop.call_soon_threadsafe(mcp.close)
                        server.handle_exit(number, frame)

                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, when_ready)
                collect_from_here()
                log.info("serving", extra={"url": url, "store": str(settings.data_dir)})
                _say(ready, has_console, has_console if opens is None else opens)

            server = server_of(application, drain_seconds=settings.drain_seconds, on_ready=announce)
            await server.serve(sockets=[listener])
        log.info("stopped")
    except asyncio.CancelledError:
        if ending.first is None:
            raise


async def _fixtures(kyros: "Kyros", token: str) -> dict[str, Any]:
    """What the protocol's test runners need of the MCP face, and keys for them."""
    from kyros_collab_server.mcp_face.conformance.everything import fixtures_on
    from kyros_collab_server.mcp_face.conformance.shim import new_keys

    admin = await kyros.caller(token, face="cli")
    return {"fixtures_on": fixtures_on, "keys": await new_keys(kyros, admin)}


def _say(ready: Ready, has_console: bool, opens: bool) -> None:
    if not sys.stdout.isatty():
        print(ready.as_line(), flush=True)
        return
    print(ready.as_panel(has_console=has_console), flush=True)
    if opens:
        import webbrowser

        webbrowser.open(ready.console_url if has_console else f"{ready.api_url}/docs")


def _url(settings: Settings, listener: socket.socket) -> str:
    if settings.public_url:
        return settings.public_url.rstrip("/")
    port = listener.getsockname()[1]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{port}"


def _names(settings_list: str) -> list[str]:
    return [name.strip() for name in settings_list.split(",") if name.strip()]


def _hosts(settings: Settings, url: str) -> list[str]:
    """Host headers that MCP answers to, with any port where none is named."""
    named = [urlsplit(url).netloc, *_names(settings.allowed_hosts)]
    bare = ["localhost", "127.0.0.1", "[::1]", *named]
    return [*bare, *(f"{name}:*" for name in bare if not _has_port(name))]


def _has_port(name: str) -> bool:
    return name.rpartition(":")[2].isdigit() and not name.endswith("]")


def _origins(settings: Settings, url: str) -> list[str]:
    """Browser origins that MCP answers to: this machine's pages, its own, the listed ones."""
    parts = urlsplit(url)
    local = ["localhost", "127.0.0.1", "[::1]"]
    return [
        f"{parts.scheme}://{parts.netloc}",
        *(
            f"{scheme}://{name}{port}"
            for scheme in ("http", "https")
            for name in local
            for port in ("", ":*")
        ),
        *_names(settings.allowed_origins),
    ]
