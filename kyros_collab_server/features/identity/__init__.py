"""Principals, keys and workspaces."""
