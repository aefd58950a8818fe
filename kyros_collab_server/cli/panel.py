"""What a server says when it is ready: one JSON line for programs, a panel for people."""

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Ready:
    """Where a running server is reached, and with what."""

    api_url: str
    token: str
    pid: int

    @property
    def mcp_url(self) -> str:
        """Where MCP clients connect."""
        return f"{self.api_url}/mcp"

    @property
    def console_url(self) -> str:
        """Where people look."""
        return f"{self.api_url}/console"

    def as_line(self) -> str:
        """The one line that a program waits for."""
        return json.dumps(
            {
                "api_url": self.api_url,
                "console_url": self.console_url,
                "mcp_url": self.mcp_url,
                "token": self.token,
                "pid": self.pid,
            }
        )

    def as_panel(self, *, has_console: bool) -> str:
        """What a person needs first: addresses, the token, lines to paste into clients."""
        console = self.console_url if has_console else "arrives with a later version"
        cursor = {
            "mcpServers": {
                "kyros": {
                    "url": self.mcp_url,
                    "headers": {"Authorization": "Bearer ${env:KYROS_TOKEN}"},
                }
            }
        }
        return f"""
  Kyros is ready                          Ctrl+C stops it

  Console  {console}
  Docs     {self.api_url}/docs
  MCP      {self.mcp_url}
  Token    {self.token}

  First, for every client:
    export KYROS_TOKEN={self.token}

  Claude Code
    claude mcp add --transport http kyros {self.mcp_url} \
--header "Authorization: Bearer $KYROS_TOKEN"
  Codex
    codex mcp add kyros --url {self.mcp_url} --bearer-token-env-var KYROS_TOKEN
  Cursor, in .cursor/mcp.json
    {json.dumps(cursor)}

  A key of its own for each agent: kyros key new NAME
"""
