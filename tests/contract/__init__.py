"""Snapshots of the published shapes."""
