"""The cards on the board."""
