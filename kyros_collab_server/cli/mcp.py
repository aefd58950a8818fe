"""`kyros mcp`: tell MCP clients of this Kyros."""

import json
import re
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from kyros_collab_server.cli.client_files import SCOPES, Scope, file_of
from kyros_collab_server.cli.command import Call, command, group
from kyros_collab_server.cli.failures import Exit, Failure, usage
from kyros_collab_server.cli.file_edits import PRIVATE, Edit, make_all, read_text
from kyros_collab_server.cli.guard_install import parsed_object
from kyros_collab_server.cli.output import Column
from kyros_collab_server.snippets import (
    NAME,
    PASTE_HERE,
    TOKEN,
    Client,
    Transport,
    document,
    snippet,
    toml,
)

app = group("MCP clients: what to tell them, and telling them.")

COLUMNS = [
    Column("client", "CLIENT"),
    Column("transport", "OVER"),
    Column("language", "AS"),
    Column("text", "SNIPPET", shrinks=True),
]
OUR_TABLE = re.compile(rf"\s*\[\s*mcp_servers\s*\.\s*[\"']?{NAME}[\"']?\s*[.\]]")
ClientName = Annotated[Client, typer.Argument(metavar="CLIENT", show_default=False)]
Http = Annotated[bool, typer.Option("--http", help="Over streamable HTTP.")]
Stdio = Annotated[bool, typer.Option("--stdio", help="As a process that the client starts.")]
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
    """Print what to paste: claude-code, claude-desktop, cursor, vscode, codex."""
    transport = _transport(client, http, stdio)
    token = call.settings.token or None if reveal else None
    whole = _document(call, client, transport, token, agent)
    as_file = toml(whole["mcp_servers"][NAME]) if client is Client.CODEX else _json(whole)
    told = snippet(client, transport, _url(call), token=token, agent=agent)
    text = as_file if _opens_store(call, transport) else told.text
    row = told.model_dump(mode="json", exclude={"title"}) | {"text": text, "file": as_file}
    if call.output.as_json or call.output.fields or call.output.quiet:
        call.output.items([row], COLUMNS, ident="text")
        return
    call.output.line(text.rstrip("\n"))
    for place in told.places:
        call.output.hint(f"{place.where}: {place.path}")
    if text != as_file:
        call.output.hint(f"or in the file:\n{as_file.rstrip()}")
    for name, value in (("note", told.note), ("link", told.link), ("verify", told.verify)):
        if value and not (name == "link" and (token or _opens_store(call, transport))):
            call.output.hint(f"{name}: {value}")


@command(app, "install", writes=True, own_agent=True)
async def install(
    call: Call,
    client: ClientName,
    http: Http = False,
    stdio: Stdio = False,
    agent: AgentOption = None,
    scope: Annotated[
        Scope | None, typer.Option("--scope", help="local, project or user; not all have all.")
    ] = None,
) -> None:
    """Write it into the client's own file; the change is shown, the old file kept beside it.

    The key is named, not written, where the client can read KYROS_TOKEN or ask for it.
    """
    scopes = SCOPES[client]
    chosen = scope or scopes[0]
    if chosen not in scopes:
        raise usage(f"{client} has no scope {chosen}.", "scopes: " + ", ".join(scopes))
    transport = _transport(client, http, stdio)
    path = file_of(client, chosen, home=Path.home(), project=Path.cwd(), system=sys.platform)
    whole = _document(call, client, transport, None, agent)
    literal = PASTE_HERE in json.dumps(whole)
    if literal:
        if not call.settings.token:
            cause = f"{client} needs the key itself in {path}."
            fix = "kyros key new NAME makes one; set KYROS_TOKEN to it."
            raise Failure(Exit.AUTHENTICATION, "unauthenticated", cause, fix)
        whole = _document(call, client, transport, call.settings.token, agent)
    _settle_paths(call, whole, chosen)
    before = read_text(path)
    if client is Client.CODEX:
        after = _with_tables(path, before or "", whole["mcp_servers"][NAME])
    else:
        after = _with_entry(path, before, client, chosen, whole)
    make_all(call, [Edit(path, before, after, PRIVATE if literal else None)])


def _transport(client: Client, http: bool, stdio: bool) -> Transport:
    if http and stdio:
        raise usage("--http and --stdio exclude each other.")
    if client is Client.CLAUDE_DESKTOP:
        if http:
            raise usage("Claude Desktop's file has stdio servers only.", "Leave --http out.")
        return Transport.STDIO
    return Transport.STDIO if stdio else Transport.HTTP


def _url(call: Call) -> str:
    settings = call.settings
    url = settings.url or settings.public_url or f"http://127.0.0.1:{settings.port}"
    return url.rstrip("/")


def _opens_store(call: Call, transport: Transport) -> bool:
    """True when the client's process is to open the store itself: no server was named."""
    return transport is Transport.STDIO and not call.settings.url


def _document(
    call: Call, client: Client, transport: Transport, token: str | None, agent: str | None
) -> dict[str, Any]:
    """The client's file as it would be with nothing else in it."""
    whole = document(client, transport, _url(call), token=token, agent=agent)
    entry = _entry(whole)
    if _opens_store(call, transport):
        data_dir = str(call.settings.data_dir.absolute())
        entry["env"] = {"KYROS_DATA_DIR": data_dir, "KYROS_AGENT": agent or client.value}
        whole.pop("inputs", None)
    elif transport is Transport.STDIO and client is Client.CODEX and token is None:
        del entry["env"][TOKEN]
        entry["env_vars"] = [TOKEN]  # read from Codex's own environment
    elif transport is Transport.HTTP and agent:
        headers = "http_headers" if client is Client.CODEX else "headers"
        entry[headers] = {**entry.get(headers, {}), "X-Kyros-Agent": agent}
    return whole


def _entry(whole: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = whole[_servers(whole)][NAME]
    return entry


def _servers(whole: dict[str, Any]) -> str:
    return next(name for name in whole if name != "inputs")


def _settle_paths(call: Call, whole: dict[str, Any], scope: Scope) -> None:
    """A project's file names no place of this machine; a person's names the program itself."""
    entry = _entry(whole)
    if "command" not in entry:
        return
    if scope is Scope.PROJECT:
        if "KYROS_DATA_DIR" in entry["env"]:
            entry["env"]["KYROS_DATA_DIR"] = str(call.settings.data_dir)
    elif program := shutil.which(entry["command"]):
        entry["command"] = program  # what a desktop starts need not have this PATH


def _json(whole: dict[str, Any], indent: int | str = 2) -> str:
    return json.dumps(whole, indent=indent, ensure_ascii=False) + "\n"


def _with_entry(
    path: Path, before: str | None, client: Client, scope: Scope, told: dict[str, Any]
) -> str:
    """The client's JSON with our entry in it, and everything else as it was."""
    whole = parsed_object(path, before)
    place = whole
    if client is Client.CLAUDE_CODE and scope is Scope.LOCAL:
        place = _member(path, _member(path, whole, "projects"), str(Path.cwd()))
    servers = _servers(told)
    known = _member(path, place, servers)
    asked = told.get("inputs", [])
    inputs = place.setdefault("inputs", []) if asked else []
    if not isinstance(inputs, list):
        raise _not_understood(path, "its inputs are no list")
    asks = [one for one in inputs if isinstance(one, dict) and one.get("id") == NAME]
    if before and known.get(NAME) == told[servers][NAME] and (asks or not asked):
        return before
    known[NAME] = told[servers][NAME]
    inputs += [] if asks else asked
    indent = re.search(r"^([ \t]+)\S", before or "", re.MULTILINE)
    return _json(whole, indent[1] if indent else 2)


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
