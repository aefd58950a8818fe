"""Implementations of ports, one file per port."""
