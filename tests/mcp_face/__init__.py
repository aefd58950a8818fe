"""Tests of the MCP face through its real client."""
