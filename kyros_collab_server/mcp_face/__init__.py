"""The agents' face: MCP over stdio and streamable HTTP."""
