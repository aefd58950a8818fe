"""What to paste into an MCP client so that it finds this server; the one place that spells it."""

import base64
import json
import shlex
from collections.abc import Callable
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict

NAME = "kyros"
"""What a client calls this server."""
TOKEN = "KYROS_TOKEN"  # noqa: S105 - the name of the variable
PASTE_HERE = "<your key>"
"""Stands for the key where a client can read no variable."""


class Client(StrEnum):
    """The clients that are told apart."""

    CLAUDE_CODE = "claude-code"
    CLAUDE_DESKTOP = "claude-desktop"
    CURSOR = "cursor"
    VS_CODE = "vscode"
    CODEX = "codex"


class Transport(StrEnum):
    """How a client reaches the server."""

    HTTP = "http"
    STDIO = "stdio"


class Language(StrEnum):
    """What a snippet is written in."""

    SHELL = "shell"
    JSON = "json"
    TOML = "toml"


class Place(BaseModel):
    """Where a client keeps its configuration: for which system or scope, and the file."""

    model_config = ConfigDict(frozen=True)

    where: str
    path: str


class Snippet(BaseModel):
    """What to paste, where it belongs, and how to see that it works.

    No secret is in it unless a token was given. `link` opens the client's own installer.
    """

    model_config = ConfigDict(frozen=True)

    client: Client
    title: str
    transport: Transport
    language: Language
    text: str
    places: list[Place]
    verify: str
    note: str | None = None
    link: str | None = None


TITLES = {
    Client.CLAUDE_CODE: "Claude Code",
    Client.CLAUDE_DESKTOP: "Claude Desktop",
    Client.CURSOR: "Cursor",
    Client.VS_CODE: "VS Code",
    Client.CODEX: "Codex",
}
PLACES: dict[Client, dict[str, str]] = {
    Client.CLAUDE_CODE: {
        "--scope local": "~/.claude.json",
        "--scope project": ".mcp.json",
        "--scope user": "~/.claude.json",
    },
    Client.CLAUDE_DESKTOP: {
        "macOS": "~/Library/Application Support/Claude/claude_desktop_config.json",
        "Windows": "%APPDATA%\\Claude\\claude_desktop_config.json",
        "Linux": "~/.config/Claude/claude_desktop_config.json",
    },
    Client.CURSOR: {"user": "~/.cursor/mcp.json", "project": ".cursor/mcp.json"},
    Client.VS_CODE: {"workspace": ".vscode/mcp.json"},
    Client.CODEX: {"user": "~/.codex/config.toml"},
}
VERIFY = {
    Client.CLAUDE_CODE: "claude mcp list",
    Client.CLAUDE_DESKTOP: "Restart it; kyros stands under Settings, Developer.",
    Client.CURSOR: "Settings, MCP: kyros has a green dot.",
    Client.VS_CODE: "MCP: List Servers, in the command palette.",
    Client.CODEX: "codex mcp list",
}


def entry(
    client: Client,
    transport: Transport,
    url: str,
    *,
    token: str | None = None,
    agent: str | None = None,
) -> dict[str, Any]:
    """The server's entry in the client's own file, as a JSON or TOML table.

    Without a token the client is told to read it from `KYROS_TOKEN`, or to ask for it, where it
    can; else `PASTE_HERE` stands in its place.
    """
    if transport is Transport.STDIO:
        key = token or {
            Client.CLAUDE_CODE: f"${{{TOKEN}}}",
            Client.CURSOR: f"${{env:{TOKEN}}}",
            Client.VS_CODE: f"${{input:{NAME}}}",
        }.get(client, PASTE_HERE)
        env = {"KYROS_URL": url, TOKEN: key, "KYROS_AGENT": agent or client.value}
        made: dict[str, Any] = {"command": "kyros", "args": ["stdio"], "env": env}
        return {"type": "stdio", **made} if client is Client.VS_CODE else made
    mcp = f"{url}/mcp"
    if client is Client.CODEX:
        if token is not None:
            return {"url": mcp, "http_headers": {"Authorization": f"Bearer {token}"}}
        return {"url": mcp, "bearer_token_env_var": TOKEN}
    key = token or {
        Client.CURSOR: f"${{env:{TOKEN}}}",
        Client.VS_CODE: f"${{input:{NAME}}}",
    }.get(client, f"${{{TOKEN}}}")
    made = {"url": mcp, "headers": {"Authorization": f"Bearer {key}"}}
    return made if client is Client.CURSOR else {"type": "http", **made}


def document(
    client: Client,
    transport: Transport,
    url: str,
    *,
    token: str | None = None,
    agent: str | None = None,
) -> dict[str, Any]:
    """The client's file, holding this server and nothing else."""
    table = entry(client, transport, url, token=token, agent=agent)
    if client is Client.CODEX:
        return {"mcp_servers": {NAME: table}}
    if client is Client.VS_CODE:
        asked = {"type": "promptString", "id": NAME, "description": "Kyros key", "password": True}
        return {**({} if token else {"inputs": [asked]}), "servers": {NAME: table}}
    return {"mcpServers": {NAME: table}}


def snippet(
    client: Client,
    transport: Transport,
    url: str,
    *,
    token: str | None = None,
    agent: str | None = None,
) -> Snippet:
    """What to paste into this client.

    Claude Desktop reaches only servers on public https addresses; for others it is given stdio.
    """
    note = None
    if client is Client.CLAUDE_DESKTOP and transport is Transport.HTTP:
        note = "Claude Desktop needs a public https address for HTTP. This is the way over stdio."
        transport = Transport.STDIO
    command = COMMANDS.get(client)
    if command is not None:
        language, text = Language.SHELL, command(transport, url, token, agent or client.value)
    else:
        language = Language.JSON
        text = json.dumps(document(client, transport, url, token=token, agent=agent), indent=2)
    return Snippet(
        client=client,
        title=TITLES[client],
        transport=transport,
        language=language,
        text=text,
        places=[Place(where=where, path=path) for where, path in PLACES[client].items()],
        verify=VERIFY[client],
        note=note,
        link=_link(client, transport, url, token, agent),
    )


def snippets(url: str) -> list[Snippet]:
    """What to paste into each client, over each transport, without any secret."""
    return [snippet(client, transport, url) for client in Client for transport in Transport]


def toml(table: dict[str, Any], name: str = f"mcp_servers.{NAME}") -> str:
    """A table of strings, lists of strings and tables of them, as TOML under its name.

    JSON's strings and lists of strings are TOML's, too.
    """
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    lines = [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in plain.items())]
    text = "\n".join(lines) + "\n"
    for key, value in table.items():
        if isinstance(value, dict):
            text += "\n" + toml(value, f"{name}.{key}")
    return text


def _variable(token: str | None) -> str:
    """The key as the shell is to read it."""
    return f'"${TOKEN}"' if token is None else shlex.quote(token)


def _stdio(env: str, url: str, token: str | None, agent: str) -> str:
    named = (("KYROS_URL", shlex.quote(url)), (TOKEN, _variable(token)), ("KYROS_AGENT", agent))
    return " ".join(f"{env} {name}={value}" for name, value in named) + " -- kyros stdio"


def _claude_code(transport: Transport, url: str, token: str | None, agent: str) -> str:
    if transport is Transport.STDIO:
        return f"claude mcp add {NAME} {_stdio('--env', url, token, shlex.quote(agent))}"
    bearer = f'"Authorization: Bearer ${TOKEN}"'
    if token is not None:
        bearer = shlex.quote(f"Authorization: Bearer {token}")
    mcp = shlex.quote(f"{url}/mcp")
    return f"claude mcp add --transport http {NAME} {mcp} --header {bearer}"


def _codex(transport: Transport, url: str, token: str | None, agent: str) -> str:
    if transport is Transport.STDIO:
        return f"codex mcp add {NAME} {_stdio('--env', url, token, shlex.quote(agent))}"
    mcp = shlex.quote(f"{url}/mcp")
    added = f"codex mcp add {NAME} --url {mcp} --bearer-token-env-var {TOKEN}"
    return added if token is None else f"export {TOKEN}={shlex.quote(token)}\n{added}"


COMMANDS: dict[Client, Callable[[Transport, str, str | None, str], str]] = {
    Client.CLAUDE_CODE: _claude_code,
    Client.CODEX: _codex,
}
"""Clients that have a command of their own for it."""


def _link(
    client: Client, transport: Transport, url: str, token: str | None, agent: str | None
) -> str | None:
    table = entry(client, transport, url, token=token, agent=agent)
    if client is Client.CURSOR:
        config = base64.b64encode(json.dumps(table).encode()).decode()
        there = "cursor://anysphere.cursor-deeplink/mcp/install"
        return f"{there}?name={NAME}&config={quote(config)}"
    if client is Client.VS_CODE:
        inputs = document(client, transport, url, token=token, agent=agent).get("inputs")
        asked = {"inputs": inputs} if inputs else {}
        return "vscode:mcp/install?" + quote(json.dumps({"name": NAME, **table, **asked}))
    return None
