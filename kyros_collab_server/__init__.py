"""The core of Kyros and its MCP face."""
