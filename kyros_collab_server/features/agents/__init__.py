"""The workers known to the board."""
