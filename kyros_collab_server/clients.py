"""How MCP clients are told of a Kyros: snippets to paste, entries to write, and where they go.

One place for the console, the plain page and `kyros mcp`. Nothing here reads or writes a file, and
no secret is put into a link. Formats and places: console.md, section 3.
"""

import base64
import json
import shlex
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlencode

NAME = "kyros"
"""What the server is called in every client."""
TOKEN = "KYROS_TOKEN"  # noqa: S105 - the name of a variable
UNKNOWN_TOKEN = "<key>"  # noqa: S105 - a placeholder


class Client(StrEnum):
    """The clients that Kyros knows how to tell."""

    CLAUDE_CODE = "claude-code"
    CLAUDE_DESKTOP = "claude-desktop"
    CURSOR = "cursor"
    VS_CODE = "vscode"
    CODEX = "codex"
    OTHER = "other"
    """Any that reads `mcpServers`."""


TITLES = {
    Client.CLAUDE_CODE: "Claude Code",
    Client.CLAUDE_DESKTOP: "Claude Desktop",
    Client.CURSOR: "Cursor",
    Client.VS_CODE: "VS Code",
    Client.CODEX: "Codex",
    Client.OTHER: "Other",
}


class Transport(StrEnum):
    """How a client reaches the server."""

    HTTP = "http"
    STDIO = "stdio"


class Scope(StrEnum):
    """Where a client keeps the entry."""

    LOCAL = "local"
    """For this project and this person."""
    PROJECT = "project"
    """For everybody who works on this project; in the repository, so never with a secret."""
    USER = "user"
    """For this person, everywhere."""


SCOPES: dict[Client, tuple[Scope, ...]] = {
    Client.CLAUDE_CODE: (Scope.PROJECT, Scope.LOCAL, Scope.USER),
    Client.CLAUDE_DESKTOP: (Scope.USER,),
    Client.CURSOR: (Scope.USER, Scope.PROJECT),
    Client.VS_CODE: (Scope.PROJECT, Scope.USER),
    Client.CODEX: (Scope.USER,),
    Client.OTHER: (),
}
"""The scopes that a client has; the first is the one when none is named."""
VERIFY = {
    Client.CLAUDE_CODE: "claude mcp list",
    Client.CLAUDE_DESKTOP: "Restart it; Settings, Developer shows kyros as running.",
    Client.CURSOR: "Settings, MCP shows kyros with a green dot.",
    Client.VS_CODE: "MCP: List Servers in the command palette.",
    Client.CODEX: "codex mcp list",
    Client.OTHER: "kyros doctor",
}
_TOKEN_BY_REFERENCE = {
    Client.CLAUDE_CODE: f"${{{TOKEN}}}",
    Client.CURSOR: f"${{env:{TOKEN}}}",
    Client.VS_CODE: f"${{input:{NAME}}}",
}
"""How an entry names the key without holding it; other clients have no way to."""
INPUT = {"type": "promptString", "id": NAME, "description": "Kyros key", "password": True}
"""What VS Code asks for once, and keeps for `${input:kyros}`."""


@dataclass(frozen=True)
class Connection:
    """What a client is told.

    `url` is the server's; empty, a stdio process opens the store in `data_dir` by itself. `token`
    empty: by reference, where the client can. `command` is how `kyros` is started.
    """

    url: str = ""
    token: str = ""
    agent: str = ""
    data_dir: str = ""
    command: str = "kyros"

    @property
    def mcp_url(self) -> str:
        """Where the server speaks MCP."""
        return f"{self.url.rstrip('/')}/mcp"


@dataclass(frozen=True)
class Snippet:
    """Something to paste, where it goes, how to see that it works, and a one-click link if any."""

    client: Client
    transport: Transport
    language: Literal["shell", "json", "toml"]
    text: str
    place: str
    verify: str
    link: str | None = None


def default_transport(client: Client) -> Transport:
    """The transport when none is named: Claude Desktop wants public HTTPS for the other one."""
    return Transport.STDIO if client is Client.CLAUDE_DESKTOP else Transport.HTTP


def snippets(client: Client, transport: Transport, connection: Connection) -> list[Snippet]:
    """What to paste, the usual way first."""
    link = _link(client, transport, connection)
    verify = VERIFY[client]

    def one(language: Literal["shell", "json", "toml"], text: str, place: str) -> Snippet:
        return Snippet(client, transport, language, text, place, verify, link)

    if client is Client.CODEX:
        return [
            one("shell", _codex_line(transport, connection), "in a terminal"),
            one("toml", toml(entry(client, transport, connection)), "~/.codex/config.toml"),
        ]
    text = json.dumps(document(client, transport, connection), indent=2, ensure_ascii=False)
    places = {
        Client.CLAUDE_CODE: ".mcp.json",
        Client.CLAUDE_DESKTOP: "claude_desktop_config.json",
        Client.CURSOR: "~/.cursor/mcp.json or .cursor/mcp.json",
        Client.VS_CODE: ".vscode/mcp.json",
        Client.OTHER: "where it keeps its MCP servers",
    }
    as_json = one("json", text, places[client])
    if client is Client.CLAUDE_CODE:
        return [one("shell", _claude_line(transport, connection), "in a terminal"), as_json]
    return [as_json]


def document(client: Client, transport: Transport, connection: Connection) -> dict[str, Any]:
    """The whole of a client's file that knows only Kyros."""
    servers = {NAME: entry(client, transport, connection)}
    if client is not Client.VS_CODE:
        return {"mcpServers": servers}
    inputs = {} if connection.token or not _needs_token(transport, connection) else INPUT
    return {**({"inputs": [inputs]} if inputs else {}), "servers": servers}


def entry(client: Client, transport: Transport, connection: Connection) -> dict[str, Any]:
    """What a client's file holds for this server."""
    token = connection.token or _TOKEN_BY_REFERENCE.get(client, UNKNOWN_TOKEN)
    if transport is Transport.STDIO:
        return _stdio_entry(client, connection, token)
    agent = {"X-Kyros-Agent": connection.agent} if connection.agent else {}
    if client is Client.CODEX:
        more = {"http_headers": agent} if agent else {}
        return {"url": connection.mcp_url, "bearer_token_env_var": TOKEN, **more}
    kind = {} if client is Client.CURSOR else {"type": "http"}
    headers = {"Authorization": f"Bearer {token}", **agent}
    return {**kind, "url": connection.mcp_url, "headers": headers}


def _stdio_entry(client: Client, connection: Connection, token: str) -> dict[str, Any]:
    kind = {"type": "stdio"} if client is Client.VS_CODE else {}
    told: dict[str, Any] = {"command": connection.command, "args": ["stdio"]}
    env = environment(client, replace(connection, token=token))
    if client is Client.CODEX and not connection.token and TOKEN in env:
        del env[TOKEN]
        told["env_vars"] = [TOKEN]
    return {**kind, **told, "env": env}


def environment(client: Client, connection: Connection) -> dict[str, str]:
    """What a stdio process finds in its environment."""
    agent = connection.agent or client.value
    if not connection.url:
        return {"KYROS_DATA_DIR": connection.data_dir, "KYROS_AGENT": agent}
    token = connection.token or UNKNOWN_TOKEN
    return {"KYROS_URL": connection.url, TOKEN: token, "KYROS_AGENT": agent}


def _needs_token(transport: Transport, connection: Connection) -> bool:
    return transport is Transport.HTTP or bool(connection.url)


def needs_literal_token(client: Client, transport: Transport, connection: Connection) -> bool:
    """True when the entry works only with the key itself in it."""
    by_reference = client in _TOKEN_BY_REFERENCE or client is Client.CODEX
    return _needs_token(transport, connection) and not by_reference


def _claude_line(transport: Transport, connection: Connection) -> str:
    if transport is Transport.STDIO:
        return f"claude mcp add {NAME} {_env_options(Client.CLAUDE_CODE, connection)}"
    bearer = f'"Authorization: Bearer ${TOKEN}"'
    if connection.token:
        bearer = _shell(f"Authorization: Bearer {connection.token}")
    agent = f" --header {_shell(f'X-Kyros-Agent: {connection.agent}')}" if connection.agent else ""
    url = _shell(connection.mcp_url)
    return f"claude mcp add --transport http {NAME} {url} --header {bearer}{agent}"


def _codex_line(transport: Transport, connection: Connection) -> str:
    if transport is Transport.STDIO:
        return f"codex mcp add {NAME} {_env_options(Client.CODEX, connection)}"
    url = _shell(connection.mcp_url)
    return f"codex mcp add {NAME} --url {url} --bearer-token-env-var {TOKEN}"


def _env_options(client: Client, connection: Connection) -> str:
    env = environment(client, connection)
    options = []
    for name, value in env.items():
        told = f'{TOKEN}="${TOKEN}"' if name == TOKEN and not connection.token else ""
        options.append(f"--env {told or _shell(f'{name}={value}')}")
    return " ".join([*options, "--", _shell(connection.command), "stdio"])


def _shell(word: str) -> str:
    return shlex.quote(word)


def _link(client: Client, transport: Transport, connection: Connection) -> str | None:
    """A link that offers the entry; none where the key itself would stand in it."""
    if connection.token or needs_literal_token(client, transport, connection):
        return None
    told = entry(client, transport, connection)
    if client is Client.CURSOR:
        config = base64.b64encode(json.dumps(told).encode()).decode()
        asked = urlencode({"name": NAME, "config": config})
        return f"cursor://anysphere.cursor-deeplink/mcp/install?{asked}"
    if client is Client.VS_CODE:
        inputs = document(client, transport, connection).get("inputs")
        told = {"name": NAME, **told, **({"inputs": inputs} if inputs else {})}
        return "vscode:mcp/install?" + quote(json.dumps(told, separators=(",", ":")))
    return None


def toml(told: dict[str, Any]) -> str:
    """An entry as Codex's tables, `env` and headers as tables of their own."""
    plain = {name: value for name, value in told.items() if not isinstance(value, dict)}
    lines = [f"[mcp_servers.{NAME}]", *(f"{name} = {_value(v)}" for name, v in plain.items())]
    for table, members in told.items():
        if isinstance(members, dict):
            lines += ["", f"[mcp_servers.{NAME}.{table}]"]
            lines += [f"{_key(name)} = {_value(v)}" for name, v in members.items()]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() else json.dumps(name)


def _value(value: Any) -> str:
    """A string, or an array of strings; JSON spells both as TOML does, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def place_of(client: Client, scope: Scope, *, home: Path, project: Path, system: str) -> Path:
    """The file in which a client keeps entries of a scope, on a system of `sys.platform`."""
    if client is Client.CLAUDE_CODE:
        return project / ".mcp.json" if scope is Scope.PROJECT else home / ".claude.json"
    if client is Client.CODEX:
        return home / ".codex" / "config.toml"
    if client is Client.CURSOR:
        return (project if scope is Scope.PROJECT else home) / ".cursor" / "mcp.json"
    if client is Client.VS_CODE and scope is Scope.PROJECT:
        return project / ".vscode" / "mcp.json"
    own = {"darwin": home / "Library/Application Support", "win32": home / "AppData/Roaming"}
    base = own.get(system, home / ".config")
    if client is Client.VS_CODE:
        return base / "Code" / "User" / "mcp.json"
    return base / "Claude" / "claude_desktop_config.json"
