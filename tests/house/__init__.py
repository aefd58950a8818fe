"""Checks of the house itself: layout, sizes, names, files."""
