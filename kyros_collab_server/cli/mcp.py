"""`kyros mcp`: tell MCP clients of this Kyros."""

import json
import re
import shutil
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from kyros_collab_server.cli.command import Call, command, group
from kyros_collab_server.cli.failures import Exit, Failure, usage
from kyros_collab_server.cli.file_edits import PRIVATE, Edit, make_all, read_text
from kyros_collab_server.cli.guard_install import parsed_object
from kyros_collab_server.cli.output import Column
from kyros_collab_server.clients import (
    INPUT,
    NAME,
    SCOPES,
    Client,
    Connection,
    Scope,
    Transport,
    default_transport,
    document,
    entry,
    needs_literal_token,
    place_of,
    snippets,
    toml,
)

app = group("MCP clients: what to tell them, and telling them.")

COLUMNS = [
    Column("client", "CLIENT"),
    Column("transport", "OVER"),
    Column("language", "AS"),
    Column("place", "PLACE"),
    Column("text", "SNIPPET", shrinks=True),
]
ClientName = Annotated[Client, typer.Argument(metavar="CLIENT", show_default=False)]
Http = Annotated[bool, typer.Option("--http", help="Over streamable HTTP.")]
Stdio = Annotated[bool, typer.Option("--stdio", help="As a process that the client starts.")]
OUR_TABLE = re.compile(rf"\s*\[\s*mcp_servers\s*\.\s*[\"']?{NAME}[\"']?\s*[.\]]")
AgentOption = Annotated[str | None, typer.Option("--agent", help="Who the client acts as.")]


@command(app, "config", own_agent=True)
async def config(
    call: Call,
    client: ClientName,
    http: Http = False,
    stdio: Stdio = False,
    agent: AgentOption = None,
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Put the key of KYROS_TOKEN in, not its name.")
    ] = False,
) -> None:
    """Print what to paste: claude-code, claude-desktop, cursor, vscode, codex, other."""
    transport = _transport(client, http, stdio)
    told = _connection(call, transport, agent)
    found = snippets(client, transport, told if reveal else replace(told, token=""))
    rows = [
        {
            "client": one.client.value,
            "transport": one.transport.value,
            "language": one.language,
            "place": one.place,
            "text": one.text,
            "verify": one.verify,
            "link": one.link,
        }
        for one in found
    ]
    if call.output.as_json or call.output.fields or call.output.quiet:
        call.output.items(rows, COLUMNS, ident="text")
        return
    usual, *others = found
    call.output.line(usual.text.rstrip("\n"))
    call.output.hint(f"place: {usual.place}")
    for other in others:
        call.output.hint(f"or in {other.place}:\n{other.text.rstrip()}")
    if usual.link:
        call.output.hint(f"link: {usual.link}")
    call.output.hint(f"verify: {usual.verify}")


@command(app, "install", writes=True, own_agent=True)
async def install(
    call: Call, client: ClientName, http: Http = False, stdio: Stdio = False,
    agent: AgentOption = None,
    scope: Annotated[
        Scope | None, typer.Option("--scope", help="local, project or user; not all have all.")
    ] = None,
) -> None:  # fmt: skip
    """Write it into the client's own file; the change is shown, the old file kept beside it."""
    scopes = SCOPES[client]
    if not scopes:
        raise usage("No file of its is known.", f"kyros mcp config {client} prints what to paste.")
    chosen = scope or scopes[0]
    if chosen not in scopes:
        raise usage(f"{client} has no scope {chosen}.", "scopes: " + ", ".join(scopes))
    transport = _transport(client, http, stdio)
    told = _connection(call, transport, agent)
    path = place_of(client, chosen, home=Path.home(), project=Path.cwd(), system=sys.platform)
    literal = needs_literal_token(client, transport, told)
    if literal and not told.token:
        cause = f"{client} needs the key itself in {path}."
        fix = "kyros key new NAME makes one; set KYROS_TOKEN to it."
        raise Failure(Exit.AUTHENTICATION, "unauthenticated", cause, fix)
    told = told if literal else replace(told, token="")
    if chosen is Scope.PROJECT:
        told = replace(told, data_dir=str(call.settings.data_dir))
    elif program := shutil.which(told.command):
        told = replace(told, command=program)  # what a desktop starts need not have this PATH
    before = read_text(path)
    if client is Client.CODEX:
        after = _with_tables(path, before or "", entry(client, transport, told))
    else:
        after = _with_entry(path, before, client, chosen, document(client, transport, told))
    make_all(call, [Edit(path, before, after, PRIVATE if literal else None)])


def _transport(client: Client, http: bool, stdio: bool) -> Transport:
    if http and stdio:
        raise usage("--http and --stdio exclude each other.")
    if http or stdio:
        return Transport.HTTP if http else Transport.STDIO
    return default_transport(client)


def _connection(call: Call, transport: Transport, agent: str | None) -> Connection:
    settings = call.settings
    url = settings.url
    if transport is Transport.HTTP and not url:
        url = settings.public_url or f"http://127.0.0.1:{settings.port}"
    return Connection(
        url=url.rstrip("/"),
        token=settings.token,
        agent=agent or "",
        data_dir=str(settings.data_dir.absolute()),
    )


def _with_entry(
    path: Path, before: str | None, client: Client, scope: Scope, told: dict[str, Any]
) -> str:
    """The client's JSON with our entry in it, and everything else as it was."""
    whole = parsed_object(path, before)
    place = whole
    if client is Client.CLAUDE_CODE and scope is Scope.LOCAL:
        place = _member(path, _member(path, whole, "projects"), str(Path.cwd()))
    servers = next(name for name in told if name != "inputs")
    ours = told[servers][NAME]
    known = _member(path, place, servers)
    inputs = place.setdefault("inputs", []) if "inputs" in told else []
    if not isinstance(inputs, list):
        raise _not_understood(path, "its inputs are no list")
    asks = [one for one in inputs if isinstance(one, dict) and one.get("id") == NAME]
    if known.get(NAME) == ours and (asks or "inputs" not in told) and before:
        return before
    known[NAME] = ours
    if "inputs" in told and not asks:
        inputs.append(INPUT)
    indent = re.search(r"^([ \t]+)\S", before or "", re.MULTILINE)
    text = json.dumps(whole, indent=indent[1] if indent else 2, ensure_ascii=False)
    return text + "\n"


def _member(path: Path, place: dict[str, Any], name: str) -> dict[str, Any]:
    found = place.setdefault(name, {})
    if not isinstance(found, dict):
        raise _not_understood(path, f"{name} is no object")
    return found


def _with_tables(path: Path, before: str, told: dict[str, Any]) -> str:
    """Codex's TOML with our tables in place of the ones it had, and every other line as it was."""
    try:
        known = tomllib.loads(before)
    except tomllib.TOMLDecodeError as error:
        raise _not_understood(path, f"it is not TOML ({error})") from None
    servers = _member(path, known, "mcp_servers")
    if servers.get(NAME) == told:
        return before
    kept, place = _without_ours(before)
    if place is None:
        gap = "\n" if kept and kept[-1].strip() else ""
        ends = "" if not kept or kept[-1].endswith("\n") else "\n"
        after = f"{''.join(kept)}{ends}{gap}{toml(told)}"
    else:
        rest = "".join(kept[place:])
        after = f"{''.join(kept[:place])}{toml(told)}{chr(10) if rest.strip() else ''}{rest}"
    try:
        wanted = {**known, "mcp_servers": {**servers, NAME: told}}
        if tomllib.loads(after) == wanted:
            return after
    except tomllib.TOMLDecodeError:
        pass
    raise _not_understood(path, "its mcp_servers are written in a way that cannot be added to")


def _without_ours(text: str) -> tuple[list[str], int | None]:
    """The lines that are not of our tables, and the place where those stood, if anywhere.

    Comments above the table that follows ours are its own.
    """
    kept: list[str] = []
    held_back: list[str] = []
    place, is_ours = None, False
    for line in text.splitlines(keepends=True):
        if re.match(r"\s*\[", line):
            is_ours = OUR_TABLE.match(line) is not None
            place = len(kept) if is_ours and place is None else place
            kept += [] if is_ours else held_back
            held_back = []
        if not is_ours:
            kept.append(line)
        elif re.match(r"\s*(#|$)", line):
            held_back.append(line)
        else:
            held_back = []
    return kept, place


def _not_understood(path: Path, why: str) -> Failure:
    fix = "kyros mcp config prints what to add by hand."
    return Failure(Exit.INVALID, "invalid_file", f"{path} stays as it is: {why}.", fix)
