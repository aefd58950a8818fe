"""Parity of the faces."""
