"""Where MCP clients keep the servers that they know."""

from enum import StrEnum
from pathlib import Path

from kyros_collab_server.snippets import Client


class Scope(StrEnum):
    """For whom a client keeps an entry."""

    LOCAL = "local"
    """For this person, in this project."""
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
}
"""The scopes that a client has; the first is meant when none is named."""


def file_of(client: Client, scope: Scope, *, home: Path, project: Path, system: str) -> Path:
    """The file with a client's entries of a scope, on a system of `sys.platform`."""
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
